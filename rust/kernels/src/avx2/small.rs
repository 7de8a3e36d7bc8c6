//! Small integers times a few fixed elements.

use super::lanes::{
    BITS, Constants, FIRST, Fe4, LAST, NEXT, TOP, V, add, carry_columns, low_bits, mul, set1, sub,
};
use super::machine::kernel;
use super::vector::{F4, put};
use crate::field::{Fq, Order};
use crate::small::Small;
use std::arch::x86_64::*;

/// Largest absolute value that [`affine`] takes of longer types.
pub(crate) const LIMIT: u64 = (1 << 31) - 1;

/// Columns of weight 2^(26 k), with what [`carry_columns`] wants of them.
pub(super) type Columns = [V; 11];

/// Integers `4k..4k + 4`, followed by zeros.
#[inline(always)]
pub(super) unsafe fn integers<T: Small>(x: &[T], k: usize) -> V {
    let rest = &x[4 * k..];
    let mut block = [0i64; 4];
    match rest.first_chunk::<4>() {
        Some(full) => {
            for (out, x) in block.iter_mut().zip(full) {
                *out = x.to_i64();
            }
        }
        None => {
            for (out, x) in block.iter_mut().zip(rest) {
                *out = x.to_i64();
            }
        }
    }
    unsafe { _mm256_loadu_si256(block.as_ptr().cast()) }
}

/// Columns that are this element.
#[inline(always)]
pub(super) unsafe fn columns_of(a: &Fq) -> Columns {
    unsafe {
        let mut z = [set1(NEXT); 11];
        z[0] = set1(FIRST);
        for (z, limb) in z.iter_mut().zip(F4::broadcast(a).limbs) {
            *z = add(*z, limb);
        }
        z
    }
}

/// Adds `x a` for integers of 32 bits with their sign.
#[inline(always)]
pub(super) unsafe fn add_multiple(z: &mut Columns, x: V, a: &F4) {
    for (z, limb) in z.iter_mut().zip(a.limbs) {
        *z = unsafe { add(*z, mul(x, limb)) };
    }
}

/// The canonical element of columns whose value is below 2^291 in absolute value.
#[inline(always)]
pub(super) unsafe fn reduce(z: Columns) -> F4 {
    let p = Constants::<Order>::P;
    unsafe {
        let [a, b, c, d, e, f, g, h, i, j, k] = z;
        let l = carry_columns([a, b, c, d, e, f, g, h, i, j, k, set1(LAST)]);
        // v = h 2^254 + low = low - h c mod p; h in two parts, the upper one with the sign.
        let lower = _mm256_or_si256(
            _mm256_srli_epi64::<TOP>(l[9]),
            low_bits(_mm256_slli_epi64::<6>(l[10])),
        );
        let upper = add(
            _mm256_srli_epi64::<TOP>(l[10]),
            _mm256_slli_epi64::<6>(l[11]),
        );
        let mut r = [set1(NEXT); 10];
        (r[0], r[9]) = (set1(FIRST), set1(LAST));
        for (r, l) in r.iter_mut().zip(l) {
            *r = add(*r, l);
        }
        r[9] = sub(
            r[9],
            _mm256_slli_epi64::<TOP>(_mm256_srli_epi64::<TOP>(l[9])),
        );
        r[0] = sub(r[0], lower);
        r[1] = sub(r[1], upper);
        for i in 1..5 {
            r[i] = sub(r[i], mul(lower, set1(p[i])));
            r[i + 1] = sub(r[i + 1], mul(upper, set1(p[i])));
        }
        Fe4::from_limbs(carry_columns(r)).settled()
    }
}

/// The product of integers of 17 bits with a sign, as 26 bits and a part above them with the sign.
#[inline(always)]
pub(super) unsafe fn two_parts(x: V, y: V) -> [V; 2] {
    /// A multiple of 2^26 that makes products positive.
    const BIAS: i64 = 1 << 40;
    unsafe {
        let product = mul(x, y);
        let shifted = _mm256_srli_epi64::<BITS>(add(product, set1(BIAS)));
        [low_bits(product), sub(shifted, set1(BIAS >> BITS))]
    }
}

/// Adds `(parts[0] + 2^26 parts[1]) a`.
#[inline(always)]
pub(super) unsafe fn add_parts(z: &mut Columns, parts: [V; 2], a: &F4) {
    for (shift, part) in parts.into_iter().enumerate() {
        for j in 0..10 {
            z[j + shift] = unsafe { add(z[j + shift], mul(part, a.limbs[j])) };
        }
    }
}

kernel! {
    /// `out[i] = constant + x[i] a + y[i] b` for integers of at most [`LIMIT`], or of 32 bits.
    pub(crate) unsafe fn affine<T: Small, U: Small>(
        out: &mut [Fq],
        constant: Fq,
        (x, a): (&[T], Fq),
        second: Option<(&[U], Fq)>,
    ) {
        unsafe {
            let start = columns_of(&constant);
            let a = F4::broadcast(&a);
            let (y, b) = second.unwrap_or((&[], Fq::ZERO));
            let (both, b) = (second.is_some(), F4::broadcast(&b));
            for k in 0..out.len().div_ceil(4) {
                let mut z = start;
                add_multiple(&mut z, integers(x, k), &a);
                if both {
                    add_multiple(&mut z, integers(y, k), &b);
                }
                put(out, k, reduce(z));
            }
        }
    }
}
