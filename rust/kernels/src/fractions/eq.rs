//! Tables of eq over axes that are halved.

use crate::buffers::take;
use crate::field::Fq;
use crate::parallel::{ALONE, CHUNK};
use crate::vector::scale_into;
use rayon::prelude::*;

/// Bits of an axis of `n` entries.
pub(super) fn bits(n: usize) -> usize {
    (n.max(1) - 1).checked_ilog2().map_or(0, |b| b as usize + 1)
}

/// `eq(point, code(i))` for `i` in `0..n`, where bit 0 of `code(i)` says whether `i` is in the
/// upper half `ceil(n / 2)..n` and the other bits are the code inside the half.
pub fn eq_halved(point: &[Fq], n: usize) -> Vec<Fq> {
    let mut lengths = vec![n];
    while let Some(&last @ 2..) = lengths.last() {
        lengths.push(last.div_ceil(2));
    }
    let mut out = take(n);
    if let Some(first) = out.first_mut() {
        *first = Fq::ONE;
    }
    for j in (0..lengths.len() - 1).rev() {
        let (low, high) = out[..lengths[j]].split_at_mut(lengths[j + 1]);
        let (both, alone) = low.split_at_mut(high.len());
        // The last entry may have none in the upper half.
        for low in alone {
            *low -= point[j] * *low;
        }
        if both.len() <= ALONE {
            extend(both, high, point[j]);
        } else {
            let parts = both.par_chunks_mut(CHUNK).zip(high.par_chunks_mut(CHUNK));
            parts.for_each(|(low, high)| extend(low, high, point[j]));
        }
    }
    out
}

/// Splits entries by one more variable: `r low` is the upper half, `(1 - r) low` stays.
fn extend(low: &mut [Fq], high: &mut [Fq], r: Fq) {
    scale_into(high, r, low);
    for (low, high) in low.iter_mut().zip(high) {
        *low -= *high;
    }
}

/// The code of every entry of an axis: see [`eq_halved`].
pub(super) fn codes(n: usize) -> Vec<usize> {
    if n <= 1 {
        return vec![0; n];
    }
    let half = n.div_ceil(2);
    let inside = codes(half);
    (0..n)
        .map(|i| usize::from(i >= half) + 2 * inside[i % half])
        .collect()
}

/// The whole table of eq over a cube, variable 0 in the lowest bit.
pub(super) fn eq_cube(point: &[Fq]) -> Vec<Fq> {
    let mut out = vec![Fq::ONE];
    for r in point {
        let upper: Vec<_> = out.iter().map(|x| *x * *r).collect();
        for (low, high) in out.iter_mut().zip(&upper) {
            *low -= *high;
        }
        out.extend(upper);
    }
    out
}

/// `eq(point, index)` for one index.
pub(super) fn eq_at(point: &[Fq], index: usize) -> Fq {
    let factor = |(j, r): (usize, &Fq)| match index.checked_shr(j as u32).unwrap_or(0) & 1 {
        1 => *r,
        _ => Fq::ONE - *r,
    };
    point
        .iter()
        .enumerate()
        .map(factor)
        .fold(Fq::ONE, |a, b| a * b)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(i: usize, n: usize) -> usize {
        let half = n.div_ceil(2);
        match n {
            1 => 0,
            _ => usize::from(i >= half) + 2 * code(i % half, half),
        }
    }

    #[test]
    fn codes_of_all_entries() {
        for n in 1..70 {
            let expected: Vec<_> = (0..n).map(|i| code(i, n)).collect();
            assert_eq!(codes(n), expected);
        }
    }

    #[test]
    fn a_cube_has_every_index() {
        let point: Vec<_> = (3..8).map(Fq::from_u64).collect();
        let table = eq_cube(&point);
        assert_eq!(table.len(), 32);
        for (i, x) in table.iter().enumerate() {
            assert_eq!(*x, eq_at(&point, i));
        }
    }

    #[test]
    fn tables_are_products_over_the_bits_of_codes() {
        let point: Vec<Fq> = (0..17).map(|k| Fq::from_u64(3 + 7 * k)).collect();
        // The last ones on several threads; an upper half may be shorter, by a part of a task's.
        for n in (1..40).chain([2 * (ALONE + CHUNK), 2 * (ALONE + CHUNK) + 1]) {
            let table = eq_halved(&point, n);
            assert_eq!(table.len(), n);
            for (i, x) in table.iter().enumerate() {
                assert_eq!(*x, eq_at(&point[..bits(n)], code(i, n)), "{i} of {n}");
            }
        }
    }
}
