//! Small integers times a few fixed elements.

use super::lanes::{Constants, Fe8, V, add, mac_high, mac_low, set1};
use super::machine::kernel;
use super::vector::{eight, put};
use crate::field::{Fq, Modulus, Order, Wide};
use crate::small::Small;
use std::arch::x86_64::*;

type F8 = Fe8<Order>;

/// Largest absolute value that [`affine`] takes.
pub(crate) const LIMIT: u64 = 1 << 50;

/// Eight integers in the order of lanes.
#[inline(always)]
pub(super) unsafe fn signed<T: Small>(x: &[T], k: usize) -> V {
    let rest = &x[8 * k..];
    let block: [i64; 8] = match rest.first_chunk::<8>() {
        Some(block) => block.map(|x| x.to_i64()),
        None => std::array::from_fn(|i| rest.get(i).map_or(0, |x| x.to_i64())),
    };
    unsafe { in_lanes(block) }
}

/// Eight numbers in the order of lanes.
#[inline(always)]
pub(super) unsafe fn in_lanes(block: [i64; 8]) -> V {
    unsafe {
        let order = _mm512_setr_epi64(0, 2, 1, 3, 4, 6, 5, 7);
        _mm512_permutexvar_epi64(order, _mm512_loadu_si512(block.as_ptr().cast()))
    }
}

/// Eight integers in the order of lanes, as absolute values and signs.
#[inline(always)]
unsafe fn integers<T: Small>(x: &[T], k: usize) -> (V, __mmask8) {
    unsafe {
        let x = signed(x, k);
        (_mm512_abs_epi64(x), _mm512_movepi64_mask(x))
    }
}

/// Columns of weight 2^(52 k) in all lanes, as the Montgomery form of an element.
#[inline(always)]
pub(super) unsafe fn across(columns: &[V]) -> Fq {
    let mut sums = [0u128; 10];
    for (sum, column) in sums.iter_mut().zip(columns) {
        let mut lanes = [0u64; 8];
        unsafe { _mm512_storeu_si512(lanes.as_mut_ptr().cast(), *column) };
        *sum = lanes.iter().map(|&x| x as u128).sum();
    }
    // The reduction divides by R; multiplying by the Montgomery form of R undoes it.
    Wide::from_columns(sums).reduce() * Fq::from_montgomery(Order::R2)
}

/// A fixed element and its negative.
#[derive(Copy, Clone)]
struct Signed {
    positive: [V; 5],
    negative: [V; 5],
}

impl Signed {
    #[inline(always)]
    unsafe fn new(a: Fq) -> Self {
        unsafe {
            Self {
                positive: F8::broadcast(&a).limbs,
                negative: F8::broadcast(&-a).limbs,
            }
        }
    }

    /// Adds `x a` to six columns.
    #[inline(always)]
    unsafe fn add_to(&self, z: &mut [V; 6], (x, sign): (V, __mmask8)) {
        for i in 0..5 {
            unsafe {
                let a = _mm512_mask_mov_epi64(self.positive[i], sign, self.negative[i]);
                z[i] = mac_low(z[i], x, a);
                z[i + 1] = mac_high(z[i + 1], x, a);
            }
        }
    }
}

/// The canonical element of columns whose value is below 2^308.
#[inline(always)]
pub(super) unsafe fn reduce(z: [V; 6]) -> F8 {
    unsafe {
        // v = h 2^254 + low = low - h c, and c has limbs 0 to 2 of p; add p once for the sign.
        let carried = F8::carry([z[0], z[1], z[2], z[3], z[4]]);
        let l = carried.limbs;
        let over = add(_mm512_srli_epi64::<52>(l[4]), z[5]);
        let top = _mm512_and_si512(l[4], set1((1 << 52) - 1));
        // h = bits 254 and up: six bits of limb 4, and all of `over`; below 2^54, so two parts.
        let h_low = _mm512_srli_epi64::<46>(top);
        let h_high = over; // Counts 2^260 = 2^6 2^254.
        let p = Constants::<Order>::P;
        let zero = _mm512_setzero_si512();
        let mut s = [zero; 4];
        for i in 0..3 {
            let c = set1(p[i]);
            let c64 = set1((p[i] << 6) & ((1 << 52) - 1));
            let c64_high = set1(p[i] >> 46);
            s[i] = add(s[i], mac_low(zero, h_low, c));
            s[i + 1] = add(s[i + 1], mac_high(zero, h_low, c));
            s[i] = mac_low(s[i], h_high, c64);
            s[i + 1] = mac_high(s[i + 1], h_high, c64);
            s[i + 1] = mac_low(s[i + 1], h_high, c64_high);
        }
        let low = F8::from_limbs([
            l[0],
            l[1],
            l[2],
            l[3],
            _mm512_and_si512(l[4], set1((1 << 46) - 1)),
        ]);
        let s = F8::carry([s[0], s[1], s[2], s[3], zero]);
        low.minus(s).canonical()
    }
}

kernel! {
    /// `out[i] = constant + x[i] a + y[i] b` for integers of at most [`LIMIT`].
    pub(crate) unsafe fn affine<T: Small, U: Small>(
        out: &mut [Fq],
        constant: Fq,
        (x, a): (&[T], Fq),
        second: Option<(&[U], Fq)>,
    ) {
        unsafe {
            let zero = _mm512_setzero_si512();
            let c = F8::broadcast(&constant).limbs;
            let a = Signed::new(a);
            let second = second.map(|(y, b)| (y, Signed::new(b)));
            for k in 0..out.len().div_ceil(8) {
                let mut z = [c[0], c[1], c[2], c[3], c[4], zero];
                a.add_to(&mut z, integers(x, k));
                if let Some((y, b)) = &second {
                    b.add_to(&mut z, integers(y, k));
                }
                put(out, k, reduce(z));
            }
        }
    }

    /// `sum_j x[j] v[j]` for integers of at most [`LIMIT`].
    pub(crate) unsafe fn weigh<T: Small>(x: &[T], v: &[Fq]) -> Fq {
        // Biased integers of at most 51 bits, and the sum of v to take the bias away again.
        let bias = T::BIAS.min(LIMIT);
        // A step adds less than 2^53 to a column.
        const SPAN: usize = 8 << 10;
        let mut total = Fq::ZERO;
        for (x, v) in x.chunks(SPAN).zip(v.chunks(SPAN)) {
            unsafe {
                let zero = _mm512_setzero_si512();
                let (mut products, mut sums) = ([zero; 6], [zero; 5]);
                for k in 0..v.len().div_ceil(8) {
                    let x = add(signed(x, k), set1(bias));
                    let v = eight(v, k);
                    for i in 0..5 {
                        products[i] = mac_low(products[i], x, v.limbs[i]);
                        products[i + 1] = mac_high(products[i + 1], x, v.limbs[i]);
                        sums[i] = add(sums[i], v.limbs[i]);
                    }
                }
                total += across(&products) - across(&sums) * Fq::from_u64(bias);
            }
        }
        total
    }
}
