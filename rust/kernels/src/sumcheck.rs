//! Rounds of the inner-product sumcheck, on arrays whose rows end in implicit zeros.

use crate::field::{Fq, Wide};
use crate::parallel::{CHUNK, for_parts, row_parts, sum_parts};
use std::ops::Range;

/// Rows of `n` elements as rows of pairs. An even `n` makes the whole array one row.
#[derive(Copy, Clone)]
pub(crate) struct Pairs {
    n: usize,
    half: usize,
    total: usize,
}

impl Pairs {
    pub(crate) fn new(length: usize, n: usize) -> Self {
        let rows = length.checked_div(n).unwrap_or(0);
        if n.is_multiple_of(2) {
            let total = length / 2;
            return Self {
                n: length,
                half: total,
                total,
            };
        }
        let half = n.div_ceil(2);
        Self {
            n,
            half,
            total: rows * half,
        }
    }

    /// Pairs in all.
    pub(crate) fn total(&self) -> usize {
        self.total
    }

    /// The elements under a range of pairs, as parts of rows; the last pair of an odd row has one
    /// element only.
    pub(crate) fn parts(&self, range: Range<usize>) -> impl Iterator<Item = Range<usize>> + use<> {
        let n = self.n;
        row_parts(range, self.half)
            .map(move |(row, p)| row * n + 2 * p.start..row * n + n.min(2 * p.end))
    }
}

/// Elements `2i` and `2i + 1`; a missing one is zero.
#[inline(always)]
pub(crate) fn pair(a: &[Fq]) -> (Fq, Fq) {
    (a[0], a.get(1).copied().unwrap_or(Fq::ZERO))
}

/// `out[o, i] = (1 - r) a[o, 2i] + r a[o, 2i + 1]`.
pub fn fold(a: &[Fq], n: usize, r: Fq) -> Vec<Fq> {
    let pairs = Pairs::new(a.len(), n);
    let mut out = Fq::zeros(pairs.total());
    for_parts(&mut out, CHUNK, |start, part| {
        let mut rest = part;
        for elements in pairs.parts(start..start + rest.len()) {
            let (now, later) = rest.split_at_mut(elements.len().div_ceil(2));
            rest = later;
            for (o, a) in now.iter_mut().zip(a[elements].chunks(2)) {
                let (a0, a1) = pair(a);
                *o = a0 + r * (a1 - a0);
            }
        }
    });
    out
}

/// Coefficients of `sum_{o,i} a_X[o, i] b_X[o, i]`, each factor linear along pairs.
pub fn product_round(a: &[Fq], b: &[Fq], n: usize) -> [Fq; 3] {
    debug_assert_eq!(a.len(), b.len());
    let pairs = Pairs::new(a.len(), n);
    let part = |range| {
        let mut sums = [Wide::ZERO; 3];
        for elements in pairs.parts(range) {
            let (a, b) = (&a[elements.clone()], &b[elements]);
            for (a, b) in a.chunks(2).zip(b.chunks(2)) {
                let ((a0, a1), (b0, b1)) = (pair(a), pair(b));
                sums[0].add_product(&a0, &b0);
                sums[1].add_product(&a1, &b1);
                sums[2].add_product(&(a1 - a0), &(b1 - b0));
            }
        }
        sums.map(|sum| sum.reduce())
    };
    let [at_zero, at_one, leading] = sum_parts(pairs.total(), CHUNK, [Fq::ZERO; 3], part, add_each);
    [at_zero, at_one - at_zero - leading, leading]
}

pub(crate) fn add_each<const K: usize>(a: [Fq; K], b: [Fq; K]) -> [Fq; K] {
    std::array::from_fn(|k| a[k] + b[k])
}
