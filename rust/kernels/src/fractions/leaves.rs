//! The bottom of the tree: fractions of small integers, computed where they are read.

use crate::affine::affine;
use crate::buffers::take;
use crate::field::Fq;
use crate::parallel::{CHUNK, for_parts, row_parts};
use crate::rows::Source;
use crate::small::Small;
use std::ops::Range;

/// Denominators minus one of looked-up integers:
/// `constants[b] - values[b, i] - beta images[b, i]`.
pub(super) struct Leaves<'a, T, U> {
    /// Values, (rows, width).
    pub(super) values: &'a [T],
    /// Images of the same shape.
    pub(super) images: Option<&'a [U]>,
    /// One per row.
    pub(super) constants: &'a [Fq],
    /// Factor of images.
    pub(super) beta: Fq,
}

impl<T: Small, U: Small> Leaves<'_, T, U> {
    pub(super) fn fill(&self, range: Range<usize>, out: &mut [Fq]) {
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

/// All elements of a source.
pub fn collect(source: &dyn Source) -> Vec<Fq> {
    let mut out = take(source.len());
    for_parts(&mut out, CHUNK, |start, part| {
        let mut scratch = Vec::new();
        part.copy_from_slice(source.elements(start..start + part.len(), &mut scratch));
    });
    out
}
