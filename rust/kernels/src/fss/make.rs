//! Making pairs of keys.

use super::key::{CONTROL, Function, Shape, signed, spread, word_of};
use crate::prg::{Hash, expand};
use rayon::prelude::*;

/// Keys that are made at a time.
const MADE: usize = 32;
/// Streams of seeds start here; callers of `expand` have the labels below.
const SEED_LABELS: u64 = 1 << 63;

/// Key pairs for all `alpha`: the keys of party 0, then those of party 1.
///
/// `payload` holds the words of each key, one key after the other. A seed is good for one call.
pub fn make(shape: &Shape, seed: &[u8; 32], alpha: &[u64], payload: &[u64]) -> [Vec<u8>; 2] {
    let label = SEED_LABELS
        + ((shape.function == Function::Point) as u64 * 1000 + shape.payload as u64 * 100)
        + u64::from(shape.bits);
    let roots = expand(seed, label, 4 * alpha.len());
    let length = shape.bytes();
    let mut keys = [0; 2].map(|_| vec![0; alpha.len() * length]);
    let [first, second] = &mut keys;
    first
        .par_chunks_mut(MADE * length)
        .zip(second.par_chunks_mut(MADE * length))
        .zip(alpha.par_chunks(MADE))
        .enumerate()
        .for_each(|(k, ((first, second), alpha))| {
            let roots = &roots[4 * MADE * k..][..4 * alpha.len()];
            let payload = &payload[MADE * k * shape.payload..][..alpha.len() * shape.payload];
            Maker::new(shape, roots).make(alpha, payload, first);
            second.copy_from_slice(first);
            for (i, root) in roots.as_chunks::<4>().0.iter().enumerate() {
                for (key, root) in [(&mut *first, &root[..2]), (&mut *second, &root[2..])] {
                    let root = seed_of(root);
                    key[i * length..][..16].copy_from_slice(&root.to_le_bytes());
                }
            }
        });
    keys
}

fn seed_of(words: &[u64]) -> u128 {
    (u128::from(words[1]) << 64 | u128::from(words[0])) & !CONTROL
}

/// Makes the keys of a few pairs together: the paths to `alpha` of both parties, level by level.
struct Maker<'a> {
    shape: &'a Shape,
    hash: Hash,
    /// The node of each party: a seed, and the control bit in its lowest bit.
    nodes: Vec<[u128; 2]>,
    x: Vec<u128>,
}

impl<'a> Maker<'a> {
    fn new(shape: &'a Shape, roots: &[u64]) -> Self {
        let roots = roots.as_chunks::<4>().0.iter();
        Self {
            shape,
            hash: Hash::new(&shape.hash),
            nodes: roots
                .map(|root| [seed_of(&root[..2]), seed_of(&root[2..]) | 1])
                .collect(),
            x: Vec::new(),
        }
    }

    /// Grows every node of both parties into the blocks of the tweaks `0..count`.
    fn grow(&mut self, count: usize) {
        self.x.clear();
        for node in self.nodes.as_flattened() {
            self.x
                .extend((0..count).map(|tweak| (node & !CONTROL) ^ tweak as u128));
        }
        self.hash.apply(&mut self.x);
    }

    /// Writes everything but the roots' seeds.
    fn make(mut self, alpha: &[u64], payload: &[u64], keys: &mut [u8]) {
        let shape = self.shape;
        let (bytes, words, values) = (shape.bytes(), shape.payload, shape.values());
        // What the two shares add up to at alpha so far.
        let mut sums = vec![0u64; alpha.len() * words];
        let mut parity = vec![0u128; alpha.len()];
        let blocks = 2 + 2 * values.div_ceil(2);
        for level in 0..shape.levels() {
            self.grow(blocks);
            for (k, key) in keys.chunks_mut(bytes).enumerate() {
                let (grown, _) = self.x[2 * blocks * k..][..2 * blocks].split_at(2 * blocks);
                let (zero, one) = grown.split_at(blocks);
                let keep = shape.side(alpha[k], level);
                let lose = 1 - keep;
                let bit = keep as u128;
                let seed = (zero[lose] ^ one[lose]) & !CONTROL;
                let controls = [
                    (zero[0] ^ one[0] ^ bit ^ 1) & 1,
                    (zero[1] ^ one[1] ^ bit) & 1,
                ];
                let mut correction = seed | controls[0] | controls[1] << 1;
                if words == 0 {
                    let output = |side: usize| (zero[side] ^ one[side]) >> 1 & 1;
                    let corrected = output(lose) ^ parity[k] ^ bit;
                    correction |= corrected << 2;
                    parity[k] ^= output(keep) ^ corrected;
                }
                let out = &mut key[shape.level_at(level)..shape.level_at(level + 1)];
                out[..16].copy_from_slice(&correction.to_le_bytes());
                let minus = self.nodes[k][1] & 1 == 1;
                for p in 0..values {
                    // Values of the left child are in the even blocks, of the right in the odd.
                    let value = |grown: &[u128], side: usize| {
                        (grown[2 + 2 * (p / 2) + side] >> (64 * (p % 2))) as u64
                    };
                    let difference = |side| value(zero, side).wrapping_sub(value(one, side));
                    let sum = &mut sums[k * words + p];
                    let due = if keep == 1 { payload[k * words + p] } else { 0 };
                    let missing = due.wrapping_sub(*sum).wrapping_sub(difference(lose));
                    let corrected = signed(missing, minus);
                    out[16 + 8 * p..][..8].copy_from_slice(&corrected.to_le_bytes());
                    *sum = sum.wrapping_add(difference(keep)).wrapping_add(missing);
                }
                for (node, grown) in self.nodes[k].iter_mut().zip([zero, one]) {
                    let control = spread(*node);
                    *node = (grown[keep] & (!CONTROL | 1)) ^ (control & (seed | controls[keep]));
                }
            }
        }
        let blocks = shape.leaf_words() / 2;
        self.grow(blocks);
        for (k, key) in keys.chunks_mut(bytes).enumerate() {
            let (zero, one) = self.x[2 * blocks * k..][..2 * blocks].split_at(blocks);
            let out = &mut key[shape.leaf_at()..];
            let low = shape.low_part(alpha[k]);
            if words == 0 {
                let below = (1u128 << low) - 1;
                let corrected = zero[0] ^ one[0] ^ spread(parity[k]) ^ below;
                out.copy_from_slice(&corrected.to_le_bytes());
                continue;
            }
            let minus = self.nodes[k][1] & 1 == 1;
            for (j, out) in out.chunks_mut(8 * words).enumerate() {
                let inside = match shape.function {
                    Function::Comparison => j < low,
                    Function::Point => j == low,
                };
                for (p, out) in out.chunks_mut(8).enumerate() {
                    let due = if inside { payload[k * words + p] } else { 0 };
                    let found = sums[k * words + p]
                        .wrapping_add(word_of(zero, j * words + p))
                        .wrapping_sub(word_of(one, j * words + p));
                    let corrected = signed(due.wrapping_sub(found), minus);
                    out.copy_from_slice(&corrected.to_le_bytes());
                }
            }
        }
    }
}
