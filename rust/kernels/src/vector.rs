//! Element-wise operations on vectors.

use crate::affine::affine;
use crate::buffers::take;
use crate::field::Fq;
use crate::parallel::{ALONE, CHUNK, for_light_parts, row_parts, sum_parts};
use crate::small::Small;
#[cfg(target_arch = "x86_64")]
use crate::{avx2, ifma};
use std::ops::Range;

/// The elements of small integers.
pub fn from_small<T: Small>(values: &[T]) -> Vec<Fq> {
    let mut out = take(values.len());
    for_light_parts(&mut out, CHUNK, |start, part| {
        let values = &values[start..start + part.len()];
        affine(part, Fq::ZERO, (values, Fq::ONE), None::<(&[i8], Fq)>);
    });
    out
}

/// `f(a_i, b_i)` for vectors of one length.
fn zip(a: &[Fq], b: &[Fq], f: impl Fn(Fq, Fq) -> Fq + Sync) -> Vec<Fq> {
    debug_assert_eq!(a.len(), b.len());
    let mut out = take(a.len());
    for_light_parts(&mut out, CHUNK, |start, part| {
        for ((o, a), b) in part.iter_mut().zip(&a[start..]).zip(&b[start..]) {
            *o = f(*a, *b);
        }
    });
    out
}

/// `a + b`.
pub fn add(a: &[Fq], b: &[Fq]) -> Vec<Fq> {
    zip(a, b, |a, b| a + b)
}

/// `a - b`.
pub fn sub(a: &[Fq], b: &[Fq]) -> Vec<Fq> {
    zip(a, b, |a, b| a - b)
}

/// `a_i b_i`.
pub fn mul(a: &[Fq], b: &[Fq]) -> Vec<Fq> {
    debug_assert_eq!(a.len(), b.len());
    let mut out = take(a.len());
    for_light_parts(&mut out, CHUNK, |start, part| {
        let range = start..start + part.len();
        mul_into(part, &a[range.clone()], &b[range]);
    });
    out
}

/// `a_i b_i`, for slices of one length.
pub(crate) fn mul_into(out: &mut [Fq], a: &[Fq], b: &[Fq]) {
    #[cfg(target_arch = "x86_64")]
    if ifma::available() {
        // SAFETY: the machine has the instructions.
        return unsafe { ifma::mul(out, a, b) };
    } else if avx2::available() {
        // SAFETY: likewise.
        return unsafe { avx2::mul(out, a, b) };
    }
    portable::mul(out, a, b);
}

/// `s a`.
pub fn scale(a: &[Fq], s: Fq) -> Vec<Fq> {
    outer(&[s], a)
}

/// Right sides of outer products below this length are repeated to fill the vector lanes.
const SHORT: usize = 16;

/// [`outer`] for a few `b`: products of whole parts instead of a call for each row.
fn outer_short(a: &[Fq], b: &[Fq]) -> Vec<Fq> {
    if let [b] = b {
        return scale(a, *b);
    }
    let mut out = take(a.len() * b.len());
    for_light_parts(&mut out, CHUNK, |start, part| {
        let (mut left, mut right) = (
            Vec::with_capacity(part.len()),
            Vec::with_capacity(part.len()),
        );
        for (row, columns) in row_parts(start..start + part.len(), b.len()) {
            left.extend(std::iter::repeat_n(a[row], columns.len()));
            right.extend_from_slice(&b[columns]);
        }
        mul_into(part, &left, &right);
    });
    out
}

/// `out[i len(b) + j] = a_i b_j`.
pub fn outer(a: &[Fq], b: &[Fq]) -> Vec<Fq> {
    if b.len() < SHORT && a.len() > 1 {
        return outer_short(a, b);
    }
    let mut out = take(a.len() * b.len());
    for_light_parts(&mut out, CHUNK, |start, part| {
        let range = start..start + part.len();
        let mut rest = part;
        for (row, columns) in row_parts(range, b.len()) {
            let (now, later) = rest.split_at_mut(columns.len());
            scale_into(now, a[row], &b[columns]);
            rest = later;
        }
    });
    out
}

/// `out = s b`.
pub(crate) fn scale_into(out: &mut [Fq], s: Fq, b: &[Fq]) {
    #[cfg(target_arch = "x86_64")]
    if ifma::available() {
        // SAFETY: the machine has the instructions.
        return unsafe { ifma::scale(out, s, b) };
    } else if avx2::available() {
        // SAFETY: likewise.
        return unsafe { avx2::scale(out, s, b) };
    }
    portable::scale(out, s, b);
}

/// `sum_k c_k v_k`; shorter vectors count as padded with zeros.
pub fn lincomb(vectors: &[&[Fq]], coefficients: &[Fq]) -> Vec<Fq> {
    let n = vectors.iter().map(|v| v.len()).max().unwrap_or(0);
    let mut out = take(n);
    for_light_parts(&mut out, CHUNK, |start, part| {
        #[cfg(target_arch = "x86_64")]
        if ifma::available() {
            // SAFETY: the machine has the instructions.
            return unsafe { ifma::lincomb(part, vectors, coefficients, start) };
        } else if avx2::available() {
            // SAFETY: likewise.
            return unsafe { avx2::lincomb(part, vectors, coefficients, start) };
        }
        portable::lincomb(part, vectors, coefficients, start);
    });
    out
}

/// `sum_i a_i b_i`.
pub fn dot(a: &[Fq], b: &[Fq]) -> Fq {
    debug_assert_eq!(a.len(), b.len());
    let part = |range: Range<usize>| {
        let (a, b) = (&a[range.clone()], &b[range]);
        #[cfg(target_arch = "x86_64")]
        if ifma::available() {
            // SAFETY: the machine has the instructions.
            return unsafe { ifma::dot(a, b) };
        } else if avx2::available() {
            // SAFETY: likewise.
            return unsafe { avx2::dot(a, b) };
        }
        portable::dot(a, b)
    };
    sum_parts(a.len(), ALONE, Fq::ZERO, part, |a, b| a + b)
}

/// Inclusive prefix sums.
pub fn cumsum(a: &[Fq]) -> Vec<Fq> {
    let mut total = Fq::ZERO;
    a.iter()
        .map(|x| {
            total += *x;
            total
        })
        .collect()
}

/// `a[index_i]`, or `None` where an index is out of range.
pub fn gather(a: &[Fq], index: &[i64]) -> Option<Vec<Fq>> {
    if index.iter().any(|&i| i < 0 || i as usize >= a.len()) {
        return None;
    }
    let mut out = take(index.len());
    for_light_parts(&mut out, CHUNK, |start, part| {
        for (o, &i) in part.iter_mut().zip(&index[start..]) {
            *o = a[i as usize];
        }
    });
    Some(out)
}

/// First `n` entries of `out[i] = prod_j (p_j if bit j of i else 1 - p_j)`.
pub fn eq(point: &[Fq], n: usize) -> Vec<Fq> {
    // Two short tables whose outer product is the long one: it is written once, in order.
    let split = point.len().min(11);
    let (low_point, high_point) = point.split_at(split);
    let low = eq_by_doubling(low_point, n);
    if high_point.is_empty() || n == 0 {
        return low;
    }
    let high = eq_by_doubling(high_point, n.div_ceil(low.len()));
    let mut out = take(n);
    for_light_parts(&mut out, low.len(), |start, part| {
        scale_into(part, high[start / low.len()], &low[..part.len()]);
    });
    out
}

fn eq_by_doubling(point: &[Fq], n: usize) -> Vec<Fq> {
    let mut out = Vec::with_capacity(n.min(1 << point.len()));
    if n > 0 {
        out.push(Fq::ONE);
    }
    for p in point {
        let half = out.len();
        let present = half.min(n - half);
        out.resize(half + half, Fq::ZERO);
        let (low, high) = out.split_at_mut(half);
        scale_into(high, *p, low);
        for (low, high) in low.iter_mut().zip(high) {
            *low -= *high;
        }
        out.truncate(half + present);
    }
    out
}

/// The kernels without vector instructions.
pub(crate) mod portable {
    use crate::field::{Fq, Wide};

    pub(crate) fn mul(out: &mut [Fq], a: &[Fq], b: &[Fq]) {
        for ((o, a), b) in out.iter_mut().zip(a).zip(b) {
            *o = *a * *b;
        }
    }

    pub(crate) fn scale(out: &mut [Fq], s: Fq, b: &[Fq]) {
        for (o, b) in out.iter_mut().zip(b) {
            *o = s * *b;
        }
    }

    pub(crate) fn dot(a: &[Fq], b: &[Fq]) -> Fq {
        let mut sum = Wide::ZERO;
        for (a, b) in a.iter().zip(b) {
            sum.add_product(a, b);
        }
        sum.reduce()
    }

    pub(crate) fn lincomb(out: &mut [Fq], vectors: &[&[Fq]], coefficients: &[Fq], start: usize) {
        for (i, o) in (start..).zip(out) {
            let mut sum = Wide::ZERO;
            for (v, c) in vectors.iter().zip(coefficients) {
                if let Some(x) = v.get(i) {
                    sum.add_product(x, c);
                }
            }
            *o = sum.reduce();
        }
    }
}
