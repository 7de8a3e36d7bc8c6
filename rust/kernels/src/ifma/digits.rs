//! Digits of field elements and of small integers, and the elements that sums of their products
//! stand for.

use super::lanes::{Constants, Fe8, MASK52, V, add, set1};
use super::machine::kernel;
use super::small::reduce;
use super::vector::put;
use crate::field::{Fq, Limbs, Order};
use crate::small::{Small, Tensor};
use std::arch::x86_64::*;
use std::ops::Range;

/// Signed digits of 10 bits in an element: 260 bits.
pub(super) const DIGITS: usize = 26;
/// Digits whose sums are in registers at a time, for two rows or two vectors of columns.
pub(super) const HALF: usize = 13;

/// Steps of `vpdpwssd` between two emptyings: 2 * 2^15 * 2^9 * 63 < 2^31.
pub(super) const STEPS: usize = 60;
/// Integers a step takes from a row.
pub(super) const LANES: usize = 32;
/// Outputs that are finished together.
pub(super) const EIGHT: usize = 8;

/// Planes of 64-bit integers.
pub(super) const MAX_PLANES: usize = 5;

/// Steps of the bound axis of an array, and the digits of what weighs them.
pub(crate) type Piece<'a, T, Digits> = (Tensor<'a, T>, Range<usize>, &'a Digits);

/// What a step takes, in one line of the cache: unaligned loads halve the speed.
#[derive(Copy, Clone)]
#[repr(C, align(64))]
pub(super) struct Line(pub(super) [i16; LANES]);

impl Line {
    pub(super) const ZERO: Self = Self([0; LANES]);
}

/// The digits of a vector for rows: for 32 elements, 13 digits, each of all of them.
pub(crate) struct RowDigits(pub(super) [Vec<[Line; HALF]>; 2]);

/// The digits of a vector for columns: for two elements, 13 digits, each of both.
pub(crate) struct ColumnDigits(pub(super) [Vec<[[i16; 2]; HALF]>; 2]);

/// 512 in every digit: makes digits of 0..1024 out of digits of -512..512.
const OFFSET: [u64; 5] = {
    let mut limbs = [0; 5];
    let mut k = 0;
    while k < DIGITS {
        let bit = 10 * k + 9;
        limbs[bit / 64] |= 1 << (bit % 64);
        k += 1;
    }
    limbs
};

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

impl ColumnDigits {
    /// The digits of a vector.
    pub(crate) unsafe fn new(v: &[Fq]) -> Self {
        let mut halves: [Vec<_>; 2] = Default::default();
        for v in v.chunks(LANES) {
            // SAFETY: as the caller says.
            let digits = unsafe { cut(v) };
            for (half, digits) in halves.iter_mut().zip(digits.as_chunks::<HALF>().0) {
                let pair = |j: usize| std::array::from_fn(|k| [digits[k].0[j], digits[k].0[j + 1]]);
                half.extend((0..v.len()).step_by(2).map(pair));
            }
        }
        Self(halves)
    }
}

#[inline(always)]
fn add_offset(v: &Limbs) -> [u64; 5] {
    let mut out = OFFSET;
    let mut carry = false;
    for (o, v) in out.iter_mut().zip(v) {
        let (sum, first) = o.overflowing_add(*v);
        let (sum, second) = sum.overflowing_add(carry as u64);
        (*o, carry) = (sum, first | second);
    }
    out[4] += carry as u64;
    out
}

/// Digits of 16 bits that integers of a type can have.
pub(super) const fn planes<T: Small>() -> usize {
    match T::BITS {
        8 => 1,
        // Unsigned, or with a carry out of the top digit.
        bits => (bits as usize).div_ceil(16) + (T::BIAS != 1 << 15) as usize,
    }
}

/// Signed 16-bit digit `PLANE` of an integer, and whether higher ones are not zero.
#[inline(always)]
fn digit<T: Small, const PLANE: usize>(x: T) -> (i16, bool) {
    if T::BITS == 64 {
        let mut x = x.to_i64();
        for _ in 0..PLANE {
            x = (x >> 16) + i64::from((x as i16) < 0);
        }
        return (x as i16, x != i64::from(x as i16));
    }
    // The same; the compiler handles twice as many of the shorter ones at a time.
    let mut x = x.to_i64() as i32;
    for _ in 0..PLANE {
        x = (x >> 16) + i32::from((x as i16) < 0);
    }
    (x as i16, x != i32::from(x as i16))
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

/// Lines as one row.
#[inline(always)]
pub(super) fn entries(lines: &mut [Line]) -> &mut [i16] {
    // SAFETY: a line is `LANES` integers without padding.
    unsafe { std::slice::from_raw_parts_mut(lines.as_mut_ptr().cast(), lines.len() * LANES) }
}

/// Whether integers of a type are their own only digit: `i16`.
pub(crate) const fn has_one_digit<T: Small>() -> bool {
    T::BITS == 16 && T::BIAS == 1 << 15
}

/// Integers that are their own only digit, seen as such.
#[inline(always)]
pub(super) fn digits_of<T: Small>(x: &[T]) -> Option<&[i16]> {
    // SAFETY: the type is `i16`.
    has_one_digit::<T>().then(|| unsafe { std::slice::from_raw_parts(x.as_ptr().cast(), x.len()) })
}

/// What a part of a plane holds.
#[derive(Copy, Clone, Default)]
pub(super) struct Found {
    /// A digit that is not zero.
    pub(super) digits: bool,
    /// An integer with digits in higher planes.
    pub(super) higher: bool,
}

impl std::ops::BitOrAssign for Found {
    fn bitor_assign(&mut self, other: Self) {
        self.digits |= other.digits;
        self.higher |= other.higher;
    }
}

/// Copies a plane of integers.
#[inline(always)]
pub(super) fn copy_plane<T: Small>(
    out: &mut [i16],
    plane: usize,
    x: impl Iterator<Item = T>,
) -> Found {
    #[inline(always)]
    fn copy<T: Small, const PLANE: usize>(out: &mut [i16], x: impl Iterator<Item = T>) -> Found {
        let (mut digits, mut higher) = (0, false);
        for (o, x) in out.iter_mut().zip(x) {
            let (digit, more) = digit::<T, PLANE>(x);
            *o = digit;
            digits |= digit;
            higher |= more;
        }
        Found {
            digits: digits != 0,
            higher,
        }
    }
    // One loop for each, so that none has a loop inside.
    match plane {
        0 => copy::<T, 0>(out, x),
        1 => copy::<T, 1>(out, x),
        2 => copy::<T, 2>(out, x),
        3 => copy::<T, 3>(out, x),
        _ => copy::<T, 4>(out, x),
    }
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

    /// Cuts up to 32 elements; the digits of missing ones are zero.
    unsafe fn cut(v: &[Fq]) -> [Line; DIGITS] {
        // Limb by limb, so that the compiler cuts eight elements at a time.
        let mut limbs = [[0u64; LANES]; 5];
        for (row, limb) in limbs.iter_mut().zip(OFFSET) {
            row.fill(limb);
        }
        for (j, v) in v.iter().enumerate() {
            for (row, limb) in limbs.iter_mut().zip(add_offset(v.montgomery())) {
                row[j] = limb;
            }
        }
        let mut out = [Line::ZERO; DIGITS];
        for (k, line) in out.iter_mut().enumerate() {
            let (word, shift) = (10 * k / 64, 10 * k % 64);
            for (j, digit) in line.0.iter_mut().enumerate() {
                let mut bits = limbs[word][j] >> shift;
                if shift > 54 {
                    bits |= limbs[word + 1][j] << (64 - shift);
                }
                *digit = (bits & 1023) as i16 - 512;
            }
        }
        out
    }
}
