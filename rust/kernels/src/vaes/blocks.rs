//! Vectors of four blocks, their hash, and the nodes of a tree in them.

use crate::fss::{CONTROL, above};
use crate::ifma;
use std::arch::x86_64::*;
use std::ops::Range;
use std::sync::OnceLock;

/// Whether this machine has the instructions and nobody asked for the portable path.
pub(crate) fn available() -> bool {
    static AVAILABLE: OnceLock<bool> = OnceLock::new();
    *AVAILABLE.get_or_init(|| {
        ifma::available() && is_x86_feature_detected!("aes") && is_x86_feature_detected!("vaes")
    })
}

/// A kernel of this module: a function compiled for the instructions of [`available`].
macro_rules! kernel {
    ($($item:item)*) => {$(
        #[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl,aes,vaes")]
        $item
    )*};
}
pub(super) use kernel;

/// Four blocks.
pub(super) type V = __m512i;

/// The round keys of a key, each four times.
pub(super) struct Keys([V; 11]);

impl Keys {
    #[inline(always)]
    pub(super) unsafe fn new(key: &[u8; 16]) -> Self {
        macro_rules! rounds {
            ($first:expr; $($constant:literal)*) => {{
                let mut keys = [$first; 11];
                let mut round = 0;
                $({
                    let last = keys[round];
                    let turned = _mm_aeskeygenassist_si128::<$constant>(last);
                    let mut key = _mm_xor_si128(last, _mm_slli_si128::<4>(last));
                    key = _mm_xor_si128(key, _mm_slli_si128::<8>(key));
                    round += 1;
                    keys[round] = _mm_xor_si128(key, _mm_shuffle_epi32::<0xff>(turned));
                })*
                keys
            }};
        }
        unsafe {
            let first = _mm_loadu_si128(key.as_ptr().cast());
            let keys = rounds!(first; 1 2 4 8 0x10 0x20 0x40 0x80 0x1b 0x36);
            let mut out = [_mm512_setzero_si512(); 11];
            for (out, key) in out.iter_mut().zip(keys) {
                *out = _mm512_broadcast_i32x4(key);
            }
            Self(out)
        }
    }

    /// The hash of every block.
    #[inline(always)]
    pub(super) unsafe fn hash<const N: usize>(&self, x: [V; N]) -> [V; N] {
        unsafe {
            let mut y = x;
            for y in &mut y {
                *y = _mm512_xor_si512(*y, self.0[0]);
            }
            for key in &self.0[1..10] {
                for y in &mut y {
                    *y = _mm512_aesenc_epi128(*y, *key);
                }
            }
            for (y, x) in y.iter_mut().zip(x) {
                // The last round ends with the addition of its key.
                *y = _mm512_aesenclast_epi128(*y, _mm512_xor_si512(self.0[10], x));
            }
            y
        }
    }
}

/// One block, four times.
#[inline(always)]
pub(super) unsafe fn four(block: u128) -> V {
    unsafe { _mm512_broadcast_i32x4(_mm_loadu_si128((&raw const block).cast())) }
}

/// Both words of the blocks whose lowest bit is set.
#[inline(always)]
pub(super) unsafe fn controlled(blocks: V) -> __mmask8 {
    unsafe {
        let low = _mm512_test_epi64_mask(blocks, four(1));
        low | low << 1
    }
}

#[inline(always)]
pub(super) unsafe fn load(from: &[u128]) -> V {
    unsafe { _mm512_loadu_si512(from[..4].as_ptr().cast()) }
}

#[inline(always)]
pub(super) unsafe fn store(to: &mut [u128], v: V) {
    unsafe { _mm512_storeu_si512(to[..4].as_mut_ptr().cast(), v) }
}

/// Blocks of the one vector and of the other, by turns.
#[inline(always)]
pub(super) unsafe fn interleave(to: &mut [u128], a: V, b: V) {
    unsafe {
        let low = _mm512_setr_epi64(0, 1, 8, 9, 2, 3, 10, 11);
        let high = _mm512_setr_epi64(4, 5, 12, 13, 6, 7, 14, 15);
        store(to, _mm512_permutex2var_epi64(a, low, b));
        store(&mut to[4..], _mm512_permutex2var_epi64(a, high, b));
    }
}

/// The children of `4 N` nodes, in order; `GROWN` is `2 N`. Sums of output bits where asked for.
#[inline(always)]
pub(super) unsafe fn grow<const N: usize, const GROWN: usize>(
    hash: &Keys,
    change: u128,
    outputs: bool,
    (nodes, children): (&[u128], &mut [u128]),
) {
    unsafe {
        let (one, clean) = (four(1), four(!CONTROL));
        let output_bit = four(if outputs { 4 } else { 0 });
        let kept = _mm512_or_si512(clean, one);
        // No closures here: they would not have the instructions.
        let common = change & (!CONTROL | 4);
        let changes = [four(common | change & 1), four(common | change >> 1 & 1)];
        let mut x = [one; GROWN];
        for v in 0..N {
            x[v] = _mm512_and_si512(load(&nodes[4 * v..]), clean);
            x[v + N] = _mm512_xor_si512(x[v], one);
        }
        let grown = hash.hash(x);
        for v in 0..N {
            let node = load(&nodes[4 * v..]);
            let control = controlled(node);
            let mut pair = [node; 2];
            for (side, pair) in pair.iter_mut().enumerate() {
                let block = grown[v + side * N];
                // Bit 2 is the output bit of the block, then the sum with that of the node.
                let output = _mm512_xor_si512(_mm512_slli_epi64::<1>(block), node);
                let output = _mm512_and_si512(output, output_bit);
                let child = _mm512_or_si512(_mm512_and_si512(block, kept), output);
                *pair = _mm512_mask_xor_epi64(child, control, child, changes[side]);
            }
            interleave(&mut children[8 * v..], pair[0], pair[1]);
        }
    }
}

kernel! {
    /// Grows a tree from its root down to a range of its leaves' nodes, whole vectors of four at a
    /// time, whether all their nodes exist or not. They are in `nodes`, from the place in their
    /// level that is returned; `changes` are the corrections of the levels.
    pub(super) unsafe fn grow_range<const VECTORS: usize, const TWICE: usize>(
        hash: &Keys,
        root: u128,
        changes: &[u128],
        range: &Range<usize>,
        nodes: &mut Vec<u128>,
        next: &mut Vec<u128>,
    ) -> usize {
        let room = range.len() + 24 * VECTORS;
        for level in [&mut *nodes, next] {
            level.resize(room.max(level.len()), 0);
        }
        nodes[0] = root;
        // Where in its level the first node is.
        let mut origin = 0;
        for (level, &change) in changes.iter().enumerate() {
            let needed = above(range, changes.len(), level);
            let first = needed.start - needed.start % 4;
            let mut from = first;
            while from < needed.end {
                let seeds = (&nodes[from - origin..], &mut next[2 * (from - first)..]);
                // Of few nodes, as near the root, no more than there are.
                from += 4 * unsafe {
                    match (needed.end - from).div_ceil(4) {
                        1 => {
                            grow::<1, 2>(hash, change, false, seeds);
                            1
                        }
                        2 => {
                            grow::<2, 4>(hash, change, false, seeds);
                            2
                        }
                        _ => {
                            grow::<VECTORS, TWICE>(hash, change, false, seeds);
                            VECTORS
                        }
                    }
                };
            }
            origin = 2 * first;
            std::mem::swap(nodes, next);
        }
        origin
    }
}
