//! Blocks of small integers, weighed by elements.

use super::lanes::Fe4;
use super::machine::kernel;
use super::small::{add_multiple, columns_of, integers, reduce};
use super::vector::{four, put};
use crate::field::Fq;
use crate::small::{BLOCK, Small};

/// Integers of one place in four neighbouring blocks.
#[inline(always)]
fn of_place<T: Small>(x: &[T], c: usize) -> [i64; 4] {
    let mut out = [0; 4];
    for (k, out) in out.iter_mut().enumerate() {
        *out = x.get(BLOCK * k + c).map_or(0, |x| x.to_i64());
    }
    out
}

kernel! {
    /// `out[i] = scale sum_c entries[c, first + i] x[i, c]`, with so many `blocks` to a row of
    /// entries, for integers of at most [`super::LIMIT`] or of 32 bits.
    pub(crate) unsafe fn blocks<T: Small>(
        out: &mut [Fq],
        x: &[T],
        (entries, blocks): (&[Fq], usize),
        first: usize,
        scale: Option<Fq>,
    ) {
        let x = &x[..BLOCK * out.len()];
        unsafe {
            let scale = scale.map(|s| Fe4::broadcast(&s));
            for k in 0..out.len().div_ceil(4) {
                let mut z = columns_of(&Fq::ZERO);
                for c in 0..BLOCK {
                    let entries = &entries[c * blocks + first..][..out.len()];
                    let x = integers(&of_place(&x[4 * BLOCK * k..], c), 0);
                    add_multiple(&mut z, x, &four(entries, k));
                }
                let sum = reduce(z);
                put(out, k, match scale {
                    Some(scale) => scale.times(sum).canonical(),
                    None => sum,
                });
            }
        }
    }
}
