//! Even and odd entries of a level, apart or still together.

use crate::buffers::take;
use crate::field::Fq;
use crate::parallel::CHUNK;
use crate::rows::{Groups, Source};
use crate::sumcheck::fold_into;
use rayon::prelude::*;
use std::ops::Range;

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
    pub(super) fn n(&self) -> usize {
        match self {
            Halves::Split { n, .. } => *n,
            Halves::Whole { n, .. } => n.div_ceil(2),
        }
    }

    /// Pairs of both halves in a range of pairs, with zeros where a row ends.
    pub(super) fn pairs<'a>(
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
