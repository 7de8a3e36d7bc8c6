//! One block of a layer while its variables are bound.
//!
//! The children of an entry are the two halves of the first axis one level below. Until the first
//! variable is bound they are runs of that level; then they are arrays of their own, with
//! `P = lam p + q / 2` instead of p, since `P0 q1 + P1 q0 = lam (p0 q1 + p1 q0) + q0 q1`. Numerators
//! that are 1 at the leaves stay one element a row of the first axis, `x = lam p`:
//! `(q0 + x0) (q1 + x1) - x0 x1` is the same bracket.

use super::entries::{Buffer, ONES, Values, ZEROS, both, halves};
use super::eq::{bits, codes};
use super::kernels;
use super::weights::{Tables, Weights};
use crate::field::Fq;
use crate::parallel::{CHUNK, row_parts};
use crate::rows::Source;
use crate::vector::dot;
use std::ops::Range;
use std::sync::Arc;

/// Rows from this length on keep one numerator each.
const LONG: usize = 256;

/// Fractions of a block at one level of the tree.
pub(super) struct Fractions {
    /// Without axes of length 1.
    pub(super) dims: Vec<usize>,
    pub(super) position: usize,
    pub(super) p: Arc<Values>,
    pub(super) q: Arc<Values>,
}

pub(super) enum Data {
    Level {
        below: Fractions,
        above: Option<[Arc<Values>; 2]>,
        start: usize,
    },
    Rows {
        x: [Vec<Fq>; 2],
        q: [Buffer; 2],
    },
    Batched {
        p: [Buffer; 2],
        q: [Buffer; 2],
    },
}

/// A block; its children have the dims `dims`, the second one perhaps a row less.
pub(super) struct Half {
    pub(super) position: usize,
    pub(super) dims: Vec<usize>,
    pub(super) lengths: [usize; 2],
    pub(super) data: Data,
    tables: Tables,
}

/// What all blocks of a layer share.
#[derive(Copy, Clone)]
pub(super) struct Shared {
    pub(super) lam: Fq,
    /// 1 / 2.
    pub(super) half: Fq,
}

/// A child's fraction once its variables are bound: `lam p + q / 2` and q.
pub(super) type End = [Fq; 2];

impl Half {
    /// From a level and the sums of its halves.
    pub(super) fn new(below: Fractions, above: [Arc<Values>; 2]) -> Self {
        let row: usize = below.dims[1..].iter().product();
        let (n, half) = (below.dims[0], below.dims[0].div_ceil(2));
        let mut dims = below.dims.clone();
        dims[0] = half;
        let mut out = Self {
            position: below.position / 2,
            dims,
            lengths: [half * row, (n - half) * row],
            data: Data::Level {
                below,
                above: None,
                start: half * row,
            },
            tables: Tables::default(),
        };
        out.settle(None);
        // Where numerators are one a row, the sums are not needed, and need not be kept.
        if let (false, Data::Level { above: kept, .. }) = (out.by_rows(), &mut out.data) {
            *kept = Some(above);
        }
        out
    }

    /// Whether one entry is left.
    pub(super) fn single(&self) -> bool {
        self.dims.iter().all(|&n| n == 1)
    }

    /// Entries in a row of the first axis.
    fn row(&self) -> usize {
        self.dims[1..].iter().product()
    }

    /// Entries of the lower half of each child.
    pub(super) fn len(&self) -> usize {
        self.dims[0].div_ceil(2) * self.row()
    }

    pub(super) fn weights(&mut self, point: &[Fq]) -> Weights {
        self.tables.weights(point, &self.dims, self.position)
    }

    /// Moves on to the next axis where the first one is bound to its end.
    pub(super) fn settle(&mut self, shared: Option<Shared>) {
        while self.dims[0] == 1 && self.dims.len() > 1 {
            self.dims.remove(0);
            self.tables.clear();
            let (rows, row) = (self.dims[0], self.row());
            let Data::Rows { x, q } = &mut self.data else {
                continue;
            };
            for x in x.iter_mut() {
                *x = vec![x[0]; rows];
            }
            let Some(shared) = shared.filter(|_| row < LONG) else {
                continue;
            };
            let batched = |c: usize| {
                let x = x[c][0];
                let p: Vec<_> = q[c].iter().map(|q| x + shared.half * *q).collect();
                Buffer::from(p)
            };
            let p = [batched(0), batched(1)];
            let q = std::mem::take(q);
            self.data = Data::Batched { p, q };
        }
    }

    /// `lam p` of a row of a child, 0 where it is missing.
    pub(super) fn x(&self, child: usize, row: usize, shared: Shared) -> Fq {
        match &self.data {
            Data::Level { .. } if row * self.row() < self.lengths[child] => shared.lam,
            Data::Rows { x, .. } => x[child].get(row).copied().unwrap_or(Fq::ZERO),
            _ => Fq::ZERO,
        }
    }

    /// Whether rows of the first axis are long enough to be handled one by one.
    pub(super) fn long_rows(&self) -> bool {
        self.row() >= LONG
    }

    /// Whether numerators are one element a row.
    pub(super) fn by_rows(&self) -> bool {
        match &self.data {
            Data::Level { below, .. } => matches!(*below.p, Values::Ones(_)) && self.long_rows(),
            Data::Rows { .. } => true,
            Data::Batched { .. } => false,
        }
    }

    /// Cuts a range of lower halves where an upper half ends and, if asked, where rows do.
    pub(super) fn cut(
        &self,
        range: Range<usize>,
        rows: bool,
    ) -> impl Iterator<Item = Range<usize>> {
        let ends = self.lengths.map(|n| n.saturating_sub(self.len()));
        let row = if rows { self.row() } else { usize::MAX };
        let mut at = range.start;
        std::iter::from_fn(move || {
            (at < range.end).then(|| {
                let stops = [ends[0], ends[1], (at / row + 1).saturating_mul(row)];
                let stop = stops
                    .into_iter()
                    .filter(|&s| s > at)
                    .fold(range.end, usize::min);
                at = stop;
                stop
            })
        })
        .scan(range.start, |at, stop| {
            Some(std::mem::replace(at, stop)..stop)
        })
    }

    /// A part of a child, `missing` where it ends; parts do not straddle ends.
    pub(super) fn part<'a>(
        &'a self,
        kind: Kind,
        child: usize,
        at: Range<usize>,
        scratch: &'a mut Vec<Fq>,
    ) -> &'a [Fq] {
        if at.start >= self.lengths[child] {
            return match (kind, &self.data) {
                (Kind::Numerator, Data::Batched { .. }) => &halves()[..at.len()],
                (Kind::Numerator, _) => &ZEROS[..at.len()],
                (Kind::Denominator, _) => &ONES[..at.len()],
            };
        }
        match (&self.data, kind) {
            (Data::Level { below, start, .. }, kind) => {
                let at = at.start + child * start..at.end + child * start;
                match kind {
                    Kind::Numerator => below.p.elements(at, scratch),
                    Kind::Denominator => below.q.elements(at, scratch),
                }
            }
            (Data::Batched { p, .. }, Kind::Numerator) => &p[child][at],
            (Data::Batched { q, .. } | Data::Rows { q, .. }, Kind::Denominator) => &q[child][at],
            (Data::Rows { .. }, Kind::Numerator) => &ZEROS[..at.len()],
        }
    }

    /// Numerators and denominators of a part of a child.
    pub(super) fn fraction<'a>(
        &'a self,
        child: usize,
        at: Range<usize>,
        [for_p, for_q]: [&'a mut Vec<Fq>; 2],
    ) -> [&'a [Fq]; 2] {
        match &self.data {
            Data::Level { below, start, .. } if at.start < self.lengths[child] => {
                let at = at.start + child * start..at.end + child * start;
                both([&below.p, &below.q], at, [for_p, for_q])
            }
            _ => [
                self.part(Kind::Numerator, child, at.clone(), for_p),
                self.part(Kind::Denominator, child, at, for_q),
            ],
        }
    }

    /// Lower and upper halves of both children.
    fn four<'a>(&'a self, at: Range<usize>, s: &'a mut [Scratch; 2]) -> [[&'a [Fq]; 4]; 2] {
        let n = self.len();
        let upper = at.start + n..at.end + n;
        let [[p0, p1, p2, p3], [q0, q1, q2, q3]] = s;
        let [a, b, c, d] = [
            self.fraction(0, at.clone(), [p0, q0]),
            self.fraction(0, upper.clone(), [p1, q1]),
            self.fraction(1, at, [p2, q2]),
            self.fraction(1, upper, [p3, q3]),
        ];
        [[a[0], b[0], c[0], d[0]], [a[1], b[1], c[1], d[1]]]
    }

    /// The part of a round's sums that a range of lower halves contributes: at 0, and leading.
    pub(super) fn sums(&self, range: Range<usize>, w: &Weights, shared: Shared) -> [Fq; 2] {
        let mut total = [Fq::ZERO; 2];
        let mut scratch = <[Scratch; 2]>::default();
        let (by_rows, inner) = (self.by_rows(), w.inner.len());
        for (row, columns) in row_parts(range, inner) {
            let here = row * inner + columns.start..row * inner + columns.end;
            let mut sums = [Fq::ZERO; 2];
            for at in self.cut(here.clone(), by_rows) {
                let shift = columns.start + (at.start - here.start);
                let w = &w.inner[shift..shift + at.len()];
                if let Some(found) = self.short_sums(at.start, w, shared) {
                    sums = [sums[0] + found[0], sums[1] + found[1]];
                    continue;
                }
                let [p, q] = self.four(at.clone(), &mut scratch);
                let found = if by_rows {
                    kernels::round_shifted(q, self.shifts(at.start / self.row(), shared), w)
                } else {
                    self.bracket(p, q, at, w, shared)
                };
                sums = [sums[0] + found[0], sums[1] + found[1]];
            }
            total = [
                total[0] + w.outer[row] * sums[0],
                total[1] + w.outer[row] * sums[1],
            ];
        }
        total
    }

    /// The same of leaves with numerators 1 and denominators of short integers, if they are there.
    fn short_sums(&self, at: usize, w: &[Fq], shared: Shared) -> Option<[Fq; 2]> {
        let Data::Level { below, start, .. } = &self.data else {
            return None;
        };
        let (true, Values::Integers(leaves)) = (self.by_rows(), &*below.q) else {
            return None;
        };
        let n = self.len();
        if at + n >= self.lengths[1] {
            return None;
        }
        leaves.short_round([at, at + n, start + at, start + at + n], w, shared.lam)
    }

    fn bracket(
        &self,
        p: [&[Fq]; 4],
        q: [&[Fq]; 4],
        at: Range<usize>,
        w: &[Fq],
        shared: Shared,
    ) -> [Fq; 2] {
        let Data::Level { above, .. } = &self.data else {
            return kernels::round(p, q, w);
        };
        let [numerator, denominator] = kernels::leading(p, q, w);
        let at_zero = match above {
            // The sums of fractions at 0 are what the level above stores.
            Some([p, q]) => {
                let mut scratch = Vec::new();
                let numerators = dot(w, p.elements(at.clone(), &mut scratch));
                shared.lam * numerators + dot(w, q.elements(at, &mut scratch))
            }
            None => Fq::ZERO,
        };
        [at_zero, shared.lam * numerator + denominator]
    }

    /// Lower ends and slopes of the numerators of a row.
    fn shifts(&self, row: usize, shared: Shared) -> [Fq; 4] {
        let upper = row + self.dims[0].div_ceil(2);
        let (x0, x1) = (self.x(0, row, shared), self.x(1, row, shared));
        let (y0, y1) = (self.x(0, upper, shared), self.x(1, upper, shared));
        [x0, x1, y0 - x0, y1 - x1]
    }

    /// What [`Self::sums`] leaves out: the part of absent entries, and products of numerators.
    pub(super) fn correction(&self, w: &Weights, shared: Shared) -> [Fq; 2] {
        let mut out = [Fq::ZERO; 2];
        for (i, w) in w.rows.iter().enumerate() {
            out[0] += *w;
            if self.by_rows() {
                let [x0, x1, s0, s1] = self.shifts(i, shared);
                out = [out[0] + *w * x0 * x1, out[1] + *w * s0 * s1];
            }
        }
        out.map(|sum| w.others * sum)
    }

    /// Both children of an entry; 0/1 where the second one ends before.
    pub(super) fn entry(&self, i: usize, shared: Shared) -> [End; 2] {
        [0, 1].map(|c| match &self.data {
            _ if i >= self.lengths[c] => [shared.half, Fq::ONE],
            Data::Level { below, start, .. } => {
                let q = below.q.one(c * start + i);
                let p = below.p.one(c * start + i);
                [shared.lam * p + shared.half * q, q]
            }
            Data::Rows { x, q } => [x[c][i / self.row()] + shared.half * q[c][i], q[c][i]],
            Data::Batched { p, q } => [p[c][i], q[c][i]],
        })
    }

    /// Where in the cube each entry stands, in the order of memory.
    pub(super) fn places(&self) -> Vec<usize> {
        let (mut out, mut shift) = (vec![self.position], 0);
        for &n in &self.dims {
            let codes = codes(n);
            let entries = |at: &usize| codes.iter().map(|c| at + (c << shift)).collect::<Vec<_>>();
            out = out.iter().flat_map(entries).collect();
            shift += bits(n);
        }
        out
    }
}

/// Memory for computed parts.
pub(super) type Scratch = [Vec<Fq>; 4];

#[derive(Copy, Clone)]
pub(super) enum Kind {
    Numerator,
    Denominator,
}

/// A part of a range that a task handles.
pub(super) const PART: usize = CHUNK / 2;
