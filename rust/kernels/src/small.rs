//! Small integers: the types the engine accepts, and their product with one field element.

use crate::field::{Fe, Fq, Modulus};
#[cfg(target_arch = "x86_64")]
use crate::ifma;

/// A small-integer type.
pub trait Small: Copy + Send + Sync + 'static {
    /// `-MIN`: [`Self::biased`] is the value plus this.
    const BIAS: u64;
    /// Bits of a biased value.
    const BITS: u32;

    /// The value.
    fn to_i64(self) -> i64;

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

/// `out[i] = constant + x[i] a + y[i] b`, for slices of one length.
pub(crate) fn affine<T: Small, U: Small>(
    out: &mut [Fq],
    constant: Fq,
    first: (&[T], Fq),
    second: Option<(&[U], Fq)>,
) {
    #[cfg(target_arch = "x86_64")]
    if ifma::available() && fits(first.0) && second.is_none_or(|(y, _)| fits(y)) {
        // SAFETY: the machine has the instructions.
        return unsafe { ifma::affine(out, constant, first, second) };
    }
    portable::affine(out, constant, first, second);
}

/// Whether all values are in the range of the vector kernel; short types always are.
#[cfg(target_arch = "x86_64")]
pub(crate) fn fits<T: Small>(x: &[T]) -> bool {
    T::BITS <= 32 || x.iter().all(|x| x.to_i64().unsigned_abs() <= ifma::LIMIT)
}

/// The kernel without vector instructions.
pub(crate) mod portable {
    use super::{Small, SmallMultiplier};
    use crate::field::Fq;

    pub(crate) fn affine<T: Small, U: Small>(
        out: &mut [Fq],
        constant: Fq,
        (x, a): (&[T], Fq),
        second: Option<(&[U], Fq)>,
    ) {
        let a = SmallMultiplier::new(a);
        for (o, x) in out.iter_mut().zip(x) {
            *o = constant + a.times(x.to_i64());
        }
        if let Some((y, b)) = second {
            let b = SmallMultiplier::new(b);
            for (o, y) in out.iter_mut().zip(y) {
                *o += b.times(y.to_i64());
            }
        }
    }
}
