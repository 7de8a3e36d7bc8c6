//! Kernels of fractional sums, on slices of one length.

use super::lanes::{Fe8, Sum8};
use super::machine::kernel;
use super::vector::{eight, put};
use crate::field::{Fq, Order, Wide};

type F8 = Fe8<Order>;

/// Entries between two emptyings of the sums.
const SPAN: usize = 8 * 192;

/// `(p0 q1 + p1 q0, q0 q1)`.
#[inline(always)]
unsafe fn add(p0: F8, q0: F8, p1: F8, q1: F8) -> [F8; 2] {
    unsafe {
        let mut sums = [Sum8::zero(); 2];
        sums[0].add_product(p0, q1);
        sums[0].add_product(p1, q0);
        sums[1].add_product(q0, q1);
        Sum8::reduce_all(sums)
    }
}

/// The sums of two products each.
#[inline(always)]
unsafe fn two(a: [[F8; 4]; 2]) -> [F8; 2] {
    unsafe {
        let mut sums = [Sum8::zero(); 2];
        for (sum, [p0, q0, p1, q1]) in sums.iter_mut().zip(a) {
            sum.add_product(p0, q1);
            sum.add_product(p1, q0);
        }
        Sum8::reduce_all(sums)
    }
}

/// Weighted sums over entries of what `f` gives for a block of eight.
#[inline(always)]
unsafe fn weighted(w: &[Fq], f: impl Fn(usize) -> [F8; 2]) -> [Fq; 2] {
    let mut totals = [Wide::ZERO; 2];
    for (s, w) in w.chunks(SPAN).enumerate() {
        unsafe {
            let mut sums = [Sum8::zero(); 2];
            for k in 0..w.len().div_ceil(8) {
                let weight = eight(w, k);
                let [a, b] = f(s * (SPAN / 8) + k);
                sums[0].add_product(weight, a);
                sums[1].add_product(weight, b);
            }
            for (total, sum) in totals.iter_mut().zip(sums) {
                total.add_wide(&sum.across());
            }
        }
    }
    totals.map(|total| total.reduce())
}

/// Lower halves and slopes of block `k`.
#[inline(always)]
unsafe fn lines(a: [&[Fq]; 4], k: usize) -> ([F8; 2], [F8; 2]) {
    unsafe {
        let (low0, low1) = (eight(a[0], k), eight(a[2], k));
        let slopes = [eight(a[1], k).minus(low0), eight(a[3], k).minus(low1)];
        ([low0, low1], slopes)
    }
}

kernel! {
    pub(crate) unsafe fn join(
        out: [&mut [Fq]; 2],
        p: Option<[&[Fq]; 2]>,
        q: [&[Fq]; 2],
    ) {
        let [out_p, out_q] = out;
        unsafe {
            for k in 0..out_q.len().div_ceil(8) {
                let (q0, q1) = (eight(q[0], k), eight(q[1], k));
                let [numerator, denominator] = match p {
                    None => [q0.plus(q1), q0.times(q1)],
                    Some(p) => add(eight(p[0], k), q0, eight(p[1], k), q1),
                };
                put(out_p, k, numerator.canonical());
                put(out_q, k, denominator.canonical());
            }
        }
    }

    pub(crate) unsafe fn lerp(out: &mut [Fq], ends: [&[Fq]; 2], r: Fq) {
        unsafe {
            let r = F8::broadcast(&r);
            let blocks = out.len().div_ceil(8);
            for k in (1..blocks).step_by(2) {
                let (x, y) = (eight(ends[0], k - 1), eight(ends[0], k));
                let slopes = [eight(ends[1], k - 1).minus(x), eight(ends[1], k).minus(y)];
                let [a, b] = F8::times2([r; 2], slopes);
                put(out, k - 1, a.plus(x).canonical());
                put(out, k, b.plus(y).canonical());
            }
            if blocks % 2 == 1 {
                let (x, y) = (eight(ends[0], blocks - 1), eight(ends[1], blocks - 1));
                put(out, blocks - 1, r.times(y.minus(x)).plus(x).canonical());
            }
        }
    }

    pub(crate) unsafe fn fold(low: &mut [Fq], high: &[Fq], r: Fq) {
        unsafe {
            let r = F8::broadcast(&r);
            let blocks = low.len().div_ceil(8);
            for k in (1..blocks).step_by(2) {
                let (x, y) = (eight(low, k - 1), eight(low, k));
                let slopes = [eight(high, k - 1).minus(x), eight(high, k).minus(y)];
                let [a, b] = F8::times2([r; 2], slopes);
                put(low, k - 1, a.plus(x).canonical());
                put(low, k, b.plus(y).canonical());
            }
            if blocks % 2 == 1 {
                let (x, y) = (eight(low, blocks - 1), eight(high, blocks - 1));
                put(low, blocks - 1, r.times(y.minus(x)).plus(x).canonical());
            }
        }
    }

    pub(crate) unsafe fn lerp_batched(
        out: [&mut [Fq]; 2],
        p: [&[Fq]; 2],
        q: [&[Fq]; 2],
        lam: Fq,
        r: Fq,
        half: Fq,
    ) {
        let [out_p, out_q] = out;
        unsafe {
            let (r_half, r_lam) = (F8::broadcast(&(r * half)), F8::broadcast(&(r * lam)));
            let (r, lam, half) = (F8::broadcast(&r), F8::broadcast(&lam), F8::broadcast(&half));
            for k in 0..out_q.len().div_ceil(8) {
                let (p0, q0) = (eight(p[0], k), eight(q[0], k));
                let (slope_p, slope_q) = (eight(p[1], k).minus(p0), eight(q[1], k).minus(q0));
                let mut sums = [Sum8::zero(); 2];
                sums[0].add_product(lam, p0);
                sums[0].add_product(r_lam, slope_p);
                sums[0].add_product(half, q0);
                sums[0].add_product(r_half, slope_q);
                sums[1].add_product(r, slope_q);
                let [numerator, moved] = Sum8::reduce_all(sums);
                put(out_p, k, numerator.canonical());
                put(out_q, k, moved.plus(q0).canonical());
            }
        }
    }

    pub(crate) unsafe fn leading(p: [&[Fq]; 4], q: [&[Fq]; 4], w: &[Fq]) -> [Fq; 2] {
        unsafe {
            weighted(w, |k| {
                let (_, [p0, p1]) = lines(p, k);
                let (_, [q0, q1]) = lines(q, k);
                add(p0, q0, p1, q1)
            })
        }
    }

    pub(crate) unsafe fn round(p: [&[Fq]; 4], q: [&[Fq]; 4], w: &[Fq]) -> [Fq; 2] {
        unsafe {
            weighted(w, |k| {
                let ([p0, p1], [u0, u1]) = lines(p, k);
                let ([q0, q1], [v0, v1]) = lines(q, k);
                two([[p0, q0, p1, q1], [u0, v0, u1, v1]])
            })
        }
    }

    pub(crate) unsafe fn round_shifted(
        q: [&[Fq]; 4],
        shifts: [Fq; 4],
        w: &[Fq],
    ) -> [Fq; 2] {
        unsafe {
            let [x0, x1, s0, s1] = shifts.map(|x| F8::broadcast(&x));
            weighted(w, |k| {
                let ([q0, q1], [v0, v1]) = lines(q, k);
                F8::times2([q0.plus(x0), v0.plus(s0)], [q1.plus(x1), v1.plus(s1)])
            })
        }
    }
}
