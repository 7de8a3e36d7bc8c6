//! Binding a variable of a block: the first one into new arrays, later ones where they stand.

use super::block::{Data, Half, Kind, PART, Scratch, Shared};
use super::entries::{Buffer, ONES, Values, halves};
use super::kernels;
use super::stack::Stack;
use crate::field::Fq;
use crate::parallel::CHUNK;

/// Arrays of (numerators, denominators) for both children; empty where a block has its own.
pub(super) type Targets = [[Buffer; 2]; 2];

/// Lower halves that are folded in place, their upper halves, and what stands for missing ones, as
/// many as a part has.
pub(super) type Fold<'a> = (&'a mut [Fq], &'a [Fq], &'static [Fq; CHUNK]);

/// Folds in place.
pub(super) fn fold((low, high, missing): Fold<'_>, r: Fq) {
    let (both, alone) = low.split_at_mut(high.len());
    kernels::fold(both, high, r);
    kernels::fold(alone, &missing[..alone.len()], r);
}

/// Cuts an array whose lower half has `n` entries into parts.
fn cut<'a>(values: &'a mut [Fq], n: usize, missing: &'static [Fq; CHUNK], out: &mut Vec<Fold<'a>>) {
    let (low, high) = values.split_at_mut(n);
    let mut high = &*high;
    for low in low.chunks_mut(PART) {
        let (now, later) = high.split_at(low.len().min(high.len()));
        out.push((low, now, missing));
        high = later;
    }
}

impl Half {
    /// New arrays for the values of a level, which are bound for the first time.
    pub(super) fn targets(&self, stack: &Stack) -> Targets {
        let n = match self.data {
            Data::Level { .. } => self.len(),
            _ => 0,
        };
        let p = if self.by_rows() { 0 } else { n };
        [[p, n], [p, n]].map(|lengths| lengths.map(|n| Buffer::take(stack, n)))
    }

    /// Binds a range of one child of a level; the targets begin where the range does.
    pub(super) fn first(
        &self,
        child: usize,
        start: usize,
        [p, q]: [&mut [Fq]; 2],
        r: Fq,
        shared: Shared,
    ) {
        let (n, Shared { lam, half }) = (self.len(), shared);
        let mut scratch = Scratch::default();
        let (mut p, mut q) = (p, q);
        for at in self.cut(start..start + q.len(), self.long_rows()) {
            let [s0, s1, s2, s3] = &mut scratch;
            let upper = at.start + n..at.end + n;
            let (now_q, later_q) = q.split_at_mut(at.len());
            q = later_q;
            let (now_p, later_p) = p.split_at_mut(at.len().min(p.len()));
            p = later_p;
            let now = [&mut *now_p, &mut *now_q];
            if self.short_first(child, at.start, now, r, shared).is_some() {
                continue;
            }
            if now_p.is_empty() {
                let low = self.part(Kind::Denominator, child, at, s0);
                let high = self.part(Kind::Denominator, child, upper, s1);
                kernels::lerp(now_q, [low, high], r);
                continue;
            }
            let [p_low, q_low] = self.fraction(child, at, [s0, s1]);
            let [p_high, q_high] = self.fraction(child, upper, [s2, s3]);
            let (numerators, denominators) = ([p_low, p_high], [q_low, q_high]);
            kernels::lerp_batched([now_p, now_q], numerators, denominators, lam, r, half);
        }
    }

    /// The same where the entries are, or are made of, leaves with numerators 1 and denominators of
    /// short integers.
    fn short_first(
        &self,
        child: usize,
        at: usize,
        [p, q]: [&mut [Fq]; 2],
        r: Fq,
        shared: Shared,
    ) -> Option<()> {
        let Data::Level { below, start, .. } = &self.data else {
            return None;
        };
        let (low, n) = (child * start + at, self.len());
        if at + n >= self.lengths[child] {
            return None;
        }
        match &*below.q {
            Values::Integers(leaves) if p.is_empty() => leaves.short_bind(q, [low, low + n], r),
            Values::Joined { below, half, .. } => {
                let starts = [low, low + n].map(|start| [start, start + half]);
                below.short_bind_joined([p, q], starts, r, shared)
            }
            _ => None,
        }
    }

    /// What is to be folded of a block with arrays of its own, in parts.
    pub(super) fn folds(&mut self) -> Vec<Fold<'_>> {
        let n = self.len();
        let mut out = Vec::new();
        match &mut self.data {
            Data::Level { .. } => {}
            Data::Rows { q, .. } => q.iter_mut().for_each(|q| cut(q, n, &ONES, &mut out)),
            Data::Batched { p, q } => {
                p.iter_mut().for_each(|p| cut(p, n, halves(), &mut out));
                q.iter_mut().for_each(|q| cut(q, n, &ONES, &mut out));
            }
        }
        out
    }

    /// Takes the bound values over: the targets of a level, else what was folded in place.
    pub(super) fn bind(&mut self, targets: Targets, r: Fq, shared: Shared) {
        let (n, rows) = (self.len(), self.dims[0].div_ceil(2));
        let numerators = self.by_rows().then(|| {
            [0, 1].map(|child| -> Vec<Fq> {
                let bound = |i| {
                    let low = self.x(child, i, shared);
                    low + r * (self.x(child, i + rows, shared) - low)
                };
                (0..rows).map(bound).collect()
            })
        });
        match &mut self.data {
            Data::Level { .. } => {
                let [[p0, q0], [p1, q1]] = targets;
                let (p, q) = ([p0, p1], [q0, q1]);
                self.data = match numerators {
                    Some(x) => Data::Rows { x, q },
                    None => Data::Batched { p, q },
                };
            }
            Data::Rows { x, q } => {
                q.iter_mut().for_each(|q| q.shorten(n));
                *x = numerators.unwrap_or_default();
            }
            Data::Batched { p, q } => p.iter_mut().chain(q).for_each(|v| v.shorten(n)),
        }
        self.lengths = [n; 2];
        self.dims[0] = rows;
        self.position /= 2;
        self.settle(Some(shared));
    }
}
