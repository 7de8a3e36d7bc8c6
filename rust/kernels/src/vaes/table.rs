//! Leaves of a tree of points, against a table.

use super::blocks::{Keys, V, controlled, four, grow_range, kernel, load};
use crate::fss::CONTROL;
use std::arch::x86_64::*;
use std::ops::Range;

/// Levels of a tree at least: leaves are taken by eight nodes or fewer.
pub(crate) const LEVELS: usize = 3;
/// Vectors of four nodes that grow together.
const VECTORS: usize = 4;
/// Sums kept apart, so that a lane of each always has the same word of a payload.
const SUMS: usize = 3;

/// The hash of the trees, and memory for the nodes of two levels and for sums.
pub(crate) struct LookUp {
    hash: Keys,
    nodes: Vec<u128>,
    next: Vec<u128>,
    sums: Vec<[[u64; 8]; SUMS]>,
}

impl LookUp {
    /// With the public key of the hash.
    ///
    /// # Safety
    /// The machine has the instructions of [`super::available`].
    pub(crate) unsafe fn new(key: &[u8; 16]) -> Self {
        Self {
            hash: unsafe { keys(key) },
            nodes: Vec::new(),
            next: Vec::new(),
            sums: Vec::new(),
        }
    }
}

kernel! {
    unsafe fn keys(key: &[u8; 16]) -> Keys {
        unsafe { Keys::new(key) }
    }

    /// `out[p, q] += sum_j f(j)[p] columns[q][j]` without the sign of a party, for payloads of `P`
    /// words, leaves of `B` blocks, two points each, eight for one word, and at least
    /// [`LEVELS`] of them; j below the nodes of a range, which begins and ends at multiples of
    /// eight, and where the columns begin, `stride` words apart. `changes` are the corrections of
    /// the levels; `W = 2 B` vectors of leaves, of eight nodes, are taken together.
    pub(crate) unsafe fn look_up<const P: usize, const B: usize, const W: usize>(
        with: &mut LookUp,
        root: u128,
        changes: &[u128],
        leaf: &[u64],
        range: Range<usize>,
        (columns, stride): (&[u64], usize),
        out: &mut [u64],
    ) {
        unsafe {
            let LookUp { hash, nodes, next, sums } = with;
            let origin = grow_range::<VECTORS, { 2 * VECTORS }>(
                hash, root, changes, &range, nodes, next,
            );
            let clean = four(!CONTROL);
            let mut tweaks = [four(0); W];
            let mut leaves = [four(0); W];
            // Which words of four nodes the blocks of a vector come from.
            let mut places = [four(0); W];
            for v in 0..W {
                let mut blocks = [0u128; 4];
                let mut words = [0u64; 8];
                let mut place = [0u64; 8];
                for (i, block) in blocks.iter_mut().enumerate() {
                    *block = ((4 * v + i) % B) as u128;
                }
                for (i, (word, place)) in words.iter_mut().zip(&mut place).enumerate() {
                    *word = leaf[(8 * v + i) % leaf.len()];
                    *place = (2 * ((4 * v + i / 2) / B % 4) + i % 2) as u64;
                }
                tweaks[v] = load(&blocks);
                leaves[v] = _mm512_loadu_si512(words.as_ptr().cast());
                places[v] = _mm512_loadu_si512(place.as_ptr().cast());
            }
            sums.clear();
            sums.resize(out.len() / P, [[0; 8]; SUMS]);
            for from in range.clone().step_by(8) {
                let nodes = &nodes[from - origin..];
                let nodes = [load(nodes), load(&nodes[4..])];
                let mut x = tweaks;
                let mut controls = [0; W];
                for v in 0..W {
                    let seeds = _mm512_permutexvar_epi64(places[v], nodes[v / B]);
                    controls[v] = controlled(seeds);
                    x[v] = _mm512_xor_si512(x[v], _mm512_and_si512(seeds, clean));
                }
                let mut shares = hash.hash(x);
                for v in 0..W {
                    let share = shares[v];
                    shares[v] = _mm512_mask_add_epi64(share, controls[v], share, leaves[v]);
                }
                let start = 2 * B * (from - range.start);
                for (q, sums) in sums.iter_mut().enumerate() {
                    let column = &columns[q * stride + start..][..8 * W];
                    let mut totals: [V; SUMS] = [four(0); SUMS];
                    for (total, sum) in totals.iter_mut().zip(&*sums) {
                        *total = _mm512_loadu_si512(sum.as_ptr().cast());
                    }
                    for v in 0..W {
                        let entries = _mm512_loadu_si512(column[8 * v..].as_ptr().cast());
                        let product = _mm512_mullo_epi64(shares[v], entries);
                        totals[v % SUMS] = _mm512_add_epi64(totals[v % SUMS], product);
                    }
                    for (total, sum) in totals.iter().zip(sums) {
                        _mm512_storeu_si512(sum.as_mut_ptr().cast(), *total);
                    }
                }
            }
            let columns = sums.len();
            for (q, sums) in sums.iter().enumerate() {
                for (a, sum) in sums.iter().enumerate() {
                    for (lane, value) in sum.iter().enumerate() {
                        // Vector v of all has words 8 v and up, and 8 SUMS is a multiple of P.
                        let out = &mut out[(8 * a + lane) % P * columns + q];
                        *out = out.wrapping_add(*value);
                    }
                }
            }
        }
    }
}
