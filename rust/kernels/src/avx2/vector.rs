//! Element-wise kernels.

use super::lanes::{Fe4, LAZY, Sum4};
use super::machine::kernel;
use crate::field::{Fq, Order};

pub(super) type F4 = Fe4<Order>;

/// Up to `N` elements, followed by zeros.
#[inline(always)]
fn padded<const N: usize>(a: &[Fq]) -> [Fq; N] {
    let mut out = [Fq::ZERO; N];
    out[..a.len()].copy_from_slice(a);
    out
}

/// Block `k` of four elements, padded with zeros where the vector ends.
#[inline(always)]
pub(super) unsafe fn four(a: &[Fq], k: usize) -> F4 {
    let rest = &a[4 * k..];
    unsafe {
        match rest.first_chunk() {
            Some(block) => F4::load(block),
            None => F4::load(&padded(rest)),
        }
    }
}

/// Even and odd entries of pairs `4k..4k + 4` of a vector of even length, padded with zeros.
#[inline(always)]
pub(super) unsafe fn four_pairs(a: &[Fq], k: usize) -> (F4, F4) {
    let rest = &a[8 * k..];
    let ends;
    let block: &[Fq; 8] = match rest.first_chunk() {
        Some(block) => block,
        None => {
            ends = padded(rest);
            &ends
        }
    };
    unsafe {
        let place = |i: usize| &raw const block[i];
        (
            F4::load_from([place(0), place(2), place(4), place(6)]),
            F4::load_from([place(1), place(3), place(5), place(7)]),
        )
    }
}

/// Stores block `k` of four canonical elements, or what fits of it.
#[inline(always)]
pub(super) unsafe fn put(out: &mut [Fq], k: usize, value: F4) {
    let rest = &mut out[4 * k..];
    unsafe {
        match rest.first_chunk_mut() {
            Some(block) => value.store(block),
            None => {
                let mut block = [Fq::ZERO; 4];
                value.store(&mut block);
                rest.copy_from_slice(&block[..rest.len()]);
            }
        }
    }
}

kernel! {
    /// `out = a b`.
    pub(crate) unsafe fn mul(out: &mut [Fq], a: &[Fq], b: &[Fq]) {
        for k in 0..out.len().div_ceil(4) {
            unsafe { put(out, k, four(a, k).times(four(b, k)).canonical()) }
        }
    }

    /// `out = s b`.
    pub(crate) unsafe fn scale(out: &mut [Fq], s: Fq, b: &[Fq]) {
        unsafe {
            let s = F4::broadcast(&s);
            for k in 0..out.len().div_ceil(4) {
                put(out, k, s.times(four(b, k)).canonical());
            }
        }
    }

    /// `sum_i a_i b_i`.
    pub(crate) unsafe fn dot(a: &[Fq], b: &[Fq]) -> Fq {
        let mut total = Fq::ZERO;
        for (a, b) in a.chunks(4 * LAZY).zip(b.chunks(4 * LAZY)) {
            unsafe {
                let mut sum = Sum4::zero();
                for k in 0..a.len().div_ceil(4) {
                    sum.add_product(four(a, k), four(b, k));
                }
                total += sum.across();
            }
        }
        total
    }

    /// `out[i] = sum_k c_k v_k[start + i]`; shorter vectors end in zeros.
    pub(crate) unsafe fn lincomb(
        out: &mut [Fq],
        vectors: &[&[Fq]],
        coefficients: &[Fq],
        start: usize,
    ) {
        for k in 0..out.len().div_ceil(4) {
            let from = start + 4 * k;
            // What is there of a vector's block, and zeros for vectors that are too short.
            let block = |v: &[Fq]| unsafe { four(v.get(from..).unwrap_or_default(), 0) };
            unsafe {
                let mut total = F4::broadcast(&Fq::ZERO);
                for (v, c) in vectors.chunks(2).zip(coefficients.chunks(2)) {
                    let first = F4::broadcast(&c[0]);
                    let part = match (v, c) {
                        ([a, b], [_, c]) => F4::products([first, F4::broadcast(c)], [block(a), block(b)]),
                        _ => first.times(block(v[0])),
                    };
                    total = total.plus(part).canonical();
                }
                put(out, k, total);
            }
        }
    }
}
