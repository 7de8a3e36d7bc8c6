//! Paths from nodes to leaves, sixteen at a time.

use super::{Keys, V, controlled, four, kernel};
use crate::fss::{CONTROL, Node, Shape};
use std::arch::x86_64::*;

/// Vectors of four paths: enough to fill the pipeline of AES rounds.
const VECTORS: usize = 4;
const PATHS: usize = 4 * VECTORS;

/// A block from each of four keys, all of them the same if so said.
#[inline(always)]
unsafe fn blocks<const SAME: bool>(from: &[*const u8], offset: [usize; 4]) -> V {
    unsafe {
        let load = |i: usize| _mm_loadu_si128(from[i].add(offset[i]).cast());
        if SAME {
            return _mm512_broadcast_i32x4(load(0));
        }
        let mut out = _mm512_castsi128_si512(load(0));
        out = _mm512_inserti32x4::<1>(out, load(1));
        out = _mm512_inserti32x4::<2>(out, load(2));
        _mm512_inserti32x4::<3>(out, load(3))
    }
}

#[inline(always)]
unsafe fn load(from: &[u128]) -> V {
    unsafe { _mm512_loadu_si512(from[..4].as_ptr().cast()) }
}

#[inline(always)]
unsafe fn store(to: &mut [u128], v: V) {
    unsafe { _mm512_storeu_si512(to[..4].as_mut_ptr().cast(), v) }
}

/// Sixteen paths. `GROWN` is how many vectors a level hashes, those of the values last.
#[inline(always)]
unsafe fn paths<const P: usize, const GROWN: usize, const SAME: bool>(
    hash: &Keys,
    shape: &Shape,
    first: usize,
    keys: &[*const u8; PATHS],
    nodes: &mut [Node<P>; PATHS],
    points: &[u128; PATHS],
    leaves: &mut [u128],
) {
    unsafe {
        let (one, four_, clean) = (four(1), four(4), four(!CONTROL));
        let kept = _mm512_or_si512(clean, one);
        let mut seeds: [V; VECTORS] = std::array::from_fn(|v| {
            let seeds: [u128; 4] = std::array::from_fn(|i| nodes[4 * v + i].seed);
            load(&seeds)
        });
        let mut sums = [four(0); GROWN];
        for (at, sums) in sums.iter_mut().enumerate().skip(VECTORS) {
            let (v, block) = (at % VECTORS, at / VECTORS - 1);
            let values: [u128; 4] = std::array::from_fn(|i| {
                let sum = &nodes[4 * v + i].sum;
                let high = sum.get(2 * block + 1).map_or(0, |&x| u128::from(x) << 64);
                u128::from(sum[2 * block]) | high
            });
            *sums = load(&values);
        }
        for level in first..shape.levels() {
            let offset = shape.level_at(level);
            let shift = _mm_cvtsi64_si128(shape.shift(level) as i64);
            let mut x = [four(0); GROWN];
            let mut sides = [four(0); VECTORS];
            for v in 0..VECTORS {
                let points = load(&points[4 * v..]);
                sides[v] = _mm512_and_si512(_mm512_srl_epi64(points, shift), one);
                x[v] = _mm512_xor_si512(_mm512_and_si512(seeds[v], clean), sides[v]);
            }
            for at in VECTORS..GROWN {
                let tweak = four(2 * (at / VECTORS) as u128);
                x[at] = _mm512_xor_si512(x[at % VECTORS], tweak);
            }
            let grown = hash.hash(x);
            for v in 0..VECTORS {
                let keys = &keys[4 * v..4 * v + 4];
                let control = controlled(seeds[v]);
                let change = blocks::<SAME>(keys, [offset; 4]);
                let change = _mm512_maskz_mov_epi64(control, change);
                let child = grown[v];
                let bit = _mm512_and_si512(_mm512_srlv_epi64(change, sides[v]), one);
                let seed = _mm512_xor_si512(
                    _mm512_and_si512(child, kept),
                    _mm512_or_si512(_mm512_and_si512(change, clean), bit),
                );
                seeds[v] = if P == 0 {
                    let output = _mm512_xor_si512(_mm512_slli_epi64::<1>(child), change);
                    let output = _mm512_xor_si512(output, seeds[v]);
                    _mm512_xor_si512(seed, _mm512_and_si512(output, four_))
                } else {
                    seed
                };
                for at in (v + VECTORS..GROWN).step_by(VECTORS) {
                    // Of an odd payload, the last block reads on into the next correction.
                    let change = blocks::<SAME>(keys, [offset + 16 * (at / VECTORS); 4]);
                    let sum = _mm512_add_epi64(sums[at], grown[at]);
                    sums[at] = _mm512_mask_add_epi64(sum, control, sum, change);
                }
            }
        }
        for (at, sums) in sums.iter().enumerate().skip(VECTORS) {
            let (v, block) = (at % VECTORS, at / VECTORS - 1);
            let mut values = [0u128; 4];
            store(&mut values, *sums);
            for (i, value) in values.iter().enumerate() {
                let sum = &mut nodes[4 * v + i].sum;
                sum[2 * block] = *value as u64;
                if let Some(sum) = sum.get_mut(2 * block + 1) {
                    *sum = (value >> 64) as u64;
                }
            }
        }
        let wide = shape.point_blocks();
        for block in 0..wide {
            let mut places = [[0usize; 4]; VECTORS];
            let x: [V; VECTORS] = std::array::from_fn(|v| {
                let mut tweaks = [0u128; 4];
                for (i, tweak) in tweaks.iter_mut().enumerate() {
                    let place = shape.first_block(points[4 * v + i] as u64) + block;
                    places[v][i] = shape.leaf_at() + 16 * place;
                    *tweak = place as u128;
                }
                _mm512_xor_si512(_mm512_and_si512(seeds[v], clean), load(&tweaks))
            });
            let grown = hash.hash(x);
            for v in 0..VECTORS {
                let control = controlled(seeds[v]);
                let change = blocks::<false>(&keys[4 * v..4 * v + 4], places[v]);
                let leaf = if P == 0 {
                    _mm512_mask_xor_epi64(grown[v], control, grown[v], change)
                } else {
                    _mm512_mask_add_epi64(grown[v], control, grown[v], change)
                };
                let mut values = [0u128; 4];
                store(&mut values, leaf);
                for (i, value) in values.iter().enumerate() {
                    leaves[(4 * v + i) * wide + block] = *value;
                }
            }
        }
        for v in 0..VECTORS {
            let mut values = [0u128; 4];
            store(&mut values, seeds[v]);
            for (i, value) in values.iter().enumerate() {
                nodes[4 * v + i].seed = *value;
            }
        }
    }
}

kernel! {
    /// Moves nodes, each on the way to one point, from a level down to the leaves, and writes
    /// the corrected blocks of the leaves that hold the points.
    pub(crate) unsafe fn descend<const P: usize>(
        shape: &Shape,
        first: usize,
        keys: &[u8],
        order: &[(u64, u32)],
        nodes: &mut [Node<P>],
        leaves: &mut [u128],
    ) {
        let hash = unsafe { Keys::new() };
        let wide = shape.point_blocks();
        for (nodes, leaves) in nodes.chunks_mut(PATHS).zip(leaves.chunks_mut(PATHS * wide)) {
            let count = nodes.len();
            // A last chunk that is not full repeats its last node.
            let mut group: [Node<P>; PATHS] = std::array::from_fn(|i| nodes[i.min(count - 1)]);
            let from = group.map(|node| keys[node.key as usize * shape.bytes()..].as_ptr());
            let points = group.map(|node| u128::from(order[node.from as usize].0));
            let mut out = [0u128; PATHS * 2];
            let out = &mut out[..PATHS * wide];
            let same = group[0].key == group[count - 1].key;
            macro_rules! run {
                ($($grown:literal)*) => {
                    // SAFETY: every key has all its bytes.
                    unsafe {
                        match (4 + 4 * shape.values().div_ceil(2), same) {
                            $(
                                ($grown, false) => paths::<P, $grown, false>(
                                    &hash, shape, first, &from, &mut group, &points, out,
                                ),
                                ($grown, true) => paths::<P, $grown, true>(
                                    &hash, shape, first, &from, &mut group, &points, out,
                                ),
                            )*
                            _ => unreachable!("a payload has at most two blocks"),
                        }
                    }
                };
            }
            if P == 0 {
                run!(4);
            } else if P <= 2 {
                run!(4 8);
            } else {
                run!(4 12);
            }
            nodes.copy_from_slice(&group[..count]);
            leaves.copy_from_slice(&out[..count * wide]);
        }
    }
}
