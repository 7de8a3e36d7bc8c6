//! Functions of every integer of an array: rounding to quotients, and tables.

use crate::parallel::{for_parts, sum_parts};
use crate::small::Small;
use std::sync::atomic::{AtomicBool, Ordering};

/// Integers that a task makes.
const MADE: usize = 1 << 15;

/// `floor((x + 2^(shift - 1)) / 2^shift)` for a shift from 0 to 63, where the sum may leave 64 bits:
/// the quotient is that of `x`, and one more for half and above.
#[inline(always)]
pub(crate) fn quotient(x: i64, shift: u32) -> i64 {
    let half = (1u64 << shift >> 1) as i64;
    (x >> shift) + i64::from(x & half != 0)
}

/// Quotients by `2^shift`, rounded half up, and the least and the greatest of them, zeros where
/// there are none.
pub fn rounded<T: Small>(x: &[T], shift: u32) -> (Vec<i64>, [i64; 2]) {
    // Rounding keeps the order.
    let (low, high) = range(x);
    let ends = [quotient(low, shift), quotient(high, shift)];
    (each(x, |x| quotient(x, shift)), ends)
}

/// A function of every integer.
pub(crate) fn each<T: Small, O: Copy + Default + Send>(
    x: &[T],
    f: impl Fn(i64) -> O + Sync,
) -> Vec<O> {
    let mut out = vec![O::default(); x.len()];
    for_parts(&mut out, MADE, |start, part| {
        for (out, x) in part.iter_mut().zip(&x[start..]) {
            *out = f(x.to_i64());
        }
    });
    out
}

/// The least and the greatest; zeros where there are none.
pub(crate) fn range<T: Small>(x: &[T]) -> (i64, i64) {
    let Some(first) = x.first().map(|x| x.to_i64()) else {
        return (0, 0);
    };
    sum_parts(
        x.len(),
        MADE,
        (first, first),
        |part| {
            x[part].iter().fold((first, first), |(low, high), x| {
                (low.min(x.to_i64()), high.max(x.to_i64()))
            })
        },
        |a, b| (a.0.min(b.0), a.1.max(b.1)),
    )
}

/// `table[x - low]` for every integer; `None` where the table has no such entry. All that it has
/// entries for are integers of 64 bits.
pub fn look_up<T: Small, O: Small + Default>(x: &[T], low: i64, table: &[O]) -> Option<Vec<O>> {
    let outside = AtomicBool::new(false);
    let mut out = vec![O::default(); x.len()];
    for_parts(&mut out, MADE, |start, part| {
        for (out, x) in part.iter_mut().zip(&x[start..]) {
            match table.get(x.to_i64().wrapping_sub(low) as usize) {
                Some(entry) => *out = *entry,
                None => return outside.store(true, Ordering::Relaxed),
            }
        }
    });
    (!outside.into_inner()).then_some(out)
}
