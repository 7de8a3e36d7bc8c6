//! Products of integer matrices: 16-bit digits of one times 8-bit digits of the other.
//!
//! Lanes are rows of `w`: these are interleaved once for all rows of `x`, and no sum has to be
//! taken across lanes.

use super::contract::empty;
use super::digits::{dot, load};
use super::machine::kernel;
use crate::digits::{LANES, Line, MAX_PLANES, copy_plane, digits_of, entries, planes};
use crate::panels::Panels;
use crate::small::Small;
use std::arch::x86_64::*;

/// Columns of digits that many rows are multiplied with at a time.
pub(crate) const SIDE: usize = 12;
/// Rows of `w` side by side.
pub(crate) const TILE: usize = 32;
/// Rows in a half of a tile: one for each lane of 32 bits.
const ROWS: usize = TILE / 2;
/// Steps of `vpdpwssd` between two emptyings: 2 * 2^15 * 2^7 * 255 < 2^31.
const DEEP: usize = 255;

/// A matrix of results, of which tasks write different columns.
pub(crate) struct Columns<'a> {
    base: *mut i64,
    rows: usize,
    width: usize,
    owner: std::marker::PhantomData<&'a mut [i64]>,
}

// SAFETY: whoever writes says that nobody else writes the same columns.
unsafe impl Sync for Columns<'_> {}

impl<'a> Columns<'a> {
    /// The matrix of shape (rows, width).
    pub(crate) fn new(out: &'a mut [i64], rows: usize) -> Self {
        Self {
            base: out.as_mut_ptr(),
            rows,
            width: out.len() / rows.max(1),
            owner: std::marker::PhantomData,
        }
    }

    /// Columns of a row.
    ///
    /// # Safety
    /// Nobody else refers to these columns.
    #[allow(clippy::mut_from_ref)]
    unsafe fn part(&self, row: usize, first: usize, count: usize) -> &mut [i64] {
        assert!(row < self.rows && first + count <= self.width);
        // SAFETY: they lie in the matrix, and as the caller says.
        unsafe { std::slice::from_raw_parts_mut(self.base.add(row * self.width + first), count) }
    }
}

/// Sums of one column, for each row of a tile.
type Sums = [[i64; 16]; 2];

/// Adds to `sums` the products of interleaved rows of a tile with the digits of a group.
#[inline(always)]
unsafe fn tile_products(tile: &[[Line; 2]], digits: &[[[i16; 2]; SIDE]], sums: &mut [Sums; SIDE]) {
    unsafe {
        let mut first = [_mm512_setzero_si512(); SIDE];
        let mut second = first;
        for ([x, y], digits) in tile.iter().zip(digits) {
            let (x, y) = (load(x), load(y));
            for k in 0..SIDE {
                let d = _mm512_set1_epi32(digits[k].as_ptr().cast::<i32>().read_unaligned());
                first[k] = dot(first[k], x, d);
                second[k] = dot(second[k], y, d);
            }
        }
        for (k, [a, b]) in sums.iter_mut().enumerate() {
            empty(a, first[k]);
            empty(b, second[k]);
        }
    }
}

/// Puts sixteen rows of a width into a half of a tile, two neighbours of each side by side.
#[inline(always)]
unsafe fn interleave(tile: &mut [[Line; 2]], half: usize, rows: &[*const i16; ROWS], width: usize) {
    for (k, steps) in tile.chunks_mut(ROWS).enumerate() {
        let left = (width - k * LANES).min(LANES);
        let mask = u32::MAX >> (LANES - left);
        unsafe {
            let mut pairs = [_mm512_setzero_si512(); ROWS];
            for (pair, row) in pairs.iter_mut().zip(rows) {
                *pair = _mm512_maskz_loadu_epi16(mask, row.add(k * LANES));
            }
            for (step, turned) in steps.iter_mut().zip(turned(pairs)) {
                _mm512_store_si512((&raw mut step[half]).cast(), turned);
            }
        }
    }
}

/// Entry `j` of register `i` as entry `i` of register `j`, 32 bits each.
#[inline(always)]
unsafe fn turned(r: [__m512i; ROWS]) -> [__m512i; ROWS] {
    unsafe {
        // Of each four rows, in every quarter of a register the four entries of a column.
        let mut fours = r;
        for i in 0..4 {
            let [a, b, c, d] = [r[4 * i], r[4 * i + 1], r[4 * i + 2], r[4 * i + 3]];
            let (low, high) = (_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
            let (next_low, next_high) = (_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));
            fours[4 * i] = _mm512_unpacklo_epi64(low, next_low);
            fours[4 * i + 1] = _mm512_unpackhi_epi64(low, next_low);
            fours[4 * i + 2] = _mm512_unpacklo_epi64(high, next_high);
            fours[4 * i + 3] = _mm512_unpackhi_epi64(high, next_high);
        }
        let mut out = r;
        for j in 0..4 {
            let [a, b, c, d] = [fours[j], fours[4 + j], fours[8 + j], fours[12 + j]];
            let (even, next_even) = (
                _mm512_shuffle_i32x4::<0x88>(a, b),
                _mm512_shuffle_i32x4::<0x88>(c, d),
            );
            let (odd, next_odd) = (
                _mm512_shuffle_i32x4::<0xdd>(a, b),
                _mm512_shuffle_i32x4::<0xdd>(c, d),
            );
            out[j] = _mm512_shuffle_i32x4::<0x88>(even, next_even);
            out[j + 4] = _mm512_shuffle_i32x4::<0x88>(odd, next_odd);
            out[j + 8] = _mm512_shuffle_i32x4::<0xdd>(even, next_even);
            out[j + 12] = _mm512_shuffle_i32x4::<0xdd>(odd, next_odd);
        }
        out
    }
}

kernel! {
    /// `out[r, first + i] = sum_j w[i, j] x[r, j]` modulo 2^64, for whole rows of `w`.
    ///
    /// Nobody else may write these columns meanwhile.
    pub(crate) unsafe fn many_products<T: Small>(
        out: &Columns<'_>,
        first: usize,
        w: &[T],
        x: &Panels<SIDE>,
    ) {
        let planes = const { planes::<T>() };
        let steps = x.width.div_ceil(2);
        let lines = x.width.div_ceil(LANES);
        let mut copies = vec![Line::ZERO; ROWS * lines];
        let mut tiles = vec![vec![[Line::ZERO; 2]; steps]; planes];
        for (t, w) in w.chunks(TILE * x.width).enumerate() {
            let count = w.len() / x.width;
            for r in 0..x.rows {
                // Written before it is read: else the system backs fresh memory twice.
                // SAFETY: as the caller says.
                unsafe { out.part(r, first + t * TILE, count) }.fill(0);
            }
            let mut found = [false; MAX_PLANES];
            for (plane, (tile, found)) in tiles.iter_mut().zip(&mut found).enumerate() {
                let mut higher = false;
                for (half, w) in w.chunks(ROWS * x.width).enumerate() {
                    let mut rows = [std::ptr::null(); ROWS];
                    let copies = copies.chunks_mut(lines);
                    for ((row, copy), w) in rows.iter_mut().zip(copies).zip(w.chunks(x.width)) {
                        if let Some(w) = digits_of(w) {
                            *found = true;
                            *row = w.as_ptr();
                        } else {
                            let copy = entries(copy);
                            let seen = copy_plane(copy, plane, w.iter().copied());
                            *found |= seen.digits;
                            higher |= seen.higher;
                            *row = copy.as_ptr();
                        }
                    }
                    // What the last, narrower tile has in the other lanes is not looked at.
                    let first = rows[0];
                    rows[w.len() / x.width..].fill(first);
                    // SAFETY: they are rows of this width.
                    unsafe { interleave(tile, half, &rows, x.width) };
                }
                if !higher {
                    break;
                }
            }
            for (g, group) in x.groups.iter().enumerate() {
                for (plane, tile) in tiles.iter().enumerate().filter(|&(plane, _)| found[plane]) {
                    let mut sums = [Sums::default(); SIDE];
                    for (tile, group) in tile.chunks(DEEP).zip(group.chunks(DEEP)) {
                        unsafe { tile_products(tile, group, &mut sums) };
                    }
                    for (k, sums) in sums.iter().enumerate() {
                        let column = g * SIDE + k;
                        let (r, d) = (column / x.digits, column % x.digits);
                        let shift = (8 * d + 16 * plane) as u32;
                        // Digits at 2^64 and above do not change the result modulo 2^64.
                        if r < x.rows && shift < 64 {
                            // SAFETY: as the caller says.
                            let out = unsafe { out.part(r, first + t * TILE, count) };
                            for (out, sum) in out.iter_mut().zip(sums.as_flattened()) {
                                *out = out.wrapping_add(sum << shift);
                            }
                        }
                    }
                }
            }
        }
    }
}
