//! One long sum of small integers times field elements: lanes are halves of limbs.

use super::machine::kernel;
use crate::field::Fq;
use crate::small::Small;
use std::arch::x86_64::*;

type V = __m256i;

/// Elements whose sums lanes hold: 2^15 products of 32 and 16 bits are below 2^63.
const SPAN: usize = 1 << 15;

/// Sums of the low and of the high halves of four limbs.
type Halves = [V; 2];

/// Lanes as a number modulo the field, in Montgomery form.
#[inline(always)]
unsafe fn total(halves: Halves) -> Fq {
    let mut words = [[0u64; 4]; 2];
    for (words, halves) in words.iter_mut().zip(halves) {
        unsafe { _mm256_storeu_si256(words.as_mut_ptr().cast(), halves) };
    }
    let mut limbs = [0; 4];
    let mut carry = 0u128;
    for (limb, (low, high)) in limbs.iter_mut().zip(words[0].iter().zip(words[1])) {
        // Sums of lanes are below 2^63, so this is below 2^96, and what is carried below 2^32.
        carry += u128::from(*low) + (u128::from(high) << 32);
        *limb = carry as u64;
        carry >>= 64;
    }
    Fq::from_montgomery_overflow(limbs, carry as u64)
}

kernel! {
    /// `sum_j x[j] v[j]`.
    pub(crate) unsafe fn weigh<T: Small>(x: &[T], v: &[Fq]) -> Fq {
        // Planes of 16 bits of biased integers, and the sum of v to take the bias away again.
        let planes = const { (T::BITS as usize).div_ceil(16) };
        let mut out = Fq::ZERO;
        for (x, v) in x.chunks(SPAN).zip(v.chunks(SPAN)) {
            unsafe {
                let zero = _mm256_setzero_si256();
                let (mut products, mut sums) = ([[zero; 2]; 4], [zero; 2]);
                let low = _mm256_set1_epi64x(0xffff_ffff);
                for (x, v) in x.iter().zip(v) {
                    let x = x.biased();
                    let v = _mm256_loadu_si256(v.montgomery().as_ptr().cast());
                    let halves = [_mm256_and_si256(v, low), _mm256_srli_epi64::<32>(v)];
                    for k in 0..2 {
                        sums[k] = _mm256_add_epi64(sums[k], halves[k]);
                    }
                    for (plane, products) in products[..planes].iter_mut().enumerate() {
                        let x = _mm256_set1_epi64x((x >> (16 * plane) & 0xffff) as i64);
                        for k in 0..2 {
                            let product = _mm256_mul_epu32(halves[k], x);
                            products[k] = _mm256_add_epi64(products[k], product);
                        }
                    }
                }
                let mut part = total(products[planes - 1]);
                for plane in (0..planes - 1).rev() {
                    part = part.times_u64(1 << 16) + total(products[plane]);
                }
                out += part - total(sums) * Fq::from_u64(T::BIAS);
            }
        }
        out
    }
}
