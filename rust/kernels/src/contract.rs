//! Small-integer arrays against field vectors: the pass over a model's weights.

#[cfg(target_arch = "x86_64")]
use crate::affine::fits;
use crate::buffers::take;
use crate::field::{Fq, Limbs};
#[cfg(target_arch = "x86_64")]
use crate::ifma;
use crate::parallel::{for_parts, row_parts};
use crate::small::{Small, Tensor};
use rayon::prelude::*;
use std::ops::Range;

/// Outputs that accumulate side by side (64 bytes each).
const BLOCK: usize = 512;
/// Steps of the bound axis between two loads of an accumulator.
const UNROLL: usize = 8;
/// From so many outputs and products an output on, it pays to cut the vector into digits.
#[cfg(target_arch = "x86_64")]
const MANY: usize = 16;
#[cfg(target_arch = "x86_64")]
const LONG: usize = 32;

/// `out[o, i] = sum_j m[o, j, i] v[j]`; `m.data.len()` is `outer * m.n * m.inner`.
pub fn contract<T: Small>(m: Tensor<'_, T>, outer: usize, v: &[Fq]) -> Vec<Fq> {
    debug_assert_eq!(v.len(), m.n);
    debug_assert_eq!(m.data.len(), outer * m.n * m.inner);
    let outputs = outer * m.inner;
    if outputs == 0 || m.n == 0 {
        return vec![Fq::ZERO; outputs];
    }
    // Few outputs leave threads idle: cut the bound axis as well.
    let threads = rayon::current_num_threads();
    let blocks = outputs.div_ceil(BLOCK);
    let cuts = match m.data.len() {
        0..=0xffff => 1,
        _ if threads == 1 || blocks >= 4 * threads => 1,
        size => (4 * threads).div_ceil(blocks).min(size >> 14).clamp(1, m.n),
    };
    let step = m.n.div_ceil(cuts);
    let ranges: Vec<_> = (0..m.n)
        .step_by(step)
        .map(|start| start..m.n.min(start + step))
        .collect();
    let mut partial: Vec<Vec<Fq>> = if ranges.len() == 1 {
        vec![contract_range(m, outputs, v, ranges[0].clone())]
    } else {
        ranges
            .into_par_iter()
            .map(|range| contract_range(m, outputs, v, range))
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

/// The part of the sums whose `j` lies in `range`.
fn contract_range<T: Small>(
    m: Tensor<'_, T>,
    outputs: usize,
    v: &[Fq],
    range: Range<usize>,
) -> Vec<Fq> {
    let v = &v[range.clone()];
    let mut out = take(outputs);
    #[cfg(target_arch = "x86_64")]
    if ifma::available() && outputs >= MANY && range.len() >= LONG {
        // SAFETY: the machine has the instructions, in each of the calls.
        if m.inner < 32 {
            let digits = unsafe { ifma::RowDigits::new(v) };
            let chunk = ((1 << 16) / range.len()).max(8);
            for_parts(&mut out, chunk, |start, part| unsafe {
                ifma::rows(m, range.clone(), &digits, start, part);
            });
        } else {
            let digits = unsafe { ifma::ColumnDigits::new(v) };
            for_parts(&mut out, ifma::COLUMNS, |start, part| {
                for_row_parts(start, m.inner, part, |at, part| unsafe {
                    ifma::columns(m, range.clone(), &digits, at, part);
                });
            });
        }
        return out;
    }
    #[cfg(target_arch = "x86_64")]
    if ifma::available() && range.len() >= LONG && (T::BITS <= 32 || fits(m.data)) {
        for_parts(&mut out, 1, |output, part| {
            let (o, i) = (output / m.inner, output % m.inner);
            let x = &m.data[(o * m.n + range.start) * m.inner + i..];
            let gathered: Vec<T>;
            let x = if m.inner == 1 {
                &x[..v.len()]
            } else {
                gathered = x.iter().step_by(m.inner).take(v.len()).copied().collect();
                &gathered
            };
            // SAFETY: the machine has the instructions.
            part[0] = unsafe { ifma::weigh(x, v) };
        });
        return out;
    }
    // At least 2^14 products a task, at most BLOCK outputs.
    let chunk = ((1 << 14) / range.len()).clamp(1, BLOCK);
    let correction = v.iter().copied().sum::<Fq>() * Fq::from_u64(T::BIAS);
    for_parts(&mut out, chunk, |start, part| {
        if m.inner == 1 {
            rows(m, range.start, v, start, part);
        } else {
            for_row_parts(start, m.inner, part, |at, part| {
                columns(m, range.start, v, at, part);
            });
        }
        for o in part {
            *o -= correction;
        }
    });
    out
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

/// Outputs `start..` of a tensor with `inner = 1`: long dot products.
fn rows<T: Small>(m: Tensor<'_, T>, j0: usize, v: &[Fq], start: usize, out: &mut [Fq]) {
    for (o, row) in out.iter_mut().zip(start..) {
        let from = row * m.n + j0;
        let (mut low, mut high) = (Columns::ZERO, Columns::ZERO);
        for (x, v) in m.data[from..from + v.len()].iter().zip(v) {
            let (l, h) = halves(*x);
            low.add(l, v.montgomery());
            if T::BITS > 32 {
                high.add(h, v.montgomery());
            }
        }
        *o = total::<T>(&low, &high);
    }
}

/// Outputs of one `o`, from column `column` on: accumulators side by side, `UNROLL` steps at a
/// time.
fn columns<T: Small>(
    m: Tensor<'_, T>,
    j0: usize,
    v: &[Fq],
    (o, column): (usize, usize),
    out: &mut [Fq],
) {
    let mut sums = vec![(Columns::ZERO, Columns::ZERO); out.len()];
    for (k, v) in v.chunks(UNROLL).enumerate() {
        let from = (o * m.n + j0 + k * UNROLL) * m.inner + column;
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
        *o = total::<T>(low, high);
    }
}
