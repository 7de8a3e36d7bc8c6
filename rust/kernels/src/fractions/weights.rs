//! The weights of a round: eq of the coordinates that are left.

use super::eq::{bits, eq_at, eq_halved};
use crate::field::Fq;
use crate::vector::{outer, scale};
use std::sync::Arc;

/// The weights of short arrays are stored whole.
const SHORT: usize = 256;

/// Tables that stay while the first axis is bound.
struct Rest {
    /// What the block's place contributes.
    prefix: Fq,
    /// Axes between the first one and the inner ones.
    middle: Vec<Fq>,
    inner: Arc<Vec<Fq>>,
    sum: Fq,
}

/// Weights of one block, and the tables they are made of.
#[derive(Default)]
pub(super) struct Tables(Option<Rest>);

/// `outer[o] inner[i]`, row-major.
pub(super) struct Weights {
    pub(super) outer: Vec<Fq>,
    pub(super) inner: Arc<Vec<Fq>>,
    /// Of the entries of the first axis, with everything else summed up.
    pub(super) rows: Vec<Fq>,
}

impl Tables {
    /// Forgets what depends on the axes.
    pub(super) fn clear(&mut self) {
        self.0 = None;
    }

    /// Weights of the lower halves of a block with these dims at a position; `point` has the
    /// coordinates that are left, that of this round first.
    pub(super) fn weights(&mut self, point: &[Fq], dims: &[usize], position: usize) -> Weights {
        let (first, others) = (bits(dims[0]), &dims[1..]);
        let rest = self
            .0
            .get_or_insert_with(|| rest(&point[first..], others, position >> first));
        let lead = eq_halved(&point[1..first], dims[0].div_ceil(2));
        let rows = scale(&lead, rest.prefix * rest.sum);
        if rest.inner.len() < SHORT {
            let lead = scale(&lead, rest.prefix);
            let inner = if others.is_empty() {
                lead
            } else {
                outer(&lead, &rest.inner)
            };
            return Weights {
                outer: vec![Fq::ONE],
                inner: Arc::new(inner),
                rows,
            };
        }
        let lead = scale(&outer(&lead, &rest.middle), rest.prefix);
        Weights {
            outer: lead,
            inner: rest.inner.clone(),
            rows,
        }
    }
}

fn rest(point: &[Fq], dims: &[usize], position: usize) -> Rest {
    let mut at = 0;
    let mut tables = Vec::new();
    for &n in dims {
        tables.push(eq_halved(&point[at..at + bits(n)], n));
        at += bits(n);
    }
    let sum = tables
        .iter()
        .map(|t| t.iter().copied().sum::<Fq>())
        .fold(Fq::ONE, |a, b| a * b);
    let prefix = eq_at(&point[at..], position >> at);
    let mut inner = vec![Fq::ONE];
    while inner.len() < SHORT {
        match tables.pop() {
            Some(table) => inner = outer(&table, &inner),
            None => break,
        }
    }
    let middle = tables.iter().fold(vec![Fq::ONE], |a, b| outer(&a, b));
    Rest {
        prefix,
        middle,
        inner: Arc::new(inner),
        sum,
    }
}
