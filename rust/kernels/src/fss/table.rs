//! All leaves of the trees of points, against a table.

use super::{CONTROL, Shape, block, signed, spread, word, word_of};
use crate::prg::Hash;
#[cfg(target_arch = "x86_64")]
use crate::vaes;
use rayon::prelude::*;

/// A party's shares of `payload table[(shift - alpha) mod 2^bits]` for every point key with a
/// payload of one word; the table has `columns` entries in a row.
pub fn table(
    shape: &Shape,
    party: usize,
    keys: &[u8],
    shift: &[u64],
    table: &[u64],
    columns: usize,
) -> Vec<u64> {
    let mut out = vec![0; shift.len() * columns];
    if out.is_empty() {
        return out;
    }
    let size = 1usize << shape.bits;
    // By columns, each backwards and twice: every look-up reads a run of it, forwards.
    let reversed: Vec<u64> = (0..columns)
        .flat_map(|q| (0..2 * size).map(move |j| table[(2 * size - j) % size * columns + q]))
        .collect();
    out.par_chunks_mut(columns)
        .zip(shift)
        .zip(keys.par_chunks(shape.bytes()))
        .for_each(|((out, shift), key)| {
            let start = (shift.wrapping_neg() & (size as u64 - 1)) as usize;
            let columns = reversed.chunks(2 * size).map(|column| &column[start..]);
            look_up(shape, party, key, columns, out);
            for out in out {
                *out = signed(*out, party == 1);
            }
        });
    out
}

/// `out[q] = sum_j f(j) columns[q][j]`, without the sign of the party.
fn look_up<'a>(
    shape: &Shape,
    party: usize,
    key: &[u8],
    columns: impl Iterator<Item = &'a [u64]> + Clone,
    out: &mut [u64],
) {
    let root = (block(key) & !CONTROL) | party as u128;
    let changes: Vec<u128> = (0..shape.levels())
        .map(|level| block(&key[shape.level_at(level)..]))
        .collect();
    let leaf: Vec<u64> = (0..shape.leaf_words())
        .map(|k| word(&key[shape.leaf_at()..], k))
        .collect();
    #[cfg(target_arch = "x86_64")]
    if let (true, Ok(leaf)) = (shape.bits >= 6 && vaes::available(), leaf[..].try_into()) {
        // SAFETY: the machine has the instructions.
        unsafe { vaes::look_up(root, &changes, leaf, columns, out) };
        return;
    }
    let hash = Hash::new();
    let (mut nodes, mut x) = (vec![root], Vec::new());
    for change in changes {
        x.clear();
        for node in &nodes {
            x.extend([0, 1].map(|side| (node & !CONTROL) ^ side));
        }
        hash.apply(&mut x);
        for (i, child) in x.iter_mut().enumerate() {
            let control = spread(nodes[i / 2]);
            *child =
                (*child & (!CONTROL | 1)) ^ (control & (change & !CONTROL | change >> (i % 2) & 1));
        }
        std::mem::swap(&mut nodes, &mut x);
    }
    let words = leaf.len();
    x.clear();
    for node in &nodes {
        x.extend((0..words / 2).map(|j| (node & !CONTROL) ^ j as u128));
    }
    hash.apply(&mut x);
    for (out, column) in out.iter_mut().zip(columns) {
        for (j, entry) in column[..nodes.len() * words].iter().enumerate() {
            let change = leaf[j % words] & spread(nodes[j / words]) as u64;
            let share = word_of(&x, j).wrapping_add(change);
            *out = out.wrapping_add(share.wrapping_mul(*entry));
        }
    }
}
