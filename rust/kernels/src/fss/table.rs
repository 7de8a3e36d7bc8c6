//! All leaves of the trees of points, against a table.

use super::key::{CONTROL, Shape, block, signed, spread, word, word_of};
use crate::prg::Hash;
#[cfg(target_arch = "x86_64")]
use crate::vaes;
use rayon::prelude::*;

/// Bits of the domain of a table at most.
pub const MAX_TABLE_BITS: u32 = 20;

/// A party's shares of `payload[p] table[(shift - alpha) mod 2^bits][q]` for every point key, of
/// shape (keys, payload, `columns`); the table has `columns` entries in a row.
pub fn table(
    shape: &Shape,
    party: usize,
    keys: &[u8],
    shift: &[u64],
    table: &[u64],
    columns: usize,
) -> Vec<u64> {
    let words = shape.payload;
    let mut out = vec![0; shift.len() * words * columns];
    if out.is_empty() {
        return out;
    }
    let size = 1usize << shape.bits;
    // By columns, each backwards and twice, an entry for every word of a point: every look-up
    // reads a run of it, forwards.
    let reversed: Vec<u64> = (0..columns)
        .flat_map(|q| (0..2 * size).map(move |j| table[(2 * size - j) % size * columns + q]))
        .flat_map(|entry| std::iter::repeat_n(entry, words))
        .collect();
    out.par_chunks_mut(words * columns)
        .zip(shift)
        .zip(keys.par_chunks(shape.bytes()))
        .for_each(|((out, shift), key)| {
            let start = (shift.wrapping_neg() & (size as u64 - 1)) as usize;
            let columns = reversed
                .chunks(2 * size * words)
                .map(|column| &column[start * words..]);
            look_up(shape, party, key, columns, out);
            for out in out {
                *out = signed(*out, party == 1);
            }
        });
    out
}

/// `out[p, q] = sum_j f(j)[p] columns[q][j]`, without the sign of the party.
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
    if vaes::available() && changes.len() >= vaes::LEVELS {
        // SAFETY: the machine has the instructions.
        unsafe {
            match shape.payload {
                1 => vaes::look_up::<1, 4, 8>(root, &changes, &leaf, columns, out),
                2 => vaes::look_up::<2, 4, 8>(root, &changes, &leaf, columns, out),
                3 => vaes::look_up::<3, 6, 6>(root, &changes, &leaf, columns, out),
                _ => vaes::look_up::<4, 8, 8>(root, &changes, &leaf, columns, out),
            }
        };
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
    let (words, payload) = (leaf.len(), shape.payload);
    let blocks = words.div_ceil(2);
    x.clear();
    for node in &nodes {
        x.extend((0..blocks).map(|j| (node & !CONTROL) ^ j as u128));
    }
    hash.apply(&mut x);
    let count = columns.clone().count();
    for (q, column) in columns.enumerate() {
        for (j, entry) in column[..nodes.len() * words].iter().enumerate() {
            let (node, k) = (j / words, j % words);
            let change = leaf[k] & spread(nodes[node]) as u64;
            let share = word_of(&x, 2 * blocks * node + k).wrapping_add(change);
            let out = &mut out[k % payload * count + q];
            *out = out.wrapping_add(share.wrapping_mul(*entry));
        }
    }
}
