//! Sums of products that are reduced once, at the end.

use super::arith::{divide_by_16, product, reduce_low, reduce_overflow};
use super::element::Fe;
use super::limbs::{adc, subtract_once};
use super::modulus::Modulus;
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

    /// The sum of columns of weight `2^(52 k)`, each below 2^68, in all below 2^572.
    #[cfg(target_arch = "x86_64")]
    pub(crate) fn from_columns(columns: [u128; 10]) -> Self {
        let mut limbs = [0u64; 9];
        let mut carry = 0u128;
        for k in 0..11 {
            carry += columns.get(k).copied().unwrap_or(0);
            let digit = carry as u64 & ((1 << 52) - 1);
            carry >>= 52;
            let (word, shift) = (52 * k / 64, 52 * k % 64);
            limbs[word] |= digit << shift;
            if shift > 12 {
                limbs[word + 1] |= digit >> (64 - shift);
            }
        }
        debug_assert_eq!(carry, 0);
        Self {
            limbs,
            modulus: PhantomData,
        }
    }

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
        let t = divide_by_16::<M>(&reduce_overflow::<M>(&t, l[8] + carry));
        Fe::from_montgomery(subtract_once(t, &M::MODULUS))
    }
}
