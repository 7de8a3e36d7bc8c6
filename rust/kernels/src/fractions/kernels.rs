//! Kernels on slices of one length, with vector instructions where the machine has them.
//!
//! Four slices are (lower half of child 0, upper half, lower half of child 1, upper half).

use super::portable;
use crate::field::Fq;
#[cfg(target_arch = "x86_64")]
use crate::{avx2, ifma};

macro_rules! dispatch {
    ($(
        $(#[$doc:meta])*
        $name:ident($($argument:ident: $type:ty),*) $(-> $result:ty)?;
    )*) => {$(
        $(#[$doc])*
        pub(super) fn $name($($argument: $type),*) $(-> $result)? {
            #[cfg(target_arch = "x86_64")]
            if ifma::available() {
                // SAFETY: the machine has the instructions.
                return unsafe { ifma::fractions::$name($($argument),*) };
            } else if avx2::available() {
                // SAFETY: likewise.
                return unsafe { avx2::fractions::$name($($argument),*) };
            }
            portable::$name($($argument),*)
        }
    )*};
}

dispatch! {
    /// `(p0 q1 + p1 q0, q0 q1)`; without `p`, numerators are 1.
    join(out: [&mut [Fq]; 2], p: Option<[&[Fq]; 2]>, q: [&[Fq]; 2]);
    /// `low + r (high - low)`.
    lerp(out: &mut [Fq], ends: [&[Fq]; 2], r: Fq);
    /// `low + r (high - low)`, in place of `low`.
    fold(low: &mut [Fq], high: &[Fq], r: Fq);
    /// `lam p + q / 2` and `q` at `r`; `half` is 1 / 2.
    lerp_batched(out: [&mut [Fq]; 2], p: [&[Fq]; 2], q: [&[Fq]; 2], lam: Fq, r: Fq, half: Fq);
    /// `sum w (p0' q1' + p1' q0')` and `sum w q0' q1'` of slopes.
    leading(p: [&[Fq]; 4], q: [&[Fq]; 4], w: &[Fq]) -> [Fq; 2];
    /// `sum w (p0 q1 + p1 q0)` of lower halves and of slopes.
    round(p: [&[Fq]; 4], q: [&[Fq]; 4], w: &[Fq]) -> [Fq; 2];
    /// `sum w (q0 + x0) (q1 + x1)` of lower halves and, with `s0` and `s1`, of slopes.
    round_shifted(q: [&[Fq]; 4], shifts: [Fq; 4], w: &[Fq]) -> [Fq; 2];
}
