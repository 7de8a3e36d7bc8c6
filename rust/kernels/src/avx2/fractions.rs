//! Kernels of fractional sums, on slices of one length.

use super::lanes::{LAZY, Sum4};
use super::machine::kernel;
use super::vector::{F4, four, put};
use crate::field::Fq;

/// `p0 q1 + p1 q0`.
#[inline(always)]
unsafe fn cross([p0, p1]: [F4; 2], [q0, q1]: [F4; 2]) -> F4 {
    unsafe { F4::products([p0, p1], [q1, q0]) }
}

/// Weighted sums over entries of what `f` gives for a block of four.
#[inline(always)]
unsafe fn weighted(w: &[Fq], f: impl Fn(usize) -> [F4; 2]) -> [Fq; 2] {
    let mut totals = [Fq::ZERO; 2];
    for (s, w) in w.chunks(4 * LAZY).enumerate() {
        unsafe {
            let mut sums = [Sum4::zero(); 2];
            for k in 0..w.len().div_ceil(4) {
                let values = f(s * LAZY + k);
                let weight = four(w, k);
                for (sum, value) in sums.iter_mut().zip(values) {
                    sum.add_product(weight, value);
                }
            }
            for (total, sum) in totals.iter_mut().zip(sums) {
                *total += sum.across();
            }
        }
    }
    totals
}

/// Block `k` of the lower halves.
#[inline(always)]
unsafe fn lower(a: [&[Fq]; 4], k: usize) -> [F4; 2] {
    unsafe { [four(a[0], k), four(a[2], k)] }
}

/// Block `k` of the slopes.
#[inline(always)]
unsafe fn slopes(a: [&[Fq]; 4], k: usize) -> [F4; 2] {
    unsafe {
        [
            four(a[1], k).minus(four(a[0], k)),
            four(a[3], k).minus(four(a[2], k)),
        ]
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
            for k in 0..out_q.len().div_ceil(4) {
                let (q0, q1) = (four(q[0], k), four(q[1], k));
                let numerator = match p {
                    None => q0.plus(q1),
                    Some(p) => cross([four(p[0], k), four(p[1], k)], [q0, q1]),
                };
                put(out_p, k, numerator.canonical());
                put(out_q, k, q0.times(q1).canonical());
            }
        }
    }

    pub(crate) unsafe fn lerp(out: &mut [Fq], ends: [&[Fq]; 2], r: Fq) {
        unsafe {
            let r = F4::broadcast(&r);
            for k in 0..out.len().div_ceil(4) {
                let x = four(ends[0], k);
                put(out, k, r.times(four(ends[1], k).minus(x)).plus(x).canonical());
            }
        }
    }

    pub(crate) unsafe fn fold(low: &mut [Fq], high: &[Fq], r: Fq) {
        unsafe {
            let r = F4::broadcast(&r);
            for k in 0..low.len().div_ceil(4) {
                let x = four(low, k);
                put(low, k, r.times(four(high, k).minus(x)).plus(x).canonical());
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
            // lam p + q / 2 at r, for p and q at r.
            let [r, lam, half] = [r, lam, half].map(|x| F4::broadcast(&x));
            for k in 0..out_q.len().div_ceil(4) {
                let (p0, q0) = (four(p[0], k), four(q[0], k));
                let p = r.times(four(p[1], k).minus(p0)).plus(p0);
                let q = r.times(four(q[1], k).minus(q0)).plus(q0);
                put(out_p, k, F4::products([lam, half], [p, q]).canonical());
                put(out_q, k, q.canonical());
            }
        }
    }

    pub(crate) unsafe fn leading(p: [&[Fq]; 4], q: [&[Fq]; 4], w: &[Fq]) -> [Fq; 2] {
        unsafe {
            weighted(w, |k| {
                let (p, q) = (slopes(p, k), slopes(q, k));
                [cross(p, q), q[0].times(q[1])]
            })
        }
    }

    pub(crate) unsafe fn round(p: [&[Fq]; 4], q: [&[Fq]; 4], w: &[Fq]) -> [Fq; 2] {
        unsafe {
            weighted(w, |k| {
                [
                    cross(lower(p, k), lower(q, k)),
                    cross(slopes(p, k), slopes(q, k)),
                ]
            })
        }
    }

    pub(crate) unsafe fn round_shifted(
        q: [&[Fq]; 4],
        shifts: [Fq; 4],
        w: &[Fq],
    ) -> [Fq; 2] {
        unsafe {
            let [x0, x1, s0, s1] = shifts.map(|x| F4::broadcast(&x));
            weighted(w, |k| {
                let ([q0, q1], [v0, v1]) = (lower(q, k), slopes(q, k));
                [
                    q0.plus(x0).times(q1.plus(x1)),
                    v0.plus(s0).times(v1.plus(s1)),
                ]
            })
        }
    }
}
