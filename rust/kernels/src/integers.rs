//! Products of integer matrices, exact modulo 2^64: the meaning of a model's linear layers.

#[cfg(target_arch = "x86_64")]
use crate::ifma;
use crate::parallel::for_parts;
use crate::small::Small;

/// `out[i, r] = sum_j w[i, j] x[r, j]` modulo 2^64, where `x` has `rows` rows.
///
/// With AVX-512 the time is that of reading `w` once, as long as `x` has few rows.
pub fn products<T: Small>(w: &[T], x: &[i64], rows: usize) -> Vec<i64> {
    let width = x.len().checked_div(rows).unwrap_or(0);
    let count = w.len().checked_div(width).unwrap_or(0);
    let mut out = vec![0i64; count * rows];
    if out.is_empty() {
        return out;
    }
    #[cfg(target_arch = "x86_64")]
    if ifma::available() {
        let digits = ifma::digits_of(x);
        if rows * digits <= 4 {
            fast(
                &mut out,
                w,
                &ifma::Operand::<4>::new(x, rows, digits),
                rows,
                width,
            );
        } else {
            fast(
                &mut out,
                w,
                &ifma::Operand::<13>::new(x, rows, digits),
                rows,
                width,
            );
        }
        return out;
    }
    for_parts(&mut out, chunk(rows, width), |start, part| {
        for (out, w) in part
            .chunks_mut(rows)
            .zip(w[start / rows * width..].chunks(width))
        {
            for (out, x) in out.iter_mut().zip(x.chunks(width)) {
                *out = w.iter().zip(x).fold(0, |sum: i64, (w, x)| {
                    sum.wrapping_add(w.to_i64().wrapping_mul(*x))
                });
            }
        }
    });
    out
}

/// Outputs a task computes: whole pairs of rows of `w`, at least 2^15 products.
fn chunk(rows: usize, width: usize) -> usize {
    2 * rows * ((1 << 14) / (rows * width)).max(1)
}

#[cfg(target_arch = "x86_64")]
fn fast<T: Small, const K: usize>(
    out: &mut [i64],
    w: &[T],
    x: &ifma::Operand<K>,
    rows: usize,
    width: usize,
) {
    for_parts(out, chunk(rows, width), |start, part| {
        let w = &w[start / rows * width..][..part.len() / rows * width];
        // SAFETY: the machine has the instructions.
        unsafe { ifma::products(part, w, x) };
    });
}
