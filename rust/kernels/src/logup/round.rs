//! Rounds of the sumcheck that takes a level to the level below.

use super::halves::Halves;
use super::numerators::{Fractions, NumeratorWeights, Weights};
use super::portable;
use crate::buffers::take;
use crate::field::Fq;
#[cfg(target_arch = "x86_64")]
use crate::ifma;
use crate::parallel::{CHUNK, row_parts, sum_parts};
use crate::rows::Groups;
use crate::sumcheck::add_each;
use crate::vector::scale_into;
use std::ops::Range;

/// Rows with fewer pairs are handled many at a time.
const SHORT: usize = 64;

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
