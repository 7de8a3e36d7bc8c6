//! The kernels without vector instructions, on slices of whole pairs.

use super::numerators::{Fractions, Weights};
use crate::field::{Fq, Wide};

/// `p0 d1 + p1 d0`.
fn cross(p0: Fq, d0: Fq, p1: Fq, d1: Fq) -> Fq {
    let mut sum = Wide::ZERO;
    sum.add_product(&p0, &d1);
    sum.add_product(&p1, &d0);
    sum.reduce()
}

pub(crate) fn level(out_p: &mut [Fq], out_d: &mut [Fq], p: Option<&[Fq]>, d: &[Fq]) {
    let d = d.as_chunks().0;
    for (o, [d0, d1]) in out_d.iter_mut().zip(d) {
        *o = *d0 * *d1 + *d0 + *d1;
    }
    match p {
        None => {
            for (o, [d0, d1]) in out_p.iter_mut().zip(d) {
                *o = *d0 + *d1 + Fq::ONE.double();
            }
        }
        Some(p) => {
            for ((o, [d0, d1]), [p0, p1]) in out_p.iter_mut().zip(d).zip(p.as_chunks().0) {
                *o = cross(*p0, *d0, *p1, *d1) + *p0 + *p1;
            }
        }
    }
}

/// Numerators and denominators at 0, and leading.
pub(crate) fn round(even: Fractions<'_>, odd: Fractions<'_>, w: &[Fq]) -> [Fq; 4] {
    let mut sums = [Wide::ZERO; 4];
    let [p0, d0, p1, d1] = [even.p, even.d, odd.p, odd.d].map(|x| x.as_chunks::<2>().0);
    for ((((p0, d0), p1), d1), w) in p0.iter().zip(d0).zip(p1).zip(d1).zip(w) {
        let numerator = cross(p0[0], d0[0], p1[0], d1[0]) + p0[0] + p1[0];
        sums[0].add_product(w, &numerator);
        sums[1].add_product(w, &(d0[0] * d1[0] + d0[0] + d1[0]));
        let [p0, d0, p1, d1] = [p0, d0, p1, d1].map(|x| x[1] - x[0]);
        sums[2].add_product(w, &cross(p0, d0, p1, d1));
        sums[3].add_product(w, &(d0 * d1));
    }
    sums.map(|sum| sum.reduce())
}

/// At 0, and leading.
pub(crate) fn round_separable(d0: &[Fq], d1: &[Fq], weights: Weights<'_>) -> [Fq; 2] {
    let mut sums = [Wide::ZERO; 2];
    let [w, u0, u1, v0, v1] = weights.arrays();
    for (i, (d0, d1)) in d0
        .as_chunks::<2>()
        .0
        .iter()
        .zip(d1.as_chunks().0)
        .enumerate()
    {
        let [start0, end0] = *d0;
        let [start1, end1]: [Fq; 2] = *d1;
        sums[0].add_product(&w[i], &(start0 * start1));
        sums[0].add_product(&u1[i], &start0);
        sums[0].add_product(&u0[i], &start1);
        let (slope0, slope1) = (end0 - start0, end1 - start1);
        sums[1].add_product(&w[i], &(slope0 * slope1));
        sums[1].add_product(&v1[i], &slope0);
        sums[1].add_product(&v0[i], &slope1);
    }
    sums.map(|sum| sum.reduce())
}
