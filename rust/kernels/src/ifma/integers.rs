//! Products of integer matrices: 16-bit digits of one times 8-bit digits of the other.

use super::contract_rows::row_pair;
use super::digits::{Found, LANES, Line, MAX_PLANES, STEPS, copy_plane, entries, planes};
use super::machine::kernel;
use crate::small::Small;

/// Rows of integers as signed digits of 8 bits: every digit of every row is a column, and
/// columns come in groups of `K`. For 32 entries, the lines of a group are neighbours.
pub(crate) struct Operand<const K: usize> {
    groups: Vec<Vec<[Line; K]>>,
    digits: usize,
    rows: usize,
    width: usize,
}

/// How many signed digits of 8 bits the largest of the integers has.
pub(crate) fn digits_of(x: &[i64]) -> usize {
    let mut digits = 1;
    for &x in x {
        let (mut x, mut count) = (x, 1);
        while x != i64::from(x as i8) {
            x = (x >> 8) + i64::from((x as i8) < 0);
            count += 1;
        }
        digits = digits.max(count);
    }
    digits
}

impl<const K: usize> Operand<K> {
    /// Cuts `rows` rows of integers that have at most so many digits.
    pub(crate) fn new(x: &[i64], rows: usize, digits: usize) -> Self {
        let width = x.len() / rows.max(1);
        let blank = vec![[Line::ZERO; K]; width.div_ceil(LANES)];
        let mut groups = vec![blank; (rows * digits).div_ceil(K)];
        for (r, row) in x.chunks(width.max(1)).enumerate() {
            for (j, &x) in row.iter().enumerate() {
                let mut x = x;
                for d in 0..digits {
                    let column = r * digits + d;
                    groups[column / K][j / LANES][column % K].0[j % LANES] = i16::from(x as i8);
                    x = (x >> 8) + i64::from((x as i8) < 0);
                }
            }
        }
        Self {
            groups,
            digits,
            rows,
            width,
        }
    }
}

kernel! {
    /// `out[i, r] = sum_j w[i, j] x[r, j]` modulo 2^64, for whole rows of `w`.
    pub(crate) unsafe fn products<T: Small, const K: usize>(
        out: &mut [i64],
        w: &[T],
        x: &Operand<K>,
    ) {
        const WIDTH: usize = STEPS * LANES;
        let planes = const { planes::<T>() };
        let mut pair = [[Line::ZERO; STEPS]; 2];
        let mut sums = vec![[[[0i64; 16]; 2]; MAX_PLANES]; x.groups.len()];
        for (out, w) in out.chunks_mut(2 * x.rows).zip(w.chunks(2 * x.width)) {
            sums.fill([[[0; 16]; 2]; MAX_PLANES]);
            for from in (0..x.width).step_by(WIDTH) {
                let width = WIDTH.min(x.width - from);
                let steps = width.div_ceil(LANES);
                for plane in 0..planes {
                    let mut found = Found::default();
                    for (w, row) in w.chunks(x.width).zip(&mut pair) {
                        let row = entries(&mut row[..steps]);
                        found |= copy_plane(row, plane, w[from..from + width].iter().copied());
                        row[width..].fill(0);
                    }
                    if found.digits {
                        for (group, sums) in x.groups.iter().zip(&mut sums) {
                            let rows = pair.each_ref().map(|row| row.as_ptr().cast());
                            let digits = &group[from / LANES..][..steps];
                            let [first, second] = &mut sums[plane];
                            unsafe { row_pair(rows, digits, [first, second]) };
                        }
                    }
                    if !found.higher {
                        break;
                    }
                }
            }
            for (i, out) in out.chunks_mut(x.rows).enumerate() {
                for (r, out) in out.iter_mut().enumerate() {
                    let mut total = 0i64;
                    for d in 0..x.digits {
                        let column = r * x.digits + d;
                        for (plane, sums) in sums[column / K].iter().enumerate() {
                            let shift = (8 * d + 16 * plane) as u32;
                            // Digits at 2^64 and above do not change the result modulo 2^64.
                            let term = sums[i][column % K].checked_shl(shift).unwrap_or(0);
                            total = total.wrapping_add(term);
                        }
                    }
                    *out = total;
                }
            }
        }
    }
}
