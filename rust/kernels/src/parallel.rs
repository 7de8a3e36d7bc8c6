//! Splitting work between the threads of the pool, without its cost for short vectors.

use rayon::prelude::*;
use std::ops::Range;

/// Elements a task handles: long enough to hide the scheduling, short enough for the L1 cache.
pub const CHUNK: usize = 1 << 11;

/// Elements that a caller handles alone where each takes nanoseconds: less than threads take to
/// wake up, or to end what they are busy with.
pub const ALONE: usize = 1 << 15;

/// Calls `f(start, part)` for consecutive parts of `out` of at most `chunk` elements.
pub fn for_parts<T: Send>(out: &mut [T], chunk: usize, f: impl Fn(usize, &mut [T]) + Sync) {
    if out.len() <= chunk {
        if !out.is_empty() {
            f(0, out);
        }
        return;
    }
    out.par_chunks_mut(chunk)
        .enumerate()
        .for_each(|(k, part)| f(k * chunk, part));
}

/// [`for_parts`] where an element takes nanoseconds: up to [`ALONE`] of them without the pool.
pub fn for_light_parts<T: Send>(out: &mut [T], chunk: usize, f: impl Fn(usize, &mut [T]) + Sync) {
    if out.len() > ALONE {
        return for_parts(out, chunk, f);
    }
    for (k, part) in out.chunks_mut(chunk).enumerate() {
        f(k * chunk, part);
    }
}

/// The sum, by `add`, of `f(range)` over consecutive ranges that cover `0..n`.
pub fn sum_parts<S: Send + Sync + Copy>(
    n: usize,
    chunk: usize,
    zero: S,
    f: impl Fn(Range<usize>) -> S + Sync,
    add: impl Fn(S, S) -> S + Sync,
) -> S {
    if n <= chunk {
        return if n == 0 { zero } else { f(0..n) };
    }
    (0..n.div_ceil(chunk))
        .into_par_iter()
        .map(|k| f(k * chunk..n.min((k + 1) * chunk)))
        .reduce(|| zero, &add)
}

/// Cuts a range of a row-major (.., width) index space into parts of rows: `(row, columns)`.
pub fn row_parts(range: Range<usize>, width: usize) -> impl Iterator<Item = (usize, Range<usize>)> {
    let mut at = range.start;
    std::iter::from_fn(move || {
        (at < range.end).then(|| {
            let (row, column) = (at / width, at % width);
            let length = (width - column).min(range.end - at);
            at += length;
            (row, column..column + length)
        })
    })
}
