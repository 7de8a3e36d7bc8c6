//! The prover's state of an inner-product argument: vectors and generators that are folded in
//! halves, round by round.
//!
//! Vectors are folded in every round, generators only now and then: a multiple of a generator by
//! a challenge costs a hundred doublings, whether it is by one challenge or by the products of
//! several. In between, generator `i` stands for the folded one that it will be a part of, and what
//! it counts there goes into the scalars of the sums.

use crate::curve::Affine;
use crate::curve_scale::combine;
use crate::field::Fq;
use crate::msm::msm;
use crate::vector::{dot, lincomb};

/// Parts that are combined at once, a power of two.
const PARTS: usize = 8;
/// Below this many results, sums of unfolded generators cost less than folding.
const FEWEST: usize = 64;

/// A step that is not the next one, or operands that do not fit.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum InnerProductError {
    /// Vectors and generators are not of one length, or empty.
    Lengths,
    /// A fold where one entry is left, or an end before that.
    Order,
    /// The challenge has no inverse.
    Zero,
}

/// A vector's lower and upper half.
type Halves<'a> = (&'a [Fq], &'a [Fq]);

/// `<a, G>` and `<a, b>`, as far as they are folded.
pub struct InnerProduct {
    a: Vec<Fq>,
    b: Vec<Fq>,
    /// Entries of the vectors with padding: a power of two.
    size: usize,
    /// Parts of `size` generators, the last ones of which may be missing.
    points: Vec<Affine>,
    /// What the generators of each part count.
    factors: Vec<Fq>,
    /// What inner products multiply.
    inner: Affine,
}

impl InnerProduct {
    /// Operands as they are before the first round.
    pub fn new(
        points: &[Affine],
        inner: Affine,
        a: &[Fq],
        b: &[Fq],
    ) -> Result<Self, InnerProductError> {
        if a.is_empty() || a.len() != b.len() || a.len() != points.len() {
            return Err(InnerProductError::Lengths);
        }
        Ok(Self {
            a: a.to_vec(),
            b: b.to_vec(),
            size: a.len().next_power_of_two(),
            points: points.to_vec(),
            factors: vec![Fq::ONE],
            inner,
        })
    }

    /// `<a_lo, G_hi> + <a_lo, b_hi> U` and `<a_hi, G_lo> + <a_hi, b_lo> U`.
    pub fn cross(&self) -> Result<[Affine; 2], InnerProductError> {
        let [(a_lo, a_hi), (b_lo, b_hi)] = self.halves()?;
        let (left, right) = rayon::join(
            || self.sum(a_lo, b_hi, true),
            || self.sum(a_hi, b_lo, false),
        );
        Ok([left, right])
    }

    /// `a_lo + a_hi / x`, `b_lo + x b_hi` and `G_lo + x G_hi` take the place of the operands.
    pub fn fold(&mut self, x: Fq) -> Result<(), InnerProductError> {
        let [(a_lo, a_hi), (b_lo, b_hi)] = self.halves()?;
        let inverse = x.invert_vartime().ok_or(InnerProductError::Zero)?;
        let a = lincomb(&[a_lo, a_hi], &[Fq::ONE, inverse]);
        (self.b, self.a) = (lincomb(&[b_lo, b_hi], &[Fq::ONE, x]), a);
        self.size /= 2;
        self.factors = self.factors.iter().flat_map(|f| [*f, *f * x]).collect();
        if self.factors.len() == PARTS && self.size >= FEWEST {
            self.points = combine(&self.points, self.size, &self.factors);
            self.factors = vec![Fq::ONE];
        }
        Ok(())
    }

    /// The folded `a`.
    pub fn end(&self) -> Result<Fq, InnerProductError> {
        match self.a[..] {
            [a] => Ok(a),
            _ => Err(InnerProductError::Order),
        }
    }

    /// Both halves of both vectors; the upper ones may be shorter.
    fn halves(&self) -> Result<[Halves<'_>; 2], InnerProductError> {
        if self.size == 1 {
            return Err(InnerProductError::Order);
        }
        Ok([&self.a, &self.b].map(|v| v.split_at(self.size / 2)))
    }

    /// `<scalars, G> + <scalars, others> U` for the upper or the lower half of the generators.
    ///
    /// Only as many entries count as both vectors have.
    fn sum(&self, scalars: &[Fq], others: &[Fq], upper: bool) -> Affine {
        let n = scalars.len().min(others.len());
        let (scalars, others) = (&scalars[..n], &others[..n]);
        let first = if upper { self.size / 2 } else { 0 };
        let count = self.factors.len() * n + 1;
        let (mut points, mut weighed) = (Vec::with_capacity(count), Vec::with_capacity(count));
        for (part, factor) in self.points.chunks(self.size).zip(&self.factors) {
            let part = part.get(first..).unwrap_or_default();
            points.extend(part.iter().take(n));
            weighed.extend(scalars.iter().take(part.len()).map(|s| *s * *factor));
        }
        points.push(self.inner);
        weighed.push(dot(scalars, others));
        msm(&points, &weighed)
    }
}
