//! Products of integer matrices: 16-bit digits of one times 8-bit digits of the other.
//!
//! Lanes are rows of `w`: these are interleaved once for all rows of `x`, and no sum has to be
//! taken across lanes.

use super::contract::empty;
use super::digits::{dot, load};
use super::machine::kernel;
use crate::digits::{LANES, Line, MAX_PLANES, copy_plane, entries, planes};
use crate::panels::Panels;
use crate::small::Small;
use std::arch::x86_64::*;

/// Columns of digits that many rows are multiplied with at a time.
pub(crate) const SIDE: usize = 12;
/// Rows of `w` side by side.
pub(crate) const TILE: usize = 32;
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

kernel! {
    /// `out[r, first + i] += sum_j w[i, j] x[r, j]` modulo 2^64, for whole rows of `w`.
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
        let mut row = vec![Line::ZERO; x.width.div_ceil(LANES)];
        let mut tiles = vec![vec![[Line::ZERO; 2]; steps]; planes];
        for (t, w) in w.chunks(TILE * x.width).enumerate() {
            let count = w.len() / x.width;
            let mut found = [false; MAX_PLANES];
            for (plane, (tile, found)) in tiles.iter_mut().zip(&mut found).enumerate() {
                let mut higher = false;
                for (i, w) in w.chunks(x.width).enumerate() {
                    let row = entries(&mut row);
                    let seen = copy_plane(row, plane, w.iter().copied());
                    row[x.width..].fill(0);
                    *found |= seen.digits;
                    higher |= seen.higher;
                    let (half, lane) = (i / 16, 2 * (i % 16));
                    for (tile, pair) in tile.iter_mut().zip(row.chunks_exact(2)) {
                        tile[half].0[lane..lane + 2].copy_from_slice(pair);
                    }
                }
                // What the last, narrower tile leaves in the other lanes is not looked at.
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
