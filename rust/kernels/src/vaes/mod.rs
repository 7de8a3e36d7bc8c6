//! Trees of function secret sharing with AVX-512 and its AES rounds on four blocks at a time,
//! chosen at run time.
//!
//! Everything here is `unsafe` for one reason: the machine must have the instructions of
//! [`available`]. The building blocks are always inlined into kernels that carry the
//! `target_feature` attribute; the kernels are the only functions to call from elsewhere.

use crate::ifma;
use crate::prg::FIXED_KEY;
use std::arch::x86_64::*;
use std::sync::OnceLock;

mod table;
mod walk;

pub(crate) use table::look_up;
pub(crate) use walk::descend;

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
use kernel;

/// Four blocks.
type V = __m512i;

/// The round keys of the fixed key, each four times.
struct Keys([V; 11]);

impl Keys {
    #[inline(always)]
    unsafe fn new() -> Self {
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
            let first = _mm_loadu_si128(FIXED_KEY.as_ptr().cast());
            let keys = rounds!(first; 1 2 4 8 0x10 0x20 0x40 0x80 0x1b 0x36);
            Self(keys.map(|key| _mm512_broadcast_i32x4(key)))
        }
    }

    /// The hash of every block.
    #[inline(always)]
    unsafe fn hash<const N: usize>(&self, x: [V; N]) -> [V; N] {
        unsafe {
            let mut y = x.map(|x| _mm512_xor_si512(x, self.0[0]));
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
unsafe fn four(block: u128) -> V {
    unsafe { _mm512_broadcast_i32x4(_mm_loadu_si128((&raw const block).cast())) }
}

/// Both words of the blocks whose lowest bit is set.
#[inline(always)]
unsafe fn controlled(blocks: V) -> __mmask8 {
    unsafe {
        let low = _mm512_test_epi64_mask(blocks, four(1));
        low | low << 1
    }
}
