//! The level above a block: the sums of the two halves of its first axis.

use super::block::{Fractions, PART};
use super::entries::{Above, Buffer, Values, both};
use super::kernels;
use super::stack::{ALIGNED, Stack};
use crate::field::Fq;
use crate::rows::Source;
use rayon::prelude::*;
use std::sync::Arc;

/// Levels above integers from this length on are computed where they are read: half of the memory
/// of a tree would go to them, and a first touch of memory takes longer than these products.
const COMPUTED: usize = 512;

/// `dims` without axes of length 1.
pub(super) fn strip(dims: &[usize]) -> Vec<usize> {
    dims.iter().copied().filter(|&n| n != 1).collect()
}

impl Fractions {
    /// Elements of all levels above: a layer binds about as many at once as lie above its own.
    pub(super) fn elements_above(&self) -> usize {
        let (mut dims, mut total) = (self.dims.clone(), 0);
        while let Some(first) = dims.first_mut() {
            *first = first.div_ceil(2);
            total += 2 * dims.iter().product::<usize>().next_multiple_of(ALIGNED);
            dims = strip(&dims);
        }
        total
    }
}

/// Adds lower and upper halves; an upper half that is a row shorter lacks the fraction 0/1.
pub(super) fn joined(below: &Fractions, stack: &Stack) -> Fractions {
    let row: usize = below.dims[1..].iter().product();
    let half = below.dims[0].div_ceil(2);
    let total = half * row;
    let upper = below.dims[0] * row - total;
    let mut dims = below.dims.clone();
    dims[0] = half;
    let (dims, position) = (strip(&dims), below.position / 2);
    if let (Values::Ones(_), Values::Integers(integers), true) =
        (&*below.p, &*below.q, total >= COMPUTED)
    {
        let [p, q] = [Above::Numerators, Above::Denominators].map(|kind| {
            Arc::new(Values::Joined {
                kind,
                below: integers.clone(),
                half: total,
            })
        });
        return Fractions {
            dims,
            position,
            p,
            q,
        };
    }
    let (mut p, mut q) = (Buffer::take(stack, total), Buffer::take(stack, total));
    p.par_chunks_mut(PART)
        .zip(q.par_chunks_mut(PART))
        .enumerate()
        .for_each(|(k, (p, q))| {
            let start = k * PART;
            let paired = upper.clamp(start, start + q.len()) - start;
            let (p_both, p_low) = p.split_at_mut(paired);
            let (q_both, q_low) = q.split_at_mut(paired);
            let mut s: [Vec<Fq>; 4] = Default::default();
            let [s0, s1, s2, s3] = &mut s;
            let low = start..start + paired;
            // Where nothing is above, the range is empty, and inside.
            let high = (total + low.start).min(total + upper);
            let high = high..high + paired;
            let levels = [&*below.p, &*below.q];
            let [p_low_half, q_low_half] = both(levels, low, [s0, s1]);
            let [p_high_half, q_high_half] = both(levels, high, [s2, s3]);
            let denominators = [q_low_half, q_high_half];
            let numerators = match *below.p {
                Values::Ones(_) => None,
                _ => Some([p_low_half, p_high_half]),
            };
            kernels::join([p_both, q_both], numerators, denominators);
            let alone = start + paired..start + paired + q_low.len();
            p_low.copy_from_slice(below.p.elements(alone.clone(), s0));
            q_low.copy_from_slice(below.q.elements(alone, s1));
        });
    Fractions {
        dims,
        position,
        p: Arc::new(p.into()),
        q: Arc::new(q.into()),
    }
}
