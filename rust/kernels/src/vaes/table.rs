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

kernel! {
    /// `out[p, q] += sum_j f(j)[p] columns[q][j]` without the sign of a party, for payloads of `P`
    /// words, leaves of `B` blocks, two points each, eight for one word, and at least
    /// [`LEVELS`] of them; j below the nodes of a range, which begins and ends at multiples of
    /// eight, and where the columns begin. `changes` are the corrections of the levels; `W`
    /// vectors of leaves are taken together.
    pub(crate) unsafe fn look_up<'a, const P: usize, const B: usize, const W: usize>(
        key: &[u8; 16],
        root: u128,
        changes: &[u128],
        leaf: &[u64],
        range: Range<usize>,
        columns: impl Iterator<Item = &'a [u64]> + Clone,
        out: &mut [u64],
    ) {
        unsafe {
            let hash = Keys::new(key);
            let (mut nodes, mut next) = (Vec::new(), Vec::new());
            let origin = grow_range::<VECTORS, { 2 * VECTORS }>(
                &hash, root, changes, &range, &mut nodes, &mut next,
            );
            let clean = four(!CONTROL);
            let mut tweaks = [four(0); W];
            let mut leaves = [four(0); W];
            for v in 0..W {
                let mut blocks = [0u128; 4];
                let mut words = [0u64; 8];
                for (i, block) in blocks.iter_mut().enumerate() {
                    *block = ((4 * v + i) % B) as u128;
                }
                for (i, word) in words.iter_mut().enumerate() {
                    *word = leaf[(8 * v + i) % leaf.len()];
                }
                tweaks[v] = load(&blocks);
                leaves[v] = _mm512_loadu_si512(words.as_ptr().cast());
            }
            let mut sums = vec![[[0u64; 8]; SUMS]; out.len() / P];
            let each = 4 * W / B;
            for from in range.clone().step_by(each) {
                let nodes = &nodes[from - origin..][..each];
                let mut x = tweaks;
                let mut controls = [0; W];
                for v in 0..W {
                    let of: &[_; 4] = &std::array::from_fn(|i| nodes[(4 * v + i) / B]);
                    let seeds = load(of);
                    controls[v] = controlled(seeds);
                    x[v] = _mm512_xor_si512(x[v], _mm512_and_si512(seeds, clean));
                }
                let mut shares = hash.hash(x);
                for v in 0..W {
                    let share = shares[v];
                    shares[v] = _mm512_mask_add_epi64(share, controls[v], share, leaves[v]);
                }
                let start = 2 * B * (from - range.start);
                for (sums, column) in sums.iter_mut().zip(columns.clone()) {
                    let column = &column[start..start + 8 * W];
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
