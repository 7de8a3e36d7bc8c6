//! Element-wise kernels.

use super::lanes::{Fe8, Sum8};
use super::machine::kernel;
use crate::field::{Fq, Order, Wide};

type F8 = Fe8<Order>;

/// Products that a [`Sum8`] takes before its columns overflow, less than 256.
pub(super) const LAZY: usize = 192;

/// Up to eight elements, followed by zeros.
#[inline(always)]
pub(super) fn padded<const N: usize>(a: &[Fq]) -> [Fq; N] {
    let mut out = [Fq::ZERO; N];
    out[..a.len()].copy_from_slice(a);
    out
}

/// Block `k` of eight elements, padded with zeros where the vector ends.
#[inline(always)]
pub(super) unsafe fn eight(a: &[Fq], k: usize) -> F8 {
    let rest = &a[8 * k..];
    unsafe {
        match rest.first_chunk() {
            Some(block) => F8::load(block),
            None => F8::load(&padded(rest)),
        }
    }
}

/// Pairs `8k..8k + 8` of a vector of even length, padded with zeros where it ends.
#[inline(always)]
pub(super) unsafe fn eight_pairs(a: &[Fq], k: usize) -> (F8, F8) {
    let rest = &a[16 * k..];
    unsafe {
        match rest.first_chunk() {
            Some(block) => F8::load_pairs(block),
            None => F8::load_pairs(&padded(rest)),
        }
    }
}

/// Stores block `k` of eight canonical elements, or what fits of it.
#[inline(always)]
pub(super) unsafe fn put(out: &mut [Fq], k: usize, value: F8) {
    let rest = &mut out[8 * k..];
    unsafe {
        match rest.first_chunk_mut() {
            Some(block) => value.store(block),
            None => {
                let mut block = [Fq::ZERO; 8];
                value.store(&mut block);
                rest.copy_from_slice(&block[..rest.len()]);
            }
        }
    }
}

kernel! {
    /// `out = a b`.
    pub(crate) unsafe fn mul(out: &mut [Fq], a: &[Fq], b: &[Fq]) {
        let blocks = out.len().div_ceil(8);
        unsafe {
            for k in (1..blocks).step_by(2) {
                let a = [eight(a, k - 1), eight(a, k)];
                let [x, y] = F8::times2(a, [eight(b, k - 1), eight(b, k)]);
                put(out, k - 1, x.canonical());
                put(out, k, y.canonical());
            }
            if blocks % 2 == 1 {
                let k = blocks - 1;
                put(out, k, eight(a, k).times(eight(b, k)).canonical());
            }
        }
    }

    /// `out = s b`.
    pub(crate) unsafe fn scale(out: &mut [Fq], s: Fq, b: &[Fq]) {
        unsafe {
            let s = F8::broadcast(&s);
            let blocks = out.len().div_ceil(8);
            for k in (1..blocks).step_by(2) {
                let [x, y] = F8::times2([s; 2], [eight(b, k - 1), eight(b, k)]);
                put(out, k - 1, x.canonical());
                put(out, k, y.canonical());
            }
            if blocks % 2 == 1 {
                put(out, blocks - 1, s.times(eight(b, blocks - 1)).canonical());
            }
        }
    }

    /// `sum_i a_i b_i`.
    pub(crate) unsafe fn dot(a: &[Fq], b: &[Fq]) -> Fq {
        let mut total = Wide::ZERO;
        for (a, b) in a.chunks(8 * LAZY).zip(b.chunks(8 * LAZY)) {
            unsafe {
                let mut sum = Sum8::zero();
                for k in 0..a.len().div_ceil(8) {
                    sum.add_product(eight(a, k), eight(b, k));
                }
                total.add_wide(&sum.across());
            }
        }
        total.reduce()
    }

    /// `out[i] = sum_k c_k v_k[start + i]`; shorter vectors end in zeros.
    pub(crate) unsafe fn lincomb(
        out: &mut [Fq],
        vectors: &[&[Fq]],
        coefficients: &[Fq],
        start: usize,
    ) {
        // 64 terms of p^2 leave a sum / R + p < 2p.
        for (group, (vectors, coefficients)) in
            vectors.chunks(64).zip(coefficients.chunks(64)).enumerate()
        {
            for k in 0..out.len().div_ceil(8) {
                unsafe {
                    let mut sum = Sum8::zero();
                    for (v, c) in vectors.iter().zip(coefficients) {
                        let from = start + 8 * k;
                        if from < v.len() {
                            sum.add_product(F8::broadcast(c), eight(&v[from..], 0));
                        }
                    }
                    let mut value = sum.reduce();
                    if group > 0 {
                        value = value.plus(eight(out, k));
                    }
                    put(out, k, value.canonical());
                }
            }
        }
    }
}
