//! One block of a layer while its variables are bound.
//!
//! The children of an entry are the two halves of the first axis one level below. Until the first
//! variable is bound they are runs of that level; then they are arrays of their own, with
//! `P = lam p + q / 2` instead of p, since `P0 q1 + P1 q0 = lam (p0 q1 + p1 q0) + q0 q1`. Numerators
//! that are 1 at the leaves stay one element a row of the first axis, `x = lam p`:
//! `(q0 + x0) (q1 + x1) - x0 x1` is the same bracket.

use super::entries::{ONES, Pooled, Values, ZEROS, halves};
use super::kernels;
use super::weights::{Tables, Weights};
use crate::buffers::take;
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

enum Data {
    Level {
        below: Fractions,
        above: Option<[Arc<Values>; 2]>,
        start: usize,
    },
    Rows {
        x: [Vec<Fq>; 2],
        q: [Pooled; 2],
    },
    Batched {
        p: [Pooled; 2],
        q: [Pooled; 2],
    },
}

/// A block; its children have the dims `dims`, the second one perhaps a row less.
pub(super) struct Half {
    pub(super) position: usize,
    dims: Vec<usize>,
    lengths: [usize; 2],
    data: Data,
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
    fn settle(&mut self, shared: Option<Shared>) {
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
                Pooled(q[c].iter().map(|q| x + shared.half * *q).collect())
            };
            let p = [batched(0), batched(1)];
            let q = std::mem::replace(q, [Pooled(Vec::new()), Pooled(Vec::new())]);
            self.data = Data::Batched { p, q };
        }
    }

    /// `lam p` of a row of a child, 0 where it is missing.
    fn x(&self, child: usize, row: usize, shared: Shared) -> Fq {
        match &self.data {
            Data::Level { .. } if row * self.row() < self.lengths[child] => shared.lam,
            Data::Rows { x, .. } => x[child].get(row).copied().unwrap_or(Fq::ZERO),
            _ => Fq::ZERO,
        }
    }

    /// Whether numerators are one element a row.
    fn by_rows(&self) -> bool {
        match &self.data {
            Data::Level { below, .. } => matches!(*below.p, Values::Ones(_)) && self.row() >= LONG,
            Data::Rows { .. } => true,
            Data::Batched { .. } => false,
        }
    }

    /// Cuts a range of lower halves where an upper half ends and, if asked, where rows do.
    fn cut(&self, range: Range<usize>, rows: bool) -> impl Iterator<Item = Range<usize>> {
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
    fn part<'a>(
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

    /// Lower and upper halves of both children.
    fn four<'a>(&'a self, kind: Kind, at: Range<usize>, s: &'a mut Scratch) -> [&'a [Fq]; 4] {
        let n = self.len();
        let upper = at.start + n..at.end + n;
        let [s0, s1, s2, s3] = s;
        [
            self.part(kind, 0, at.clone(), s0),
            self.part(kind, 0, upper.clone(), s1),
            self.part(kind, 1, at, s2),
            self.part(kind, 1, upper, s3),
        ]
    }

    /// The part of a round's sums that a range of lower halves contributes: at 0, and leading.
    pub(super) fn sums(&self, range: Range<usize>, w: &Weights, shared: Shared) -> [Fq; 2] {
        let mut total = [Fq::ZERO; 2];
        let (mut for_p, mut for_q) = (Scratch::default(), Scratch::default());
        let (by_rows, inner) = (self.by_rows(), w.inner.len());
        for (row, columns) in row_parts(range, inner) {
            let here = row * inner + columns.start..row * inner + columns.end;
            let mut sums = [Fq::ZERO; 2];
            for at in self.cut(here.clone(), by_rows) {
                let shift = columns.start + (at.start - here.start);
                let w = &w.inner[shift..shift + at.len()];
                let q = self.four(Kind::Denominator, at.clone(), &mut for_q);
                let found = if by_rows {
                    kernels::round_shifted(q, self.shifts(at.start / self.row(), shared), w)
                } else {
                    let p = self.four(Kind::Numerator, at.clone(), &mut for_p);
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
        out
    }

    /// New arrays for the values that [`Self::bind`] computes.
    pub(super) fn targets(&self) -> Targets {
        let n = self.len();
        let p = if self.by_rows() { 0 } else { n };
        [[take(p), take(n)], [take(p), take(n)]]
    }

    /// Folds a range of one child; the targets begin where the range does.
    pub(super) fn fold(
        &self,
        child: usize,
        start: usize,
        [p, q]: [&mut [Fq]; 2],
        r: Fq,
        shared: Shared,
    ) {
        let n = self.len();
        let mut scratch = Scratch::default();
        let (mut p, mut q) = (p, q);
        for at in self.cut(start..start + q.len(), false) {
            let [s0, s1, s2, s3] = &mut scratch;
            let upper = at.start + n..at.end + n;
            let denominators = [
                self.part(Kind::Denominator, child, at.clone(), s0),
                self.part(Kind::Denominator, child, upper.clone(), s1),
            ];
            let (now_q, later_q) = q.split_at_mut(at.len());
            q = later_q;
            if p.is_empty() {
                kernels::lerp(now_q, denominators, r);
                continue;
            }
            let (now_p, later_p) = p.split_at_mut(at.len());
            p = later_p;
            let numerators = [
                self.part(Kind::Numerator, child, at.clone(), s2),
                self.part(Kind::Numerator, child, upper.clone(), s3),
            ];
            match &self.data {
                Data::Level { .. } => {
                    let Shared { lam, half } = shared;
                    kernels::lerp_batched([now_p, now_q], numerators, denominators, lam, r, half);
                }
                _ => {
                    kernels::lerp(now_p, numerators, r);
                    kernels::lerp(now_q, denominators, r);
                }
            }
        }
    }

    /// Takes the folded arrays over.
    pub(super) fn bind(&mut self, targets: Targets, r: Fq, shared: Shared) {
        let [[p0, q0], [p1, q1]] = targets;
        let rows = self.dims[0].div_ceil(2);
        let q = [Pooled(q0), Pooled(q1)];
        self.data = if self.by_rows() {
            let x = |child: usize| -> Vec<Fq> {
                let bound = |i| {
                    let low = self.x(child, i, shared);
                    low + r * (self.x(child, i + rows, shared) - low)
                };
                (0..rows).map(bound).collect()
            };
            Data::Rows { x: [x(0), x(1)], q }
        } else {
            Data::Batched {
                p: [Pooled(p0), Pooled(p1)],
                q,
            }
        };
        self.lengths = [self.len(); 2];
        self.dims[0] = rows;
        self.position /= 2;
        self.settle(Some(shared));
    }

    /// Both children of the one entry that is left.
    pub(super) fn ends(&self, shared: Shared) -> [End; 2] {
        [0, 1].map(|c| match &self.data {
            Data::Level { below, start, .. } => {
                let q = below.q.one(c * start);
                [shared.lam * below.p.one(c * start) + shared.half * q, q]
            }
            Data::Rows { x, q } => [x[c][0] + shared.half * q[c][0], q[c][0]],
            Data::Batched { p, q } => [p[c][0], q[c][0]],
        })
    }
}

/// Arrays of (numerators, denominators) for both children.
pub(super) type Targets = [[Vec<Fq>; 2]; 2];

/// Memory for computed parts.
type Scratch = [Vec<Fq>; 4];

#[derive(Copy, Clone)]
enum Kind {
    Numerator,
    Denominator,
}

/// A part of a range that a task handles.
pub(super) const PART: usize = CHUNK / 2;
