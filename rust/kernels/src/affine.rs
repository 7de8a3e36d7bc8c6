//! Sums of a constant and small integers times field elements.

use crate::field::Fq;
#[cfg(target_arch = "x86_64")]
use crate::ifma;
use crate::small::Small;

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
    use crate::field::Fq;
    use crate::small::{Small, SmallMultiplier};

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
