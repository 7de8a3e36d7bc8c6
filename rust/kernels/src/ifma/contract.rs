//! Small integers against field elements: 16-bit digits times 10-bit digits.
//!
//! Elements are cut into 26 signed digits of 10 bits, once; integers into signed digits of 16
//! bits, the planes, of which the higher ones are skipped where they are zero. `vpdpwssd` then
//! does 32 products of digits and 16 additions at once, in 32-bit lanes that are emptied into
//! 64-bit ones before they overflow.

use super::digits::{
    ColumnDigits, Found, HALF, LANES, Line, MAX_PLANES, RowDigits, Sums, combine, copy_plane,
    entries, join, load, planes,
};
use super::lanes::V;
use super::machine::kernel;
use crate::field::Fq;
use crate::small::{Small, Tensor};
use std::arch::x86_64::*;
use std::ops::Range;

/// Steps of `vpdpwssd` between two emptyings: 2 * 2^15 * 2^9 * 63 < 2^31.
pub(super) const STEPS: usize = 60;
/// Columns side by side.
pub(crate) const COLUMNS: usize = 256;

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
pub(super) unsafe fn empty(sums: &mut [i64; 16], x: V) {
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
