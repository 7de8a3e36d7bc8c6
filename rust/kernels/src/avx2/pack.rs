//! Tiles of small integers: 32 outputs side by side, of each two integers that are neighbours on
//! the axis of the sum; and their products with digits.
//!
//! `vpmaddwd` does 16 products of digits and eight additions at once, in 32-bit lanes, one for each
//! output, that are emptied into 64-bit ones before they overflow.

use crate::digits::{
    Found, LANES, Line, STEPS, copy_plane, digits_of as one_digit, entries, has_one_digit,
};
use crate::small::{Small, Tensor};
use std::arch::x86_64::*;

type V = __m256i;

/// Outputs side by side.
pub(crate) const TILE: usize = 32;
/// Vectors of a step, each of eight outputs.
pub(super) const VECTORS: usize = TILE / EIGHT;
/// Outputs of a vector.
pub(super) const EIGHT: usize = 8;
/// Integers of an output that a tile holds.
pub(super) const DEEP: usize = 2 * STEPS;
/// The same, up to whole squares.
const ROW: usize = DEEP.next_multiple_of(2 * EIGHT);

/// Pairs of integers, by step.
pub(super) type Tile = [[Line; 2]; ROW / 2];
/// Sums of products with `K` digits, for eight outputs.
pub(super) type Sums<const K: usize> = [[i64; EIGHT]; K];

/// No integers yet.
pub(super) fn blank() -> Box<Tile> {
    Box::new([[Line::ZERO; 2]; ROW / 2])
}

#[inline(always)]
unsafe fn load(from: *const i16) -> V {
    unsafe { _mm256_loadu_si256(from.cast()) }
}

/// Writes one of the vectors of a step.
#[inline(always)]
unsafe fn put(step: &mut [Line; 2], vector: usize, x: V) {
    let to = step[vector / 2].0[vector % 2 * 2 * EIGHT..].as_mut_ptr();
    // SAFETY: 16 integers follow, in a line of 32.
    unsafe { _mm256_store_si256(to.cast(), x) }
}

/// Adds to `sums` the products of one vector of each step with `K` digits; meanwhile fetches
/// a line each step, from an address on and so many bytes apart.
///
/// There are at most as many steps as 32-bit lanes hold: [`STEPS`] for digits of at most 10 bits.
#[inline(always)]
pub(super) unsafe fn multiply<const K: usize>(
    (steps, vector): (&[[Line; 2]], usize),
    digits: &[[[i16; 2]; K]],
    sums: &mut Sums<K>,
    (ahead, stride): (*const i8, usize),
) {
    unsafe {
        let mut lanes = [_mm256_setzero_si256(); K];
        for (step, (x, digits)) in steps.iter().zip(digits).enumerate() {
            _mm_prefetch::<_MM_HINT_T0>(ahead.wrapping_add(step * stride));
            let x = _mm256_load_si256(x.as_ptr().cast::<V>().add(vector));
            for k in 0..K {
                let d = _mm256_set1_epi32(digits[k].as_ptr().cast::<i32>().read_unaligned());
                lanes[k] = _mm256_add_epi32(lanes[k], _mm256_madd_epi16(x, d));
            }
        }
        for (sums, lanes) in sums.iter_mut().zip(lanes) {
            let low = _mm256_cvtepi32_epi64(_mm256_castsi256_si128(lanes));
            let high = _mm256_cvtepi32_epi64(_mm256_extracti128_si256::<1>(lanes));
            let at = sums.as_mut_ptr().cast::<V>();
            for (at, x) in [(at, low), (at.add(1), high)] {
                _mm256_storeu_si256(at, _mm256_add_epi64(_mm256_loadu_si256(at), x));
            }
        }
    }
}

/// Packs a plane of up to [`DEEP`] rows, `j` and after it, of up to [`TILE`] neighbouring columns.
#[inline(always)]
pub(super) unsafe fn columns<'a, T: Small>(
    tile: &mut Tile,
    plane: usize,
    rows: usize,
    row: impl Fn(usize) -> &'a [T],
) -> Found {
    let mut found = Found::default();
    let mut pair = [Line::ZERO; 2];
    for (step, to) in tile[..rows.div_ceil(2)].iter_mut().enumerate() {
        let second = (2 * step + 1 < rows).then(|| row(2 * step + 1));
        let mut at = [pair[0].0.as_ptr(), pair[1].0.as_ptr()];
        for ((x, copy), at) in [Some(row(2 * step)), second]
            .into_iter()
            .zip(&mut pair)
            .zip(&mut at)
        {
            match x {
                Some(x) if has_one_digit::<T>() && x.len() == TILE => {
                    *at = x.as_ptr().cast();
                    found.digits = true;
                }
                Some(x) => {
                    found |= copy_plane(&mut copy.0[..x.len()], plane, x.iter().copied());
                    *at = copy.0.as_ptr();
                }
                None => {
                    *copy = Line::ZERO;
                    *at = copy.0.as_ptr();
                }
            }
        }
        for half in 0..2 {
            unsafe {
                // Quarters in the order 0, 2, 1, 3, so that interleaved ones are in order.
                let turned =
                    |k: usize| _mm256_permute4x64_epi64::<0xd8>(load(at[k].add(half * LANES / 2)));
                let (x, y) = (turned(0), turned(1));
                put(to, 2 * half, _mm256_unpacklo_epi16(x, y));
                put(to, 2 * half + 1, _mm256_unpackhi_epi16(x, y));
            }
        }
    }
    found
}

/// Pairs of 16 integers of each of eight rows, as eight pairs of all rows.
#[inline(always)]
unsafe fn turned(rows: [V; EIGHT]) -> [V; EIGHT] {
    unsafe {
        let mut x = rows;
        for k in (0..EIGHT).step_by(2) {
            let (a, b) = (x[k], x[k + 1]);
            (x[k], x[k + 1]) = (_mm256_unpacklo_epi32(a, b), _mm256_unpackhi_epi32(a, b));
        }
        // Pair 0 of rows 0 to 3, and pair 4; then 1 and 5, 2 and 6, 3 and 7; the same of 4 to 7.
        let mut y = x;
        for (half, to) in y.chunks_exact_mut(4).enumerate() {
            for odd in 0..2 {
                let (a, b) = (x[4 * half + odd], x[4 * half + 2 + odd]);
                to[2 * odd] = _mm256_unpacklo_epi64(a, b);
                to[2 * odd + 1] = _mm256_unpackhi_epi64(a, b);
            }
        }
        for k in 0..4 {
            x[k] = _mm256_permute2x128_si256::<0x20>(y[k], y[4 + k]);
            x[4 + k] = _mm256_permute2x128_si256::<0x31>(y[k], y[4 + k]);
        }
        x
    }
}

/// Integers `from..from + width` on the axis of the sum, of up to [`TILE`] outputs.
#[derive(Copy, Clone)]
pub(super) struct Rows {
    pub(super) from: usize,
    pub(super) width: usize,
    pub(super) first: usize,
    pub(super) outputs: usize,
}

/// Packs a plane of up to [`DEEP`] integers of each output, where these lie far apart.
#[inline(always)]
pub(super) unsafe fn rows<T: Small>(
    tile: &mut Tile,
    plane: usize,
    m: &Tensor<'_, T>,
    place: Rows,
) -> Found {
    let mut found = Found::default();
    let mut copies = [[Line::ZERO; ROW / LANES]; EIGHT];
    let Rows {
        from,
        width,
        first,
        outputs,
    } = place;
    let squares = width.div_ceil(2 * EIGHT);
    for vector in 0..outputs.div_ceil(EIGHT) {
        let mut at = [std::ptr::null(); EIGHT];
        for (k, (copy, at)) in copies.iter_mut().zip(&mut at).enumerate() {
            // What is behind the last output is not looked at.
            let output = first + (vector * EIGHT + k).min(outputs - 1);
            let (o, i) = (output / m.inner, output % m.inner);
            let x = &m.data[(o * m.n + from) * m.inner + i..];
            if m.inner == 1 {
                // The same integers of the next tile are fetched meanwhile.
                let next = x.as_ptr().wrapping_add(TILE * m.n).cast::<i8>();
                for line in (0..width * size_of::<T>()).step_by(64) {
                    unsafe { _mm_prefetch::<_MM_HINT_T1>(next.wrapping_add(line)) };
                }
            }
            if m.inner == 1 && x.len() >= squares * 2 * EIGHT {
                // Read where they are: digits of what is behind the width are zero.
                if let Some(x) = one_digit(x) {
                    *at = x.as_ptr();
                    found.digits = true;
                    continue;
                }
            }
            let copy = entries(copy);
            found |= if m.inner == 1 {
                copy_plane(copy, plane, x[..width].iter().copied())
            } else {
                copy_plane(copy, plane, x.iter().step_by(m.inner).take(width).copied())
            };
            copy[width..].fill(0);
            *at = copy.as_ptr();
        }
        for (square, steps) in tile.chunks_exact_mut(EIGHT).take(squares).enumerate() {
            unsafe {
                let x = turned(at.map(|at: *const i16| load(at.add(2 * EIGHT * square))));
                for (step, x) in steps.iter_mut().zip(x) {
                    put(step, vector, x);
                }
            }
        }
    }
    found
}
