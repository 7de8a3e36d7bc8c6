//! The weights of a round: eq of the coordinates that are left.

use super::eq::{bits, eq_at, eq_halved};
use crate::field::Fq;
use crate::vector::outer;
use std::sync::Arc;

/// The weights of short arrays are stored whole.
const SHORT: usize = 256;

/// Tables that stay while the first axis is bound.
struct Rest {
    /// Axes between the first one and the inner ones, times what the block's place contributes.
    middle: Vec<Fq>,
    inner: Arc<Vec<Fq>>,
    /// All of it, summed up.
    sum: Fq,
}

/// Weights of one block, and the tables they are made of.
#[derive(Default)]
pub(super) struct Tables(Option<Rest>);

/// `outer[o] inner[i]`, row-major.
pub(super) struct Weights {
    pub(super) outer: Vec<Fq>,
    pub(super) inner: Arc<Vec<Fq>>,
    /// Of the entries of the first axis, but for a factor: everything else summed up.
    pub(super) rows: Arc<Vec<Fq>>,
    pub(super) others: Fq,
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
        let rows = Arc::new(eq_halved(&point[1..first], dims[0].div_ceil(2)));
        let (outer, inner) = if rest.inner.len() >= SHORT {
            (outer(&rows, &rest.middle), rest.inner.clone())
        } else if others.is_empty() {
            (rest.middle.clone(), rows.clone())
        } else {
            // No axis is between the first and these.
            (rest.middle.clone(), Arc::new(outer(&rows, &rest.inner)))
        };
        Weights {
            outer,
            inner,
            rows,
            others: rest.sum,
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
    let place = eq_at(&point[at..], position >> at);
    let mut inner = vec![Fq::ONE];
    while inner.len() < SHORT {
        match tables.pop() {
            Some(table) => inner = outer(&table, &inner),
            None => break,
        }
    }
    let middle = tables.iter().fold(vec![place], |a, b| outer(&a, b));
    Rest {
        middle,
        inner: Arc::new(inner),
        sum: place * sum,
    }
}
