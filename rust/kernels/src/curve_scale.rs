//! Point-by-point operations on vectors: scalar multiples, sums, and the fold of an
//! inner-product argument.

use crate::curve::{Affine, Xyzz};
use crate::curve_batch::{Adder, Signed};
use crate::curve_glv::{self, ODD_MULTIPLES, endomorphism};
use crate::field::Fq;
use crate::msm_buckets::with_buffers;
use rayon::prelude::*;

/// Below this many points, batched inversions cost more than coordinates without inversion.
const FEW: usize = 24;
/// Points that walk through a multiplication in step: tables of 8 multiples stay in cache.
const STEP: usize = 1024;
/// Bits of a digit of the fixed-base table.
const WINDOW: usize = 8;
/// Digits of a scalar, one more than 255 bits need so that the last one is never negative.
const DIGITS: usize = 32;
/// Multiples in a row of the fixed-base table: 1 .. 128.
const MULTIPLES: usize = 1 << (WINDOW - 1);

/// `a[i] + b[i]`.
pub fn add_points(a: &[Affine], b: &[Affine]) -> Vec<Affine> {
    assert_eq!(a.len(), b.len());
    let mut out = a.to_vec();
    out.par_chunks_mut(STEP)
        .zip(b.par_chunks(STEP))
        .for_each(|(out, b)| {
            with_buffers(|buffers| buffers.reducer().adder().add_assign(out, b, false));
        });
    out
}

/// `points[i] + r points[n/2 + i]` for `n` points, `n` even.
pub fn fold_points(points: &[Affine], r: &Fq) -> Vec<Affine> {
    assert!(points.len().is_multiple_of(2));
    let (low, high) = points.split_at(points.len() / 2);
    let digits = curve_glv::recode(r);
    if low.len() < FEW {
        let sums: Vec<Xyzz> = low
            .par_iter()
            .zip(high)
            .map(|(p, q)| {
                let mut sum = curve_glv::multiply(q, &digits);
                sum.add_affine(p);
                sum
            })
            .collect();
        return Xyzz::batch_to_affine(&sums);
    }
    let threads = rayon::current_num_threads();
    let step = low.len().div_ceil(threads).clamp(FEW, STEP);
    let mut out = high.to_vec();
    out.par_chunks_mut(step)
        .zip(low.par_chunks(step))
        .for_each(|(out, low)| {
            with_buffers(|buffers| {
                let adder = buffers.reducer().adder();
                multiply_in_step(adder, out, &digits);
                adder.add_assign(out, low, false);
            });
        });
    out
}

/// Multiplies all points by one scalar: the same doublings and additions for each.
fn multiply_in_step(adder: &mut Adder, points: &mut [Affine], digits: &[Vec<i8>; 2]) {
    let n = points.len();
    // plain[m * n + i] = (2m + 1) points[i], and the same turned by the endomorphism.
    let mut twice = points.to_vec();
    adder.double(&mut twice);
    let mut plain = points.to_vec();
    for m in 1..ODD_MULTIPLES {
        plain.extend_from_within((m - 1) * n..);
        adder.add_assign(&mut plain[m * n..], &twice, false);
    }
    let zeta = curve_glv::zeta();
    let turned: Vec<Affine> = plain.iter().map(|p| endomorphism(p, &zeta)).collect();

    let mut started = false;
    points.fill(Affine::IDENTITY);
    for bit in (0..digits[0].len().max(digits[1].len())).rev() {
        if started {
            adder.double(points);
        }
        for (table, digits) in [&plain, &turned].into_iter().zip(digits) {
            let d = digits.get(bit).copied().unwrap_or(0);
            if d == 0 {
                continue;
            }
            let row = &table[d.unsigned_abs() as usize / 2 * n..][..n];
            if started {
                adder.add_assign(points, row, d < 0);
            } else {
                started = true;
                for (p, q) in points.iter_mut().zip(row) {
                    *p = q.negate_if(d < 0);
                }
            }
        }
    }
}

/// `scalars[i] points[i]`.
pub fn scale_points(points: &[Affine], scalars: &[Fq]) -> Vec<Affine> {
    assert_eq!(points.len(), scalars.len());
    let products: Vec<Xyzz> = points
        .par_iter()
        .zip(scalars)
        .map(|(p, k)| curve_glv::multiply(p, &curve_glv::recode(k)))
        .collect();
    products
        .par_chunks(STEP)
        .flat_map_iter(Xyzz::batch_to_affine)
        .collect()
}

/// `scalars[i] point`.
pub fn scale_point(point: &Affine, scalars: &[Fq]) -> Vec<Affine> {
    // The table costs as much as a hundred multiplications.
    if scalars.len() < 128 || point.is_identity() {
        return scale_points(&vec![*point; scalars.len()], scalars);
    }
    let table = fixed_base_table(point);
    scalars
        .par_chunks(STEP)
        .map(|scalars| {
            let mut entries = Vec::with_capacity(scalars.len() * DIGITS);
            let mut offsets = vec![0];
            for k in scalars {
                for (w, d) in digits(k).into_iter().enumerate() {
                    if d != 0 {
                        let multiple = d.unsigned_abs() as usize - 1;
                        entries.push(Signed::new(w * MULTIPLES + multiple, d < 0));
                    }
                }
                offsets.push(entries.len() as u32);
            }
            let mut out = vec![Affine::IDENTITY; scalars.len()];
            with_buffers(|buffers| {
                buffers
                    .reducer()
                    .reduce(&table, &entries, &offsets, &mut out);
            });
            out
        })
        .collect::<Vec<_>>()
        .concat()
}

/// `table[w * MULTIPLES + m] = (m + 1) 2^(8w) point`.
fn fixed_base_table(point: &Affine) -> Vec<Affine> {
    let mut power = Xyzz::from(*point);
    let powers: Vec<Xyzz> = (0..DIGITS)
        .map(|_| {
            let this = power;
            for _ in 0..WINDOW {
                power.double();
            }
            this
        })
        .collect();
    Xyzz::batch_to_affine(&powers)
        .par_iter()
        .flat_map_iter(|base| {
            let mut multiple = Xyzz::IDENTITY;
            let row: Vec<Xyzz> = (0..MULTIPLES)
                .map(|_| {
                    multiple.add_affine(base);
                    multiple
                })
                .collect();
            Xyzz::batch_to_affine(&row)
        })
        .collect()
}

/// Signed base-256 digits in `[-127, 128]`.
fn digits(k: &Fq) -> [i16; DIGITS] {
    let bytes = k.to_bytes();
    let mut carry = 0;
    std::array::from_fn(|w| {
        let d = bytes[w] as i16 + carry;
        carry = (d > MULTIPLES as i16) as i16;
        d - (carry << WINDOW)
    })
}
