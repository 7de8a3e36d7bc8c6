//! Sums of products that are reduced once, at the end.

use super::arith::{adc, divide_by_16, product, reduce_low, sbb, subtract_once};
use super::{Fe, Limbs, Modulus};
use std::marker::PhantomData;

/// A sum of up to 2^60 unreduced products, in nine limbs.
#[derive(Copy, Clone, Debug)]
pub struct Wide<M: Modulus> {
    limbs: [u64; 9],
    modulus: PhantomData<M>,
}

impl<M: Modulus> Default for Wide<M> {
    fn default() -> Self {
        Self::ZERO
    }
}

impl<M: Modulus> Wide<M> {
    /// The empty sum.
    pub const ZERO: Self = Self {
        limbs: [0; 9],
        modulus: PhantomData,
    };

    /// Adds `a b`.
    #[inline(always)]
    pub fn add_product(&mut self, a: &Fe<M>, b: &Fe<M>) {
        let t = product(a.montgomery(), b.montgomery());
        let mut carry = 0;
        for (s, t) in self.limbs.iter_mut().zip(t) {
            (*s, carry) = adc(*s, t, carry);
        }
        self.limbs[8] += carry;
    }

    /// Adds another sum.
    #[inline]
    pub fn add_wide(&mut self, other: &Self) {
        let mut carry = 0;
        for (s, t) in self.limbs.iter_mut().zip(other.limbs) {
            (*s, carry) = adc(*s, t, carry);
        }
    }

    /// The sum as an element.
    #[inline]
    pub fn reduce(&self) -> Fe<M> {
        let l = &self.limbs;
        let (t, carry) = reduce_low::<M>([l[0], l[1], l[2], l[3]], [l[4], l[5], l[6], l[7]]);
        fold_top::<M>(t, l[8] + carry)
    }
}

/// `(low + high 2^256) / 16 mod p`, canonical, for `high < 2^62`.
#[inline]
fn fold_top<M: Modulus>(low: Limbs, high: u64) -> Fe<M> {
    // 2^254 = -c mod p, so that h 2^254 + l = l - h c; h < 2^64 and c < 2^126: h c < 2^190.
    let p = M::MODULUS;
    let h = (high << 2) | (low[3] >> 62);
    let l = [low[0], low[1], low[2], low[3] & ((1 << 62) - 1)];
    let t0 = h as u128 * p[0] as u128;
    let t1 = h as u128 * p[1] as u128 + (t0 >> 64);
    let (d0, b) = sbb(l[0], t0 as u64, 0);
    let (d1, b) = sbb(l[1], t1 as u64, b);
    let (d2, b) = sbb(l[2], (t1 >> 64) as u64, b);
    let (d3, b) = sbb(l[3], 0, b);
    // Add p where that went below zero; d is then in [0, 2^254 + p).
    let mask = b.wrapping_neg();
    let (d0, c) = adc(d0, p[0] & mask, 0);
    let (d1, c) = adc(d1, p[1] & mask, c);
    let (d2, c) = adc(d2, p[2] & mask, c);
    let (d3, _) = adc(d3, p[3] & mask, c);
    Fe::from_montgomery(subtract_once(divide_by_16::<M>(&[d0, d1, d2, d3]), &p))
}
