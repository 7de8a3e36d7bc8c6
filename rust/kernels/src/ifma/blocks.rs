//! Blocks of small integers, weighed by elements.

use super::lanes::{V, add, mac_high, mac_low, set1};
use super::machine::kernel;
use super::small::{in_lanes, reduce};
use super::vector::{eight, put};
use crate::field::Fq;
use crate::small::{BLOCK, Small};
use std::arch::x86_64::*;

/// Largest absolute value that [`blocks`] takes.
pub(crate) const BLOCK_LIMIT: u64 = 1 << 49;

/// What is added to integers, so that none is negative: to at most 2^50.
const fn bias<T: Small>() -> u64 {
    if T::BIAS > BLOCK_LIMIT {
        BLOCK_LIMIT
    } else {
        T::BIAS
    }
}

/// Eight integers of one place in neighbouring blocks, biased, in the order of lanes.
#[inline(always)]
unsafe fn of_place<T: Small>(x: &[T], c: usize) -> V {
    let at = |k: usize| x.get(BLOCK * k + c).map_or(0, |x| x.to_i64());
    unsafe { add(in_lanes(std::array::from_fn(at)), set1(bias::<T>())) }
}

/// What the biases of a block weigh, for each block of a row.
pub(crate) fn biases<T: Small>(entries: &[Fq]) -> Vec<Fq> {
    let (blocks, factor) = (entries.len() / BLOCK, Fq::from_u64(bias::<T>()));
    let sum = |i: usize| (0..BLOCK).map(|c| entries[c * blocks + i]).sum::<Fq>();
    (0..blocks).map(|i| sum(i) * factor).collect()
}

kernel! {
    /// `out[i] = scale sum_c entries[c, first + i] x[i, c]` for integers of at most
    /// [`BLOCK_LIMIT`].
    pub(crate) unsafe fn blocks<T: Small>(
        out: &mut [Fq],
        x: &[T],
        (entries, biases): (&[Fq], &[Fq]),
        first: usize,
        scale: Option<Fq>,
    ) {
        let (blocks, count) = (biases.len(), out.len());
        let x = &x[..BLOCK * count];
        let places: [&[Fq]; BLOCK] =
            std::array::from_fn(|c| &entries[c * blocks + first..][..count]);
        let biases = &biases[first..][..count];
        unsafe {
            let scale = scale.map(|s| super::lanes::Fe8::broadcast(&s));
            for k in 0..count.div_ceil(8) {
                let mut z = [_mm512_setzero_si512(); 6];
                for (c, entries) in places.iter().enumerate() {
                    let x = of_place(&x[8 * BLOCK * k..], c);
                    let entry = eight(entries, k);
                    for i in 0..5 {
                        z[i] = mac_low(z[i], x, entry.limbs[i]);
                        z[i + 1] = mac_high(z[i + 1], x, entry.limbs[i]);
                    }
                }
                let sum = reduce(z).minus(eight(biases, k));
                let value = match scale {
                    Some(scale) => scale.times(sum),
                    None => sum,
                };
                put(out, k, value.canonical());
            }
        }
    }
}
