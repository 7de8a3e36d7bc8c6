//! Sums of a constant and small integers times field elements.

use crate::field::Fq;
use crate::small::Small;
#[cfg(target_arch = "x86_64")]
use crate::{avx2, ifma};

/// `out[i] = constant + x[i] a + y[i] b`, for slices of one length.
pub(crate) fn affine<T: Small, U: Small>(
    out: &mut [Fq],
    constant: Fq,
    first: (&[T], Fq),
    second: Option<(&[U], Fq)>,
) {
    #[cfg(target_arch = "x86_64")]
    {
        let all_within =
            |limit| within(first.0, limit) && second.is_none_or(|(y, _)| within(y, limit));
        if ifma::available() && all_within(ifma::LIMIT) {
            // SAFETY: the machine has the instructions.
            return unsafe { ifma::affine(out, constant, first, second) };
        } else if avx2::available() && all_within(avx2::LIMIT) {
            // SAFETY: likewise.
            return unsafe { avx2::affine(out, constant, first, second) };
        }
    }
    portable::affine(out, constant, first, second);
}

/// Whether all values are in the range of the vector kernel; short types always are.
#[cfg(target_arch = "x86_64")]
pub(crate) fn fits<T: Small>(x: &[T]) -> bool {
    within(x, ifma::LIMIT)
}

/// Whether no absolute value is above a limit; short types are not asked.
#[cfg(target_arch = "x86_64")]
fn within<T: Small>(x: &[T], limit: u64) -> bool {
    T::BITS <= 32 || x.iter().all(|x| x.to_i64().unsigned_abs() <= limit)
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
