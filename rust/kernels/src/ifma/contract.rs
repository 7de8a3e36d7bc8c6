//! Small integers against field elements: 16-bit digits times 10-bit digits.
//!
//! Elements are cut into 26 signed digits of 10 bits, once; integers into signed digits of 16
//! bits, the planes, of which the higher ones are skipped where they are zero. `vpdpwssd` then
//! does 32 products of digits and 16 additions at once, in 32-bit lanes that are emptied into
//! 64-bit ones before they overflow.

use super::digits::{
    ColumnDigits, Found, HALF, LANES, Line, MAX_PLANES, RowDigits, Sums, copy_plane, entries,
    finish, load, planes,
};
use super::lanes::V;
use super::machine::kernel;
use crate::field::Fq;
use crate::small::{Small, Tensor};
use std::arch::x86_64::*;
use std::ops::Range;

/// Steps of the bound axis of an array, and the digits of what weighs them.
pub(crate) type Piece<'a, T, Digits> = (Tensor<'a, T>, Range<usize>, &'a Digits);

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

/// Adds to `sums` the products of two rows of integers, 32 a step, with `K` rows of digits, at
/// most 13.
#[inline(always)]
pub(super) unsafe fn row_pair<const K: usize>(
    [x, y]: [*const i16; 2],
    digits: &[[Line; K]],
    [sums0, sums1]: [&mut [i64; 16]; 2],
) {
    unsafe {
        let mut first = [_mm512_setzero_si512(); K];
        let mut second = first;
        for (step, digits) in digits.iter().enumerate() {
            let at = |row: *const i16| _mm512_loadu_si512(row.add(step * LANES).cast());
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

/// Whether integers of a type are their own only digit: `i16`.
pub(crate) const fn has_one_digit<T: Small>() -> bool {
    T::BITS == 16 && T::BIAS == 1 << 15
}

/// Integers that are their own only digit, seen as such.
#[inline(always)]
fn digits_of<T: Small>(x: &[T]) -> Option<&[i16]> {
    // SAFETY: the type is `i16`.
    has_one_digit::<T>().then(|| unsafe { std::slice::from_raw_parts(x.as_ptr().cast(), x.len()) })
}

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

/// Outputs that are finished together.
const EIGHT: usize = 8;

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
                    if m.inner == 1 && width % LANES == 0 {
                        if let (Some(x), Some(y)) = (digits_of(row(0)), digits_of(row(1))) {
                            // Read where they are.
                            let rows = [x, y].map(|x| x[..width].as_ptr());
                            let [first, second] = two(&mut sums[0], slot);
                            for ((digits, x), y) in digits.0.iter().zip(first).zip(second) {
                                let digits = &digits[from / LANES..][..steps];
                                unsafe { row_pair(rows, digits, [x, y]) };
                            }
                            continue;
                        }
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
                                unsafe { row_pair(rows, digits, [x, y]) };
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

    /// The same where the last axis is long: up to [`COLUMNS`] outputs of one `o`, side by side,
    /// the first of them `column`. Where it is [`NARROW`], and integers have one digit, up to as
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
