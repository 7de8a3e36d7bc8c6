//! Elements in memory (limb after limb) to and from lanes.

use super::lanes::{Fe4, V, low_bits};
use crate::field::{Fe, Modulus};
use std::arch::x86_64::*;

impl<M: Modulus> Fe4<M> {
    /// From 64-bit limbs of numbers below 2^256.
    #[inline(always)]
    pub(super) unsafe fn unpack([a, b, c, d]: [V; 4]) -> Self {
        unsafe {
            let or = |x, y| _mm256_or_si256(x, y);
            Self::from_limbs([
                low_bits(a),
                low_bits(_mm256_srli_epi64::<26>(a)),
                low_bits(or(_mm256_srli_epi64::<52>(a), _mm256_slli_epi64::<12>(b))),
                low_bits(_mm256_srli_epi64::<14>(b)),
                low_bits(or(_mm256_srli_epi64::<40>(b), _mm256_slli_epi64::<24>(c))),
                low_bits(_mm256_srli_epi64::<2>(c)),
                low_bits(_mm256_srli_epi64::<28>(c)),
                low_bits(or(_mm256_srli_epi64::<54>(c), _mm256_slli_epi64::<10>(d))),
                low_bits(_mm256_srli_epi64::<16>(d)),
                _mm256_srli_epi64::<42>(d),
            ])
        }
    }

    /// To 64-bit limbs; the limbs have 26 bits and no sign.
    #[inline(always)]
    pub(super) unsafe fn pack(self) -> [V; 4] {
        let l = self.limbs;
        unsafe {
            let or = |x, y| _mm256_or_si256(x, y);
            [
                or(
                    or(l[0], _mm256_slli_epi64::<26>(l[1])),
                    _mm256_slli_epi64::<52>(l[2]),
                ),
                or(
                    or(_mm256_srli_epi64::<12>(l[2]), _mm256_slli_epi64::<14>(l[3])),
                    _mm256_slli_epi64::<40>(l[4]),
                ),
                or(
                    or(_mm256_srli_epi64::<24>(l[4]), _mm256_slli_epi64::<2>(l[5])),
                    or(_mm256_slli_epi64::<28>(l[6]), _mm256_slli_epi64::<54>(l[7])),
                ),
                or(
                    or(_mm256_srli_epi64::<10>(l[7]), _mm256_slli_epi64::<16>(l[8])),
                    _mm256_slli_epi64::<42>(l[9]),
                ),
            ]
        }
    }

    /// Four neighbours.
    #[inline(always)]
    pub(super) unsafe fn load(a: &[Fe<M>; 4]) -> Self {
        unsafe {
            Self::load_from([
                &raw const a[0],
                &raw const a[1],
                &raw const a[2],
                &raw const a[3],
            ])
        }
    }

    /// Four elements that pointers refer to.
    #[inline(always)]
    pub(super) unsafe fn load_from(places: [*const Fe<M>; 4]) -> Self {
        unsafe { Self::unpack(words(places)) }
    }

    /// Writes four neighbours, which must be canonical.
    #[inline(always)]
    pub(super) unsafe fn store(self, out: &mut [Fe<M>; 4]) {
        let start = out.as_mut_ptr();
        unsafe { self.store_to([start, start.add(1), start.add(2), start.add(3)]) }
    }

    /// Writes four canonical elements to where pointers refer to.
    #[inline(always)]
    pub(super) unsafe fn store_to(self, places: [*mut Fe<M>; 4]) {
        unsafe {
            let w = self.pack();
            let front = [
                _mm256_unpacklo_epi64(w[0], w[1]),
                _mm256_unpackhi_epi64(w[0], w[1]),
            ];
            let back = [
                _mm256_unpacklo_epi64(w[2], w[3]),
                _mm256_unpackhi_epi64(w[2], w[3]),
            ];
            for k in 0..2 {
                let low = _mm256_permute2x128_si256::<0x20>(front[k], back[k]);
                let high = _mm256_permute2x128_si256::<0x31>(front[k], back[k]);
                _mm256_storeu_si256(places[k].cast(), low);
                _mm256_storeu_si256(places[k + 2].cast(), high);
            }
        }
    }
}

/// The words of four elements: register `k` holds word `k` of each.
#[inline(always)]
pub(super) unsafe fn words<M: Modulus>(places: [*const Fe<M>; 4]) -> [V; 4] {
    unsafe {
        // Half `h` of elements i and i + 2.
        let pair = |i: usize, h: usize| {
            _mm256_inserti128_si256::<1>(
                _mm256_castsi128_si256(_mm_loadu_si128(places[i].cast::<__m128i>().add(h))),
                _mm_loadu_si128(places[i + 2].cast::<__m128i>().add(h)),
            )
        };
        let [a, b] = [[pair(0, 0), pair(1, 0)], [pair(0, 1), pair(1, 1)]];
        [
            _mm256_unpacklo_epi64(a[0], a[1]),
            _mm256_unpackhi_epi64(a[0], a[1]),
            _mm256_unpacklo_epi64(b[0], b[1]),
            _mm256_unpackhi_epi64(b[0], b[1]),
        ]
    }
}
