//! Rounds of the inner-product sumcheck, on arrays whose rows end in implicit zeros.

use crate::buffers::take;
use crate::field::Fq;
use crate::parallel::{CHUNK, for_parts, sum_parts};
use crate::rows::Groups;
#[cfg(target_arch = "x86_64")]
use crate::{avx2, ifma};
use rayon::prelude::*;
use std::ops::Range;

/// `out[o, i] = (1 - r) a[o, 2i] + r a[o, 2i + 1]`.
pub fn fold(a: &[Fq], n: usize, r: Fq) -> Vec<Fq> {
    let pairs = Groups::<2>::new(n);
    let mut out = take(pairs.count(a.len()));
    for_parts(&mut out, CHUNK, |start, part| {
        let (mut padded, mut none) = (Vec::new(), Vec::new());
        let a = pairs.elements(&a, start..start + part.len(), &mut padded, &mut none);
        fold_into(part, a, r);
    });
    out
}

/// [`fold`] of whole pairs.
pub(crate) fn fold_into(out: &mut [Fq], a: &[Fq], r: Fq) {
    // Even or odd entries: no arithmetic.
    if let Some(k) = [Fq::ZERO, Fq::ONE].iter().position(|x| *x == r) {
        for (o, pair) in out.iter_mut().zip(a.as_chunks::<2>().0) {
            *o = pair[k];
        }
        return;
    }
    #[cfg(target_arch = "x86_64")]
    if ifma::available() {
        // SAFETY: the machine has the instructions.
        return unsafe { ifma::fold(out, a, r) };
    } else if avx2::available() {
        // SAFETY: likewise.
        return unsafe { avx2::fold(out, a, r) };
    }
    portable::fold(out, a, r);
}

/// Coefficients of `sum_{o,i} a_X[o, i] b_X[o, i]`, each factor linear along pairs.
pub fn product_round(a: &[Fq], b: &[Fq], n: usize) -> [Fq; 3] {
    debug_assert_eq!(a.len(), b.len());
    let pairs = Groups::<2>::new(n);
    let part = |range: Range<usize>| {
        let mut scratch: [Vec<Fq>; 3] = Default::default();
        let [for_a, for_b, none] = &mut scratch;
        let a = pairs.elements(&a, range.clone(), for_a, none);
        let mut none = Vec::new();
        let b = pairs.elements(&b, range, for_b, &mut none);
        #[cfg(target_arch = "x86_64")]
        if ifma::available() {
            // SAFETY: the machine has the instructions.
            return unsafe { ifma::product(a, b) };
        } else if avx2::available() {
            // SAFETY: likewise.
            return unsafe { avx2::product(a, b) };
        }
        portable::product(a, b)
    };
    let [at_zero, at_one, leading] =
        sum_parts(pairs.count(a.len()), CHUNK, [Fq::ZERO; 3], part, add_each);
    [at_zero, at_one - at_zero - leading, leading]
}

/// [`fold`] of several arrays, each with its own length of rows.
pub fn fold_each(arrays: &[(&[Fq], usize)], r: Fq) -> Vec<Vec<Fq>> {
    let one = |&(a, n): &(&[Fq], usize)| fold(a, n, r);
    if arrays.iter().map(|(a, _)| a.len()).sum::<usize>() <= CHUNK {
        return arrays.iter().map(one).collect();
    }
    arrays.par_iter().map(one).collect()
}

/// The sum of several [`product_round`], each with its own length of rows and factor.
pub fn product_rounds(pairs: &[(&[Fq], &[Fq], usize)], factors: &[Fq]) -> [Fq; 3] {
    let one = |(&(a, b, n), &factor): (&(&[Fq], &[Fq], usize), &Fq)| {
        product_round(a, b, n).map(|coefficient| coefficient * factor)
    };
    if pairs.iter().map(|(a, ..)| a.len()).sum::<usize>() <= CHUNK {
        return pairs
            .iter()
            .zip(factors)
            .map(one)
            .fold([Fq::ZERO; 3], add_each);
    }
    pairs
        .par_iter()
        .zip(factors)
        .map(one)
        .reduce(|| [Fq::ZERO; 3], add_each)
}

pub(crate) fn add_each<const K: usize>(a: [Fq; K], b: [Fq; K]) -> [Fq; K] {
    std::array::from_fn(|k| a[k] + b[k])
}

/// The kernels without vector instructions, on slices of whole pairs.
pub(crate) mod portable {
    use crate::field::{Fq, Wide};

    pub(crate) fn fold(out: &mut [Fq], a: &[Fq], r: Fq) {
        for (o, [a0, a1]) in out.iter_mut().zip(a.as_chunks().0) {
            *o = *a0 + r * (*a1 - *a0);
        }
    }

    /// `sum_i (a0 b0, a1 b1, (a1 - a0) (b1 - b0))`.
    pub(crate) fn product(a: &[Fq], b: &[Fq]) -> [Fq; 3] {
        let mut sums = [Wide::ZERO; 3];
        for ([a0, a1], [b0, b1]) in a.as_chunks().0.iter().zip(b.as_chunks().0) {
            sums[0].add_product(a0, b0);
            sums[1].add_product(a1, b1);
            sums[2].add_product(&(*a1 - *a0), &(*b1 - *b0));
        }
        sums.map(|sum| sum.reduce())
    }
}
