//! Arrays of one shape as one array, its axes in any order.

use crate::fractions::Row;
use crate::fractions::with_row;
use crate::small::Small;
use rayon::prelude::*;
use std::ops::Range;

/// Entries of the arrays' last axis that are turned at a time: reads and writes stay in the cache.
const TILE: usize = 32;

/// An axis of the result.
#[derive(Copy, Clone)]
struct Axis {
    length: usize,
    /// From one entry of it to the next: arrays, and entries of an array.
    source: [usize; 2],
    /// The same in the result.
    target: usize,
}

/// Where a part begins: an array, an entry of it, and one of the result.
#[derive(Copy, Clone, Default)]
struct At {
    source: [usize; 2],
    target: usize,
}

impl At {
    fn plus(self, axis: &Axis, steps: usize) -> Self {
        Self {
            source: [0, 1].map(|i| self.source[i] + steps * axis.source[i]),
            target: self.target + steps * axis.target,
        }
    }
}

/// The axes of the result: of `(arrays, shape)`, those that `order` names.
fn axes(arrays: usize, shape: &[usize], order: &[usize]) -> Vec<Axis> {
    let mut natural = vec![(arrays, [1, 0]); shape.len() + 1];
    let mut stride = 1;
    for (axis, &n) in natural[1..].iter_mut().zip(shape).rev() {
        *axis = (n, [0, stride]);
        stride *= n;
    }
    let mut target = arrays * stride;
    let turned = order.iter().map(|&i| {
        let (length, source) = natural[i];
        target /= length.max(1);
        Axis {
            length,
            source,
            target,
        }
    });
    turned.collect()
}

/// `out[i_order[0], i_order[1], ..] = arrays[i_0][i_1, i_2, ..]` modulo the size of an entry.
///
/// `arrays` have the shape `shape`, and `order` names all axes of `(arrays, shape)`.
pub fn stacked<O: Small + Default>(arrays: &[Row<'_>], shape: &[usize], order: &[usize]) -> Vec<O> {
    if shape.is_empty() {
        return stacked(arrays, &[1], &[0, 1]);
    }
    let axes = axes(arrays.len(), shape, order);
    let mut out = vec![O::default(); arrays.len() * shape.iter().product::<usize>()];
    if out.is_empty() {
        return out;
    }
    let (first, rest) = (axes[0], &axes[1..]);
    let last = order.iter().position(|&i| i == shape.len()).unwrap_or(0);
    // With the arrays' last axis first, tiles of it are in one part.
    let step = if last == 0 { TILE } else { 1 };
    out.par_chunks_mut(step * first.target)
        .enumerate()
        .for_each(|(k, out)| {
            let (start, count) = (k * step, out.len() / first.target);
            let at = At {
                source: first.source.map(|s| s * start),
                target: 0,
            };
            if last == 0 {
                tiles(
                    arrays,
                    at,
                    rest,
                    &Axis {
                        length: count,
                        ..first
                    },
                    out,
                );
            } else {
                let (before, after) = rest.split_at(last - 1);
                let others: Vec<Axis> = before.iter().chain(&after[1..]).copied().collect();
                tiles(arrays, at, &others, &after[0], out);
            }
        });
    out
}

/// Copies what lies along `others` and `last`, the last axis of the arrays.
fn tiles<O: Small>(arrays: &[Row<'_>], at: At, others: &[Axis], last: &Axis, out: &mut [O]) {
    match others {
        [] => run(arrays, at, last, 0..last.length, out),
        [inner] => {
            let tile = if last.target == 1 { last.length } else { TILE };
            for start in (0..last.length).step_by(tile) {
                let range = start..last.length.min(start + tile);
                for i in 0..inner.length {
                    run(arrays, at.plus(inner, i), last, range.clone(), out);
                }
            }
        }
        [axis, others @ ..] => {
            for i in 0..axis.length {
                tiles(arrays, at.plus(axis, i), others, last, out);
            }
        }
    }
}

/// Copies entries that follow each other in an array.
fn run<O: Small>(arrays: &[Row<'_>], at: At, last: &Axis, range: Range<usize>, out: &mut [O]) {
    let [array, entry] = at.source;
    let (start, step) = (at.target + range.start * last.target, last.target);
    let out = out[start..].iter_mut().step_by(step);
    with_row!(&arrays[array], |x| {
        for (out, x) in out.zip(&x[entry + range.start..entry + range.end]) {
            *out = O::wrapped(x.to_i64());
        }
    });
}
