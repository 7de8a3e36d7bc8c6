//! All leaves of a tree of points, against a table.

use super::{Keys, V, controlled, four, kernel};
use crate::fss::CONTROL;
use std::arch::x86_64::*;

/// Vectors of four nodes that grow together.
const VECTORS: usize = 4;
/// Nodes above the leaves, at least; the leaves of each are one vector of eight words.
pub(super) const NODES: usize = 8;

#[inline(always)]
unsafe fn load(from: &[u128]) -> V {
    unsafe { _mm512_loadu_si512(from[..4].as_ptr().cast()) }
}

#[inline(always)]
unsafe fn store(to: &mut [u128], v: V) {
    unsafe { _mm512_storeu_si512(to[..4].as_mut_ptr().cast(), v) }
}

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
            let (one, clean) = (four(1), four(!CONTROL));
            let kept = _mm512_or_si512(clean, one);
            let count = 1 << changes.len();
            // Vectors are grown whole, whether all their nodes exist or not.
            let room = count + 8 * VECTORS;
            let (mut nodes, mut next) = (vec![0u128; room], vec![0u128; room]);
            nodes[0] = root;
            // Left children of two nodes and their right children, by turns.
            let turns = [
                _mm512_setr_epi64(0, 1, 8, 9, 2, 3, 10, 11),
                _mm512_setr_epi64(4, 5, 12, 13, 6, 7, 14, 15),
            ];
            for (level, change) in changes.iter().enumerate() {
                let sides = [change & 1, change >> 1 & 1];
                let changes = sides.map(|side| four(change & !CONTROL | side));
                for from in (0..1 << level).step_by(4 * VECTORS) {
                    let mut controls = [0; VECTORS];
                    let mut x = [one; 2 * VECTORS];
                    for v in 0..VECTORS {
                        let node = load(&nodes[from + 4 * v..]);
                        controls[v] = controlled(node);
                        x[v] = _mm512_and_si512(node, clean);
                        x[v + VECTORS] = _mm512_xor_si512(x[v], one);
                    }
                    let grown = hash.hash(x);
                    for v in 0..VECTORS {
                        let children = [0, 1].map(|side| {
                            let child = _mm512_and_si512(grown[v + side * VECTORS], kept);
                            _mm512_mask_xor_epi64(child, controls[v], child, changes[side])
                        });
                        for (half, turn) in turns.into_iter().enumerate() {
                            let pair = _mm512_permutex2var_epi64(children[0], turn, children[1]);
                            store(&mut next[2 * (from + 4 * v) + 4 * half..], pair);
                        }
                    }
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
