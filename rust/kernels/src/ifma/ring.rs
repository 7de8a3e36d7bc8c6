//! Products of matrices modulo 2^64: tiles of eight rows of one and up to three of the other.

use super::lanes::V;
use super::machine::kernel;
use crate::small::Small;
use std::arch::x86_64::*;

/// Rows of `w` in a tile.
const COUNT: usize = 8;
/// Rows of `x` in a tile: 24 sums, three rows and one product in 32 registers.
const ROWS: usize = 3;
/// Entries of a row before the next tile, so that a tile's rows of `w` stay in the L2 cache.
const DEPTH: usize = 2048;

/// Eight entries, extended to 64 bits; those that the mask leaves out are not read.
#[inline(always)]
unsafe fn load<T: Small>(from: *const T, mask: __mmask8) -> V {
    unsafe {
        match (T::BITS, T::BIAS) {
            (8, _) => _mm512_cvtepi8_epi64(_mm_maskz_loadu_epi8(mask.into(), from.cast())),
            (16, 0) => _mm512_cvtepu16_epi64(_mm_maskz_loadu_epi16(mask, from.cast())),
            (16, _) => _mm512_cvtepi16_epi64(_mm_maskz_loadu_epi16(mask, from.cast())),
            (32, _) => _mm512_cvtepi32_epi64(_mm256_maskz_loadu_epi32(mask, from.cast())),
            _ => _mm512_maskz_loadu_epi64(mask, from.cast()),
        }
    }
}

#[inline(always)]
unsafe fn load_all<T: Small>(from: *const T) -> V {
    unsafe {
        match (T::BITS, T::BIAS) {
            (8, _) => _mm512_cvtepi8_epi64(_mm_loadl_epi64(from.cast())),
            (16, 0) => _mm512_cvtepu16_epi64(_mm_loadu_si128(from.cast())),
            (16, _) => _mm512_cvtepi16_epi64(_mm_loadu_si128(from.cast())),
            (32, _) => _mm512_cvtepi32_epi64(_mm256_loadu_si256(from.cast())),
            _ => _mm512_loadu_si512(from.cast()),
        }
    }
}

/// The sum of the lanes of each of eight vectors.
#[inline(always)]
unsafe fn sums(v: [V; COUNT]) -> [u64; COUNT] {
    unsafe {
        let pair =
            |a, b| _mm512_add_epi64(_mm512_unpacklo_epi64(a, b), _mm512_unpackhi_epi64(a, b));
        let [a, b, c, d] = [
            pair(v[0], v[1]),
            pair(v[2], v[3]),
            pair(v[4], v[5]),
            pair(v[6], v[7]),
        ];
        let half = |a, b| {
            _mm512_add_epi64(
                _mm512_shuffle_i64x2::<0x88>(a, b),
                _mm512_shuffle_i64x2::<0xdd>(a, b),
            )
        };
        // Lanes: (0 1) (0 1) (2 3) (2 3), then one pair each.
        let v = half(half(a, b), half(c, d));
        let mut out = [0; COUNT];
        _mm512_storeu_si512(out.as_mut_ptr().cast(), v);
        out
    }
}

/// The products of `R` rows of `x` and eight rows of `w`.
#[inline(always)]
unsafe fn tile<T: Small, const R: usize>(
    x: [*const u64; R],
    w: [*const T; COUNT],
    width: usize,
) -> [[u64; COUNT]; R] {
    unsafe {
        let mut acc = [[_mm512_setzero_si512(); COUNT]; R];
        let whole = width / 8 * 8;
        for j in (0..whole).step_by(8) {
            let x = x.map(|x| _mm512_loadu_si512(x.add(j).cast()));
            for i in 0..COUNT {
                let w = load_all(w[i].add(j));
                for r in 0..R {
                    acc[r][i] = _mm512_add_epi64(acc[r][i], _mm512_mullo_epi64(x[r], w));
                }
            }
        }
        if whole < width {
            let mask = (1 << (width - whole)) - 1;
            let x = x.map(|x| _mm512_maskz_loadu_epi64(mask, x.add(whole).cast()));
            for i in 0..COUNT {
                let w = load(w[i].add(whole), mask);
                for r in 0..R {
                    acc[r][i] = _mm512_add_epi64(acc[r][i], _mm512_mullo_epi64(x[r], w));
                }
            }
        }
        acc.map(|acc| sums(acc))
    }
}

/// Adds a tile's products to `out[i, r..]`.
#[inline(always)]
unsafe fn add_tile<T: Small, const R: usize>(
    out: &mut [u64],
    x: *const u64,
    w: [*const T; COUNT],
    (rows, stride): (usize, usize),
    width: usize,
) {
    let x = std::array::from_fn(|r| x.wrapping_add(r * stride));
    // SAFETY: as the caller says.
    let tile = unsafe { tile::<T, R>(x, w, width) };
    for (i, out) in out.chunks_mut(rows).enumerate() {
        for r in 0..R {
            out[r] = out[r].wrapping_add(tile[r][i]);
        }
    }
}

kernel! {
    /// `out[i, r] += sum_j x[r, j] w[i, j]` modulo 2^64, for whole rows of both.
    pub(crate) unsafe fn ring_product<T: Small>(
        out: &mut [u64],
        x: &[u64],
        w: &[T],
        rows: usize,
        width: usize,
    ) {
        for from in (0..width).step_by(DEPTH) {
            let depth = DEPTH.min(width - from);
            for (out, w) in out.chunks_mut(COUNT * rows).zip(w.chunks(COUNT * width)) {
                let count = w.len() / width;
                // The last group may be smaller: its last row is taken again, for nobody.
                let w = std::array::from_fn(|i| w[i.min(count - 1) * width + from..].as_ptr());
                let mut r = 0;
                while r < rows {
                    let out = &mut out[r..];
                    let x = x[r * width + from..].as_ptr();
                    let shape = (rows, width);
                    // SAFETY: the rows have `depth` entries from here on.
                    unsafe {
                        r += match rows - r {
                            1 => {
                                add_tile::<T, 1>(out, x, w, shape, depth);
                                1
                            }
                            2 | 4 => {
                                add_tile::<T, 2>(out, x, w, shape, depth);
                                2
                            }
                            _ => {
                                add_tile::<T, ROWS>(out, x, w, shape, depth);
                                ROWS
                            }
                        };
                    }
                }
            }
        }
    }
}
