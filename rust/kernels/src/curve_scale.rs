//! Point-by-point operations on vectors: scalar multiples, sums, and the fold of an
//! inner-product argument.

use crate::curve::{Affine, Xyzz};
use crate::curve_batch::{Adder, Job, Signed};
use crate::curve_glv::{self, Digits, ODD_MULTIPLES, endomorphism};
use crate::field::Fq;
use crate::msm_buckets::with_buffers;
use rayon::prelude::*;
use std::sync::{Arc, Mutex, PoisonError};

/// Below this many points, batched inversions cost more than coordinates without inversion.
const FEW: usize = 24;
/// Points that are handled in step.
const STEP: usize = 1024;
/// Points of all parts that walk through a multiplication in step: their tables, of 8 multiples of
/// each, stay in cache.
const TABLES: usize = 2048;
/// Bits of a digit of the fixed-base table.
const WINDOW: usize = 8;
/// Digits of a scalar, one more than 255 bits need so that the last one is never negative.
const DIGITS: usize = 32;
/// Multiples of each power in the fixed-base table: 1 .. 128.
const MULTIPLES: usize = 1 << (WINDOW - 1);
/// From so many scalars on, the fixed-base table costs less than multiplying one by one.
const WORTH: usize = 8;

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

/// `out[i] = sum_j factors[j] points[j n + i]` for `i` below `n`, where the first factor is one
/// and the last points may be missing.
pub fn combine(points: &[Affine], n: usize, factors: &[Fq]) -> Vec<Affine> {
    assert!(points.len() >= n && points.len() <= n * factors.len());
    debug_assert!(factors.first() == Some(&Fq::ONE));
    let (sums, rest) = points.split_at(n);
    let parts: Vec<&[Affine]> = rest.chunks(n).collect();
    let digits: Vec<_> = factors[1..].iter().map(curve_glv::recode).collect();
    let mut out = sums.to_vec();
    // The last part may be shorter: results before its end have a term more than the others.
    let last = parts.last().map_or(0, |part| part.len());
    let (longer, shorter) = out.split_at_mut(last);
    combine_parts(longer, &parts, &digits, 0);
    combine_parts(
        shorter,
        &parts[..parts.len().saturating_sub(1)],
        &digits,
        last,
    );
    out
}

/// Adds multiples of the parts' points from `first` on to as many sums.
fn combine_parts(sums: &mut [Affine], parts: &[&[Affine]], digits: &[[Digits; 2]], first: usize) {
    if sums.is_empty() || parts.is_empty() {
        return;
    }
    let threads = rayon::current_num_threads();
    let most = (TABLES / parts.len()).max(FEW);
    let step = sums.len().div_ceil(threads).clamp(FEW, most);
    sums.par_chunks_mut(step).enumerate().for_each(|(k, sums)| {
        let start = first + k * step;
        let own: Vec<_> = parts
            .iter()
            .map(|part| &part[start..start + sums.len()])
            .collect();
        with_buffers(|buffers| add_multiples(buffers.reducer().adder(), sums, &own, digits));
    });
}

/// `sums[i] += sum_j k_j parts[j][i]`: the same doublings and additions for each `i`.
fn add_multiples(
    adder: &mut Adder,
    sums: &mut [Affine],
    parts: &[&[Affine]],
    digits: &[[Digits; 2]],
) {
    let n = sums.len();
    let tables: Vec<[Vec<Affine>; 2]> = parts
        .iter()
        .map(|points| {
            let plain = odd_multiples(adder, points);
            let zeta = curve_glv::zeta();
            let turned = plain.iter().map(|p| endomorphism(p, &zeta)).collect();
            [plain, turned]
        })
        .collect();
    let halves = || tables.iter().flatten().zip(digits.iter().flatten());
    let longest = halves().map(|(_, digits)| digits.len()).max().unwrap_or(0);
    let mut total = vec![Affine::IDENTITY; n];
    let mut started = false;
    for bit in (0..longest).rev() {
        if started {
            adder.double(&mut total);
        }
        for (table, digits) in halves() {
            let d = digits.get(bit).copied().unwrap_or(0);
            if d == 0 {
                continue;
            }
            let row = &table[d.unsigned_abs() as usize / 2 * n..][..n];
            if started {
                adder.add_assign(&mut total, row, d < 0);
            } else {
                started = true;
                for (p, q) in total.iter_mut().zip(row) {
                    *p = q.negate_if(d < 0);
                }
            }
        }
    }
    adder.add_assign(sums, &total, false);
}

/// `out[m * n + i] = (2m + 1) points[i]`.
fn odd_multiples(adder: &mut Adder, points: &[Affine]) -> Vec<Affine> {
    let n = points.len();
    let mut twice = points.to_vec();
    adder.double(&mut twice);
    let mut out = points.to_vec();
    for m in 1..ODD_MULTIPLES {
        out.extend_from_within((m - 1) * n..);
        adder.add_assign(&mut out[m * n..], &twice, false);
    }
    out
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
    let Some(table) = table_of(point, scalars.len()) else {
        return scale_points(&vec![*point; scalars.len()], scalars);
    };
    scalars
        .par_chunks(STEP)
        .map(|scalars| {
            let mut entries = Vec::with_capacity(scalars.len() * DIGITS);
            let mut offsets = vec![0];
            for k in scalars {
                for (w, d) in digits(k).into_iter().enumerate() {
                    if d != 0 {
                        let multiple = d.unsigned_abs() as usize - 1;
                        entries.push(Signed::new(multiple * DIGITS + w, d < 0));
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

/// The point that was multiplied last, and its table once it is worth one.
struct Kept {
    point: Affine,
    scalars: usize,
    table: Option<Arc<Vec<Affine>>>,
}

static KEPT: Mutex<Option<Kept>> = Mutex::new(None);

/// The table of a point by which `scalars` more are multiplied; `None` where it does not pay yet.
///
/// A proof multiplies one generator by the blinds of every array's rows, a few at a time.
fn table_of(point: &Affine, scalars: usize) -> Option<Arc<Vec<Affine>>> {
    if point.is_identity() {
        return None;
    }
    let mut last = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    if last.as_ref().is_none_or(|kept| kept.point != *point) {
        *last = None;
    }
    let kept = last.get_or_insert(Kept {
        point: *point,
        scalars: 0,
        table: None,
    });
    kept.scalars = kept.scalars.saturating_add(scalars);
    if kept.table.is_none() && kept.scalars >= WORTH {
        kept.table = Some(Arc::new(fixed_base_table(point)));
    }
    kept.table.clone()
}

/// `table[m * DIGITS + w] = (m + 1) 2^(8w) point`.
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
    let mut table = Xyzz::batch_to_affine(&powers);
    table.resize(DIGITS * MULTIPLES, Affine::IDENTITY);
    with_buffers(|buffers| {
        let adder = buffers.reducer().adder();
        let mut jobs = Vec::with_capacity(DIGITS * MULTIPLES / 2);
        // Of the first n multiples, the last one more makes the next n.
        for n in (0..MULTIPLES.ilog2()).map(|level| 1 << level) {
            let (known, rest) = table.split_at_mut(n * DIGITS);
            jobs.clear();
            jobs.extend((0..(n - 1) * DIGITS).map(|i| Job {
                a: Signed::new(i, false),
                b: Signed::new((n - 1) * DIGITS + i % DIGITS, false),
                out: i as u32,
            }));
            adder.add(known, known, &jobs, rest);
            let twice = &mut rest[(n - 1) * DIGITS..][..DIGITS];
            twice.copy_from_slice(&known[(n - 1) * DIGITS..]);
            adder.double(twice);
        }
    });
    table
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
