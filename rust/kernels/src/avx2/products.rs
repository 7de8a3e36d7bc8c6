//! Products of integer matrices: 16-bit digits of one times 8-bit digits of the other.

use super::machine::kernel;
use super::pack::{DEEP, EIGHT, Rows, Sums, TILE, VECTORS, blank, multiply, rows};
use crate::digits::planes;
use crate::panels::Panels;
use crate::small::{Small, Tensor};

/// Groups of columns of digits for which integers are packed once.
const GROUPS: usize = 16;

kernel! {
    /// `out[i, r] = sum_j w[i, j] x[r, j]` modulo 2^64, for whole rows of `w`.
    pub(crate) unsafe fn products<T: Small, const K: usize>(
        out: &mut [i64],
        w: &[T],
        x: &Panels<K>,
    ) {
        let planes = const { planes::<T>() };
        let w = Tensor { data: w, n: x.width, inner: 1 };
        let mut tile = blank();
        // Planes are added as they are met.
        let mut sums: Vec<[Sums<K>; VECTORS]> = Vec::with_capacity(planes * GROUPS);
        out.fill(0);
        for (t, out) in out.chunks_mut(TILE * x.rows).enumerate() {
            let outputs = out.len() / x.rows;
            for (g, groups) in x.groups.chunks(GROUPS).enumerate() {
                let count = groups.len();
                sums.clear();
                for from in (0..x.width).step_by(DEEP) {
                    let width = DEEP.min(x.width - from);
                    let place = Rows { from, width, first: t * TILE, outputs };
                    for plane in 0..planes {
                        let found = unsafe { rows(&mut tile, plane, &w, place) };
                        if found.digits {
                            if sums.len() < (plane + 1) * count {
                                sums.resize((plane + 1) * count, [[[0; EIGHT]; K]; VECTORS]);
                            }
                            let steps = &tile[..width.div_ceil(2)];
                            for (group, sums) in groups.iter().zip(&mut sums[plane * count..]) {
                                let vectors = sums[..outputs.div_ceil(EIGHT)].iter_mut();
                                for (vector, sums) in vectors.enumerate() {
                                    let (steps, digits) = ((steps, vector), &group[from / 2..]);
                                    let here = (steps.0.as_ptr().cast(), 0);
                                    unsafe { multiply(steps, digits, sums, here) };
                                }
                            }
                        }
                        if !found.higher {
                            break;
                        }
                    }
                }
                let first = g * GROUPS * K;
                for (k, column) in (first..x.rows * x.digits).take(count * K).enumerate() {
                    let (r, d) = (column / x.digits, column % x.digits);
                    for (plane, sums) in sums.chunks(count).enumerate() {
                        let shift = (8 * d + 16 * plane) as u32;
                        // Digits at 2^64 and above do not change the result modulo 2^64.
                        if shift < 64 {
                            for (i, out) in out.chunks_mut(x.rows).enumerate() {
                                let sum = sums[k / K][i / EIGHT][k % K][i % EIGHT];
                                out[r] = out[r].wrapping_add(sum << shift);
                            }
                        }
                    }
                }
            }
        }
    }
}
