//! Digits of vectors, and the elements that sums of their products stand for.

use super::lanes::{Constants, Fe8, MASK52, V, add, set1};
use super::machine::kernel;
use super::small::reduce;
use super::vector::put;
use crate::digits::{ColumnDigits, DIGITS, HALF, LANES, Line};
use crate::field::{Fq, Order};
use std::arch::x86_64::*;

/// Outputs that are finished together.
pub(super) const EIGHT: usize = 8;

/// The digits of a vector for rows: for 32 elements, 13 digits, each of all of them.
pub(crate) struct RowDigits(pub(super) [Vec<[Line; HALF]>; 2]);

impl RowDigits {
    /// The digits of a vector.
    pub(crate) unsafe fn new(v: &[Fq]) -> Self {
        let mut halves: [Vec<_>; 2] = Default::default();
        for v in v.chunks(LANES) {
            // SAFETY: as the caller says.
            let digits = unsafe { cut(v) };
            for (half, digits) in halves.iter_mut().zip(digits.as_chunks().0) {
                half.push(*digits);
            }
        }
        Self(halves)
    }
}

/// The digits of a vector for columns.
pub(crate) unsafe fn column_digits(v: &[Fq]) -> ColumnDigits {
    // SAFETY: as the caller says.
    ColumnDigits::new(v, |v| unsafe { cut(v) })
}

/// Sums of products of digits, for one plane, in two halves.
pub(super) type Sums = [[i64; 16]; 2];

/// `p 2^50` in limbs of 52 bits: more than any sum of digits' sums is below zero.
const ABOVE: [u64; 6] = {
    let p = Constants::<Order>::P;
    let mut limbs = [0; 6];
    let mut i = 0;
    while i < 5 {
        limbs[i] |= (p[i] << 50) & MASK52;
        limbs[i + 1] |= p[i] >> 2;
        i += 1;
    }
    limbs
};

/// `sum_k sums[k] 2^(10 k)`, as the Montgomery forms of eight elements; sums are below 2^52.
#[inline(always)]
unsafe fn combine(sums: impl Fn(usize) -> V) -> Fe8<Order> {
    unsafe {
        let mut z = ABOVE.map(|limb| set1(limb));
        let mut carry = set1(0);
        for k in 0..DIGITS {
            let sum = add(sums(k), carry);
            let digit = _mm512_and_si512(sum, set1(1023));
            carry = _mm512_srai_epi64::<10>(sum);
            let shift = _mm_cvtsi32_si128((10 * k % 52) as i32);
            z[10 * k / 52] = add(z[10 * k / 52], _mm512_sll_epi64(digit, shift));
        }
        z[5] = add(z[5], carry);
        let value = reduce(z);
        // The order of lanes: 0, 2, 1, 3 of each half.
        let turned = value.limbs.map(|limb| _mm512_permutex_epi64::<0xd8>(limb));
        Fe8::from_limbs(turned)
    }
}

/// Up to eight elements from `sums(plane, k)` of some planes, side by side.
#[inline(always)]
pub(super) unsafe fn finish(out: &mut [Fq], planes: usize, sums: impl Fn(usize, usize) -> V) {
    unsafe {
        put(out, 0, combine(|k| sums(planes - 1, k)));
        for plane in (0..planes - 1).rev() {
            let mut lower = [Fq::ZERO; 8];
            combine(|k| sums(plane, k)).store(&mut lower);
            for (o, lower) in out.iter_mut().zip(lower) {
                *o = o.times_u64(1 << 16) + lower;
            }
        }
    }
}

#[inline(always)]
pub(super) unsafe fn load(line: &Line) -> V {
    unsafe { _mm512_load_si512(line.0.as_ptr().cast()) }
}

kernel! {
    /// `sum + x_0 y_0 + x_1 y_1` in lanes of 32 bits.
    ///
    /// In assembler, since the compiler makes two instructions of the intrinsic.
    #[inline]
    pub(super) fn dot(sum: V, x: V, y: V) -> V {
        let mut sum = sum;
        // SAFETY: arithmetic between registers.
        unsafe {
            std::arch::asm!(
                "vpdpwssd {sum}, {x}, {y}",
                sum = inout(zmm_reg) sum,
                x = in(zmm_reg) x,
                y = in(zmm_reg) y,
                options(pure, nomem, nostack, preserves_flags),
            );
        }
        sum
    }

    /// [`crate::digits::cut`].
    unsafe fn cut(v: &[Fq]) -> [Line; DIGITS] {
        crate::digits::cut(v)
    }
}
