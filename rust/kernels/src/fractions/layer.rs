//! The sumcheck that leads from a level to the one below, over all blocks.

use super::bind::fold;
use super::block::{End, Half, PART, Shared};
use super::pair;
use super::stack::Stack;
use super::tail::TailHalves;
use crate::field::Fq;
use rayon::prelude::*;

/// Rounds with fewer entries are not worth a second thread.
const FEW: usize = 4 * PART;

/// Calls `f` for parts of at most [`PART`] entries, on all threads where there are many.
fn each<T: Send>(tasks: Vec<T>, f: impl Fn(T) + Sync + Send) {
    if tasks.len() * PART <= FEW {
        tasks.into_iter().for_each(f);
    } else {
        tasks.into_par_iter().for_each(f);
    }
}

/// The state of one layer's sumcheck.
pub(super) struct Layer {
    shared: Shared,
    blocks: Vec<Half>,
    tail: TailHalves,
    variables: usize,
}

impl Layer {
    pub(super) fn new(
        shared: Shared,
        blocks: Vec<Half>,
        tail: TailHalves,
        variables: usize,
    ) -> Self {
        let mut out = Self {
            shared,
            blocks,
            tail,
            variables,
        };
        out.gather();
        out
    }

    /// Variables that are not bound yet.
    pub(super) fn variables(&self) -> usize {
        self.variables
    }

    /// Moves blocks with one entry to the tail.
    fn gather(&mut self) {
        let first = self
            .blocks
            .iter()
            .position(Half::single)
            .unwrap_or(self.blocks.len());
        let single = self.blocks.split_off(first);
        if let Some(block) = single.first() {
            let ends = single
                .iter()
                .map(|block| block.entry(0, self.shared))
                .collect();
            self.tail.prepend(block.position, ends);
        }
    }

    /// `(h(0), leading coefficient)` at a point of as many coordinates as there are variables.
    pub(super) fn round(&mut self, point: &[Fq]) -> [Fq; 2] {
        let shared = self.shared;
        let weights: Vec<_> = self.blocks.iter_mut().map(|b| b.weights(point)).collect();
        let mut total = self.tail.sums(point, shared);
        total[0] += Fq::ONE;
        let mut tasks = Vec::new();
        for (i, (block, w)) in self.blocks.iter().zip(&weights).enumerate() {
            let less = block.correction(w, shared);
            total = [total[0] - less[0], total[1] - less[1]];
            tasks.extend((0..block.len()).step_by(PART).map(|start| (i, start)));
        }
        let sums = |&(i, start): &(usize, usize)| {
            let block: &Half = &self.blocks[i];
            block.sums(start..block.len().min(start + PART), &weights[i], shared)
        };
        let add = |a: [Fq; 2], b: [Fq; 2]| [a[0] + b[0], a[1] + b[1]];
        let found = if tasks.len() * PART <= FEW {
            tasks.iter().map(sums).fold([Fq::ZERO; 2], add)
        } else {
            tasks.par_iter().map(sums).reduce(|| [Fq::ZERO; 2], add)
        };
        add(total, found)
    }

    /// Coefficients of a round of two variables; that of `X^i Y^j` stands at `i + 3 j`.
    pub(super) fn pair(&self, point: &[Fq]) -> [Fq; 9] {
        pair::coefficients(&self.entries(), point)
    }

    /// Both children of every entry of the cube.
    fn entries(&self) -> Vec<[End; 2]> {
        let mut out = vec![[[self.shared.half, Fq::ONE]; 2]; 1 << self.variables];
        for block in &self.blocks {
            for (i, at) in block.places().into_iter().enumerate() {
                out[at] = block.entry(i, self.shared);
            }
        }
        for (i, entry) in self.tail.entries.iter().enumerate() {
            out[self.tail.position + i] = *entry;
        }
        out
    }

    /// Binds the next variable; new arrays lie on a stack.
    pub(super) fn bind(&mut self, r: Fq, stack: &Stack) {
        let shared = self.shared;
        let mut targets: Vec<_> = self.blocks.iter().map(|b| b.targets(stack)).collect();
        let mut tasks = Vec::new();
        for (block, targets) in self.blocks.iter().zip(&mut targets) {
            for (child, [p, q]) in targets.iter_mut().enumerate() {
                let mut p = p.chunks_mut(PART);
                for (k, q) in q.chunks_mut(PART).enumerate() {
                    tasks.push((block, child, k * PART, [p.next().unwrap_or_default(), q]));
                }
            }
        }
        each(tasks, |(block, child, start, out)| {
            block.first(child, start, out, r, shared);
        });
        let folds = self.blocks.iter_mut().flat_map(|b| b.folds());
        each(folds.collect(), |part| fold(part, r));
        for (block, targets) in self.blocks.iter_mut().zip(targets) {
            block.bind(targets, r, shared);
        }
        self.tail.bind(r, shared);
        self.variables -= 1;
        self.gather();
    }

    /// `(p0, q0, p1, q1)` once all variables are bound; `inverse` is that of `lam`.
    pub(super) fn ends(&self, inverse: Fq) -> Option<[Fq; 4]> {
        let &[[[p0, q0], [p1, q1]]] = &self.tail.entries[..] else {
            return None;
        };
        let numerator = |p: Fq, q: Fq| inverse * (p - self.shared.half * q);
        (self.variables == 0).then(|| [numerator(p0, q0), q0, numerator(p1, q1), q1])
    }
}
