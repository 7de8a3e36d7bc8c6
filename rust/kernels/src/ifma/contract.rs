//! Small integers against field elements: 16-bit digits times 10-bit digits.
//!
//! Elements are cut into 26 signed digits of 10 bits, once; integers into signed digits of 16
//! bits, the planes, of which the higher ones are skipped where they are zero. `vpdpwssd` then
//! does 32 products of digits and 16 additions at once, in 32-bit lanes that are emptied into
//! 64-bit ones before they overflow.

use super::kernel;
use super::lanes::V;
use crate::contract::Tensor;
use crate::field::{Fq, Limbs, Modulus, Order};
use crate::small::Small;
use std::arch::x86_64::*;
use std::ops::Range;

/// Signed digits of 10 bits in an element: 260 bits.
const DIGITS: usize = 26;
/// Digits whose sums are in registers at a time, for two rows or two vectors of columns.
const HALF: usize = 13;
/// Steps of `vpdpwssd` between two emptyings: 2 * 2^15 * 2^9 * 63 < 2^31.
pub(super) const STEPS: usize = 60;
/// Integers a step takes from a row.
pub(super) const LANES: usize = 32;
/// Planes of 64-bit integers.
pub(super) const MAX_PLANES: usize = 5;
/// Columns side by side.
pub(crate) const COLUMNS: usize = 256;

/// What a step takes, in one line of the cache: unaligned loads halve the speed.
#[derive(Copy, Clone)]
#[repr(C, align(64))]
pub(super) struct Line(pub(super) [i16; LANES]);

impl Line {
    pub(super) const ZERO: Self = Self([0; LANES]);
}

/// The digits of a vector for [`rows`]: for 32 elements, 13 digits, each of all of them.
pub(crate) struct RowDigits([Vec<[Line; HALF]>; 2]);

/// The digits of a vector for [`columns`]: for two elements, 13 digits, each of both.
pub(crate) struct ColumnDigits([Vec<[[i16; 2]; HALF]>; 2]);

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
type Sums = [[i64; 16]; 2];

/// `sum_k sums[k] 2^(10 k)`, as the Montgomery form of an element; sums are below 2^52.
fn combine(sums: impl Fn(usize) -> i64) -> Fq {
    // In two's complement, on top of a multiple of p that is larger.
    const ABOVE: [u64; 5] = {
        let p = Order::MODULUS;
        [
            p[0] << 55,
            (p[1] << 55) | (p[0] >> 9),
            p[1] >> 9,
            p[3] << 55,
            p[3] >> 9,
        ]
    };
    let twenty: [i64; DIGITS / 2] = std::array::from_fn(|k| sums(2 * k) + (sums(2 * k + 1) << 10));
    let mut groups = [0i128; 5];
    for (group, part) in groups.iter_mut().zip(twenty.chunks(3)) {
        for (k, s) in part.iter().enumerate() {
            *group += (*s as i128) << (20 * k);
        }
    }
    let mut words = [0u64; 5];
    let mut carry = 0i128;
    for (k, group) in groups.into_iter().enumerate() {
        carry += group;
        let (word, shift) = (60 * k / 64, 60 * k % 64);
        // The last group keeps all its bits: sums are below 2^63, so the value is below 2^320.
        let bits = if k < 4 {
            carry as u64 & ((1 << 60) - 1)
        } else {
            carry as u64
        };
        words[word] |= bits << shift;
        if shift > 4 {
            words[word + 1] |= if k < 4 {
                bits >> (64 - shift)
            } else {
                (carry >> (64 - shift)) as u64
            };
        }
        carry >>= 60;
    }
    let mut overflow = false;
    for (w, a) in words.iter_mut().zip(ABOVE) {
        let (sum, first) = w.overflowing_add(a);
        let (sum, second) = sum.overflowing_add(overflow as u64);
        (*w, overflow) = (sum, first | second);
    }
    Fq::from_montgomery_overflow([words[0], words[1], words[2], words[3]], words[4])
}

/// Joins planes, the highest first.
fn join(planes: impl Iterator<Item = Fq>) -> Fq {
    planes.fold(Fq::ZERO, |sum, plane| sum.times_u64(1 << 16) + plane)
}

#[inline(always)]
unsafe fn load(line: &Line) -> V {
    unsafe { _mm512_load_si512(line.0.as_ptr().cast()) }
}

/// Lines as one row.
#[inline(always)]
pub(super) fn entries(lines: &mut [Line]) -> &mut [i16] {
    // SAFETY: a line is `LANES` integers without padding.
    unsafe { std::slice::from_raw_parts_mut(lines.as_mut_ptr().cast(), lines.len() * LANES) }
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

/// Pairs of 32-bit lanes as 64-bit sums.
#[inline(always)]
unsafe fn widen(x: V) -> V {
    unsafe {
        let low = _mm512_cvtepi32_epi64(_mm512_castsi512_si256(x));
        let high = _mm512_cvtepi32_epi64(_mm512_extracti64x4_epi64::<1>(x));
        _mm512_add_epi64(low, high)
    }
}

/// Adds to each of eight sums the lanes of one vector.
#[inline(always)]
unsafe fn add_across(sums: &mut [i64], x: [V; 8]) {
    unsafe {
        let neighbours =
            |a, b| _mm512_add_epi64(_mm512_unpacklo_epi64(a, b), _mm512_unpackhi_epi64(a, b));
        let quarters = |a, b| {
            let even = _mm512_shuffle_i64x2::<0x88>(a, b);
            _mm512_add_epi64(even, _mm512_shuffle_i64x2::<0xdd>(a, b))
        };
        let low = quarters(neighbours(x[0], x[1]), neighbours(x[2], x[3]));
        let high = quarters(neighbours(x[4], x[5]), neighbours(x[6], x[7]));
        let at = sums.as_mut_ptr();
        let sum = _mm512_add_epi64(_mm512_loadu_si512(at.cast()), quarters(low, high));
        _mm512_storeu_si512(at.cast(), sum);
    }
}

/// Adds the lanes of up to 13 vectors to as many sums.
#[inline(always)]
unsafe fn empty_row<const K: usize>(sums: &mut [i64; 16], x: [V; K]) {
    unsafe {
        let zero = _mm512_setzero_si512();
        let (low, high) = sums.split_at_mut(8);
        let mut wide = [zero; 16];
        for k in 0..K {
            wide[k] = widen(x[k]);
        }
        add_across(
            low,
            [
                wide[0], wide[1], wide[2], wide[3], wide[4], wide[5], wide[6], wide[7],
            ],
        );
        add_across(
            high,
            [
                wide[8], wide[9], wide[10], wide[11], wide[12], zero, zero, zero,
            ],
        );
    }
}

/// Adds to `sums` the products of two rows of integers with `K` rows of digits, at most 13.
#[inline(always)]
pub(super) unsafe fn row_pair<const K: usize>(
    [x, y]: [&[Line]; 2],
    digits: &[[Line; K]],
    [sums0, sums1]: [&mut [i64; 16]; 2],
) {
    unsafe {
        let mut first = [_mm512_setzero_si512(); K];
        let mut second = first;
        for ((x, y), digits) in x.iter().zip(y).zip(digits) {
            let (x, y) = (load(x), load(y));
            for k in 0..K {
                let d = load(&digits[k]);
                first[k] = dot(first[k], x, d);
                second[k] = dot(second[k], y, d);
            }
        }
        empty_row(sums0, first);
        empty_row(sums1, second);
    }
}

/// A tile of 32 columns: sums of half of the digits, in the order of lanes.
type Tile = [[[i64; 16]; 2]; HALF];

/// Adds to `sums` the products of interleaved rows of a tile with half of the digits.
#[inline(always)]
unsafe fn tile(rows: &[[Line; 2]], digits: &[[[i16; 2]; HALF]], sums: &mut Tile) {
    unsafe {
        let mut first = [_mm512_setzero_si512(); HALF];
        let mut second = first;
        for ([x, y], digits) in rows.iter().zip(digits) {
            let (x, y) = (load(x), load(y));
            for k in 0..HALF {
                let d = _mm512_set1_epi32(digits[k].as_ptr().cast::<i32>().read_unaligned());
                first[k] = dot(first[k], x, d);
                second[k] = dot(second[k], y, d);
            }
        }
        for k in 0..HALF {
            let [a, b] = &mut sums[k];
            empty(a, first[k]);
            empty(b, second[k]);
        }
    }
}

/// Adds 32-bit lanes to 64-bit sums.
#[inline(always)]
unsafe fn empty(sums: &mut [i64; 16], x: V) {
    unsafe {
        let low = _mm512_cvtepi32_epi64(_mm512_castsi512_si256(x));
        let high = _mm512_cvtepi32_epi64(_mm512_extracti64x4_epi64::<1>(x));
        let at = sums.as_mut_ptr();
        for (at, x) in [(at, low), (at.add(8), high)] {
            let sum = _mm512_add_epi64(_mm512_loadu_si512(at.cast()), x);
            _mm512_storeu_si512(at.cast(), sum);
        }
    }
}

/// Interleaves two rows of 32 integers, so that pairs are neighbours.
#[inline(always)]
unsafe fn interleave(out: &mut [Line; 2], x: &Line, y: &Line) {
    unsafe {
        let (x, y) = (load(x), load(y));
        _mm512_store_si512(out[0].0.as_mut_ptr().cast(), _mm512_unpacklo_epi16(x, y));
        _mm512_store_si512(out[1].0.as_mut_ptr().cast(), _mm512_unpackhi_epi16(x, y));
    }
}

/// One column of the two halves of a tile, as an element: lanes of 32 bits are columns 0-3,
/// 8-11, 16-19, 24-27 of the first vector of an interleaved pair, the others of the second.
fn combine_column(tile: &[Tile; 2], column: usize) -> Fq {
    let (vector, lane) = (column / 4 % 2, column / 8 * 4 + column % 4);
    combine(|k| tile[k / HALF][k % HALF][vector][lane])
}

kernel! {
    /// `sum + x_0 y_0 + x_1 y_1` in lanes of 32 bits.
    ///
    /// In assembler, since the compiler makes two instructions of the intrinsic.
    #[inline]
    fn dot(sum: V, x: V, y: V) -> V {
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

    /// Outputs `start..` over the `j` in a range that `digits` covers: long dot products, two at
    /// a time. For tensors with a short last axis.
    pub(crate) unsafe fn rows<T: Small>(
        m: Tensor<'_, T>,
        range: Range<usize>,
        digits: &RowDigits,
        start: usize,
        out: &mut [Fq],
    ) {
        const WIDTH: usize = STEPS * LANES;
        let planes = const { planes::<T>() };
        let mut pair = [[Line::ZERO; STEPS]; 2];
        for (output, out) in (start..).step_by(2).zip(out.chunks_mut(2)) {
            let mut sums = [[Sums::default(); 2]; MAX_PLANES];
            for from in (0..range.len()).step_by(WIDTH) {
                let width = WIDTH.min(range.len() - from);
                let steps = width.div_ceil(LANES);
                for (plane, sums) in sums[..planes].iter_mut().enumerate() {
                    let mut found = Found::default();
                    for (output, row) in (output..output + out.len()).zip(&mut pair) {
                        let (o, i) = (output / m.inner, output % m.inner);
                        let x = &m.data[(o * m.n + range.start + from) * m.inner + i..];
                        let row = entries(&mut row[..steps]);
                        found |= if m.inner == 1 {
                            copy_plane(row, plane, x[..width].iter().copied())
                        } else {
                            copy_plane(row, plane, x.iter().step_by(m.inner).take(width).copied())
                        };
                        row[width..].fill(0);
                    }
                    if found.digits {
                        let rows = [&pair[0][..steps], &pair[1][..steps]];
                        let [first, second] = sums;
                        for ((digits, x), y) in digits.0.iter().zip(first).zip(second) {
                            unsafe { row_pair(rows, &digits[from / LANES..], [x, y]) };
                        }
                    }
                    if !found.higher {
                        break;
                    }
                }
            }
            for (k, o) in out.iter_mut().enumerate() {
                let of_plane = |sums: &[Sums; 2]| combine(|d| sums[k][d / HALF][d % HALF]);
                *o = join(sums[..planes].iter().rev().map(of_plane));
            }
        }
    }

    /// The same where the last axis is long: up to [`COLUMNS`] outputs of one `o`, side by side,
    /// the first of them `column`.
    pub(crate) unsafe fn columns<T: Small>(
        m: Tensor<'_, T>,
        range: Range<usize>,
        digits: &ColumnDigits,
        (o, column): (usize, usize),
        out: &mut [Fq],
    ) {
        let planes = const { planes::<T>() };
        let tiles = out.len().div_ceil(32);
        let mut sums: Vec<[Tile; 2]> = vec![[[[[0; 16]; 2]; HALF]; 2]; planes * tiles];
        let mut packed = vec![[Line::ZERO; 2]; tiles * STEPS];
        let mut pair = [[Line::ZERO; COLUMNS / LANES]; 2];
        for from in (0..range.len()).step_by(2 * STEPS) {
            let rows = (2 * STEPS).min(range.len() - from);
            for (plane, sums) in sums.chunks_mut(tiles).enumerate() {
                let mut found = Found::default();
                for step in 0..rows.div_ceil(2) {
                    for (j, row) in (from + 2 * step..).zip(&mut pair) {
                        if j < range.len() {
                            let first = (o * m.n + range.start + j) * m.inner + column;
                            let x = &m.data[first..first + out.len()];
                            found |= copy_plane(entries(row), plane, x.iter().copied());
                        } else {
                            row.fill(Line::ZERO);
                        }
                    }
                    for t in 0..tiles {
                        let [x, y] = &pair;
                        unsafe { interleave(&mut packed[t * STEPS + step], &x[t], &y[t]) };
                    }
                }
                if found.digits {
                    for (t, sums) in sums.iter_mut().enumerate() {
                        let rows = &packed[t * STEPS..][..rows.div_ceil(2)];
                        for (digits, sums) in digits.0.iter().zip(sums) {
                            unsafe { tile(rows, &digits[from / 2..], sums) };
                        }
                    }
                }
                if !found.higher {
                    break;
                }
            }
        }
        for (i, o) in out.iter_mut().enumerate() {
            let of_plane = |tiles: &[[Tile; 2]]| combine_column(&tiles[i / 32], i % 32);
            *o = join(sums.chunks(tiles).rev().map(of_plane));
        }
    }
}
