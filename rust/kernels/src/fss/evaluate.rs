//! Values of many keys at many points, in parallel.

use super::descend::visit;
use super::key::{MAX_PAYLOAD, Shape};
use rayon::prelude::*;

/// Points that are evaluated at a time, at least.
const LANES: usize = 256;

/// Calls an expression with the number of words of the payload as a constant.
macro_rules! with_payload {
    ($payload:expr, |$P:ident| $body:expr) => {
        match $payload {
            1 => {
                const $P: usize = 1;
                $body
            }
            2 => {
                const $P: usize = 2;
                $body
            }
            3 => {
                const $P: usize = 3;
                $body
            }
            _ => {
                const $P: usize = MAX_PAYLOAD;
                $body
            }
        }
    };
}

/// Keys of a task.
fn task(each: usize) -> usize {
    (LANES / each).max(1)
}

/// A party's shares of the bits `[point < alpha]`, without payload, by exclusive or.
pub fn evaluate_bits(shape: &Shape, party: usize, keys: &[u8], points: &[u64]) -> Vec<u8> {
    let mut out = vec![0; points.len()];
    let count = keys.len() / shape.bytes();
    if out.is_empty() {
        return out;
    }
    let each = points.len() / count;
    let task = task(each);
    out.par_chunks_mut(task * each)
        .zip(points.par_chunks(task * each))
        .zip(keys.par_chunks(task * shape.bytes()))
        .for_each(|((out, points), keys)| {
            visit::<0>(shape, party, keys, points, |index, _, bit| {
                out[index] = u8::from(bit);
            });
        });
    out
}

/// A party's shares of the values at the points, as many points for each key.
pub fn evaluate(shape: &Shape, party: usize, keys: &[u8], points: &[u64]) -> Vec<u64> {
    let mut out = vec![0; points.len() * shape.payload];
    let count = keys.len() / shape.bytes();
    if out.is_empty() {
        return out;
    }
    let each = points.len() / count;
    let task = task(each);
    out.par_chunks_mut(task * each * shape.payload)
        .zip(points.par_chunks(task * each))
        .zip(keys.par_chunks(task * shape.bytes()))
        .for_each(|((out, points), keys)| {
            with_payload!(shape.payload, |P| {
                visit::<P>(shape, party, keys, points, |index, share, _| {
                    out[index * P..][..P].copy_from_slice(&share);
                })
            });
        });
    out
}

/// A party's shares of `sum_m f(points[m]) weights[m, q]` for every key, of shape
/// (keys, payload, `columns`).
pub fn weighted(
    shape: &Shape,
    party: usize,
    keys: &[u8],
    points: &[u64],
    weights: &[u64],
    columns: usize,
) -> Vec<u64> {
    let count = keys.len() / shape.bytes();
    let mut out = vec![0; count * shape.payload * columns];
    if out.is_empty() || points.is_empty() {
        return out;
    }
    let each = points.len() / count;
    let task = task(each);
    out.par_chunks_mut(task * shape.payload * columns)
        .zip(points.par_chunks(task * each))
        .zip(keys.par_chunks(task * shape.bytes()))
        .for_each(|((out, points), keys)| {
            with_payload!(shape.payload, |P| {
                visit::<P>(shape, party, keys, points, |index, share, _| {
                    let (key, place) = (index / each, index % each);
                    let weights = &weights[place * columns..][..columns];
                    let out = &mut out[key * P * columns..][..P * columns];
                    for (out, share) in out.chunks_mut(columns).zip(share) {
                        for (out, weight) in out.iter_mut().zip(weights) {
                            *out = out.wrapping_add(share.wrapping_mul(*weight));
                        }
                    }
                })
            });
        });
    out
}
