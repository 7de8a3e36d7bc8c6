//! Fractional sums: p/q as (p, d) with q = 1 + d, so that zeros stand for the fraction 0/1.

use crate::field::{Fq, Wide};
use crate::parallel::{CHUNK, for_parts, row_parts, sum_parts};
use crate::small::{Small, SmallMultiplier};
use crate::sumcheck::{Pairs, add_each, pair};
use rayon::prelude::*;

/// `out[b, i] = constants[b] - values[b, i] - beta images[b, i]`.
pub fn denominators<T: Small, U: Small>(
    values: &[T],
    images: Option<&[U]>,
    constants: &[Fq],
    beta: Fq,
) -> Vec<Fq> {
    let width = values.len().checked_div(constants.len()).unwrap_or(0);
    let mut out = Fq::zeros(values.len());
    let (minus_one, minus_beta) = (SmallMultiplier::new(-Fq::ONE), SmallMultiplier::new(-beta));
    for_parts(&mut out, CHUNK, |start, part| {
        let range = start..start + part.len();
        let mut rest = part;
        for (row, columns) in row_parts(range, width) {
            let (now, later) = rest.split_at_mut(columns.len());
            rest = later;
            let from = row * width + columns.start;
            for (o, x) in now.iter_mut().zip(&values[from..]) {
                *o = constants[row] + minus_one.times(x.to_i64());
            }
            if let Some(images) = images {
                for (o, x) in now.iter_mut().zip(&images[from..]) {
                    *o += minus_beta.times(x.to_i64());
                }
            }
        }
    });
    out
}

/// `p0 q1 + p1 q0` with `q = 1 + d`.
#[inline(always)]
fn numerator(p0: Fq, d0: Fq, p1: Fq, d1: Fq) -> Fq {
    cross(p0, d0, p1, d1) + p0 + p1
}

/// `p0 d1 + p1 d0`.
#[inline(always)]
fn cross(p0: Fq, d0: Fq, p1: Fq, d1: Fq) -> Fq {
    let mut sum = Wide::ZERO;
    sum.add_product(&p0, &d1);
    sum.add_product(&p1, &d0);
    sum.reduce()
}

/// Adds neighbours: `(p', d')`; `p = None` stands for numerators 1.
pub fn level(p: Option<&[Fq]>, d: &[Fq], n: usize) -> (Vec<Fq>, Vec<Fq>) {
    let pairs = Pairs::new(d.len(), n);
    let mut out_p = Fq::zeros(pairs.total());
    let mut out_d = Fq::zeros(pairs.total());
    out_p
        .par_chunks_mut(CHUNK)
        .zip(out_d.par_chunks_mut(CHUNK))
        .enumerate()
        .for_each(|(k, (out_p, out_d))| {
            let start = k * CHUNK;
            let mut outs = out_p.iter_mut().zip(out_d);
            for elements in pairs.parts(start..start + outs.len()) {
                let here = elements.start;
                for (i, d) in d[elements].chunks(2).enumerate() {
                    let Some((out_p, out_d)) = outs.next() else {
                        return;
                    };
                    let (d0, d1) = pair(d);
                    *out_d = d0 * d1 + d0 + d1;
                    *out_p = match p {
                        None if d.len() == 1 => Fq::ONE,
                        None => d0 + d1 + Fq::ONE.double(),
                        Some(p) => {
                            let (p0, p1) = pair(&p[here + 2 * i..][..d.len()]);
                            numerator(p0, d0, p1, d1)
                        }
                    };
                }
            }
        });
    (out_p, out_d)
}

/// The fractions of one half: numerators and denominators minus one, of shape (rows, n).
#[derive(Copy, Clone)]
pub struct Fractions<'a> {
    /// Numerators.
    pub p: &'a [Fq],
    /// Denominators minus one.
    pub d: &'a [Fq],
}

/// `(h(0), leading coefficient)` of
/// `h(X) = sum_{o,i} outer[o] inner[i] (lam (p0 (1+d1) + p1 (1+d0)) + d0 + d1 + d0 d1)`.
///
/// All arrays have shape (len(outer), n), and `len(inner) = ceil(n / 2)`.
pub fn round(
    even: Fractions<'_>,
    odd: Fractions<'_>,
    n: usize,
    outer: &[Fq],
    inner: &[Fq],
    lam: Fq,
) -> [Fq; 2] {
    let half = inner.len();
    let part = |range| {
        let mut total = [Fq::ZERO; 2];
        for (o, columns) in row_parts(range, half) {
            let elements = o * n + 2 * columns.start..o * n + n.min(2 * columns.end);
            let [p0, d0, p1, d1] =
                [even.p, even.d, odd.p, odd.d].map(|x| x[elements.clone()].chunks(2));
            // Numerators and denominators apart, at 0 and leading; lam joins them at the end.
            let mut sums = [Wide::ZERO; 4];
            let factors = inner[columns].iter();
            for ((((p0, d0), p1), d1), w) in p0.zip(d0).zip(p1).zip(d1).zip(factors) {
                let [p0, d0, p1, d1] = [pair(p0), pair(d0), pair(p1), pair(d1)];
                sums[0].add_product(w, &numerator(p0.0, d0.0, p1.0, d1.0));
                sums[1].add_product(w, &(d0.0 * d1.0 + d0.0 + d1.0));
                let [p0, d0, p1, d1] = [p0, d0, p1, d1].map(|x| x.1 - x.0);
                sums[2].add_product(w, &cross(p0, d0, p1, d1));
                sums[3].add_product(w, &(d0 * d1));
            }
            let [p_zero, d_zero, p_lead, d_lead] = sums.map(|s| s.reduce());
            let row = [lam * p_zero + d_zero, lam * p_lead + d_lead];
            total = add_each(total, row.map(|x| x * outer[o]));
        }
        total
    };
    sum_parts(outer.len() * half, CHUNK, [Fq::ZERO; 2], part, add_each)
}

/// [`round`] with numerators of shape (n), the same in every row.
pub fn round_separable(
    even: Fractions<'_>,
    odd: Fractions<'_>,
    n: usize,
    outer: &[Fq],
    inner: &[Fq],
    lam: Fq,
) -> [Fq; 2] {
    let half = inner.len();
    // The sum is linear in the numerators, so `lam inner[i] p[i]` is computed once per column:
    // h(0) = sum_o outer[o] (sum_i w d0 d1 + u1 d0 + u0 d1) + sum_o outer[o] sum_i (u0 + u1 - 2w)
    // with u = w + lam w p.
    let columns: Vec<Column> = inner
        .par_iter()
        .zip(even.p.par_chunks(2))
        .zip(odd.p.par_chunks(2))
        .with_min_len(CHUNK)
        .map(|((w, p0), p1)| Column::new(*w, pair(p0), pair(p1), lam))
        .collect();
    let constant: Fq = columns.iter().map(|c| c.u0 + c.u1 - c.w.double()).sum();
    let part = |range| {
        let mut total = [Fq::ZERO; 2];
        for (o, part) in row_parts(range, half) {
            let elements = o * n + 2 * part.start..o * n + n.min(2 * part.end);
            let (d0, d1) = (&even.d[elements.clone()], &odd.d[elements]);
            let mut sums = [Wide::ZERO; 2];
            for ((d0, d1), c) in d0.chunks(2).zip(d1.chunks(2)).zip(&columns[part]) {
                let (d0, d1) = (pair(d0), pair(d1));
                sums[0].add_product(&c.w, &(d0.0 * d1.0));
                sums[0].add_product(&c.u1, &d0.0);
                sums[0].add_product(&c.u0, &d1.0);
                let (d0, d1) = (d0.1 - d0.0, d1.1 - d1.0);
                sums[1].add_product(&c.w, &(d0 * d1));
                sums[1].add_product(&c.v1, &d0);
                sums[1].add_product(&c.v0, &d1);
            }
            total = add_each(total, sums.map(|s| s.reduce() * outer[o]));
        }
        total
    };
    let [at_zero, leading] = sum_parts(outer.len() * half, CHUNK, [Fq::ZERO; 2], part, add_each);
    [at_zero + constant * outer.iter().copied().sum(), leading]
}

/// What a column of [`round_separable`] needs of its numerators: `w = inner[i]`,
/// `u = w (1 + lam p(0))`, `v = lam w (p(1) - p(0))`.
struct Column {
    w: Fq,
    u0: Fq,
    u1: Fq,
    v0: Fq,
    v1: Fq,
}

impl Column {
    fn new(w: Fq, p0: (Fq, Fq), p1: (Fq, Fq), lam: Fq) -> Self {
        let scaled = lam * w;
        Self {
            w,
            u0: w + scaled * p0.0,
            u1: w + scaled * p1.0,
            v0: scaled * (p0.1 - p0.0),
            v1: scaled * (p1.1 - p1.0),
        }
    }
}
