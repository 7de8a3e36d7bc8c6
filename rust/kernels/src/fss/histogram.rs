//! Histograms of values under masks: the leaves of the trees of points, added up by rows.

use super::key::{CONTROL, Shape, block, signed, spread, word, word_of};
use crate::prg::Hash;
#[cfg(target_arch = "x86_64")]
use crate::vaes;
use rayon::prelude::*;
use std::ops::Range;

/// A party's shares, of shape (rows, `count`), of the sums over the point keys of a row of
/// `payload [(shift - alpha) mod 2^bits = i]`, for i below `count`. Payloads have one word; the
/// keys of the rows, `lengths` of them, follow each other.
pub fn histogram(
    shape: &Shape,
    party: usize,
    keys: &[u8],
    shift: &[u64],
    lengths: &[usize],
    count: usize,
) -> Vec<u64> {
    let mut out = vec![0; lengths.len() * count];
    if out.is_empty() {
        return out;
    }
    let mut rows = Vec::with_capacity(lengths.len());
    let (mut keys, mut shift) = (keys, shift);
    for &length in lengths {
        let (row, rest) = keys.split_at(length * shape.bytes());
        let (shifts, others) = shift.split_at(length);
        rows.push((row, shifts));
        (keys, shift) = (rest, others);
    }
    let hash = Hash::new(&shape.hash);
    out.par_chunks_mut(count)
        .zip(rows)
        .for_each(|(out, (keys, shift))| {
            let mut found = Buffers::default();
            for (key, &shift) in keys.chunks(shape.bytes()).zip(shift) {
                add(shape, &hash, party, key, shift, &mut found, out);
            }
            for out in out {
                *out = signed(*out, party == 1);
            }
        });
    out
}

/// Nodes of a level, what becomes of them, and blocks of leaves.
#[derive(Default)]
struct Buffers {
    nodes: Vec<u128>,
    next: Vec<u128>,
    #[cfg(target_arch = "x86_64")]
    scratch: vaes::Scratch,
}

/// Adds the share of one key, without the sign of the party: `out[i]` is that of point `shift - i`.
fn add(
    shape: &Shape,
    hash: &Hash,
    party: usize,
    key: &[u8],
    shift: u64,
    found: &mut Buffers,
    out: &mut [u64],
) {
    let size = 1usize << shape.bits;
    let last = shift as usize & (size - 1);
    let above = out.len().saturating_sub(last + 1);
    // Points from `last` down to 0, and from the end of the domain on.
    let ranges = [last + 1 - (out.len() - above)..last + 1, size - above..size];
    for points in ranges.into_iter().filter(|points| !points.is_empty()) {
        #[cfg(target_arch = "x86_64")]
        if vaes::available() && shape.leaf_words() == 8 {
            let root = (block(key) & !CONTROL) | party as u128;
            let changes: Vec<u128> = (0..shape.levels())
                .map(|level| block(&key[shape.level_at(level)..]))
                .collect();
            let leaf = std::array::from_fn(|k| word(&key[shape.leaf_at()..], k));
            let out = &mut out[last.wrapping_sub(points.end - 1) & (size - 1)..];
            let (hash, scratch) = (&shape.hash, &mut found.scratch);
            // SAFETY: the machine has the instructions.
            unsafe { vaes::add_points(hash, root, &changes, &leaf, points, scratch, out) };
            continue;
        }
        let first = points.start >> shape.low;
        let nodes = first..((points.end - 1) >> shape.low) + 1;
        grow(shape, hash, party, key, &nodes, found);
        let words = shape.leaf_words();
        let blocks = words.div_ceil(2);
        let leaves = &mut found.next;
        leaves.clear();
        for node in &found.nodes {
            leaves.extend((0..blocks).map(|j| (node & !CONTROL) ^ j as u128));
        }
        hash.apply(leaves);
        let correction = &key[shape.leaf_at()..];
        for point in points {
            let (node, k) = ((point >> shape.low) - first, shape.low_part(point as u64));
            let change = word(correction, k) & spread(found.nodes[node]) as u64;
            let share = word_of(leaves, 2 * blocks * node + k).wrapping_add(change);
            let out = &mut out[last.wrapping_sub(point) & (size - 1)];
            *out = out.wrapping_add(share);
        }
    }
}

/// The nodes above some leaves.
fn grow(
    shape: &Shape,
    hash: &Hash,
    party: usize,
    key: &[u8],
    leaves: &Range<usize>,
    found: &mut Buffers,
) {
    let Buffers { nodes, next, .. } = found;
    nodes.clear();
    nodes.push((block(key) & !CONTROL) | party as u128);
    for level in 0..shape.levels() {
        let change = block(&key[shape.level_at(level)..]);
        let down = shape.levels() - level - 1;
        let below = leaves.start >> down..((leaves.end - 1) >> down) + 1;
        let parent = below.start / 2;
        next.clear();
        next.extend(
            below
                .clone()
                .map(|child| (nodes[child / 2 - parent] & !CONTROL) ^ (child % 2) as u128),
        );
        hash.apply(next);
        for (x, child) in next.iter_mut().zip(below) {
            let control = spread(nodes[child / 2 - parent]);
            let bit = change >> (child % 2) & 1;
            *x = (*x & (!CONTROL | 1)) ^ (control & (change & !CONTROL | bit));
        }
        std::mem::swap(nodes, next);
    }
}
