//! Fractional sums: p/q as (p, d) with q = 1 + d, so that zeros stand for the fraction 0/1.
//!
//! The bottom of the tree is made of small integers. Its fractions are computed where they are
//! used, a part at a time, and the halves of a level only exist once they are folded: fresh memory
//! costs more than the arithmetic.

use crate::buffers::take;
use crate::field::Fq;
#[cfg(target_arch = "x86_64")]
use crate::ifma;
use crate::parallel::{CHUNK, for_parts, row_parts, sum_parts};
use crate::small::{Small, affine};
use crate::sumcheck::{Groups, add_each, fold_into};
use crate::vector::{add, mul, scale, scale_into};
use rayon::prelude::*;
use std::ops::Range;

/// Rows with fewer pairs are handled many at a time.
const SHORT: usize = 64;

/// A vector that is stored, or computed where it is read.
pub trait Source: Sync {
    /// Number of elements.
    fn len(&self) -> usize;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The elements in a range, in place or in `scratch`.
    fn elements<'a>(&'a self, range: Range<usize>, scratch: &'a mut Vec<Fq>) -> &'a [Fq];
}

impl Source for &[Fq] {
    fn len(&self) -> usize {
        <[Fq]>::len(self)
    }

    fn elements<'a>(&'a self, range: Range<usize>, _scratch: &'a mut Vec<Fq>) -> &'a [Fq] {
        &self[range]
    }
}

/// Denominators minus one of looked-up integers:
/// `constants[b] - values[b, i] - beta images[b, i]`.
pub struct Leaves<'a, T, U> {
    /// Values, (rows, width).
    pub values: &'a [T],
    /// Images of the same shape.
    pub images: Option<&'a [U]>,
    /// One per row.
    pub constants: &'a [Fq],
    /// Factor of images.
    pub beta: Fq,
}

impl<T: Small, U: Small> Leaves<'_, T, U> {
    fn fill(&self, range: Range<usize>, out: &mut [Fq]) {
        let rows = self.constants.len();
        let width = self.values.len().checked_div(rows).unwrap_or(0);
        let mut rest = out;
        for (row, columns) in row_parts(range, width) {
            let (now, later) = rest.split_at_mut(columns.len());
            rest = later;
            let here = row * width + columns.start..row * width + columns.end;
            let images = self
                .images
                .map(|images| (&images[here.clone()], -self.beta));
            affine(
                now,
                self.constants[row],
                (&self.values[here], -Fq::ONE),
                images,
            );
        }
    }
}

impl<T: Small, U: Small> Source for Leaves<'_, T, U> {
    fn len(&self) -> usize {
        self.values.len()
    }

    fn elements<'a>(&'a self, range: Range<usize>, scratch: &'a mut Vec<Fq>) -> &'a [Fq] {
        scratch.resize(range.len(), Fq::ZERO);
        self.fill(range, scratch);
        scratch
    }
}

/// All elements of a source.
pub fn collect(source: &dyn Source) -> Vec<Fq> {
    let mut out = take(source.len());
    for_parts(&mut out, CHUNK, |start, part| {
        let mut scratch = Vec::new();
        part.copy_from_slice(source.elements(start..start + part.len(), &mut scratch));
    });
    out
}

/// Adds neighbours: `(p', d')`; `p = None` stands for numerators 1.
pub fn level(p: Option<&dyn Source>, d: &dyn Source, n: usize) -> (Vec<Fq>, Vec<Fq>) {
    let pairs = Groups::<2>::new(n);
    let total = pairs.count(d.len());
    let mut out_p = take(total);
    let mut out_d = take(total);
    let part = |start: usize, out_p: &mut [Fq], out_d: &mut [Fq]| {
        let range = start..start + out_p.len();
        let mut scratch: [Vec<Fq>; 4] = Default::default();
        let [for_p, for_d, raw, none] = &mut scratch;
        let p = p.map(|p| pairs.elements(p, range.clone(), for_p, none));
        level_into(
            out_p,
            out_d,
            p,
            pairs.elements(d, range.clone(), for_d, raw),
        );
        if p.is_none() && pairs.ragged() {
            // The missing fraction that ends a row has numerator 0.
            let half = n.div_ceil(2);
            for end in (range.start / half * half + half - 1..range.end).step_by(half) {
                out_p[end - range.start] = Fq::ONE;
            }
        }
    };
    if total <= CHUNK {
        part(0, &mut out_p, &mut out_d);
        return (out_p, out_d);
    }
    out_p
        .par_chunks_mut(CHUNK)
        .zip(out_d.par_chunks_mut(CHUNK))
        .enumerate()
        .for_each(|(k, (out_p, out_d))| part(k * CHUNK, out_p, out_d));
    (out_p, out_d)
}

fn level_into(out_p: &mut [Fq], out_d: &mut [Fq], p: Option<&[Fq]>, d: &[Fq]) {
    #[cfg(target_arch = "x86_64")]
    if ifma::available() {
        // SAFETY: the machine has the instructions.
        return unsafe { ifma::level(out_p, out_d, p, d) };
    }
    portable::level(out_p, out_d, p, d);
}

/// The fractions of one half: numerators and denominators minus one, of shape (rows, n).
#[derive(Copy, Clone)]
pub struct Fractions<'a> {
    /// Numerators.
    pub p: &'a [Fq],
    /// Denominators minus one.
    pub d: &'a [Fq],
}

/// Even and odd entries of one array of a level, of shape (rows, n) each.
#[derive(Copy, Clone)]
pub enum Halves<'a> {
    /// Stored apart.
    Split {
        /// Even entries.
        even: &'a [Fq],
        /// Odd entries.
        odd: &'a [Fq],
        /// Entries in a row of each.
        n: usize,
    },
    /// Still one array, with rows of `n` entries together.
    Whole {
        /// The array.
        source: &'a dyn Source,
        /// Entries in a row of it.
        n: usize,
    },
}

impl Halves<'_> {
    /// Entries in a row of each half.
    fn n(&self) -> usize {
        match self {
            Halves::Split { n, .. } => *n,
            Halves::Whole { n, .. } => n.div_ceil(2),
        }
    }

    /// Pairs of both halves in a range of pairs, with zeros where a row ends.
    fn pairs<'a>(
        &'a self,
        range: Range<usize>,
        scratch: &'a mut [Vec<Fq>; 4],
    ) -> (&'a [Fq], &'a [Fq]) {
        let [for_even, for_odd, raw, padded] = scratch;
        match self {
            Halves::Split { even, odd, n } => {
                let pairs = Groups::<2>::new(*n);
                (
                    pairs.elements(even, range.clone(), for_even, raw),
                    pairs.elements(odd, range, for_odd, padded),
                )
            }
            Halves::Whole { source, n } => {
                let quads = Groups::<4>::new(*n).elements(*source, range, padded, raw);
                for_even.clear();
                for_odd.clear();
                for quad in quads.as_chunks::<4>().0 {
                    for_even.extend([quad[0], quad[2]]);
                    for_odd.extend([quad[1], quad[3]]);
                }
                (for_even, for_odd)
            }
        }
    }
}

/// Even and odd entries of an array with rows of `n`, each folded with `r`.
pub fn split_fold(source: &dyn Source, n: usize, r: Fq) -> (Vec<Fq>, Vec<Fq>) {
    let quarter = Groups::<4>::new(n);
    let total = quarter.count(source.len());
    let (mut even, mut odd) = (take(total), take(total));
    let part = |start: usize, even: &mut [Fq], odd: &mut [Fq]| {
        let mut scratch: [Vec<Fq>; 4] = Default::default();
        let halves = Halves::Whole { source, n };
        let (from_even, from_odd) = halves.pairs(start..start + even.len(), &mut scratch);
        fold_into(even, from_even, r);
        fold_into(odd, from_odd, r);
    };
    if total <= CHUNK {
        part(0, &mut even, &mut odd);
        return (even, odd);
    }
    even.par_chunks_mut(CHUNK)
        .zip(odd.par_chunks_mut(CHUNK))
        .enumerate()
        .for_each(|(k, (even, odd))| part(k * CHUNK, even, odd));
    (even, odd)
}

/// `(h(0), leading coefficient)` of
/// `h(X) = sum_{o,i} outer[o] inner[i] (lam (p0 (1+d1) + p1 (1+d0)) + d0 + d1 + d0 d1)`.
///
/// All arrays have shape (len(outer), n), and `len(inner) = ceil(n / 2)`.
pub fn round(p: Halves<'_>, d: Halves<'_>, outer: &[Fq], inner: &[Fq], lam: Fq) -> [Fq; 2] {
    let half = inner.len();
    let part = |range: Range<usize>| {
        let mut scratch: [[Vec<Fq>; 4]; 2] = Default::default();
        let [for_p, for_d] = &mut scratch;
        if half < SHORT {
            let weights = joint_weights(outer, inner, range.clone());
            let (p0, p1) = p.pairs(range.clone(), for_p);
            let (d0, d1) = d.pairs(range, for_d);
            return round_part(p0, d0, p1, d1, &weights, lam);
        }
        let mut total = [Fq::ZERO; 2];
        for (row, columns) in row_parts(range, half) {
            let here = row * half + columns.start..row * half + columns.end;
            let (p0, p1) = p.pairs(here.clone(), for_p);
            let (d0, d1) = d.pairs(here, for_d);
            let sums = round_part(p0, d0, p1, d1, &inner[columns], lam);
            total = add_each(total, sums.map(|x| x * outer[row]));
        }
        total
    };
    sum_parts(outer.len() * half, CHUNK, [Fq::ZERO; 2], part, add_each)
}

/// `outer[o] inner[i]` over a range of the index space.
fn joint_weights(outer: &[Fq], inner: &[Fq], range: Range<usize>) -> Vec<Fq> {
    let mut weights = take(range.len());
    let mut rest = &mut weights[..];
    for (row, columns) in row_parts(range, inner.len()) {
        let (now, later) = rest.split_at_mut(columns.len());
        rest = later;
        scale_into(now, outer[row], &inner[columns]);
    }
    weights
}

/// One round over pairs with weights `w`.
fn round_part(p0: &[Fq], d0: &[Fq], p1: &[Fq], d1: &[Fq], w: &[Fq], lam: Fq) -> [Fq; 2] {
    let (even, odd) = (Fractions { p: p0, d: d0 }, Fractions { p: p1, d: d1 });
    let sums = |even, odd, w| {
        #[cfg(target_arch = "x86_64")]
        if ifma::available() {
            // SAFETY: the machine has the instructions.
            return unsafe { ifma::round(even, odd, w) };
        }
        portable::round(even, odd, w)
    };
    // Numerators and denominators were summed apart; lam joins them here.
    let [p_zero, d_zero, p_lead, d_lead] = sums(even, odd, w);
    [lam * p_zero + d_zero, lam * p_lead + d_lead]
}

/// [`round`] with numerators of shape (n), the same in every row.
pub fn round_separable(
    p: [&[Fq]; 2],
    d: Halves<'_>,
    outer: &[Fq],
    inner: &[Fq],
    lam: Fq,
) -> [Fq; 2] {
    let (n, half) = (d.n(), inner.len());
    if outer.len() == 1 {
        let [even, odd] = p;
        return round(Halves::Split { even, odd, n }, d, outer, inner, lam);
    }
    if half < SHORT {
        return round_broadcast(p, d, outer, inner, lam);
    }
    let weights = NumeratorWeights::new(p[0], p[1], inner, lam);
    let part = |range: Range<usize>| {
        let mut scratch: [Vec<Fq>; 4] = Default::default();
        let mut total = [Fq::ZERO; 2];
        for (row, columns) in row_parts(range, half) {
            let here = row * half + columns.start..row * half + columns.end;
            let (d0, d1) = d.pairs(here, &mut scratch);
            let sums = separable_part(d0, d1, weights.part(columns));
            total = add_each(total, sums.map(|x| x * outer[row]));
        }
        total
    };
    let [at_zero, leading] = sum_parts(outer.len() * half, CHUNK, [Fq::ZERO; 2], part, add_each);
    let rows: Fq = outer.iter().copied().sum();
    [at_zero + rows * weights.constant(), leading]
}

/// [`round_separable`] for short rows, by copies of the numerators.
fn round_broadcast(p: [&[Fq]; 2], d: Halves<'_>, outer: &[Fq], inner: &[Fq], lam: Fq) -> [Fq; 2] {
    let (pairs, half) = (Groups::<2>::new(d.n()), inner.len());
    let part = |range: Range<usize>| {
        let weights = joint_weights(outer, inner, range.clone());
        let mut scratch: [Vec<Fq>; 4] = Default::default();
        let mut copies = [Vec::new(), Vec::new()];
        for (copy, p) in copies.iter_mut().zip(p) {
            for (_, columns) in row_parts(range.clone(), half) {
                pairs.copy_part(p, columns, copy);
            }
        }
        let (d0, d1) = d.pairs(range, &mut scratch);
        round_part(&copies[0], d0, &copies[1], d1, &weights, lam)
    };
    sum_parts(outer.len() * half, CHUNK, [Fq::ZERO; 2], part, add_each)
}

fn separable_part(d0: &[Fq], d1: &[Fq], weights: Weights<'_>) -> [Fq; 2] {
    #[cfg(target_arch = "x86_64")]
    if ifma::available() {
        // SAFETY: the machine has the instructions.
        return unsafe { ifma::round_separable(d0, d1, weights) };
    }
    portable::round_separable(d0, d1, weights)
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
    fn constant(&self) -> Fq {
        let [u0, u1, ..] = &self.uv;
        let sum = |range: Range<usize>| range.map(|i| u0[i] + u1[i] - self.w[i].double()).sum();
        sum_parts(self.w.len(), CHUNK, Fq::ZERO, sum, |a, b| a + b)
    }
}

/// The kernels without vector instructions, on slices of whole pairs.
pub(crate) mod portable {
    use super::{Fractions, Weights};
    use crate::field::{Fq, Wide};

    /// `p0 d1 + p1 d0`.
    fn cross(p0: Fq, d0: Fq, p1: Fq, d1: Fq) -> Fq {
        let mut sum = Wide::ZERO;
        sum.add_product(&p0, &d1);
        sum.add_product(&p1, &d0);
        sum.reduce()
    }

    pub(crate) fn level(out_p: &mut [Fq], out_d: &mut [Fq], p: Option<&[Fq]>, d: &[Fq]) {
        let d = d.as_chunks().0;
        for (o, [d0, d1]) in out_d.iter_mut().zip(d) {
            *o = *d0 * *d1 + *d0 + *d1;
        }
        match p {
            None => {
                for (o, [d0, d1]) in out_p.iter_mut().zip(d) {
                    *o = *d0 + *d1 + Fq::ONE.double();
                }
            }
            Some(p) => {
                for ((o, [d0, d1]), [p0, p1]) in out_p.iter_mut().zip(d).zip(p.as_chunks().0) {
                    *o = cross(*p0, *d0, *p1, *d1) + *p0 + *p1;
                }
            }
        }
    }

    /// Numerators and denominators at 0, and leading.
    pub(crate) fn round(even: Fractions<'_>, odd: Fractions<'_>, w: &[Fq]) -> [Fq; 4] {
        let mut sums = [Wide::ZERO; 4];
        let [p0, d0, p1, d1] = [even.p, even.d, odd.p, odd.d].map(|x| x.as_chunks::<2>().0);
        for ((((p0, d0), p1), d1), w) in p0.iter().zip(d0).zip(p1).zip(d1).zip(w) {
            let numerator = cross(p0[0], d0[0], p1[0], d1[0]) + p0[0] + p1[0];
            sums[0].add_product(w, &numerator);
            sums[1].add_product(w, &(d0[0] * d1[0] + d0[0] + d1[0]));
            let [p0, d0, p1, d1] = [p0, d0, p1, d1].map(|x| x[1] - x[0]);
            sums[2].add_product(w, &cross(p0, d0, p1, d1));
            sums[3].add_product(w, &(d0 * d1));
        }
        sums.map(|sum| sum.reduce())
    }

    /// At 0, and leading.
    pub(crate) fn round_separable(d0: &[Fq], d1: &[Fq], weights: Weights<'_>) -> [Fq; 2] {
        let mut sums = [Wide::ZERO; 2];
        let [w, u0, u1, v0, v1] = weights.arrays();
        for (i, (d0, d1)) in d0
            .as_chunks::<2>()
            .0
            .iter()
            .zip(d1.as_chunks().0)
            .enumerate()
        {
            let [start0, end0] = *d0;
            let [start1, end1]: [Fq; 2] = *d1;
            sums[0].add_product(&w[i], &(start0 * start1));
            sums[0].add_product(&u1[i], &start0);
            sums[0].add_product(&u0[i], &start1);
            let (slope0, slope1) = (end0 - start0, end1 - start1);
            sums[1].add_product(&w[i], &(slope0 * slope1));
            sums[1].add_product(&v1[i], &slope0);
            sums[1].add_product(&v0[i], &slope1);
        }
        sums.map(|sum| sum.reduce())
    }
}
