//! Blocks of small integers, weighed: operands of a product on their way into the field.

use crate::buffers::take;
use crate::field::Fq;
use crate::parallel::{CHUNK, for_parts, row_parts};
use crate::small::{BLOCK, Small};
#[cfg(target_arch = "x86_64")]
use crate::{avx2, ifma};

/// `out[o, i] = rows[o] sum_c entries[c, i] x[o, i, c]`, where `x` has shape (rows, blocks, BLOCK).
///
/// Without `rows`, each of them counts 1.
pub fn weigh_blocks<T: Small>(x: &[T], rows: Option<&[Fq]>, entries: &[Fq]) -> Vec<Fq> {
    let blocks = entries.len() / BLOCK;
    debug_assert!(x.len().is_multiple_of(entries.len().max(1)));
    let mut out = take(x.len() / BLOCK);
    #[cfg(target_arch = "x86_64")]
    {
        let within = |limit| T::BITS <= 32 || fits(x, limit);
        let wide = ifma::available() && within(ifma::BLOCK_LIMIT);
        if wide || (avx2::available() && within(avx2::LIMIT)) {
            let sums = wide.then(|| ifma::biases::<T>(entries));
            for_parts(&mut out, CHUNK, |start, part| {
                let mut rest = part;
                for (row, columns) in row_parts(start..start + rest.len(), blocks) {
                    let (now, later) = rest.split_at_mut(columns.len());
                    let (x, first) = (&x[BLOCK * (row * blocks + columns.start)..], columns.start);
                    let scale = rows.map(|rows| rows[row]);
                    // SAFETY: the machine has the instructions.
                    unsafe {
                        match &sums {
                            Some(sums) => ifma::blocks(now, x, (entries, sums), first, scale),
                            None => avx2::blocks(now, x, (entries, blocks), first, scale),
                        }
                    }
                    rest = later;
                }
            });
            return out;
        }
    }
    for_parts(&mut out, CHUNK, |start, part| {
        for (at, out) in (start..).zip(part) {
            let (row, i) = (at / blocks, at % blocks);
            let mut sum = Fq::ZERO;
            for (c, x) in x[BLOCK * at..][..BLOCK].iter().enumerate() {
                let (x, entry) = (x.to_i64(), entries[c * blocks + i]);
                let product = entry.times_u64(x.unsigned_abs());
                sum = if x < 0 { sum - product } else { sum + product };
            }
            *out = rows.map_or(sum, |rows| rows[row] * sum);
        }
    });
    out
}

/// Whether sums of a block's products are in the range of the vector kernel.
#[cfg(target_arch = "x86_64")]
fn fits<T: Small>(x: &[T], limit: u64) -> bool {
    x.iter().all(|x| x.to_i64().unsigned_abs() <= limit)
}
