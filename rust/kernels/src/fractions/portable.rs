//! The kernels without vector instructions, on slices of one length.

use crate::field::{Fq, Wide};

/// `p0 q1 + p1 q0`.
fn cross(p0: Fq, q0: Fq, p1: Fq, q1: Fq) -> Fq {
    let mut sum = Wide::ZERO;
    sum.add_product(&p0, &q1);
    sum.add_product(&p1, &q0);
    sum.reduce()
}

pub(crate) fn join(out: [&mut [Fq]; 2], p: Option<[&[Fq]; 2]>, q: [&[Fq]; 2]) {
    let [out_p, out_q] = out;
    for i in 0..out_q.len() {
        let (q0, q1) = (q[0][i], q[1][i]);
        out_p[i] = p.map_or_else(|| q0 + q1, |p| cross(p[0][i], q0, p[1][i], q1));
        out_q[i] = q0 * q1;
    }
}

pub(crate) fn lerp(out: &mut [Fq], [low, high]: [&[Fq]; 2], r: Fq) {
    for ((o, a), b) in out.iter_mut().zip(low).zip(high) {
        *o = *a + r * (*b - *a);
    }
}

pub(crate) fn fold(low: &mut [Fq], high: &[Fq], r: Fq) {
    for (a, b) in low.iter_mut().zip(high) {
        *a += r * (*b - *a);
    }
}

pub(crate) fn lerp_batched(
    out: [&mut [Fq]; 2],
    p: [&[Fq]; 2],
    q: [&[Fq]; 2],
    lam: Fq,
    r: Fq,
    half: Fq,
) {
    let [out_p, out_q] = out;
    lerp(out_p, p, r);
    lerp(out_q, q, r);
    for (p, q) in out_p.iter_mut().zip(out_q) {
        *p = lam * *p + half * *q;
    }
}

/// Slopes of entry `i` of (low 0, high 0, low 1, high 1).
fn slopes(a: [&[Fq]; 4], i: usize) -> [Fq; 2] {
    [a[1][i] - a[0][i], a[3][i] - a[2][i]]
}

pub(crate) fn leading(p: [&[Fq]; 4], q: [&[Fq]; 4], w: &[Fq]) -> [Fq; 2] {
    let mut sums = [Wide::ZERO; 2];
    for (i, w) in w.iter().enumerate() {
        let ([p0, p1], [q0, q1]) = (slopes(p, i), slopes(q, i));
        sums[0].add_product(w, &cross(p0, q0, p1, q1));
        sums[1].add_product(w, &(q0 * q1));
    }
    sums.map(|sum| sum.reduce())
}

pub(crate) fn round(p: [&[Fq]; 4], q: [&[Fq]; 4], w: &[Fq]) -> [Fq; 2] {
    let mut sums = [Wide::ZERO; 2];
    for (i, w) in w.iter().enumerate() {
        let ([p0, p1], [q0, q1]) = (slopes(p, i), slopes(q, i));
        sums[0].add_product(w, &cross(p[0][i], q[0][i], p[2][i], q[2][i]));
        sums[1].add_product(w, &cross(p0, q0, p1, q1));
    }
    sums.map(|sum| sum.reduce())
}

pub(crate) fn round_shifted(q: [&[Fq]; 4], shifts: [Fq; 4], w: &[Fq]) -> [Fq; 2] {
    let mut sums = [Wide::ZERO; 2];
    let [x0, x1, s0, s1] = shifts;
    for (i, w) in w.iter().enumerate() {
        let [q0, q1] = slopes(q, i);
        sums[0].add_product(w, &((q[0][i] + x0) * (q[2][i] + x1)));
        sums[1].add_product(w, &((q0 + s0) * (q1 + s1)));
    }
    sums.map(|sum| sum.reduce())
}
