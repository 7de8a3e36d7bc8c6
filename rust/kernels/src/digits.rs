//! Signed digits of field elements and of small integers, for products of 16 bits with vector
//! instructions.
//!
//! Elements are cut into 26 digits of 10 bits; integers into digits of 16 bits, the planes, of
//! which the higher ones are skipped where they are zero.

use crate::field::{Fq, Limbs};
use crate::small::{Small, Tensor};
use std::ops::Range;

/// Signed digits of 10 bits in an element: 260 bits.
pub(crate) const DIGITS: usize = 26;
/// Digits whose sums are in registers at a time.
pub(crate) const HALF: usize = 13;

/// Steps of two products a lane of 32 bits between two emptyings: 2 * 2^15 * 2^9 * 63 < 2^31.
pub(crate) const STEPS: usize = 60;
/// Integers in a line.
pub(crate) const LANES: usize = 32;
/// Planes of 64-bit integers.
pub(crate) const MAX_PLANES: usize = 5;

/// Steps of the bound axis of an array, and the digits of what weighs them.
pub(crate) type Piece<'a, T, Digits> = (Tensor<'a, T>, Range<usize>, &'a Digits);

/// What a step takes, in one line of the cache: unaligned loads halve the speed.
#[derive(Copy, Clone)]
#[repr(C, align(64))]
pub(crate) struct Line(pub(crate) [i16; LANES]);

impl Line {
    pub(crate) const ZERO: Self = Self([0; LANES]);
}

/// The digits of a vector for columns: for two elements, 13 digits, each of both.
pub(crate) struct ColumnDigits(pub(crate) [Vec<[[i16; 2]; HALF]>; 2]);

impl ColumnDigits {
    /// The digits of a vector, cut up to 32 elements at a time by a compilation of [`cut`].
    pub(crate) fn new(v: &[Fq], cut: impl Fn(&[Fq]) -> [Line; DIGITS]) -> Self {
        let mut halves: [Vec<_>; 2] = Default::default();
        for v in v.chunks(LANES) {
            let digits = cut(v);
            for (half, digits) in halves.iter_mut().zip(digits.as_chunks::<HALF>().0) {
                let pair = |j: usize| std::array::from_fn(|k| [digits[k].0[j], digits[k].0[j + 1]]);
                half.extend((0..v.len()).step_by(2).map(pair));
            }
        }
        Self(halves)
    }
}

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

/// Cuts up to 32 elements; the digits of missing ones are zero.
#[inline(always)]
pub(crate) fn cut(v: &[Fq]) -> [Line; DIGITS] {
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
pub(crate) const fn planes<T: Small>() -> usize {
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

/// Lines as one row.
#[inline(always)]
pub(crate) fn entries(lines: &mut [Line]) -> &mut [i16] {
    // SAFETY: a line is `LANES` integers without padding.
    unsafe { std::slice::from_raw_parts_mut(lines.as_mut_ptr().cast(), lines.len() * LANES) }
}

/// Whether integers of a type are their own only digit: `i16`.
pub(crate) const fn has_one_digit<T: Small>() -> bool {
    T::BITS == 16 && T::BIAS == 1 << 15
}

/// Integers that are their own only digit, seen as such.
#[inline(always)]
pub(crate) fn digits_of<T: Small>(x: &[T]) -> Option<&[i16]> {
    // SAFETY: the type is `i16`.
    has_one_digit::<T>().then(|| unsafe { std::slice::from_raw_parts(x.as_ptr().cast(), x.len()) })
}

/// What a part of a plane holds.
#[derive(Copy, Clone, Default)]
pub(crate) struct Found {
    /// A digit that is not zero.
    pub(crate) digits: bool,
    /// An integer with digits in higher planes.
    pub(crate) higher: bool,
}

impl std::ops::BitOrAssign for Found {
    fn bitor_assign(&mut self, other: Self) {
        self.digits |= other.digits;
        self.higher |= other.higher;
    }
}

/// Copies a plane of integers.
#[inline(always)]
pub(crate) fn copy_plane<T: Small>(
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
