//! Elements in memory (limb after limb) to and from lanes.
//!
//! Lanes hold the elements in the order 0 2 1 3 4 6 5 7, everywhere the same, since that is what
//! the cheapest shuffles give.

use super::lanes::{Fe8, V};
use crate::field::{Fe, Modulus};
use std::arch::x86_64::*;

#[inline(always)]
unsafe fn read<M: Modulus>(a: &[Fe<M>; 8], k: usize) -> V {
    unsafe { _mm512_loadu_si512(a.as_ptr().cast::<u64>().add(8 * k).cast()) }
}

impl<M: Modulus> Fe8<M> {
    /// Eight neighbours.
    #[inline(always)]
    pub(super) unsafe fn load(a: &[Fe<M>; 8]) -> Self {
        unsafe {
            let z = [read(a, 0), read(a, 1), read(a, 2), read(a, 3)];
            let low = (
                _mm512_unpacklo_epi64(z[0], z[1]),
                _mm512_unpacklo_epi64(z[2], z[3]),
            );
            let high = (
                _mm512_unpackhi_epi64(z[0], z[1]),
                _mm512_unpackhi_epi64(z[2], z[3]),
            );
            Self::unpack([
                _mm512_shuffle_i64x2::<0x88>(low.0, low.1),
                _mm512_shuffle_i64x2::<0x88>(high.0, high.1),
                _mm512_shuffle_i64x2::<0xdd>(low.0, low.1),
                _mm512_shuffle_i64x2::<0xdd>(high.0, high.1),
            ])
        }
    }

    /// The elements 2i and the elements 2i + 1 of sixteen neighbours.
    #[inline(always)]
    pub(super) unsafe fn load_pairs(a: &[Fe<M>; 16]) -> (Self, Self) {
        unsafe {
            let (a, b) = (first_half(a), second_half(a));
            let z = [read(a, 0), read(a, 1), read(a, 2), read(a, 3)];
            let y = [read(b, 0), read(b, 1), read(b, 2), read(b, 3)];
            let low = lane_transpose([
                _mm512_unpacklo_epi64(z[0], z[2]),
                _mm512_unpacklo_epi64(z[1], z[3]),
                _mm512_unpacklo_epi64(y[0], y[2]),
                _mm512_unpacklo_epi64(y[1], y[3]),
            ]);
            let high = lane_transpose([
                _mm512_unpackhi_epi64(z[0], z[2]),
                _mm512_unpackhi_epi64(z[1], z[3]),
                _mm512_unpackhi_epi64(y[0], y[2]),
                _mm512_unpackhi_epi64(y[1], y[3]),
            ]);
            (
                Self::unpack([low[0], high[0], low[1], high[1]]),
                Self::unpack([low[2], high[2], low[3], high[3]]),
            )
        }
    }

    /// Writes eight neighbours, which must be canonical.
    #[inline(always)]
    pub(super) unsafe fn store(self, out: &mut [Fe<M>; 8]) {
        unsafe {
            let w = self.pack();
            let even = (
                _mm512_unpacklo_epi64(w[0], w[1]),
                _mm512_unpacklo_epi64(w[2], w[3]),
            );
            let odd = (
                _mm512_unpackhi_epi64(w[0], w[1]),
                _mm512_unpackhi_epi64(w[2], w[3]),
            );
            let front = _mm512_setr_epi64(0, 1, 8, 9, 2, 3, 10, 11);
            let back = _mm512_setr_epi64(4, 5, 12, 13, 6, 7, 14, 15);
            let z = [
                _mm512_permutex2var_epi64(even.0, front, even.1),
                _mm512_permutex2var_epi64(odd.0, front, odd.1),
                _mm512_permutex2var_epi64(even.0, back, even.1),
                _mm512_permutex2var_epi64(odd.0, back, odd.1),
            ];
            for (k, z) in z.into_iter().enumerate() {
                _mm512_storeu_si512(out.as_mut_ptr().cast::<u64>().add(8 * k).cast(), z);
            }
        }
    }
}

#[inline(always)]
fn first_half<T>(a: &[T; 16]) -> &[T; 8] {
    a.first_chunk().expect("eight of sixteen")
}

#[inline(always)]
fn second_half<T>(a: &[T; 16]) -> &[T; 8] {
    a.last_chunk().expect("eight of sixteen")
}

/// Transposes a 4 by 4 matrix of 128-bit entries.
#[inline(always)]
pub(super) unsafe fn lane_transpose(u: [V; 4]) -> [V; 4] {
    unsafe {
        let x = _mm512_shuffle_i64x2::<0x88>(u[0], u[1]);
        let y = _mm512_shuffle_i64x2::<0x88>(u[2], u[3]);
        let s = _mm512_shuffle_i64x2::<0xdd>(u[0], u[1]);
        let t = _mm512_shuffle_i64x2::<0xdd>(u[2], u[3]);
        [
            _mm512_shuffle_i64x2::<0x88>(x, y),
            _mm512_shuffle_i64x2::<0x88>(s, t),
            _mm512_shuffle_i64x2::<0xdd>(x, y),
            _mm512_shuffle_i64x2::<0xdd>(s, t),
        ]
    }
}
