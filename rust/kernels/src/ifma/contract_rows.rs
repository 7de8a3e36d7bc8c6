//! Small integers against field elements where the last axis is short: long dot products.
//!
//! The arithmetic is that of `contract.rs`; sums of one output are spread over the lanes.

use super::digits::{EIGHT, RowDigits, Sums, dot, finish, load};
use super::lanes::V;
use super::machine::kernel;
use crate::digits::{
    Found, HALF, LANES, Line, MAX_PLANES, Piece, STEPS, copy_plane, digits_of, entries, planes,
};
use crate::field::Fq;
use crate::small::Small;
use std::arch::x86_64::*;

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

/// Adds to `sums` the products of two rows of integers, 32 a step, with `K` rows of digits, at
/// most 13; begins to fetch what lies so many integers behind.
#[inline(always)]
unsafe fn row_pair<const K: usize>(
    [x, y]: [*const i16; 2],
    digits: &[[Line; K]],
    [sums0, sums1]: [&mut [i64; 16]; 2],
    ahead: usize,
) {
    unsafe {
        let mut first = [_mm512_setzero_si512(); K];
        let mut second = first;
        for (step, digits) in digits.iter().enumerate() {
            let at = |row: *const i16| _mm512_loadu_si512(row.add(step * LANES).cast());
            for row in [x, y] {
                // Fetching has no effect that a program can see.
                let next = row.wrapping_add(ahead + step * LANES);
                _mm_prefetch::<_MM_HINT_T0>(next.cast());
            }
            let (x, y) = (at(x), at(y));
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

/// Outputs of [`rows`] whose sums are kept at a time.
const GROUP: usize = 64;

/// Places of the sums of half of the digits.
const PADDED: usize = 16;

/// The sums of eight outputs by digit: an output a lane.
#[inline(always)]
unsafe fn by_digit(sums: &[Sums]) -> [V; 2 * PADDED] {
    unsafe {
        let mut out = [_mm512_setzero_si512(); 2 * PADDED];
        for (part, out) in out.chunks_exact_mut(8).enumerate() {
            let mut x = [_mm512_setzero_si512(); 8];
            for (x, sums) in x.iter_mut().zip(sums) {
                *x = _mm512_loadu_si512(sums[part / 2][part % 2 * 8..].as_ptr().cast());
            }
            // Pairs of outputs, then pairs of pairs.
            for odd in 0..2 {
                let mut pairs = [x[0]; 4];
                for (pair, x) in pairs.iter_mut().zip(x.as_chunks::<2>().0) {
                    *pair = match odd {
                        0 => _mm512_unpacklo_epi64(x[0], x[1]),
                        _ => _mm512_unpackhi_epi64(x[0], x[1]),
                    };
                }
                let low = |a, b| _mm512_shuffle_i64x2::<0x44>(a, b);
                let high = |a, b| _mm512_shuffle_i64x2::<0xee>(a, b);
                let even = |a, b| _mm512_shuffle_i64x2::<0x88>(a, b);
                let other = |a, b| _mm512_shuffle_i64x2::<0xdd>(a, b);
                let (a, b) = (low(pairs[0], pairs[1]), low(pairs[2], pairs[3]));
                let (c, d) = (high(pairs[0], pairs[1]), high(pairs[2], pairs[3]));
                out[odd] = even(a, b);
                out[2 + odd] = other(a, b);
                out[4 + odd] = even(c, d);
                out[6 + odd] = other(c, d);
            }
        }
        out
    }
}

/// The sums of two outputs side by side.
fn two(sums: &mut [Sums; GROUP], first: usize) -> [&mut Sums; 2] {
    let (x, y) = sums.split_at_mut(first + 1);
    [&mut x[first], &mut y[0]]
}

kernel! {
    /// Outputs `start..`, summed over the pieces: long dot products, two at a time. For arrays
    /// with a short last axis.
    pub(crate) unsafe fn rows<T: Small>(
        pieces: &[Piece<'_, T, RowDigits>],
        start: usize,
        out: &mut [Fq],
    ) {
        const WIDTH: usize = STEPS * LANES;
        let planes = const { planes::<T>() };
        let mut pair = [[Line::ZERO; STEPS]; 2];
        let mut sums = vec![[Sums::default(); GROUP]; planes];
        for (output, out) in (start..).step_by(GROUP).zip(out.chunks_mut(GROUP)) {
            sums.fill([Sums::default(); GROUP]);
            let mut used = 1;
            // Rows of one piece one after the other, as they lie in memory.
            let slots = (0..out.len()).step_by(2);
            for ((m, range, digits), slot) in
                pieces.iter().flat_map(|piece| slots.clone().map(move |slot| (piece, slot)))
            {
                let output = output + slot;
                let count = (out.len() - slot).min(2);
                for from in (0..range.len()).step_by(WIDTH) {
                    let width = WIDTH.min(range.len() - from);
                    let steps = width.div_ceil(LANES);
                    let row = |k: usize| {
                        let output = output + k.min(count - 1);
                        let (o, i) = (output / m.inner, output % m.inner);
                        &m.data[(o * m.n + range.start + from) * m.inner + i..]
                    };
                    if m.inner == 1
                        && width.is_multiple_of(LANES)
                        && let (Some(x), Some(y)) = (digits_of(row(0)), digits_of(row(1)))
                    {
                        // Read where they are.
                        let rows = [x, y].map(|x| x[..width].as_ptr());
                        let [first, second] = two(&mut sums[0], slot);
                        for ((digits, x), y) in digits.0.iter().zip(first).zip(second) {
                            let digits = &digits[from / LANES..][..steps];
                            unsafe { row_pair(rows, digits, [x, y], 2 * m.n) };
                        }
                        continue;
                    }
                    for (plane, sums) in sums.iter_mut().enumerate() {
                        let mut found = Found::default();
                        for (k, copy) in pair[..count].iter_mut().enumerate() {
                            let x = row(k);
                            let copy = entries(&mut copy[..steps]);
                            found |= if m.inner == 1 {
                                copy_plane(copy, plane, x[..width].iter().copied())
                            } else {
                                let x = x.iter().step_by(m.inner).take(width);
                                copy_plane(copy, plane, x.copied())
                            };
                            copy[width..].fill(0);
                        }
                        if found.digits {
                            used = used.max(plane + 1);
                            let rows = pair.each_ref().map(|row| row.as_ptr().cast());
                            let [first, second] = two(sums, slot);
                            for ((digits, x), y) in digits.0.iter().zip(first).zip(second) {
                                let digits = &digits[from / LANES..][..steps];
                                unsafe { row_pair(rows, digits, [x, y], 0) };
                            }
                        }
                        if !found.higher {
                            break;
                        }
                    }
                }
            }
            for (group, out) in out.chunks_mut(EIGHT).enumerate() {
                unsafe {
                    let mut tables = [[_mm512_setzero_si512(); 2 * PADDED]; MAX_PLANES];
                    for (table, sums) in tables[..used].iter_mut().zip(&sums) {
                        *table = by_digit(&sums[EIGHT * group..]);
                    }
                    finish(out, used, |plane, k| tables[plane][k / HALF * PADDED + k % HALF]);
                }
            }
        }
    }
}
