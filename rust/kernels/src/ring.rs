//! Matrices over the ring of integers modulo 2^64, and its elements packed into bits.

#[cfg(target_arch = "x86_64")]
use crate::ifma;
use crate::parallel::for_parts;
use crate::small::Small;
use rayon::prelude::*;

/// Products a task computes at least.
const TASK: usize = 1 << 16;
/// Rows of `w` that a kernel takes at a time.
const GROUP: usize = 8;
/// Blocks of 64 values a task packs.
const BLOCKS: usize = 64;

/// `out[r, i] = sum_j x[r, j] w[i, j]`, where `x` has `rows` rows of `width`.
///
/// With AVX-512 the time of few rows is that of reading `w` once.
pub fn matmul<T: Small>(x: &[u64], w: &[T], rows: usize, width: usize) -> Vec<u64> {
    let count = w.len().checked_div(width).unwrap_or(0);
    if rows * count == 0 {
        return Vec::new();
    }
    let mut columns = vec![0; count * rows];
    let each = (TASK / (rows * width)).max(1).next_multiple_of(GROUP);
    for_parts(&mut columns, each * rows, |start, part| {
        let w = &w[start / rows * width..][..part.len() / rows * width];
        product(part, x, w, rows, width);
    });
    if rows == 1 {
        return columns;
    }
    transposed(&columns, rows)
}

/// As [`matmul`] for `batch` pairs of matrices of full-size elements, one after the other.
pub fn matmul_batch(x: &[u64], y: &[u64], batch: usize, rows: usize, width: usize) -> Vec<u64> {
    // SAFETY: the two types have one layout, and every bit pattern is valid in both.
    let y = unsafe { std::slice::from_raw_parts(y.as_ptr().cast::<i64>(), y.len()) };
    if batch == 1 {
        return matmul(x, y, rows, width);
    }
    let count = y.len().checked_div(batch * width).unwrap_or(0);
    let mut out = vec![0; batch * rows * count];
    if out.is_empty() {
        return out;
    }
    let each = (TASK / (rows * width * count)).max(1);
    for_parts(&mut out, each * rows * count, |start, part| {
        let mut columns = vec![0; rows * count];
        let first = start / (rows * count);
        for (k, part) in part.chunks_mut(rows * count).enumerate() {
            let x = &x[(first + k) * rows * width..][..rows * width];
            let y = &y[(first + k) * count * width..][..count * width];
            columns.fill(0);
            product(&mut columns, x, y, rows, width);
            transpose(part, &columns, rows);
        }
    });
    out
}

/// `out[i, r] += sum_j x[r, j] w[i, j]`.
fn product<T: Small>(out: &mut [u64], x: &[u64], w: &[T], rows: usize, width: usize) {
    #[cfg(target_arch = "x86_64")]
    if ifma::available() {
        // SAFETY: the machine has the instructions.
        unsafe { ifma::ring_product(out, x, w, rows, width) };
        return;
    }
    for (out, w) in out.chunks_mut(rows).zip(w.chunks(width)) {
        for (out, x) in out.iter_mut().zip(x.chunks(width)) {
            *out = w.iter().zip(x).fold(*out, |sum, (w, x)| {
                sum.wrapping_add(x.wrapping_mul(w.to_i64() as u64))
            });
        }
    }
}

/// `out[r, i] = columns[i, r]`, with `rows` entries in a row of `columns`.
fn transpose(out: &mut [u64], columns: &[u64], rows: usize) {
    for (r, out) in out.chunks_mut(columns.len() / rows).enumerate() {
        for (out, column) in out.iter_mut().zip(columns.chunks(rows)) {
            *out = column[r];
        }
    }
}

fn transposed(columns: &[u64], rows: usize) -> Vec<u64> {
    let mut out = vec![0; columns.len()];
    transpose(&mut out, columns, rows);
    out
}

/// Bytes of `count` values of `bits` bits.
pub fn packed_bytes(count: usize, bits: u32) -> usize {
    let (whole, rest) = (count / 8, count % 8);
    whole * bits as usize + (rest * bits as usize).div_ceil(8)
}

fn mask(bits: u32) -> u64 {
    u64::MAX >> (64 - bits)
}

/// The low `bits` bits of each value, one after the other, little-endian; the last byte is
/// filled with zeros.
pub fn pack(values: &[u64], bits: u32) -> Vec<u8> {
    let mut out = vec![0; packed_bytes(values.len(), bits)];
    let mask = mask(bits);
    out.par_chunks_mut(8 * bits as usize * BLOCKS)
        .zip(values.par_chunks(64 * BLOCKS))
        .for_each(|(out, values)| {
            let (mut buffer, mut filled) = (0u128, 0);
            let (words, rest) = out.as_chunks_mut::<8>();
            let mut words = words.iter_mut();
            for value in values {
                buffer |= u128::from(value & mask) << filled;
                filled += bits;
                if filled >= 64 {
                    if let Some(word) = words.next() {
                        *word = (buffer as u64).to_le_bytes();
                        buffer >>= 64;
                    }
                    filled -= 64;
                }
            }
            // What is left has fewer than 64 bits, in up to eight bytes.
            let last = words.next().map_or(rest, |word| &mut word[..]);
            last.copy_from_slice(&buffer.to_le_bytes()[..last.len()]);
        });
    out
}

/// The inverse of [`pack`], for `count` values.
pub fn unpack(data: &[u8], bits: u32, count: usize) -> Vec<u64> {
    let mut out = vec![0; count];
    let mask = mask(bits);
    out.par_chunks_mut(64 * BLOCKS)
        .zip(data.par_chunks(8 * bits as usize * BLOCKS))
        .for_each(|(out, data)| {
            let (words, rest) = data.as_chunks::<8>();
            let mut last = [0; 8];
            last[..rest.len()].copy_from_slice(rest);
            let mut words = words.iter().chain([&last]);
            let (mut buffer, mut filled) = (0u128, 0);
            for out in out {
                if filled < bits {
                    let word = words.next().map_or(0, |word| u64::from_le_bytes(*word));
                    buffer |= u128::from(word) << filled;
                    filled += 64;
                }
                *out = buffer as u64 & mask;
                buffer >>= bits;
                filled -= bits;
            }
        });
    out
}
