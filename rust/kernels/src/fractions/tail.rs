//! Blocks of which one entry is left: few, in a row at the end of the cube.

use super::block::{End, Shared};
use super::eq::eq_at;
use crate::field::Fq;

/// Fractions p/q at consecutive positions of a level.
#[derive(Clone, Default)]
pub(super) struct Tail {
    pub(super) position: usize,
    pub(super) entries: Vec<[Fq; 2]>,
}

const NOTHING: [Fq; 2] = [Fq::ZERO, Fq::ONE];

impl Tail {
    /// Puts entries before the others.
    pub(super) fn prepend(&mut self, position: usize, mut entries: Vec<[Fq; 2]>) {
        if !entries.is_empty() {
            entries.append(&mut self.entries);
            *self = Self { position, entries };
        }
    }

    fn pairs(&self) -> impl Iterator<Item = [[Fq; 2]; 2]> {
        self.entries
            .chunks(2)
            .map(|pair| [pair[0], pair.get(1).copied().unwrap_or(NOTHING)])
    }

    /// The level above.
    pub(super) fn joined(&self) -> Self {
        let add = |[[p0, q0], [p1, q1]]: [[Fq; 2]; 2]| [p0 * q1 + p1 * q0, q0 * q1];
        Self {
            position: self.position / 2,
            entries: self.pairs().map(add).collect(),
        }
    }

    /// The children of the level above.
    pub(super) fn halves(&self, shared: Shared) -> TailHalves {
        let batched = |[p, q]: [Fq; 2]| [shared.lam * p + shared.half * q, q];
        TailHalves {
            position: self.position / 2,
            entries: self.pairs().map(|pair| pair.map(batched)).collect(),
        }
    }
}

/// The tail of a layer; numerators are `lam p + q / 2`.
#[derive(Default)]
pub(super) struct TailHalves {
    pub(super) position: usize,
    pub(super) entries: Vec<[End; 2]>,
}

impl TailHalves {
    /// Puts entries before the others.
    pub(super) fn prepend(&mut self, position: usize, mut entries: Vec<[End; 2]>) {
        if !entries.is_empty() {
            entries.append(&mut self.entries);
            *self = Self { position, entries };
        }
    }

    fn pairs(&self, shared: Shared) -> impl Iterator<Item = [[End; 2]; 2]> {
        let nothing = [[shared.half, Fq::ONE]; 2];
        self.entries
            .chunks(2)
            .map(move |pair| [pair[0], pair.get(1).copied().unwrap_or(nothing)])
    }

    /// What a round sums up, without the part of absent entries.
    pub(super) fn sums(&self, point: &[Fq], shared: Shared) -> [Fq; 2] {
        let mut total = [Fq::ZERO; 2];
        let bracket = |[[p0, q0], [p1, q1]]: [End; 2]| p0 * q1 + p1 * q0;
        for (i, [low, high]) in self.pairs(shared).enumerate() {
            let w = eq_at(&point[1..], self.position / 2 + i);
            let slope = [0, 1].map(|c| [0, 1].map(|k| high[c][k] - low[c][k]));
            total[0] += w * (bracket(low) - Fq::ONE);
            total[1] += w * bracket(slope);
        }
        total
    }

    /// Binds the next variable.
    pub(super) fn bind(&mut self, r: Fq, shared: Shared) {
        let lerp = |a: Fq, b: Fq| a + r * (b - a);
        let bound = |[low, high]: [[End; 2]; 2]| {
            [0, 1].map(|c| [0, 1].map(|k| lerp(low[c][k], high[c][k])))
        };
        self.entries = self.pairs(shared).map(bound).collect();
        self.position /= 2;
    }
}
