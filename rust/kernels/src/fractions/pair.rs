//! A round that binds two variables at once: worth its products where few entries are left.

use super::block::End;
use super::eq::eq_cube;
use crate::field::Fq;

/// Values at 0, at 1 and the slope of a line.
fn line([low, high]: [Fq; 2]) -> [Fq; 3] {
    [low, high, high - low]
}

/// From a quadratic's values at 0 and 1 and its leading coefficient to its coefficients.
fn quadratic([at_zero, at_one, leading]: [Fq; 3]) -> [Fq; 3] {
    [at_zero, at_one - at_zero - leading, leading]
}

/// A bilinear polynomial from the corners 00, 10, 01, 11 of (X, Y): X at 0, 1 and its slope, for
/// each of those of Y.
fn grid([a, b, c, d]: [Fq; 4]) -> [Fq; 9] {
    let [low, high] = [line([a, b]), line([c, d])];
    let columns = [0, 1, 2].map(|i| line([low[i], high[i]]));
    std::array::from_fn(|k| columns[k % 3][k / 3])
}

/// Coefficients of `sum_x eq(point[2..], x) (P0 q1 + P1 q0)(X, Y, x)` over all entries of a cube:
/// that of `X^i Y^j` at `i + 3 j`. There are four entries for each `x`.
pub(super) fn coefficients(entries: &[[End; 2]], point: &[Fq]) -> [Fq; 9] {
    let weights = eq_cube(point.get(2..).unwrap_or_default());
    let mut total = [Fq::ZERO; 9];
    for (four, w) in entries.chunks_exact(4).zip(&weights) {
        let of = |child: usize, part: usize| grid(std::array::from_fn(|k| four[k][child][part]));
        let ([p0, q0], [p1, q1]) = ([of(0, 0), of(0, 1)], [of(1, 0), of(1, 1)]);
        for (k, sum) in total.iter_mut().enumerate() {
            *sum += *w * (p0[k] * q1[k] + p1[k] * q0[k]);
        }
    }
    let rows = [0, 1, 2].map(|j| quadratic([0, 1, 2].map(|i| total[i + 3 * j])));
    let columns = [0, 1, 2].map(|i| quadratic([0, 1, 2].map(|j| rows[j][i])));
    std::array::from_fn(|k| columns[k % 3][k / 3])
}
