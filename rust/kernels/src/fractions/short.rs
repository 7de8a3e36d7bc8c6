//! Denominators c - v of 16-bit integers v, numerators 1: what a round, a binding or a level needs
//! of them is linear in the integers and in products of two, so that none is made an element first.
//!
//! Everything here is about runs of entries whose constant does not change; where there is no such
//! run, callers take elements as of any other block.

use super::block::Shared;
use super::entries::{Integers, SmallArray};
use crate::affine::affine;
use crate::field::Fq;
use crate::small::Small;
#[cfg(target_arch = "x86_64")]
use crate::{avx2, ifma};
use std::ops::Range;

/// Calls an expression with the integers as a slice of their own type, if they have 16 bits and no
/// images.
macro_rules! with_short {
    ($integers:expr, |$x:ident| $body:expr) => {
        match (&$integers.values, &$integers.images) {
            (SmallArray::I16($x), None) => $body,
            (SmallArray::U16($x), None) => $body,
            _ => None,
        }
    };
}

/// Slices of one length, each with its constant.
type Runs<'a, T, const N: usize> = ([&'a [T]; N], [Fq; N]);

impl Integers {
    /// Entries that share a constant.
    fn width(&self) -> usize {
        self.values.len() / self.constants.len().max(1)
    }

    /// As many entries from each start on as share a constant there, at most `n`.
    fn run(&self, starts: &[usize], n: usize) -> usize {
        let width = self.width();
        let left = starts.iter().map(|start| width - start % width);
        left.fold(n, usize::min)
    }

    /// `n` entries from each start on, if they are there and share a constant.
    fn runs<'a, T: Small, const N: usize>(
        &self,
        values: &'a [T],
        starts: [usize; N],
        n: usize,
    ) -> Option<Runs<'a, T, N>> {
        let inside = starts.iter().all(|start| start + n <= values.len());
        (inside && self.run(&starts, n) == n).then(|| {
            let constants = starts.map(|start| self.constants[start / self.width()]);
            (starts.map(|start| &values[start..start + n]), constants)
        })
    }

    /// A round over leaves: `sum w (q0 + lam) (q1 + lam)` of lower halves, and `sum w q0 q1` of
    /// slopes; starts are those of (lower half of child 0, upper half, the same of child 1).
    pub(super) fn short_round(&self, starts: [usize; 4], w: &[Fq], lam: Fq) -> Option<[Fq; 2]> {
        with_short!(self, |values| {
            let (v, c) = self.runs(values, starts, w.len())?;
            // (a - x) (b - y), summed up.
            let weighted = |a: Fq, b: Fq, slopes| {
                let [total, x, y, xy] = moments(v, w, slopes);
                a * (b * total - y) - b * x + xy
            };
            let at_zero = weighted(c[0] + lam, c[2] + lam, false);
            Some([at_zero, weighted(c[1] - c[0], c[3] - c[2], true)])
        })
    }

    /// Binds leaves to `r` between lower and upper halves.
    pub(super) fn short_bind(&self, out: &mut [Fq], starts: [usize; 2], r: Fq) -> Option<()> {
        with_short!(self, |values| {
            let ([low, high], [a, b]) = self.runs(values, starts, out.len())?;
            let constant = a + r * (b - a);
            affine(out, constant, (low, r - Fq::ONE), Some((high, -r)));
            Some(())
        })
    }

    /// Binds the level above leaves, `lam p + q / 2` and q; starts are those of the leaves under
    /// (lower half, upper half).
    pub(super) fn short_bind_joined(
        &self,
        [p, q]: [&mut [Fq]; 2],
        starts: [[usize; 2]; 2],
        r: Fq,
        Shared { lam, half }: Shared,
    ) -> Option<()> {
        let [[a, b], [c, d]] = starts;
        with_short!(self, |values| {
            let ([a, b, c, d], constants) = self.runs(values, [a, b, c, d], q.len())?;
            let [low, high] = [(constants[0], constants[1]), (constants[2], constants[3])];
            let mut constant = [Fq::ZERO; 2];
            let mut coefficients = [[[Fq::ZERO; 3]; 2]; 2];
            for (k, (s, (x, y))) in [(Fq::ONE - r, low), (r, high)].into_iter().enumerate() {
                // q = (x - u) (y - v), p = x + y - u - v for integers u and v.
                let q = s * x * y;
                constant[0] += s * lam * (x + y) + half * q;
                constant[1] += q;
                coefficients[1][k] = [-(s * y), -(s * x), s];
                let [u, v, uv] = coefficients[1][k].map(|c| half * c);
                coefficients[0][k] = [u - s * lam, v - s * lam, uv];
            }
            bilinear([p, q], [[a, b], [c, d]], constant, coefficients);
            Some(())
        })
    }

    /// Numerators and denominators above two ranges of leaves.
    pub(super) fn short_join(
        &self,
        [p, q]: [&mut [Fq]; 2],
        low: &Range<usize>,
        high: usize,
    ) -> Option<()> {
        with_short!(self, |values| {
            let mut at = 0;
            while at < low.len() {
                let starts = [low.start + at, high + at];
                let n = self.run(&starts, low.len() - at);
                let ([u, v], [x, y]) = self.runs(values, starts, n)?;
                join([&mut p[at..at + n], &mut q[at..at + n]], [u, v], [x, y]);
                at += n;
            }
            Some(())
        })
    }
}

/// `sum w`, `sum w x`, `sum w y` and `sum w x y`, where x and y are lower halves or, if asked,
/// slopes; `v` is (lower half of child 0, upper half, lower half of child 1, upper half).
fn moments<T: Small>(v: [&[T]; 4], w: &[Fq], slopes: bool) -> [Fq; 4] {
    #[cfg(target_arch = "x86_64")]
    if ifma::available() {
        // SAFETY: the machine has the instructions.
        return unsafe { ifma::short::moments(v, w, slopes) };
    } else if avx2::available() {
        // SAFETY: likewise.
        return unsafe { avx2::short::moments(v, w, slopes) };
    }
    portable::moments(v, w, slopes)
}

/// `(a - x) + (b - y)` and `(a - x) (b - y)`.
fn join<T: Small>(out: [&mut [Fq]; 2], integers: [&[T]; 2], constants: [Fq; 2]) {
    #[cfg(target_arch = "x86_64")]
    if ifma::available() {
        // SAFETY: the machine has the instructions.
        return unsafe { ifma::short::join(out, integers, constants) };
    } else if avx2::available() {
        // SAFETY: likewise.
        return unsafe { avx2::short::join(out, integers, constants) };
    }
    portable::join(out, integers, constants);
}

/// Two vectors that are each a constant plus, for both pairs (x, y) of slices, the integers
/// x, y and x y times coefficients.
fn bilinear<T: Small>(
    out: [&mut [Fq]; 2],
    pairs: [[&[T]; 2]; 2],
    constants: [Fq; 2],
    coefficients: [[[Fq; 3]; 2]; 2],
) {
    #[cfg(target_arch = "x86_64")]
    if ifma::available() {
        // SAFETY: the machine has the instructions.
        return unsafe { ifma::short::bilinear(out, pairs, constants, coefficients) };
    } else if avx2::available() {
        // SAFETY: likewise.
        return unsafe { avx2::short::bilinear(out, pairs, constants, coefficients) };
    }
    portable::bilinear(out, pairs, constants, coefficients);
}

/// The kernels without vector instructions.
pub(crate) mod portable {
    use crate::contract::Columns;
    use crate::field::Fq;
    use crate::small::{Small, SmallMultiplier};

    /// Added to integers, so that none is negative: more than the product of two differences.
    const BIAS: i64 = 1 << 40;

    pub(crate) fn moments<T: Small>(v: [&[T]; 4], w: &[Fq], slopes: bool) -> [Fq; 4] {
        let mut sums = [Columns::ZERO; 4];
        for (i, w) in w.iter().enumerate() {
            let [x, upper_x, y, upper_y] = v.map(|v| v[i].to_i64());
            let [x, y] = if slopes {
                [upper_x - x, upper_y - y]
            } else {
                [x, y]
            };
            for (sum, x) in sums.iter_mut().zip([1, x + BIAS, y + BIAS, x * y + BIAS]) {
                sum.add(x as u64, w.montgomery());
            }
        }
        let [total, x, y, xy] = sums.map(|sum| sum.reduce());
        let bias = total * Fq::from_i64(BIAS);
        [total, x - bias, y - bias, xy - bias]
    }

    pub(crate) fn join<T: Small>(out: [&mut [Fq]; 2], [x, y]: [&[T]; 2], [a, b]: [Fq; 2]) {
        let [sums, products] = out;
        for (i, (sum, product)) in sums.iter_mut().zip(products).enumerate() {
            let [a, b] = [
                a - Fq::from_i64(x[i].to_i64()),
                b - Fq::from_i64(y[i].to_i64()),
            ];
            (*sum, *product) = (a + b, a * b);
        }
    }

    pub(crate) fn bilinear<T: Small>(
        out: [&mut [Fq]; 2],
        pairs: [[&[T]; 2]; 2],
        constants: [Fq; 2],
        coefficients: [[[Fq; 3]; 2]; 2],
    ) {
        for ((out, constant), coefficients) in out.into_iter().zip(constants).zip(coefficients) {
            let factors = coefficients.map(|a| a.map(SmallMultiplier::new));
            for (i, out) in out.iter_mut().enumerate() {
                *out = constant;
                for ([x, y], factors) in pairs.iter().zip(&factors) {
                    let (x, y) = (x[i].to_i64(), y[i].to_i64());
                    for (factor, x) in factors.iter().zip([x, y, x * y]) {
                        *out += factor.times(x);
                    }
                }
            }
        }
    }
}
