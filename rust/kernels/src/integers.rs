//! Products of integer matrices, exact modulo 2^64: the meaning of a model's linear layers; how
//! often integers occur; and their division by powers of two.

#[cfg(target_arch = "x86_64")]
use crate::avx2;
use crate::entrywise::{self, each, range};
#[cfg(target_arch = "x86_64")]
use crate::ifma;
#[cfg(target_arch = "x86_64")]
use crate::panels::{Panels, digits_of};
use crate::parallel::for_parts;
use crate::small::{BLOCK, Small};
use rayon::prelude::*;
use std::ops::Range;

/// `out[r, i] = sum_j w[i, j] x[r, j]` modulo 2^64, where `x` has `rows` rows.
///
/// With AVX2 the time is that of reading `w` once, as long as `x` has few rows.
pub fn products<T: Small>(w: &[T], x: &[i64], rows: usize) -> Vec<i64> {
    let width = x.len().checked_div(rows).unwrap_or(0);
    let count = w.len().checked_div(width).unwrap_or(0);
    let mut out = vec![0i64; count * rows];
    if out.is_empty() {
        return out;
    }
    #[cfg(target_arch = "x86_64")]
    if avx2::available() {
        let digits = digits_of(x);
        match rows * digits {
            ..=2 => few(&mut out, w, &Panels::<2>::new(x, rows, digits)),
            3..=5 => few(&mut out, w, &Panels::<5>::new(x, rows, digits)),
            MANY.. if ifma::available() => {
                many(&mut out, w, &Panels::new(x, rows, digits));
                return out;
            }
            _ => few(&mut out, w, &Panels::<13>::new(x, rows, digits)),
        }
        return turned(out, rows);
    }
    for_parts(&mut out, chunk(rows, width), |start, part| {
        for (out, w) in part
            .chunks_mut(rows)
            .zip(w[start / rows * width..].chunks(width))
        {
            for (out, x) in out.iter_mut().zip(x.chunks(width)) {
                *out = w.iter().zip(x).fold(0, |sum: i64, (w, x)| {
                    sum.wrapping_add(w.to_i64().wrapping_mul(*x))
                });
            }
        }
    });
    turned(out, rows)
}

/// Digits of all rows from which on AVX-512 is faster than AVX2: with fewer, both wait for memory.
#[cfg(target_arch = "x86_64")]
const MANY: usize = 14;

/// The matrix with `rows` columns, as one with so many rows.
fn turned(x: Vec<i64>, rows: usize) -> Vec<i64> {
    if rows == 1 {
        return x;
    }
    let count = x.len() / rows;
    let mut out = vec![0; x.len()];
    for (i, x) in x.chunks(rows).enumerate() {
        for (r, &x) in x.iter().enumerate() {
            out[r * count + i] = x;
        }
    }
    out
}

/// Outputs a task computes: whole rows of `w`, at least 2^14 products.
fn chunk(rows: usize, width: usize) -> usize {
    2 * rows * ((1 << 14) / (rows * width)).max(1)
}

#[cfg(target_arch = "x86_64")]
fn few<T: Small, const K: usize>(out: &mut [i64], w: &[T], x: &Panels<K>) {
    let (rows, width) = (x.rows, x.width);
    let chunk = chunk(rows, width).next_multiple_of(rows * avx2::TILE);
    for_parts(out, chunk, |start, part| {
        let w = &w[start / rows * width..][..part.len() / rows * width];
        // SAFETY: the machine has the instructions.
        unsafe { avx2::products(part, w, x) };
    });
}

#[cfg(target_arch = "x86_64")]
fn many<T: Small>(out: &mut [i64], w: &[T], x: &Panels<{ ifma::SIDE }>) {
    let (rows, width) = (x.rows, x.width);
    let out = ifma::Columns::new(out, rows);
    let tiles = ((1 << 15) / (ifma::TILE * rows * width)).max(1);
    w.par_chunks(tiles * ifma::TILE * width)
        .enumerate()
        .for_each(|(k, w)| {
            // SAFETY: the machine has the instructions; these columns are of these rows of `w`.
            unsafe { ifma::many_products(&out, k * tiles * ifma::TILE, w, x) };
        });
}

/// Integers that are counted at a time.
const COUNTED: usize = 1 << 15;

/// How often each of `low .. low + size` occurs in all arrays; `None` where there is another integer.
pub fn count<T: Small>(arrays: &[&[T]], low: i64, size: usize) -> Option<Vec<i64>> {
    let parts: Vec<&[T]> = arrays.iter().flat_map(|x| x.chunks(COUNTED)).collect();
    // Each thread has counters of its own, once.
    let each = parts.len().div_ceil(rayon::current_num_threads()).max(1);
    let counts: Option<Vec<Vec<i64>>> = parts
        .par_chunks(each)
        .map(|parts| {
            let mut counts = vec![0; size];
            for part in parts {
                for x in *part {
                    *counts.get_mut(x.to_i64().wrapping_sub(low) as usize)? += 1;
                }
            }
            Some(counts)
        })
        .collect();
    let mut counts = counts?.into_iter();
    let mut total = counts.next().unwrap_or_else(|| vec![0; size]);
    for part in counts {
        for (sum, count) in total.iter_mut().zip(part) {
            *sum += count;
        }
    }
    Some(total)
}

/// Integers in one of the types that quotients and rests are given in.
pub enum Fitting {
    /// Not negative, 16 bits.
    U16(Vec<u16>),
    /// 16 bits.
    I16(Vec<i16>),
    /// 32 bits.
    I32(Vec<i32>),
    /// 64 bits.
    I64(Vec<i64>),
}

/// `x + 2^(shift - 1)` divided by `2^shift`, for a shift below 64: the quotients, rounded down, in
/// the shortest type that holds all of them, and the rests, in the shortest that holds any.
pub fn divide<T: Small>(x: &[T], shift: u32) -> (Fitting, Fitting) {
    let half = (1u64 << shift >> 1) as i64;
    let mask = (1u64 << shift) - 1;
    let quotient = |x: i64| entrywise::quotient(x, shift);
    let rest = |x: i64| x.wrapping_add(half) as u64 & mask;
    let rests = match shift {
        ..=16 => Fitting::U16(each(x, |x| rest(x) as u16)),
        17..=31 => Fitting::I32(each(x, |x| rest(x) as i32)),
        32.. => Fitting::I64(each(x, |x| rest(x) as i64)),
    };
    let (low, high) = range(x);
    let (low, high) = (quotient(low), quotient(high));
    let within = |least: i64, most: i64| least <= low && high <= most;
    let quotients = if within(i16::MIN.into(), i16::MAX.into()) {
        Fitting::I16(each(x, |x| quotient(x) as i16))
    } else if within(i32::MIN.into(), i32::MAX.into()) {
        Fitting::I32(each(x, |x| quotient(x) as i32))
    } else {
        Fitting::I64(each(x, quotient))
    };
    (quotients, rests)
}

/// Products that a task makes.
const MADE: usize = 1 << 16;

/// `out[c, o, d, i] = x[o, i, c] y[o, i, d]` for the blocks `i` of a range, of rows with so many.
pub fn block_products<T: Small, O: Small + Default>(
    x: &[T],
    y: &[T],
    blocks: usize,
    range: Range<usize>,
) -> Vec<O> {
    let rows = x.len() / (BLOCK * blocks);
    let group = BLOCK * range.len();
    let mut out = vec![O::default(); BLOCK * rows * group];
    let groups = (MADE / group).max(1);
    for_parts(&mut out, groups * group, |start, part| {
        for (k, part) in part.chunks_mut(group).enumerate() {
            let at = start / group + k;
            let (c, row) = (at / rows, at % rows);
            let row = BLOCK * (row * blocks + range.start)..BLOCK * (row * blocks + range.end);
            let (x, y) = (
                x[row.clone()].as_chunks::<BLOCK>().0,
                y[row].as_chunks::<BLOCK>().0,
            );
            for (d, out) in part.chunks_mut(range.len()).enumerate() {
                for ((out, x), y) in out.iter_mut().zip(x).zip(y) {
                    *out = O::wrapped(x[c].to_i64().wrapping_mul(y[d].to_i64()));
                }
            }
        }
    });
    out
}
