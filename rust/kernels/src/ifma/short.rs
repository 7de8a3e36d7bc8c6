//! Fractions 1 / (c - v) of integers v of 16 bits: what is linear in the integers and in products
//! of two of them, without a full multiplication.

use super::lanes::{Fe8, V, add, mac_high, mac_low, set1, sub};
use super::machine::kernel;
use super::small::{across, reduce, signed};
use super::vector::{eight, put};
use crate::field::{Fq, Order};
use crate::small::Small;
use std::arch::x86_64::*;

type F8 = Fe8<Order>;

/// Added to integers, so that none is negative: more than the product of two differences.
const BIAS: u64 = 1 << 40;
/// Entries whose products with biased integers do not overflow a column.
const SPAN: usize = 1 << 12;

/// Sums of weighted integers in columns.
type Columns = [V; 6];

/// Adds `(x + BIAS) a` to columns.
#[inline(always)]
unsafe fn add_biased(columns: &mut Columns, x: V, a: &[V; 5]) {
    unsafe {
        let x = add(x, set1(BIAS));
        for i in 0..5 {
            columns[i] = mac_low(columns[i], x, a[i]);
            columns[i + 1] = mac_high(columns[i + 1], x, a[i]);
        }
    }
}

kernel! {
    /// `sum w`, `sum w x`, `sum w y` and `sum w x y`, where x and y are lower halves or, if asked,
    /// slopes; `v` is (lower half of child 0, upper half, lower half of child 1, upper half).
    pub(crate) unsafe fn moments<T: Small>(v: [&[T]; 4], w: &[Fq], slopes: bool) -> [Fq; 4] {
        let mut total = [Fq::ZERO; 4];
        for start in (0..w.len()).step_by(SPAN) {
            let range = start..w.len().min(start + SPAN);
            let (v, w) = (v.map(|v| &v[range.clone()]), &w[range.clone()]);
            unsafe {
                let zero = _mm512_setzero_si512();
                let (mut sums, mut weights) = ([[zero; 6]; 3], [zero; 6]);
                for k in 0..w.len().div_ceil(8) {
                    let w = eight(w, k).limbs;
                    let (mut x, mut y) = (signed(v[0], k), signed(v[2], k));
                    if slopes {
                        x = sub(signed(v[1], k), x);
                        y = sub(signed(v[3], k), y);
                    }
                    add_biased(&mut sums[0], x, &w);
                    add_biased(&mut sums[1], y, &w);
                    add_biased(&mut sums[2], _mm512_mul_epi32(x, y), &w);
                    for i in 0..5 {
                        weights[i] = add(weights[i], w[i]);
                    }
                }
                let weights = across(&weights);
                let bias = weights * Fq::from_u64(BIAS);
                total[0] += weights;
                for (total, sum) in total[1..].iter_mut().zip(&sums) {
                    *total += across(sum) - bias;
                }
            }
        }
        total
    }

    /// `(a - x) + (b - y)` and `(a - x) (b - y)`.
    pub(crate) unsafe fn join<T: Small>(out: [&mut [Fq]; 2], [x, y]: [&[T]; 2], [a, b]: [Fq; 2]) {
        let [sums, products] = out;
        unsafe {
            let bias = Fq::from_u64(BIAS);
            let limbs = |a: Fq| F8::broadcast(&a).limbs;
            let zero = _mm512_setzero_si512();
            let (mut sum, mut product) = ([zero; 6], [zero; 6]);
            sum[..5].copy_from_slice(&limbs(a + b + bias));
            product[..5].copy_from_slice(&limbs(a * b + bias * (a + b - Fq::ONE)));
            let (minus, one) = (limbs(-Fq::ONE), limbs(Fq::ONE));
            let (minus_a, minus_b) = (limbs(-a), limbs(-b));
            for k in 0..products.len().div_ceil(8) {
                let (x, y) = (signed(x, k), signed(y, k));
                let (mut p, mut q) = (sum, product);
                add_biased(&mut p, add(x, y), &minus);
                add_biased(&mut q, x, &minus_b);
                add_biased(&mut q, y, &minus_a);
                add_biased(&mut q, _mm512_mul_epi32(x, y), &one);
                put(sums, k, reduce(p));
                put(products, k, reduce(q));
            }
        }
    }

    /// Two vectors that are each a constant plus, for both pairs (x, y) of slices, the integers
    /// x, y and x y times coefficients.
    pub(crate) unsafe fn bilinear<T: Small>(
        out: [&mut [Fq]; 2],
        pairs: [[&[T]; 2]; 2],
        constants: [Fq; 2],
        coefficients: [[[Fq; 3]; 2]; 2],
    ) {
        let [first, second] = out;
        unsafe {
            let bias = Fq::from_u64(BIAS);
            let zero = _mm512_setzero_si512();
            let mut fixed = [[zero; 6]; 2];
            let mut factors = [[[[zero; 5]; 3]; 2]; 2];
            for form in 0..2 {
                let mut constant = constants[form];
                for (factors, a) in factors[form].iter_mut().zip(&coefficients[form]) {
                    *factors = a.map(|a| F8::broadcast(&a).limbs);
                    constant -= bias * (a[0] + a[1] + a[2]);
                }
                fixed[form][..5].copy_from_slice(&F8::broadcast(&constant).limbs);
            }
            for k in 0..first.len().div_ceil(8) {
                let [mut a, mut b] = fixed;
                for (pair, [[a0, a1, a2], [b0, b1, b2]]) in
                    pairs.iter().zip(factors[0].iter().zip(&factors[1]).map(|(a, b)| [a, b]))
                {
                    let (x, y) = (signed(pair[0], k), signed(pair[1], k));
                    let xy = _mm512_mul_epi32(x, y);
                    add_biased(&mut a, x, a0);
                    add_biased(&mut b, x, b0);
                    add_biased(&mut a, y, a1);
                    add_biased(&mut b, y, b1);
                    add_biased(&mut a, xy, a2);
                    add_biased(&mut b, xy, b2);
                }
                put(first, k, reduce(a));
                put(second, k, reduce(b));
            }
        }
    }
}
