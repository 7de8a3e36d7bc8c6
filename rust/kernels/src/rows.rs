//! Vectors that are stored or computed where they are read, and rows of them in groups.

use crate::field::Fq;
use crate::parallel::row_parts;
use std::ops::Range;

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

/// Rows of `n` elements seen as rows of groups of K, the last one filled up with zeros.
#[derive(Copy, Clone)]
pub(crate) struct Groups<const K: usize> {
    n: usize,
    per_row: usize,
}

impl<const K: usize> Groups<K> {
    pub(crate) fn new(n: usize) -> Self {
        Self {
            n,
            per_row: n.div_ceil(K),
        }
    }

    /// Groups in an array of so many elements.
    pub(crate) fn count(&self, length: usize) -> usize {
        length.checked_div(self.n).unwrap_or(0) * self.per_row
    }

    /// Whether rows end in part of a group.
    pub(crate) fn ragged(&self) -> bool {
        !self.n.is_multiple_of(K)
    }

    /// The elements under a range of groups, K for each: as the source gives them where rows are
    /// whole, else copied to `padded` with the missing zeros.
    pub(crate) fn elements<'a>(
        &self,
        source: &'a (impl Source + ?Sized),
        range: Range<usize>,
        padded: &'a mut Vec<Fq>,
        scratch: &'a mut Vec<Fq>,
    ) -> &'a [Fq] {
        if !self.ragged() {
            return source.elements(K * range.start..K * range.end, scratch);
        }
        padded.clear();
        for (row, groups) in row_parts(range, self.per_row) {
            let columns = K * groups.start..self.n.min(K * groups.end);
            let here = row * self.n + columns.start..row * self.n + columns.end;
            padded.extend_from_slice(source.elements(here, scratch));
            padded.resize(padded.len() + K * groups.len() - columns.len(), Fq::ZERO);
        }
        padded
    }
}
