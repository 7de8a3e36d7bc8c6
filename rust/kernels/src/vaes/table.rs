//! All leaves of a tree of points, against a table.

use super::{Keys, V, four, grow, kernel, load};
use crate::fss::CONTROL;
use std::arch::x86_64::*;

/// Vectors of four nodes that grow together.
const VECTORS: usize = 4;
/// Nodes above the leaves, at least; the leaves of each are one vector of eight words.
const NODES: usize = 8;

kernel! {
    /// `out[q] = sum_j f(j) columns[q][j]` without the sign of a party, for leaves of eight words
    /// and at least [`NODES`] of them. `changes` are the corrections of the levels.
    pub(crate) unsafe fn look_up<'a>(
        root: u128,
        changes: &[u128],
        leaf: &[u64; 8],
        columns: impl Iterator<Item = &'a [u64]> + Clone,
        out: &mut [u64],
    ) {
        unsafe {
            let hash = Keys::new();
            let count = 1 << changes.len();
            // Vectors are grown whole, whether all their nodes exist or not.
            let room = count + 8 * VECTORS;
            let (mut nodes, mut next) = (vec![0u128; room], vec![0u128; room]);
            nodes[0] = root;
            for (level, &change) in changes.iter().enumerate() {
                for from in (0..1 << level).step_by(4 * VECTORS) {
                    let seeds = (&nodes[from..], &mut next[2 * from..]);
                    grow::<VECTORS, { 2 * VECTORS }>(&hash, change, false, seeds);
                }
                std::mem::swap(&mut nodes, &mut next);
            }
            let tweaks = load(&[0, 1, 2, 3]);
            let leaf = _mm512_loadu_si512(leaf.as_ptr().cast());
            let mut sums = vec![[0u64; 8]; out.len()];
            for from in (0..count).step_by(NODES) {
                let nodes = &nodes[from..from + NODES];
                let x: [V; NODES] = std::array::from_fn(|i| {
                    _mm512_xor_si512(four(nodes[i] & !CONTROL), tweaks)
                });
                let mut shares = hash.hash(x);
                for (share, node) in shares.iter_mut().zip(nodes) {
                    let control = (*node as u8 & 1).wrapping_neg();
                    *share = _mm512_mask_add_epi64(*share, control, *share, leaf);
                }
                for (sum, column) in sums.iter_mut().zip(columns.clone()) {
                    let column = &column[8 * from..8 * (from + NODES)];
                    let mut total = _mm512_loadu_si512(sum.as_ptr().cast());
                    for (i, share) in shares.iter().enumerate() {
                        let entries = _mm512_loadu_si512(column[8 * i..].as_ptr().cast());
                        total = _mm512_add_epi64(total, _mm512_mullo_epi64(*share, entries));
                    }
                    _mm512_storeu_si512(sum.as_mut_ptr().cast(), total);
                }
            }
            for (out, sum) in out.iter_mut().zip(sums) {
                *out = sum.iter().fold(0, |a, b| a.wrapping_add(*b));
            }
        }
    }
}
