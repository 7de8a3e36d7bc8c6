//! Leaves of a tree of points with one word each, a run of them.

use super::blocks::{Keys, controlled, four, grow_range, kernel, load};
use crate::fss::CONTROL;
use std::arch::x86_64::*;
use std::ops::Range;

/// Vectors of four nodes that grow together.
const VECTORS: usize = 4;
/// Words of a leaf.
const WORDS: usize = 8;

/// Memory for the nodes of two levels and for the words of leaves.
#[derive(Default)]
pub(crate) struct Scratch {
    nodes: Vec<u128>,
    next: Vec<u128>,
    words: Vec<u64>,
}

kernel! {
    /// Adds the shares at some points, the last one first, to `out`, without the sign of a party.
    /// `changes` are the corrections of the levels.
    pub(crate) unsafe fn add_points(
        key: &[u8; 16],
        root: u128,
        changes: &[u128],
        leaf: &[u64; WORDS],
        points: Range<usize>,
        scratch: &mut Scratch,
        out: &mut [u64],
    ) {
        unsafe {
            let hash = Keys::new(key);
            let range = points.start / WORDS..(points.end - 1) / WORDS + 1;
            let Scratch { nodes, next, words } = scratch;
            let origin =
                grow_range::<VECTORS, { 2 * VECTORS }>(&hash, root, changes, &range, nodes, next);
            words.resize(words.len().max((range.len() + VECTORS) * WORDS), 0);
            let (clean, tweaks) = (four(!CONTROL), load(&[0, 1, 2, 3]));
            let correction = _mm512_loadu_si512(leaf.as_ptr().cast());
            for (from, words) in range.clone().step_by(VECTORS).zip(words.chunks_mut(32)) {
                let mut x = [tweaks; VECTORS];
                let mut controls = [0; VECTORS];
                for v in 0..VECTORS {
                    let seed = four(nodes[from - origin + v]);
                    controls[v] = controlled(seed);
                    x[v] = _mm512_xor_si512(x[v], _mm512_and_si512(seed, clean));
                }
                let shares = hash.hash(x);
                for v in 0..VECTORS {
                    let share = _mm512_mask_add_epi64(shares[v], controls[v], shares[v], correction);
                    _mm512_storeu_si512(words[WORDS * v..][..WORDS].as_mut_ptr().cast(), share);
                }
            }
            let first = points.start - range.start * WORDS;
            for (out, word) in out.iter_mut().zip(words[first..][..points.len()].iter().rev()) {
                *out = out.wrapping_add(*word);
            }
        }
    }
}
