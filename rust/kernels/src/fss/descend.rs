//! The ways to the leaves of many points.

use super::key::{CONTROL, Shape, block, signed, spread, word, word_of};
use super::path::Path;
use crate::prg::Hash;
#[cfg(target_arch = "x86_64")]
use crate::vaes;

/// Calls `found(index, share, bit)` for every point of a few keys, as many points for each. The
/// bit is the share of a comparison without payload.
pub(super) fn visit<const P: usize>(
    shape: &Shape,
    party: usize,
    keys: &[u8],
    points: &[u64],
    mut found: impl FnMut(usize, [u64; P], bool),
) {
    let each = points.len() / (keys.len() / shape.bytes());
    let root = |key: usize| (block(&keys[key * shape.bytes()..]) & !CONTROL) | party as u128;
    let mask = u64::MAX >> (64 - shape.bits);
    let mut paths: Vec<Path<P>> = points
        .iter()
        .enumerate()
        .map(|(index, point)| Path {
            seed: root(index / each),
            sum: [0; P],
            point: point & mask,
            key: (index / each) as u32,
            index: index as u32,
        })
        .collect();
    let mut leaves = vec![0; paths.len() * shape.point_blocks()];
    descend(shape, keys, each, &mut paths, &mut leaves);
    for (path, leaf) in paths.iter().zip(leaves.chunks(shape.point_blocks())) {
        let low = shape.low_part(path.point);
        let bit = P == 0 && (leaf[0] >> low ^ path.seed >> 2) & 1 == 1;
        let share = std::array::from_fn(|p| {
            let sum = path.sum[p].wrapping_add(word_of(leaf, low * P % 2 + p));
            signed(sum, party == 1)
        });
        found(path.index as usize, share, bit);
    }
}

/// Moves paths, `each` of every key, from the roots to the leaves, and writes the corrected
/// blocks of the leaves that hold the points. The order of a key's paths may change.
fn descend<const P: usize>(
    shape: &Shape,
    keys: &[u8],
    each: usize,
    paths: &mut [Path<P>],
    leaves: &mut [u128],
) {
    #[cfg(target_arch = "x86_64")]
    if vaes::available() {
        // SAFETY: the machine has the instructions.
        unsafe { vaes::descend(shape, keys, each, paths, leaves) };
        return;
    }
    let hash = Hash::new(&shape.hash);
    for paths in paths.chunks_mut(each) {
        // Stable, since that takes linear time for points that are sorted but for a rotation.
        paths.sort_by_key(|path| path.point);
    }
    let mut x = Vec::new();
    for level in 0..shape.levels() {
        step(shape, &hash, level, keys, paths, &mut x);
    }
    let wide = shape.point_blocks();
    for (path, leaf) in paths.iter().zip(leaves.chunks_mut(wide)) {
        let first = shape.first_block(path.point);
        for (j, leaf) in leaf.iter_mut().enumerate() {
            *leaf = (path.seed & !CONTROL) ^ (first + j) as u128;
        }
    }
    hash.apply(leaves);
    for (path, leaf) in paths.iter().zip(leaves.chunks_mut(wide)) {
        let key = &keys[path.key as usize * shape.bytes() + shape.leaf_at()..];
        for (j, leaf) in leaf.iter_mut().enumerate() {
            let change = block(&key[16 * (shape.first_block(path.point) + j)..]);
            let change = change & spread(path.seed);
            *leaf = match P {
                0 => *leaf ^ change,
                _ => add_words(*leaf, change),
            };
        }
    }
}

/// Moves paths one level down; neighbours in one place share the work.
fn step<const P: usize>(
    shape: &Shape,
    hash: &Hash,
    level: usize,
    keys: &[u8],
    paths: &mut [Path<P>],
    x: &mut Vec<u128>,
) {
    let place = |path: &Path<P>| (path.key, path.point >> shape.shift(level));
    let values = shape.values().div_ceil(2);
    x.clear();
    for group in paths.chunk_by(|a, b| place(a) == place(b)) {
        x.push((group[0].seed & !CONTROL) ^ shape.side(group[0].point, level) as u128);
    }
    let count = x.len();
    for block in 0..values {
        for i in 0..count {
            x.push(x[i] ^ (2 + 2 * block) as u128);
        }
    }
    hash.apply(x);
    for (i, group) in paths.chunk_by_mut(|a, b| place(a) == place(b)).enumerate() {
        let mut path = group[0];
        let correction = &keys[path.key as usize * shape.bytes() + shape.level_at(level)..];
        let control = spread(path.seed);
        let change = block(correction) & control;
        let side = shape.side(path.point, level);
        let output = (x[i] << 1 ^ change ^ path.seed) & 4;
        let bit = change >> side & 1;
        path.seed = (x[i] & (!CONTROL | 1)) ^ (change & !CONTROL | bit) ^ output;
        for (p, sum) in path.sum.iter_mut().enumerate().take(shape.values()) {
            let value = (x[(1 + p / 2) * count + i] >> (64 * (p % 2))) as u64;
            let change = word(correction, 2 + p) & control as u64;
            *sum = sum.wrapping_add(value).wrapping_add(change);
        }
        for other in group {
            (other.seed, other.sum) = (path.seed, path.sum);
        }
    }
}

/// The sums of both words.
fn add_words(a: u128, b: u128) -> u128 {
    let high = ((a >> 64) as u64).wrapping_add((b >> 64) as u64);
    u128::from(high) << 64 | u128::from((a as u64).wrapping_add(b as u64))
}
