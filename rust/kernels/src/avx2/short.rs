//! Fractions 1 / (c - v) of integers v of 16 bits: what is linear in the integers and in products
//! of two of them, without a full multiplication.

use super::columns;
use super::lanes::{V, add, mul, set1, sub};
use super::machine::kernel;
use super::small::{add_multiple, add_parts, columns_of, integers, reduce, two_parts};
use super::vector::{F4, four, put};
use crate::field::{Fq, Modulus, Order};
use crate::small::Small;
use std::arch::x86_64::*;

/// Entries whose products do not overflow a column: 512 of 52 bits from each lane, and their carries.
const SPAN: usize = 4 << 9;

/// The sum over the lanes of columns that began with zeros.
#[inline(always)]
unsafe fn across(z: &[V; 11]) -> Fq {
    let mut lanes = [[0i64; 4]; 20];
    for (out, column) in lanes.iter_mut().zip(z) {
        unsafe { _mm256_storeu_si256(out.as_mut_ptr().cast(), *column) };
    }
    // The reduction divides by R; multiplying by the Montgomery form of R undoes it.
    columns::reduce(&lanes) * Fq::from_montgomery(Order::R2)
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
                let mut sums = [[set1(0); 11]; 4];
                for k in 0..w.len().div_ceil(4) {
                    let w = four(w, k);
                    let (mut x, mut y) = (integers(v[0], k), integers(v[2], k));
                    if slopes {
                        x = sub(integers(v[1], k), x);
                        y = sub(integers(v[3], k), y);
                    }
                    let [low, high] = two_parts(x, y);
                    for j in 0..10 {
                        let w = w.limbs[j];
                        sums[0][j] = add(sums[0][j], w);
                        sums[1][j] = add(sums[1][j], mul(w, x));
                        sums[2][j] = add(sums[2][j], mul(w, y));
                        sums[3][j] = add(sums[3][j], mul(w, low));
                        sums[3][j + 1] = add(sums[3][j + 1], mul(w, high));
                    }
                }
                for (total, sum) in total.iter_mut().zip(&sums) {
                    *total += across(sum);
                }
            }
        }
        total
    }

    /// `(a - x) + (b - y)` and `(a - x) (b - y)`.
    pub(crate) unsafe fn join<T: Small>(out: [&mut [Fq]; 2], [x, y]: [&[T]; 2], [a, b]: [Fq; 2]) {
        let [sums, products] = out;
        unsafe {
            let (sum, product) = (columns_of(&(a + b)), columns_of(&(a * b)));
            let (minus_a, minus_b) = (F4::broadcast(&-a), F4::broadcast(&-b));
            let (one, minus) = (F4::broadcast(&Fq::ONE), F4::broadcast(&-Fq::ONE));
            for k in 0..products.len().div_ceil(4) {
                let (x, y) = (integers(x, k), integers(y, k));
                let (mut p, mut q) = (sum, product);
                add_multiple(&mut p, add(x, y), &minus);
                add_multiple(&mut q, x, &minus_b);
                add_multiple(&mut q, y, &minus_a);
                add_parts(&mut q, two_parts(x, y), &one);
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
        unsafe {
            for ((out, constant), coefficients) in out.into_iter().zip(constants).zip(coefficients)
            {
                let start = columns_of(&constant);
                let mut factors = [[F4::broadcast(&Fq::ZERO); 3]; 2];
                for (factors, a) in factors.iter_mut().zip(&coefficients) {
                    for (factor, a) in factors.iter_mut().zip(a) {
                        *factor = F4::broadcast(a);
                    }
                }
                for k in 0..out.len().div_ceil(4) {
                    let mut z = start;
                    for ([x, y], [of_x, of_y, of_xy]) in pairs.iter().zip(&factors) {
                        let (x, y) = (integers(x, k), integers(y, k));
                        add_multiple(&mut z, x, of_x);
                        add_multiple(&mut z, y, of_y);
                        add_parts(&mut z, two_parts(x, y), of_xy);
                    }
                    put(out, k, reduce(z));
                }
            }
        }
    }
}
