//! Commitments to rows of small integers: `out[r] = sum_j values[r, j] bases[index[j]]`.
//!
//! Values are cut into signed digits; each window of a row is one task of [`Weighted`]. The width
//! of the windows is chosen row by row, from the row's distribution of bit lengths.

use crate::curve::{Affine, Xyzz};
use crate::msm_buckets::{Weighted, horner, with_buffers};
use crate::small::Small;
use rayon::prelude::*;

/// Values summed together by one thread: enough to fill batches of additions, few enough for the
/// buckets to stay in cache.
const GROUP: usize = 1 << 15;
/// A row is cut into pieces (for more threads than rows) no shorter than this.
const PIECE: usize = 1 << 12;

/// Row commitments.
///
/// # Panics
/// Where `values` is no whole number of rows of `index.len()`, or an index is out of range.
pub fn commit_rows<T: Small>(
    values: &[T],
    rows: usize,
    index: &[i64],
    bases: &[Affine],
) -> Vec<Affine> {
    let columns = index.len();
    assert_eq!(values.len(), rows * columns);
    if values.is_empty() {
        return vec![Affine::IDENTITY; rows];
    }
    let points: Vec<Affine> = index.iter().map(|&i| bases[i as usize]).collect();
    let blanks: Vec<usize> = (0..columns).filter(|&j| points[j].is_identity()).collect();

    let threads = rayon::current_num_threads();
    // More threads than rows: each row in pieces, over pieces of the points.
    let pieces = (4 * threads).div_ceil(rows).min(columns.div_ceil(PIECE));
    let width = columns.div_ceil(pieces);
    let group = (values.len() / (4 * threads))
        .min(GROUP)
        .div_ceil(width)
        .max(1);
    let groups: Vec<(usize, usize)> = (0..columns)
        .step_by(width)
        .flat_map(|column| (0..rows).step_by(group).map(move |row| (column, row)))
        .collect();

    let done: Vec<(usize, Vec<Xyzz>)> = groups
        .into_par_iter()
        .with_max_len(1)
        .map(|(column, row)| {
            let end = columns.min(column + width);
            let blanks = blanks
                .iter()
                .filter(|&&j| column <= j && j < end)
                .map(|j| j - column);
            let sums = with_buffers(|weighted| {
                let mut committer = Committer {
                    weighted,
                    digits: Vec::with_capacity(width),
                    rows: Vec::with_capacity(group),
                };
                for r in row..rows.min(row + group) {
                    committer.push(
                        &values[r * columns + column..r * columns + end],
                        &points[column..end],
                        blanks.clone(),
                    );
                }
                committer.finish(&points[column..end])
            });
            (row, sums)
        })
        .collect();
    let mut sums = vec![Xyzz::IDENTITY; rows];
    for (row, parts) in done {
        for (sum, part) in sums[row..].iter_mut().zip(parts) {
            sum.add(&part);
        }
    }
    Xyzz::batch_to_affine(&sums)
}

/// How the values of a row are cut: `count` windows of `width` bits, the last one unsigned.
#[derive(Copy, Clone, Debug)]
struct Windows {
    width: u32,
    count: u32,
}

impl Windows {
    /// The cut with the fewest additions. `bits[b]` counts values whose magnitude has `b` bits.
    fn choose(bits: &[u32; 65], largest: u64) -> Self {
        let top = 64 - largest.leading_zeros();
        let cost = |w: &Self| {
            let digits: u64 = (1..=top)
                .map(|b| bits[b as usize] as u64 * (b / w.width + 1).min(w.count) as u64)
                .sum();
            let last = w.digit(largest, w.count - 1).unsigned_abs() as u64;
            digits + 2 * ((w.count as u64 - 1) * (1 << (w.width - 1)) + last)
        };
        (2..=14)
            .flat_map(|width| {
                [top.div_ceil(width), top / width + 1].map(|count| Self { width, count })
            })
            .min_by_key(cost)
            .expect("some widths")
    }

    /// What makes the digits signed: half a window in every window but the last.
    fn offset(&self) -> u128 {
        (0..self.count - 1)
            .map(|w| 1u128 << (self.width * w + self.width - 1))
            .sum()
    }

    /// Digit `w` of a magnitude.
    fn digit(&self, magnitude: u64, w: u32) -> i32 {
        let shifted = (magnitude as u128 + self.offset()) >> (self.width * w);
        if w + 1 == self.count {
            shifted as i32
        } else {
            (shifted as i32 & ((1 << self.width) - 1)) - (1 << (self.width - 1))
        }
    }
}

/// Sums rows over the same points.
struct Committer<'a> {
    weighted: &'a mut Weighted,
    digits: Vec<i32>,
    rows: Vec<Windows>,
}

impl Committer<'_> {
    fn push<T: Small>(
        &mut self,
        values: &[T],
        points: &[Affine],
        blanks: impl Iterator<Item = usize> + Clone,
    ) {
        let mut bits = [0u32; 65];
        let mut largest = 0;
        for v in values {
            let magnitude = v.to_i64().unsigned_abs();
            bits[64 - magnitude.leading_zeros() as usize] += 1;
            largest = largest.max(magnitude);
        }
        if largest == 0 {
            self.rows.push(Windows { width: 1, count: 0 });
            return;
        }
        let windows = Windows::choose(&bits, largest);
        self.rows.push(windows);
        let offset = windows.offset();
        for w in 0..windows.count {
            let last = w + 1 == windows.count;
            let (mask, half) = if last {
                (-1, 0)
            } else {
                ((1 << windows.width) - 1, 1 << (windows.width - 1))
            };
            let shift = windows.width * w;
            self.digits.clear();
            if largest < 1 << 48 {
                // The sum fits 64 bits: windows end within 14 bits of the largest value.
                let offset = offset as u64;
                self.digits.extend(values.iter().map(|v| {
                    let v = v.to_i64();
                    let sign = (v >> 63) as i32;
                    let d = ((((v.unsigned_abs() + offset) >> shift) as i32) & mask) - half;
                    (d ^ sign) - sign
                }));
            } else {
                self.digits.extend(values.iter().map(|v| {
                    let v = v.to_i64();
                    let sign = (v >> 63) as i32;
                    let d = ((((v.unsigned_abs() as u128 + offset) >> shift) as i32) & mask) - half;
                    (d ^ sign) - sign
                }));
            }
            for j in blanks.clone() {
                self.digits[j] = 0;
            }
            let bound = if last {
                windows.digit(largest, w) as usize
            } else {
                1 << (windows.width - 1)
            };
            self.weighted.push(points, &self.digits, bound);
        }
    }

    /// The sums of the rows since the last call.
    fn finish(&mut self, points: &[Affine]) -> Vec<Xyzz> {
        let mut windows = Vec::new();
        self.weighted
            .finish(points, |_, parts| windows.push(parts.to_vec()));
        let mut windows = windows.into_iter();
        self.rows
            .drain(..)
            .map(|row| {
                let parts: Vec<_> = windows.by_ref().take(row.count as usize).collect();
                let mut high = Xyzz::IDENTITY;
                for (w, parts) in parts.iter().enumerate().rev() {
                    // Only the last window may have more parts than bits.
                    let last = w + 1 == row.count as usize;
                    let shift = if last {
                        parts.len()
                    } else {
                        row.width as usize
                    };
                    high = horner(parts, high, shift);
                }
                high
            })
            .collect()
    }
}
