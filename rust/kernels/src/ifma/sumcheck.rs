//! Sumcheck kernels, on slices of whole pairs.

use super::lanes::{Fe8, Sum8};
use super::machine::kernel;
use super::vector::{eight_pairs, put};
use crate::field::{Fq, Order, Wide};

/// Pairs between two emptyings of the sums.
pub(super) const SPAN: usize = 512;

kernel! {
    /// `out[i] = a[2i] + r (a[2i + 1] - a[2i])`.
    pub(crate) unsafe fn fold(out: &mut [Fq], a: &[Fq], r: Fq) {
        unsafe {
            let r = Fe8::<Order>::broadcast(&r);
            let blocks = out.len().div_ceil(8);
            for k in (1..blocks).step_by(2) {
                let (x, y) = (eight_pairs(a, k - 1), eight_pairs(a, k));
                let slopes = [x.1.minus(x.0), y.1.minus(y.0)];
                let products = Fe8::times2([r; 2], slopes);
                put(out, k - 1, products[0].plus(x.0).canonical());
                put(out, k, products[1].plus(y.0).canonical());
            }
            if blocks % 2 == 1 {
                let (a0, a1) = eight_pairs(a, blocks - 1);
                put(out, blocks - 1, r.times(a1.minus(a0)).plus(a0).canonical());
            }
        }
    }

    /// `sum_i (a0 b0, a1 b1, (a1 - a0) (b1 - b0))` over pairs.
    pub(crate) unsafe fn product(a: &[Fq], b: &[Fq]) -> [Fq; 3] {
        let mut totals = [Wide::ZERO; 3];
        for (a, b) in a.chunks(2 * SPAN).zip(b.chunks(2 * SPAN)) {
            unsafe {
                let mut sums = [Sum8::<Order>::zero(); 3];
                for k in 0..a.len().div_ceil(16) {
                    let ((a0, a1), (b0, b1)) = (eight_pairs(a, k), eight_pairs(b, k));
                    sums[0].add_product(a0, b0);
                    sums[1].add_product(a1, b1);
                    sums[2].add_product(a1.minus(a0), b1.minus(b0));
                }
                for (total, sum) in totals.iter_mut().zip(sums) {
                    total.add_wide(&sum.across());
                }
            }
        }
        totals.map(|total| total.reduce())
    }
}
