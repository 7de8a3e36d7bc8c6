//! Small integers: the types the engine accepts, arrays of them, and their product with one
//! field element.

use crate::field::{Fe, Modulus};

/// Integers of a block, which are weighed together.
pub const BLOCK: usize = 4;

/// A small-integer type.
pub trait Small: Copy + Send + Sync + 'static {
    /// `-MIN`: [`Self::biased`] is the value plus this.
    const BIAS: u64;
    /// Bits of a biased value.
    const BITS: u32;

    /// The value.
    fn to_i64(self) -> i64;

    /// The value that is the same modulo 2^[`Self::BITS`].
    fn wrapped(x: i64) -> Self;

    /// The value plus the bias, not negative.
    #[inline(always)]
    fn biased(self) -> u64 {
        (self.to_i64() as u64).wrapping_add(Self::BIAS)
    }
}

macro_rules! small {
    ($($type:ty)*) => {$(
        impl Small for $type {
            const BIAS: u64 = (<$type>::MIN as i64).unsigned_abs();
            const BITS: u32 = <$type>::BITS;

            #[inline(always)]
            fn to_i64(self) -> i64 {
                self as i64
            }

            #[inline(always)]
            fn wrapped(x: i64) -> Self {
                x as $type
            }
        }
    )*};
}

small!(i8 i16 i32 i64 u16);

/// A field element prepared for products with integers, several times cheaper than full ones.
pub struct SmallMultiplier<M: Modulus> {
    positive: Fe<M>,
    negative: Fe<M>,
}

impl<M: Modulus> SmallMultiplier<M> {
    /// Prepares `a`.
    pub fn new(a: Fe<M>) -> Self {
        Self {
            positive: a,
            negative: -a,
        }
    }

    /// `x a`.
    #[inline(always)]
    pub fn times(&self, x: i64) -> Fe<M> {
        let a = if x < 0 {
            &self.negative
        } else {
            &self.positive
        };
        a.times_u64(x.unsigned_abs())
    }
}

/// An array of shape (outer, n, inner), row-major.
#[derive(Copy, Clone)]
pub struct Tensor<'a, T> {
    /// The entries.
    pub data: &'a [T],
    /// Length of the bound axis.
    pub n: usize,
    /// Length of the axis after it.
    pub inner: usize,
}
