//! Small-integer arrays against field vectors: the pass over a model's weights.

#[cfg(target_arch = "x86_64")]
use crate::affine::fits;
#[cfg(target_arch = "x86_64")]
use crate::avx2;
use crate::buffers::take;
#[cfg(target_arch = "x86_64")]
use crate::digits::{self, ColumnDigits, has_one_digit};
use crate::field::{Fq, Limbs};
#[cfg(target_arch = "x86_64")]
use crate::ifma;
use crate::parallel::{for_parts, row_parts};
use crate::small::{Small, Tensor};
use rayon::prelude::*;
#[cfg(target_arch = "x86_64")]
use std::borrow::Cow;
use std::ops::Range;

/// Outputs that accumulate side by side (64 bytes each).
const BLOCK: usize = 512;
/// Steps of the bound axis between two loads of an accumulator.
const UNROLL: usize = 8;
/// From so many outputs, and products an output in rows, it pays to cut the vector into digits.
#[cfg(target_arch = "x86_64")]
const MANY: usize = 16;
#[cfg(target_arch = "x86_64")]
const LONG: usize = 32;
/// Outputs of one row that a task with AVX2 handles.
#[cfg(target_arch = "x86_64")]
const AVX2_COLUMNS: usize = 8 * avx2::TILE;
/// Rows up to this length are summed with AVX2 also where there is AVX-512.
#[cfg(target_arch = "x86_64")]
const BRIEF: usize = 64;
/// Last axes below this length are handled as rows.
#[cfg(target_arch = "x86_64")]
const SHORT: usize = 32;

/// `out[o, i] = sum_j m[o, j, i] v[j]`; `m.data.len()` is `outer * m.n * m.inner`.
pub fn contract<T: Small>(m: Tensor<'_, T>, outer: usize, v: &[Fq]) -> Vec<Fq> {
    contract_sum(&[m], outer, v)
}

/// `out[o, i] = sum_k sum_j m_k[o, j, i] v_k[j]`, where `v` is all `v_k` one after the other.
///
/// As [`contract`] of what the arrays are side by side along their bound axes. They have one
/// `inner`; `data.len()` of each is `outer * n * inner`.
pub fn contract_sum<T: Small>(parts: &[Tensor<'_, T>], outer: usize, v: &[Fq]) -> Vec<Fq> {
    let inner = parts.first().map_or(0, |m| m.inner);
    debug_assert!(parts.iter().all(|m| m.inner == inner));
    debug_assert!(parts.iter().all(|m| m.data.len() == outer * m.n * inner));
    debug_assert_eq!(parts.iter().map(|m| m.n).sum::<usize>(), v.len());
    let outputs = outer * inner;
    if outputs == 0 || v.is_empty() {
        return vec![Fq::ZERO; outputs];
    }
    // Few outputs leave threads idle: cut the bound axis as well.
    let threads = rayon::current_num_threads();
    let blocks = outputs.div_ceil(BLOCK);
    let cuts = match outputs * v.len() {
        0..=0xffff => 1,
        _ if threads == 1 || blocks >= 4 * threads => 1,
        size => (4 * threads)
            .div_ceil(blocks)
            .min(size >> 14)
            .clamp(1, v.len()),
    };
    let step = v.len().div_ceil(cuts);
    let ranges: Vec<_> = (0..v.len())
        .step_by(step)
        .map(|start| pieces(parts, v, start..v.len().min(start + step)))
        .collect();
    let mut partial: Vec<Vec<Fq>> = if let [pieces] = &ranges[..] {
        vec![contract_pieces(pieces, outputs)]
    } else {
        ranges
            .par_iter()
            .map(|pieces| contract_pieces(pieces, outputs))
            .collect()
    };
    let mut total = partial.pop().unwrap_or_default();
    for part in &partial {
        for (t, p) in total.iter_mut().zip(part) {
            *t += *p;
        }
    }
    total
}

/// Some steps `range` of the bound axis of an array, and what weighs them.
struct Piece<'a, T> {
    m: Tensor<'a, T>,
    range: Range<usize>,
    v: &'a [Fq],
}

/// What a range of the bound axes, one after the other, is made of.
fn pieces<'a, T: Small>(
    parts: &[Tensor<'a, T>],
    v: &'a [Fq],
    range: Range<usize>,
) -> Vec<Piece<'a, T>> {
    let mut out = Vec::new();
    let mut at = 0;
    for m in parts {
        let (first, last) = (range.start.max(at), range.end.min(at + m.n));
        if first < last {
            out.push(Piece {
                m: *m,
                range: first - at..last - at,
                v: &v[first..last],
            });
        }
        at += m.n;
    }
    out
}

/// The sums over some pieces.
fn contract_pieces<T: Small>(pieces: &[Piece<'_, T>], outputs: usize) -> Vec<Fq> {
    let inner = pieces[0].m.inner;
    let length: usize = pieces.iter().map(|p| p.v.len()).sum();
    let mut out = take(outputs);
    #[cfg(target_arch = "x86_64")]
    if avx2_pays::<T>((outputs, inner), length, pieces.len()) {
        // SAFETY: the machine has the instructions, in both of the calls.
        let digits = columns_of(pieces, |v| unsafe { avx2::column_digits(v) });
        let pieces = with_digits(pieces, &digits);
        for_avx2_parts(&mut out, (length, inner), |start, part| unsafe {
            avx2::contract(&pieces, start, part);
        });
        return out;
    }
    #[cfg(target_arch = "x86_64")]
    if ifma::available() && outputs >= MANY && length >= long(inner, pieces.len()) {
        // SAFETY: the machine has the instructions, in each of the calls.
        let narrow = inner == ifma::NARROW && has_one_digit::<T>();
        if inner < SHORT && !narrow {
            let digits: Vec<_> = pieces
                .iter()
                .map(|p| unsafe { ifma::RowDigits::new(p.v) })
                .collect();
            let pieces = with_digits(pieces, &digits);
            for_parts(&mut out, rows_of(length, outputs), |start, part| unsafe {
                ifma::rows(&pieces, start, part);
            });
        } else {
            let digits = columns_of(pieces, |v| unsafe { ifma::column_digits(v) });
            let pieces = with_digits(pieces, &digits);
            for_parts(&mut out, ifma::COLUMNS, |start, part| {
                let whole = |at, part: &mut [Fq]| unsafe { ifma::columns(&pieces, at, part) };
                if narrow {
                    whole((start / inner, 0), part);
                } else {
                    for_row_parts(start, inner, part, whole);
                }
            });
        }
        return out;
    }
    #[cfg(target_arch = "x86_64")]
    if length >= LONG * pieces.len() {
        let fast = ifma::available() && (T::BITS <= 32 || pieces.iter().all(|p| fits(p.m.data)));
        if fast || avx2::available() {
            // A caller handles little work alone.
            let each = if outputs * length <= crate::parallel::ALONE {
                outputs
            } else {
                1
            };
            for_parts(&mut out, each, |start, part| {
                for (k, out) in part.iter_mut().enumerate() {
                    let weigh = |p: &Piece<'_, T>| {
                        let x = row_of(p, start + k);
                        // SAFETY: the machine has the instructions.
                        match fast {
                            true => unsafe { ifma::weigh(&x, p.v) },
                            false => unsafe { avx2::weigh(&x, p.v) },
                        }
                    };
                    *out = pieces.iter().map(weigh).sum();
                }
            });
            return out;
        }
    }
    // At least 2^14 products a task, at most BLOCK outputs.
    let chunk = ((1 << 14) / length).clamp(1, BLOCK);
    let mut all = Columns::ZERO;
    for v in pieces.iter().flat_map(|p| p.v) {
        all.add(1, v.montgomery());
    }
    let correction = all.reduce() * Fq::from_u64(T::BIAS);
    for_parts(&mut out, chunk, |start, part| {
        part.fill(-correction);
        for p in pieces {
            if inner == 1 {
                rows(p, start, part);
            } else {
                for_row_parts(start, inner, part, |at, part| columns(p, at, part));
            }
        }
    });
    out
}

/// [`contract`] of each of several arrays with one vector, one after the other.
///
/// They have one shape; `data.len()` of each is `outer * n * inner`.
pub fn contract_each<T: Small>(arrays: &[Tensor<'_, T>], outer: usize, v: &[Fq]) -> Vec<Fq> {
    let inner = arrays.first().map_or(0, |m| m.inner);
    let outputs = outer * inner;
    debug_assert!(arrays.iter().all(|m| m.inner == inner && m.n == v.len()));
    debug_assert!(arrays.iter().all(|m| m.data.len() == outputs * v.len()));
    let mut out = take(arrays.len() * outputs);
    #[cfg(target_arch = "x86_64")]
    if avx2_pays::<T>((outputs, inner), v.len(), 1) {
        // SAFETY: the machine has the instructions, in both of the calls.
        let digits = unsafe { avx2::column_digits(v) };
        for_avx2_parts(&mut out, (v.len(), inner), |start, part| {
            for_row_parts(start, outputs, part, |(k, first), part| unsafe {
                avx2::contract(&[(arrays[k], 0..v.len(), &digits)], first, part);
            });
        });
        return out;
    }
    #[cfg(target_arch = "x86_64")]
    if ifma::available() && outputs >= MANY && v.len() >= long(inner, 1) {
        // SAFETY: the machine has the instructions, in each of the calls.
        if inner < SHORT {
            let digits = unsafe { ifma::RowDigits::new(v) };
            for_parts(&mut out, rows_of(v.len(), outputs), |start, part| {
                for_row_parts(start, outputs, part, |(k, first), part| unsafe {
                    ifma::rows(&[(arrays[k], 0..v.len(), &digits)], first, part);
                });
            });
        } else {
            let digits = unsafe { ifma::column_digits(v) };
            for_parts(&mut out, ifma::COLUMNS, |start, part| {
                for_row_parts(start, inner, part, |(row, column), part| unsafe {
                    let piece = (arrays[row / outer], 0..v.len(), &digits);
                    ifma::columns(&[piece], (row % outer, column), part);
                });
            });
        }
        return out;
    }
    if outputs > 0 {
        for (out, m) in out.chunks_mut(outputs).zip(arrays) {
            out.copy_from_slice(&contract(*m, outer, v));
        }
    }
    out
}

/// The digits of every piece's vector for columns.
#[cfg(target_arch = "x86_64")]
fn columns_of<T>(
    pieces: &[Piece<'_, T>],
    digits: impl Fn(&[Fq]) -> ColumnDigits,
) -> Vec<ColumnDigits> {
    pieces.iter().map(|p| digits(p.v)).collect()
}

/// Pieces with the digits of their vectors.
#[cfg(target_arch = "x86_64")]
fn with_digits<'a, T: Small, D>(
    pieces: &[Piece<'a, T>],
    digits: &'a [D],
) -> Vec<digits::Piece<'a, T, D>> {
    let pieces = pieces.iter().zip(digits);
    pieces.map(|(p, d)| (p.m, p.range.clone(), d)).collect()
}

/// The integers of a piece that one output is a sum of, side by side.
#[cfg(target_arch = "x86_64")]
fn row_of<'a, T: Small>(p: &Piece<'a, T>, output: usize) -> Cow<'a, [T]> {
    let (o, i) = (output / p.m.inner, output % p.m.inner);
    let x = &p.m.data[(o * p.m.n + p.range.start) * p.m.inner + i..];
    match p.m.inner {
        1 => x[..p.v.len()].into(),
        inner => x.iter().step_by(inner).take(p.v.len()).copied().collect(),
    }
}

/// Whether AVX2 is the fastest way to so many outputs, from so many products in so many arrays.
///
/// Sums of 2^28 products do not fit. AVX-512's kernel for rows has lanes to add up at the end
/// of each, so that short ones are left to this.
#[cfg(target_arch = "x86_64")]
fn avx2_pays<T: Small>((outputs, inner): (usize, usize), length: usize, arrays: usize) -> bool {
    let lengths = long(inner, arrays).max(LONG / 2)..1 << 28;
    let narrow = inner == ifma::NARROW && has_one_digit::<T>();
    let brief = inner < SHORT && !narrow && length <= BRIEF * arrays;
    let chosen = avx2::available() && (brief || !ifma::available());
    chosen && outputs >= MANY && lengths.contains(&length)
}

/// Calls `f(start, part)` for parts of outputs of so many products each; where the last axis is
/// not shorter than a tile, of parts of rows.
#[cfg(target_arch = "x86_64")]
fn for_avx2_parts(
    out: &mut [Fq],
    (length, inner): (usize, usize),
    f: impl Fn(usize, &mut [Fq]) + Sync,
) {
    if inner < avx2::TILE {
        let rows = rows_of(length, out.len()).next_multiple_of(avx2::TILE);
        return for_parts(out, rows, f);
    }
    for_parts(out, AVX2_COLUMNS, |start, part| {
        for_row_parts(start, inner, part, |(o, column), part| {
            f(o * inner + column, part);
        });
    });
}

/// Outputs of rows of so many products that a task handles.
#[cfg(target_arch = "x86_64")]
fn rows_of(length: usize, outputs: usize) -> usize {
    let fewest = if outputs < 512 { 8 } else { 64 };
    ((1 << 16) / length).max(fewest).next_multiple_of(8)
}

/// From so many products an output on, of so many arrays, it pays to cut vectors into digits.
#[cfg(target_arch = "x86_64")]
fn long(inner: usize, arrays: usize) -> usize {
    if inner < SHORT {
        LONG * arrays.min(2)
    } else {
        LONG / 6
    }
}

/// Cuts outputs `start..` by rows of the output: `f((o, first i), outputs)`.
fn for_row_parts(
    start: usize,
    inner: usize,
    out: &mut [Fq],
    mut f: impl FnMut((usize, usize), &mut [Fq]),
) {
    let range = start..start + out.len();
    let mut rest = out;
    for (o, columns) in row_parts(range, inner) {
        let (now, later) = rest.split_at_mut(columns.len());
        rest = later;
        f((o, columns.start), now);
    }
}

/// A sum of products of biased integers with the Montgomery limbs of elements.
///
/// Integers have up to 64 bits; those of the high half are summed apart, so that 2^32 products
/// of 96 bits fit each 128-bit column.
#[derive(Copy, Clone)]
pub(crate) struct Columns([u128; 4]);

impl Columns {
    pub(crate) const ZERO: Self = Self([0; 4]);

    #[inline(always)]
    pub(crate) fn add(&mut self, x: u64, v: &Limbs) {
        for (sum, limb) in self.0.iter_mut().zip(v) {
            *sum += x as u128 * *limb as u128;
        }
    }

    pub(crate) fn reduce(&self) -> Fq {
        let c = self.0;
        let mut limbs = [c[0] as u64, 0, 0, 0];
        let mut carry = c[0] >> 64;
        for (limb, column) in limbs[1..].iter_mut().zip(&c[1..]) {
            // Both are below 2^127: integers have 32 bits and there are fewer than 2^31 terms.
            let sum = column + carry;
            *limb = sum as u64;
            carry = sum >> 64;
        }
        Fq::from_montgomery_overflow(limbs, carry as u64)
    }
}

#[inline(always)]
fn halves<T: Small>(x: T) -> (u64, u64) {
    let x = x.biased();
    if T::BITS <= 32 {
        (x, 0)
    } else {
        (x & 0xffff_ffff, x >> 32)
    }
}

#[inline(always)]
fn total<T: Small>(low: &Columns, high: &Columns) -> Fq {
    if T::BITS <= 32 {
        low.reduce()
    } else {
        low.reduce() + high.reduce() * Fq::from_u64(1 << 32)
    }
}

/// Adds to outputs `start..` of an array with `inner = 1`: long dot products.
fn rows<T: Small>(p: &Piece<'_, T>, start: usize, out: &mut [Fq]) {
    for (o, row) in out.iter_mut().zip(start..) {
        let from = row * p.m.n + p.range.start;
        let (mut low, mut high) = (Columns::ZERO, Columns::ZERO);
        for (x, v) in p.m.data[from..from + p.v.len()].iter().zip(p.v) {
            let (l, h) = halves(*x);
            low.add(l, v.montgomery());
            if T::BITS > 32 {
                high.add(h, v.montgomery());
            }
        }
        *o += total::<T>(&low, &high);
    }
}

/// Adds to outputs of one `o`, from column `column` on: accumulators side by side, `UNROLL` steps
/// at a time.
fn columns<T: Small>(p: &Piece<'_, T>, (o, column): (usize, usize), out: &mut [Fq]) {
    let m = p.m;
    let mut sums = vec![(Columns::ZERO, Columns::ZERO); out.len()];
    for (k, v) in p.v.chunks(UNROLL).enumerate() {
        let from = (o * m.n + p.range.start + k * UNROLL) * m.inner + column;
        for (i, (low, high)) in sums.iter_mut().enumerate() {
            for (j, v) in v.iter().enumerate() {
                let (l, h) = halves(m.data[from + j * m.inner + i]);
                low.add(l, v.montgomery());
                if T::BITS > 32 {
                    high.add(h, v.montgomery());
                }
            }
        }
    }
    for (o, (low, high)) in out.iter_mut().zip(&sums) {
        *o += total::<T>(low, high);
    }
}
