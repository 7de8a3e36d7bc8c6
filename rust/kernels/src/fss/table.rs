//! The leaves of the trees of points, against a table: all of them that meet a row beside zero.

use super::key::{CONTROL, MAX_PAYLOAD, Shape, block, signed, spread, word, word_of};
use super::nodes::{above, nodes, together};
use crate::prg::Hash;
#[cfg(target_arch = "x86_64")]
use crate::vaes;
use rayon::prelude::*;
use std::ops::Range;

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
    let rows = filled(table, columns);
    // Ranges of nodes begin and end at multiples, so they may have more points on both sides.
    let pad = together(shape) << shape.low;
    let points = match rows.len() + 2 * pad {
        few if few <= size => few,
        _ => 2 * size + pad,
    };
    // By columns, each backwards and from the last row that is filled, an entry for every word of
    // a point: every look-up reads a run of it, forwards.
    let last = rows.end + 3 * size + pad - 1;
    let reversed: Vec<u64> = (0..columns)
        .flat_map(|q| (0..points).map(move |j| table[(last - j) % size * columns + q]))
        .flat_map(|entry| std::iter::repeat_n(entry, words))
        .collect();
    out.par_chunks_mut(words * columns)
        .zip(shift)
        .zip(keys.par_chunks(shape.bytes()))
        .for_each_init(
            || Hashes::new(shape),
            |with, ((out, &shift), key)| {
                // Point j meets the row shift - j.
                let first = (shift as usize % size + 3 * size + 1 - rows.end) % size;
                let ranges = nodes(shape, first, rows.len()).into_iter();
                for nodes in ranges.filter(|nodes| !nodes.is_empty()) {
                    let at = nodes.start << shape.low;
                    let at = if at + pad > first { at } else { at + size };
                    let columns = &reversed[(at + pad - first) * words..];
                    look_up(
                        with,
                        shape,
                        party,
                        key,
                        nodes,
                        (columns, points * words),
                        out,
                    );
                }
                for out in out {
                    *out = signed(*out, party == 1);
                }
            },
        );
    out
}

/// The rows of a table but for its longest run of zeros, which may go round its end: from the
/// first one, maybe beyond the last row of the table.
fn filled(table: &[u64], columns: usize) -> Range<usize> {
    let size = table.len() / columns;
    let zero = |row: usize| {
        let row = row % size * columns;
        table[row..row + columns].iter().all(|&entry| entry == 0)
    };
    let (mut run, mut longest, mut end) = (0, 0, 0);
    for row in 0..2 * size {
        run = if zero(row) { size.min(run + 1) } else { 0 };
        if run > longest {
            (longest, end) = (run, row + 1);
        }
    }
    end % size..end % size + size - longest
}

/// What a thread hashes with: vectors of blocks where the machine can.
struct Hashes {
    one: Hash,
    #[cfg(target_arch = "x86_64")]
    many: Option<vaes::LookUp>,
}

impl Hashes {
    fn new(shape: &Shape) -> Self {
        Self {
            one: Hash::new(&shape.hash),
            #[cfg(target_arch = "x86_64")]
            many: (vaes::available() && shape.levels() >= vaes::LEVELS)
                // SAFETY: the machine has the instructions.
                .then(|| unsafe { vaes::LookUp::new(&shape.hash) }),
        }
    }
}

/// Adds `out[p, q] += sum_j f(j)[p] columns[q][j]` for the points below the nodes of a range,
/// where the columns begin, so many words apart, without the sign of the party.
fn look_up(
    with: &mut Hashes,
    shape: &Shape,
    party: usize,
    key: &[u8],
    range: Range<usize>,
    columns: (&[u64], usize),
    out: &mut [u64],
) {
    let root = (block(key) & !CONTROL) | party as u128;
    let mut changes = [0; MAX_TABLE_BITS as usize];
    let changes = &mut changes[..shape.levels()];
    for (level, change) in changes.iter_mut().enumerate() {
        *change = block(&key[shape.level_at(level)..]);
    }
    let mut leaf = [0; 2 * MAX_PAYLOAD];
    let leaf = &mut leaf[..shape.leaf_words()];
    for (k, correction) in leaf.iter_mut().enumerate() {
        *correction = word(&key[shape.leaf_at()..], k);
    }
    #[cfg(target_arch = "x86_64")]
    if let Some(many) = &mut with.many {
        // SAFETY: the machine has the instructions.
        unsafe {
            match shape.payload {
                1 => vaes::look_up::<1, 4, 8>(many, root, changes, leaf, range, columns, out),
                2 => vaes::look_up::<2, 2, 4>(many, root, changes, leaf, range, columns, out),
                3 => vaes::look_up::<3, 3, 6>(many, root, changes, leaf, range, columns, out),
                _ => vaes::look_up::<4, 4, 8>(many, root, changes, leaf, range, columns, out),
            }
        };
        return;
    }
    let (mut nodes, mut x) = (vec![root], Vec::new());
    for (level, change) in changes.iter().enumerate() {
        let [here, below] = [0, 1].map(|next| above(&range, changes.len(), level + next));
        let at = |child: usize| (child / 2 - here.start, child % 2);
        x.clear();
        for (node, side) in below.clone().map(at) {
            x.push((nodes[node] & !CONTROL) ^ side as u128);
        }
        with.one.apply(&mut x);
        for (child, (node, side)) in x.iter_mut().zip(below.map(at)) {
            let control = spread(nodes[node]);
            *child =
                (*child & (!CONTROL | 1)) ^ (control & (change & !CONTROL | change >> side & 1));
        }
        std::mem::swap(&mut nodes, &mut x);
    }
    let (words, payload) = (leaf.len(), shape.payload);
    let blocks = words.div_ceil(2);
    x.clear();
    for node in &nodes {
        x.extend((0..blocks).map(|j| (node & !CONTROL) ^ j as u128));
    }
    with.one.apply(&mut x);
    let (columns, stride) = columns;
    let count = out.len() / payload;
    for q in 0..count {
        let column = &columns[q * stride..][..nodes.len() * words];
        for (j, entry) in column.iter().enumerate() {
            let (node, k) = (j / words, j % words);
            let change = leaf[k] & spread(nodes[node]) as u64;
            let share = word_of(&x, 2 * blocks * node + k).wrapping_add(change);
            let out = &mut out[k % payload * count + q];
            *out = out.wrapping_add(share.wrapping_mul(*entry));
        }
    }
}
