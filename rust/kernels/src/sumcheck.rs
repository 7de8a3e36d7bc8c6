//! Rounds of the inner-product sumcheck, on arrays whose rows end in implicit zeros.

use crate::buffers::take;
use crate::field::Fq;
#[cfg(target_arch = "x86_64")]
use crate::ifma;
use crate::parallel::{CHUNK, for_parts, row_parts, sum_parts};
use std::ops::Range;

/// Rows of `n` elements seen as rows of pairs.
#[derive(Copy, Clone)]
pub(crate) struct Pairs {
    n: usize,
    half: usize,
}

impl Pairs {
    pub(crate) fn new(n: usize) -> Self {
        Self {
            n,
            half: n.div_ceil(2),
        }
    }

    /// Pairs in an array of so many elements.
    pub(crate) fn count(&self, length: usize) -> usize {
        length.checked_div(self.n).unwrap_or(0) * self.half
    }

    /// Whether rows have an odd length, so that each ends in half a pair.
    pub(crate) fn odd(&self) -> bool {
        !self.n.is_multiple_of(2)
    }

    /// The elements under a range of pairs, two for each: in place where rows are even, else
    /// copied to `scratch` with the missing zeros.
    pub(crate) fn elements<'a>(
        &self,
        a: &'a [Fq],
        range: Range<usize>,
        scratch: &'a mut Vec<Fq>,
    ) -> &'a [Fq] {
        if !self.odd() {
            return &a[2 * range.start..2 * range.end];
        }
        scratch.clear();
        for (row, columns) in row_parts(range, self.half) {
            self.copy_part(&a[row * self.n..(row + 1) * self.n], columns, scratch);
        }
        scratch
    }

    /// Appends the elements under some pairs of one row, with the missing zero.
    pub(crate) fn copy_part(&self, row: &[Fq], columns: Range<usize>, scratch: &mut Vec<Fq>) {
        scratch.extend_from_slice(&row[2 * columns.start..self.n.min(2 * columns.end)]);
        if 2 * columns.end > self.n {
            scratch.push(Fq::ZERO);
        }
    }
}

/// `out[o, i] = (1 - r) a[o, 2i] + r a[o, 2i + 1]`.
pub fn fold(a: &[Fq], n: usize, r: Fq) -> Vec<Fq> {
    let pairs = Pairs::new(n);
    let mut out = take(pairs.count(a.len()));
    for_parts(&mut out, CHUNK, |start, part| {
        let mut scratch = Vec::new();
        let a = pairs.elements(a, start..start + part.len(), &mut scratch);
        // Even or odd entries: no arithmetic.
        if let Some(k) = [Fq::ZERO, Fq::ONE].iter().position(|x| *x == r) {
            for (o, pair) in part.iter_mut().zip(a.as_chunks::<2>().0) {
                *o = pair[k];
            }
            return;
        }
        #[cfg(target_arch = "x86_64")]
        if ifma::available() {
            // SAFETY: the machine has the instructions.
            return unsafe { ifma::fold(part, a, r) };
        }
        portable::fold(part, a, r);
    });
    out
}

/// Coefficients of `sum_{o,i} a_X[o, i] b_X[o, i]`, each factor linear along pairs.
pub fn product_round(a: &[Fq], b: &[Fq], n: usize) -> [Fq; 3] {
    debug_assert_eq!(a.len(), b.len());
    let pairs = Pairs::new(n);
    let part = |range: Range<usize>| {
        let mut scratch = [Vec::new(), Vec::new()];
        let [for_a, for_b] = &mut scratch;
        let a = pairs.elements(a, range.clone(), for_a);
        let b = pairs.elements(b, range, for_b);
        #[cfg(target_arch = "x86_64")]
        if ifma::available() {
            // SAFETY: the machine has the instructions.
            return unsafe { ifma::product(a, b) };
        }
        portable::product(a, b)
    };
    let [at_zero, at_one, leading] =
        sum_parts(pairs.count(a.len()), CHUNK, [Fq::ZERO; 3], part, add_each);
    [at_zero, at_one - at_zero - leading, leading]
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
