//! Kernels of fractional sums, on slices of whole pairs.

use super::lanes::{Fe8, Sum8};
use super::machine::kernel;
use super::sumcheck::SPAN;
use super::vector::{eight, eight_pairs, put};
use crate::field::{Fq, Order, Wide};
use crate::logup::{Fractions, Weights};

type F8 = Fe8<Order>;

/// `(p0 d1 + p1 d0, d0 d1)`.
#[inline(always)]
unsafe fn join(p0: F8, d0: F8, p1: F8, d1: F8) -> (F8, F8) {
    unsafe {
        let mut sums = [Sum8::zero(); 2];
        sums[0].add_product(p0, d1);
        sums[0].add_product(p1, d0);
        sums[1].add_product(d0, d1);
        let [numerator, denominator] = Sum8::reduce_all(sums);
        (numerator, denominator)
    }
}

kernel! {
    /// `(p0 (1 + d1) + p1 (1 + d0), d0 + d1 + d0 d1)` of neighbours; without `p`, both numerators
    /// are 1.
    pub(crate) unsafe fn level(
        out_p: &mut [Fq],
        out_d: &mut [Fq],
        p: Option<&[Fq]>,
        d: &[Fq],
    ) {
        unsafe {
            let two = F8::broadcast(&Fq::ONE.double());
            for k in 0..out_d.len().div_ceil(8) {
                let (d0, d1) = eight_pairs(d, k);
                let (numerator, denominator) = match p {
                    None => (two.plus2(d0, d1), d0.times(d1)),
                    Some(p) => {
                        let (p0, p1) = eight_pairs(p, k);
                        let (cross, product) = join(p0, d0, p1, d1);
                        (cross.plus2(p0, p1), product)
                    }
                };
                put(out_p, k, numerator.canonical());
                put(out_d, k, denominator.plus2(d0, d1).canonical());
            }
        }
    }

    /// Sums of a round with weights `w`: numerators and denominators at 0, and leading.
    pub(crate) unsafe fn round(even: Fractions<'_>, odd: Fractions<'_>, w: &[Fq]) -> [Fq; 4] {
        let mut totals = [Wide::ZERO; 4];
        let arrays = [even.p, even.d, odd.p, odd.d];
        for (s, w) in w.chunks(SPAN).enumerate() {
            unsafe {
                let mut sums = [Sum8::zero(); 4];
                let [p0, d0, p1, d1] = arrays.map(|x| &x[2 * SPAN * s..]);
                for k in 0..w.len().div_ceil(8) {
                    let w = eight(w, k);
                    let (p0, d0) = (eight_pairs(p0, k), eight_pairs(d0, k));
                    let (p1, d1) = (eight_pairs(p1, k), eight_pairs(d1, k));
                    let (cross, product) = join(p0.0, d0.0, p1.0, d1.0);
                    sums[0].add_product(w, cross.plus2(p0.0, p1.0));
                    sums[1].add_product(w, product.plus2(d0.0, d1.0));
                    let (p0, d0) = (p0.1.minus(p0.0), d0.1.minus(d0.0));
                    let (p1, d1) = (p1.1.minus(p1.0), d1.1.minus(d1.0));
                    let (cross, product) = join(p0, d0, p1, d1);
                    sums[2].add_product(w, cross);
                    sums[3].add_product(w, product);
                }
                for (total, sum) in totals.iter_mut().zip(sums) {
                    total.add_wide(&sum.across());
                }
            }
        }
        totals.map(|total| total.reduce())
    }

    /// Sums of a round whose numerators are in the weights: at 0, and leading.
    pub(crate) unsafe fn round_separable(d0: &[Fq], d1: &[Fq], w: Weights<'_>) -> [Fq; 2] {
        let mut totals = [Wide::ZERO; 2];
        for start in (0..w.w.len()).step_by(SPAN) {
            let part = start..w.w.len().min(start + SPAN);
            unsafe {
                let mut sums = [Sum8::zero(); 2];
                let [w, u0, u1, v0, v1] = w.arrays().map(|x| &x[part.clone()]);
                let (d0, d1) = (&d0[2 * start..], &d1[2 * start..]);
                for k in 0..part.len().div_ceil(8) {
                    let (d0, d1) = (eight_pairs(d0, k), eight_pairs(d1, k));
                    let w = eight(w, k);
                    let slopes = [d0.1.minus(d0.0), d1.1.minus(d1.0)];
                    let products = F8::times2([d0.0, slopes[0]], [d1.0, slopes[1]]);
                    sums[0].add_product(w, products[0]);
                    sums[0].add_product(eight(u1, k), d0.0);
                    sums[0].add_product(eight(u0, k), d1.0);
                    sums[1].add_product(w, products[1]);
                    sums[1].add_product(eight(v1, k), slopes[0]);
                    sums[1].add_product(eight(v0, k), slopes[1]);
                }
                for (total, sum) in totals.iter_mut().zip(sums) {
                    total.add_wide(&sum.across());
                }
            }
        }
        totals.map(|total| total.reduce())
    }
}
