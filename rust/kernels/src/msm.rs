//! Multi-scalar multiplication with full scalars: shared doublings for few points, else Pippenger's
//! bucket method with signed windows.

use crate::curve::{Affine, Xyzz};
use crate::curve_glv;
use crate::field::{Fq, Limbs};
use crate::msm_buckets::{horner, with_buffers};
use rayon::prelude::*;

/// Up to here, shared doublings cost less than buckets.
const FEW: usize = 16;
/// Scalars are below 2^255; one bit more makes room for signed digits.
const BITS: usize = 256;
/// Fewest points worth a task of their own, where there are more threads than windows.
const PIECE: usize = 1 << 11;

/// Signed windows of `width` bits, all but the last shifted by half a window.
struct Recoding {
    width: usize,
    count: usize,
    offset: Limbs,
}

impl Recoding {
    /// The width with the fewest additions for `n` points.
    fn for_points(n: usize) -> Self {
        let width = (2..=16)
            .min_by_key(|&c| BITS.div_ceil(c) * (n + 2 * (1 << (c - 1))))
            .expect("some widths");
        let count = BITS.div_ceil(width);
        let mut offset = [0u64; 4];
        for w in 0..count - 1 {
            let bit = width * w + width - 1;
            offset[bit / 64] |= 1 << (bit % 64);
        }
        Self {
            width,
            count,
            offset,
        }
    }

    /// The scalar plus the offset, whose windows are the digits plus half a window.
    fn shift(&self, scalar: &Fq) -> Limbs {
        // Below 2^255 + 2^255: the offset ends at least one bit below the top.
        let mut carry = 0u128;
        let canonical = scalar.to_canonical();
        std::array::from_fn(|i| {
            carry += canonical[i] as u128 + self.offset[i] as u128;
            let limb = carry as u64;
            carry >>= 64;
            limb
        })
    }

    fn digit(&self, shifted: &Limbs, w: usize) -> i32 {
        let bit = self.width * w;
        let (limb, low) = (bit / 64, bit % 64);
        let mut window = shifted[limb] >> low;
        if low != 0 && limb + 1 < 4 {
            window |= shifted[limb + 1] << (64 - low);
        }
        let window = (window & ((1 << self.width) - 1)) as i32;
        if w + 1 == self.count {
            window
        } else {
            window - (1 << (self.width - 1))
        }
    }
}

/// `sum_i scalars[i] points[i]`; the time depends on the scalars.
///
/// # Panics
/// Where the lengths differ.
pub fn msm(points: &[Affine], scalars: &[Fq]) -> Affine {
    assert_eq!(points.len(), scalars.len());
    let (points, scalars): (Vec<Affine>, Vec<Fq>) = points
        .iter()
        .zip(scalars)
        .filter(|(p, k)| !p.is_identity() && !k.is_zero())
        .unzip();
    let n = points.len();
    if n == 0 {
        return Affine::IDENTITY;
    }
    if n <= FEW {
        let digits: Vec<_> = scalars.iter().map(curve_glv::recode).collect();
        return curve_glv::sum(&points, &digits).to_affine();
    }
    let recoding = Recoding::for_points(n);
    let shifted: Vec<Limbs> = scalars.par_iter().map(|k| recoding.shift(k)).collect();

    let threads = rayon::current_num_threads();
    let piece = n
        .div_ceil((2 * threads).div_ceil(recoding.count))
        .max(PIECE.min(n));
    // A few windows of the same points for each thread, and several rounds to even out.
    let windows_each = recoding.count.div_ceil(2 * threads);
    let items: Vec<(usize, usize)> = (0..n)
        .step_by(piece)
        .flat_map(|from| {
            (0..recoding.count)
                .step_by(windows_each)
                .map(move |w| (from, w))
        })
        .collect();
    let sums: Vec<Vec<Xyzz>> = items
        .par_iter()
        .map(|&(from, first)| {
            let points = &points[from..n.min(from + piece)];
            let shifted = &shifted[from..from + points.len()];
            let windows = first..recoding.count.min(first + windows_each);
            let mut digits = Vec::with_capacity(points.len());
            let mut out = Vec::with_capacity(windows.len());
            with_buffers(|weighted| {
                for w in windows {
                    digits.clear();
                    digits.extend(shifted.iter().map(|s| recoding.digit(s, w)));
                    weighted.push(points, &digits, 1 << (recoding.width - 1));
                }
                weighted.finish(points, |_, parts| {
                    out.push(horner(parts, Xyzz::IDENTITY, parts.len()));
                });
            });
            out
        })
        .collect();

    let mut windows = vec![Xyzz::IDENTITY; recoding.count];
    for ((_, first), sums) in items.iter().zip(sums) {
        for (window, sum) in windows[*first..].iter_mut().zip(sums) {
            window.add(&sum);
        }
    }
    let mut total = Xyzz::IDENTITY;
    for window in windows.iter().rev() {
        for _ in 0..recoding.width {
            total.double();
        }
        total.add(window);
    }
    total.to_affine()
}
