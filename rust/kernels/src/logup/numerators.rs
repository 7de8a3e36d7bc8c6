//! Fractions of a level, and numerators that are the same in every row, folded into weights.

use crate::field::Fq;
use crate::parallel::{CHUNK, sum_parts};
use crate::vector::{add, mul, scale};
use std::ops::Range;

/// The fractions of one half: numerators and denominators minus one, of shape (rows, n).
#[derive(Copy, Clone)]
pub struct Fractions<'a> {
    /// Numerators.
    pub p: &'a [Fq],
    /// Denominators minus one.
    pub d: &'a [Fq],
}

/// What [`round_separable`] needs of its numerators.
///
/// The sum is linear in them, so `lam inner[i] p[i]` is computed once per column: with
/// `w = inner[i]`, `u = w (1 + lam p(0))` and `v = lam w (p(1) - p(0))`,
/// `h(0) = sum w d0 d1 + u1 d0 + u0 d1 + (u0 + u1 - 2 w)` and the leading coefficient is
/// `sum w d0' d1' + v1 d0' + v0 d1'`, where the prime is a slope.
pub(crate) struct NumeratorWeights<'a> {
    w: &'a [Fq],
    /// u0, u1, v0, v1.
    uv: [Vec<Fq>; 4],
}

/// A part of [`NumeratorWeights`].
#[derive(Copy, Clone)]
pub(crate) struct Weights<'a> {
    pub(crate) w: &'a [Fq],
    uv: [&'a [Fq]; 4],
}

impl<'a> Weights<'a> {
    /// w, u0, u1, v0, v1.
    pub(crate) fn arrays(&self) -> [&'a [Fq]; 5] {
        let [u0, u1, v0, v1] = self.uv;
        [self.w, u0, u1, v0, v1]
    }
}

impl<'a> NumeratorWeights<'a> {
    pub(crate) fn new(p0: &[Fq], p1: &[Fq], w: &'a [Fq], lam: Fq) -> Self {
        // Even entries, and differences of pairs, times lam w.
        let scaled = scale(w, lam);
        let times_start = |p: &[Fq]| {
            let starts: Vec<Fq> = p.iter().step_by(2).copied().collect();
            mul(&scaled, &starts)
        };
        let times_slope = |p: &[Fq]| {
            let slope = |pair: &[Fq]| pair.get(1).copied().unwrap_or(Fq::ZERO) - pair[0];
            let slopes: Vec<Fq> = p.chunks(2).map(slope).collect();
            mul(&scaled, &slopes)
        };
        let uv = [
            add(w, &times_start(p0)),
            add(w, &times_start(p1)),
            times_slope(p0),
            times_slope(p1),
        ];
        Self { w, uv }
    }

    pub(crate) fn part(&self, columns: Range<usize>) -> Weights<'_> {
        Weights {
            w: &self.w[columns.clone()],
            uv: std::array::from_fn(|k| &self.uv[k][columns.clone()]),
        }
    }

    /// `sum u0 + u1 - 2 w`.
    pub(super) fn constant(&self) -> Fq {
        let [u0, u1, ..] = &self.uv;
        let sum = |range: Range<usize>| range.map(|i| u0[i] + u1[i] - self.w[i].double()).sum();
        sum_parts(self.w.len(), CHUNK, Fq::ZERO, sum, |a, b| a + b)
    }
}
