//! Sumcheck kernels, on slices of whole pairs.

use super::lanes::{LAZY, Sum4};
use super::machine::kernel;
use super::vector::{F4, four_pairs, put};
use crate::field::Fq;

kernel! {
    /// `out[i] = a[2i] + r (a[2i + 1] - a[2i])`.
    pub(crate) unsafe fn fold(out: &mut [Fq], a: &[Fq], r: Fq) {
        unsafe {
            let r = F4::broadcast(&r);
            for k in 0..out.len().div_ceil(4) {
                let (a0, a1) = four_pairs(a, k);
                put(out, k, r.times(a1.minus(a0)).plus(a0).canonical());
            }
        }
    }

    /// `sum_i (a0 b0, a1 b1, (a1 - a0) (b1 - b0))` over pairs.
    pub(crate) unsafe fn product(a: &[Fq], b: &[Fq]) -> [Fq; 3] {
        let mut totals = [Fq::ZERO; 3];
        for (a, b) in a.chunks(8 * LAZY).zip(b.chunks(8 * LAZY)) {
            unsafe {
                let mut sums = [Sum4::zero(); 3];
                for k in 0..a.len().div_ceil(8) {
                    let ((a0, a1), (b0, b1)) = (four_pairs(a, k), four_pairs(b, k));
                    sums[0].add_product(a0, b0);
                    sums[1].add_product(a1, b1);
                    sums[2].add_product(a1.minus(a0), b1.minus(b0));
                }
                for (total, sum) in totals.iter_mut().zip(sums) {
                    *total += sum.across();
                }
            }
        }
        totals
    }
}
