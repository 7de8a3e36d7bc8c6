//! Rows of 64-bit integers as signed digits of 8 bits, for products of 16 bits with vector
//! instructions.

use rayon::prelude::*;

/// How many signed digits of 8 bits the largest of the integers has.
pub(crate) fn digits_of(x: &[i64]) -> usize {
    let count = |mut x: i64| {
        let mut count = 1;
        while x != i64::from(x as i8) {
            x = (x >> 8) + i64::from((x as i8) < 0);
            count += 1;
        }
        count
    };
    let (low, high) = x
        .iter()
        .fold((0, 0), |(low, high), &x| (x.min(low), x.max(high)));
    count(low).max(count(high))
}

/// Rows of integers as signed digits of 8 bits: for two entries, the digits of `K` columns, each of
/// both. A column is a digit of a row, and rows follow each other.
pub(crate) struct Panels<const K: usize> {
    pub(crate) groups: Vec<Vec<[[i16; 2]; K]>>,
    pub(crate) digits: usize,
    pub(crate) rows: usize,
    pub(crate) width: usize,
}

/// Signed digit `d` of 8 bits.
#[inline(always)]
fn digit(mut x: i64, d: usize) -> i16 {
    for _ in 0..d {
        x = (x >> 8) + i64::from((x as i8) < 0);
    }
    i16::from(x as i8)
}

impl<const K: usize> Panels<K> {
    /// Cuts `rows` rows of integers that have at most so many digits.
    pub(crate) fn new(x: &[i64], rows: usize, digits: usize) -> Self {
        let width = x.len() / rows.max(1);
        let group = |g: usize| {
            let mut group = vec![[[0; 2]; K]; width.div_ceil(2)];
            for k in 0..K.min(rows * digits - g * K) {
                let (r, d) = ((g * K + k) / digits, (g * K + k) % digits);
                for (pair, to) in x[r * width..][..width].chunks(2).zip(&mut group) {
                    for (&x, to) in pair.iter().zip(&mut to[k]) {
                        *to = digit(x, d);
                    }
                }
            }
            group
        };
        let count = (rows * digits).div_ceil(K);
        Self {
            groups: (0..count).into_par_iter().map(group).collect(),
            digits,
            rows,
            width,
        }
    }
}
