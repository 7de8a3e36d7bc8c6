//! Small integers against field elements: 16-bit digits times 10-bit digits.
//!
//! Elements are cut into 26 signed digits of 10 bits, once; integers into signed digits of 16
//! bits, the planes, of which the higher ones are skipped where they are zero. `vpdpwssd` then
//! does 32 products of digits and 16 additions at once, in 32-bit lanes that are emptied into
//! 64-bit ones before they overflow.

use super::digits::{EIGHT, dot, finish, load};
use super::lanes::V;
use super::machine::kernel;
use crate::digits::{
    ColumnDigits, Found, HALF, LANES, Line, Piece, STEPS, copy_plane, digits_of, entries, planes,
};
use crate::field::Fq;
use crate::small::{Small, Tensor};
use std::arch::x86_64::*;

/// Columns side by side.
pub(crate) const COLUMNS: usize = 256;

/// A tile of 32 columns: sums of half of the digits, in the order of lanes.
type Tile = [[[i64; 16]; 2]; HALF];

/// Adds to `sums` the products of interleaved rows of a tile with half of the digits; meanwhile
/// fetches a line each step, from an address on and so many bytes apart.
#[inline(always)]
unsafe fn tile(
    rows: &[[Line; 2]],
    digits: &[[[i16; 2]; HALF]],
    sums: &mut Tile,
    (ahead, stride): (*const i8, usize),
) {
    unsafe {
        let mut first = [_mm512_setzero_si512(); HALF];
        let mut second = first;
        for (step, ([x, y], digits)) in rows.iter().zip(digits).enumerate() {
            _mm_prefetch::<_MM_HINT_T1>(ahead.wrapping_add(step * stride));
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
unsafe fn interleave(out: &mut [Line; 2], x: V, y: V) {
    unsafe {
        _mm512_store_si512(out[0].0.as_mut_ptr().cast(), _mm512_unpacklo_epi16(x, y));
        _mm512_store_si512(out[1].0.as_mut_ptr().cast(), _mm512_unpackhi_epi16(x, y));
    }
}

/// Up to 32 integers, then zeros.
#[inline(always)]
unsafe fn up_to_32(x: &[i16]) -> V {
    unsafe {
        match x.first_chunk::<LANES>() {
            Some(whole) => _mm512_loadu_si512(whole.as_ptr().cast()),
            None => _mm512_maskz_loadu_epi16((1 << x.len()) - 1, x.as_ptr()),
        }
    }
}

/// Step `j` of 32 neighbouring outputs of an array whose last axis is [`NARROW`]; zeros behind
/// the last one.
#[inline(always)]
unsafe fn narrow(m: &Tensor<'_, i16>, o: usize, j: usize) -> V {
    let (first, apart) = ((o * m.n + j) * NARROW, m.n * NARROW);
    let part = |k: usize| match m.data.get(first + k * apart..) {
        // SAFETY: whole rows are left.
        Some(rest) if !rest.is_empty() => unsafe { _mm_loadu_si128(rest.as_ptr().cast()) },
        _ => unsafe { _mm_setzero_si128() },
    };
    unsafe {
        let x = _mm512_castsi128_si512(part(0));
        let x = _mm512_inserti32x4::<1>(x, part(1));
        let x = _mm512_inserti32x4::<2>(x, part(2));
        _mm512_inserti32x4::<3>(x, part(3))
    }
}

/// A short last axis whose rows are put side by side.
pub(crate) const NARROW: usize = 8;

/// Sums of one digit for eight columns of the two halves of a tile: lanes of 32 bits are columns
/// 0-3, 8-11, 16-19, 24-27 of the first vector of an interleaved pair, the others of the second.
#[inline(always)]
unsafe fn eight_columns(tile: &[Tile; 2], group: usize, k: usize) -> V {
    unsafe {
        let [x, y] = &tile[k / HALF][k % HALF];
        let at = |sums: &[i64; 16]| _mm256_loadu_si256(sums[4 * group..].as_ptr().cast());
        _mm512_inserti64x4::<1>(_mm512_castsi256_si512(at(x)), at(y))
    }
}

kernel! {
    /// Up to [`COLUMNS`] outputs of one `o`, side by side, the first of them `column`, summed over
    /// the pieces. For arrays with a long last axis. Where it is [`NARROW`], and integers have one digit, up to as
    /// many outputs from `o` on.
    pub(crate) unsafe fn columns<T: Small>(
        pieces: &[Piece<'_, T, ColumnDigits>],
        (o, column): (usize, usize),
        out: &mut [Fq],
    ) {
        const ROWS: usize = 2 * STEPS;
        let planes = const { planes::<T>() };
        let tiles = out.len().div_ceil(LANES);
        // Planes are added as they are met.
        let mut sums: Vec<[Tile; 2]> = Vec::with_capacity(planes * tiles);
        let mut packed = vec![[Line::ZERO; 2]; tiles * STEPS];
        let mut pair = [[Line::ZERO; COLUMNS / LANES]; 2];
        let width = out.len();
        let zero = _mm512_setzero_si512();
        let row = |k: usize, j: usize| {
            let (m, range, _) = &pieces[k];
            &m.data[(o * m.n + range.start + j) * m.inner + column..][..width]
        };
        let parts = pieces.iter().enumerate().flat_map(|(k, piece)| {
            (0..piece.1.len()).step_by(ROWS).map(move |from| (k, from))
        });
        let mut parts = parts.peekable();
        while let Some((k, from)) = parts.next() {
            let (m, range, digits) = &pieces[k];
            let rows = ROWS.min(range.len() - from);
            let steps = rows.div_ceil(2);
            for plane in 0..planes {
                let mut found = Found::default();
                for step in 0..steps {
                    let lines = packed[step..].iter_mut().step_by(STEPS);
                    let (first, second) = (from + 2 * step, from + 2 * step + 1);
                    if m.inner == NARROW {
                        let data = digits_of(m.data).unwrap_or_default();
                        let (n, inner) = (m.n, NARROW);
                        let m = Tensor { data, n, inner };
                        for (t, lines) in lines.enumerate() {
                            let o = o + t * LANES / NARROW;
                            let at = |j| unsafe { narrow(&m, o, range.start + j) };
                            unsafe {
                                let second = if second < range.len() { at(second) } else { zero };
                                interleave(lines, at(first), second);
                            }
                        }
                        found.digits = true;
                        continue;
                    }
                    let x = row(k, first);
                    let y = (second < range.len()).then(|| row(k, second));
                    if let Some(x) = digits_of(x) {
                        let y = y.and_then(digits_of);
                        for (t, lines) in lines.enumerate() {
                            let at = |x: &[i16]| unsafe { up_to_32(&x[t * LANES..]) };
                            unsafe { interleave(lines, at(x), y.map_or(zero, at)) };
                        }
                        found.digits = true;
                        continue;
                    }
                    for (copy, x) in pair.iter_mut().zip([Some(x), y]) {
                        match x {
                            Some(x) => {
                                found |= copy_plane(entries(copy), plane, x.iter().copied());
                            }
                            None => copy.fill(Line::ZERO),
                        }
                    }
                    let [x, y] = &pair;
                    for (lines, (x, y)) in lines.zip(x.iter().zip(y)) {
                        unsafe { interleave(lines, load(x), load(y)) };
                    }
                }
                if found.digits {
                    if sums.len() < (plane + 1) * tiles {
                        sums.resize((plane + 1) * tiles, [[[[0; 16]; 2]; HALF]; 2]);
                    }
                    let sums = &mut sums[plane * tiles..][..tiles];
                    // What comes next is fetched meanwhile: its rows lie far apart.
                    let (next, stride) = match parts.peek() {
                        _ if m.inner == NARROW => (m.data.as_ptr(), 0),
                        Some(&(k, from)) => (row(k, from).as_ptr(), pieces[k].0.inner),
                        None => (row(k, from).as_ptr(), m.inner),
                    };
                    for (t, sums) in sums.iter_mut().enumerate() {
                        let rows = &packed[t * STEPS..][..steps];
                        for (half, (digits, sums)) in digits.0.iter().zip(sums).enumerate() {
                            let ahead = next.wrapping_add(t * LANES + half * stride);
                            let ahead = (ahead.cast(), 2 * stride * size_of::<T>());
                            unsafe { tile(rows, &digits[from / 2..], sums, ahead) };
                        }
                    }
                }
                if !found.higher {
                    break;
                }
            }
        }
        if sums.is_empty() {
            return out.fill(Fq::ZERO);
        }
        let used = sums.len() / tiles;
        for (i, out) in out.chunks_mut(EIGHT).enumerate() {
            unsafe {
                finish(out, used, |plane, k| {
                    eight_columns(&sums[plane * tiles + i / 4], i % 4, k)
                });
            }
        }
    }
}
