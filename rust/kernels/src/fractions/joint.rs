//! The level above a block: the sums of the two halves of its first axis.

use super::block::{Fractions, PART};
use super::entries::Values;
use super::kernels;
use crate::buffers::take;
use crate::field::Fq;
use crate::rows::Source;
use rayon::prelude::*;
use std::sync::Arc;

/// `dims` without axes of length 1.
pub(super) fn strip(dims: &[usize]) -> Vec<usize> {
    dims.iter().copied().filter(|&n| n != 1).collect()
}

/// Adds lower and upper halves; an upper half that is a row shorter lacks the fraction 0/1.
pub(super) fn joined(below: &Fractions) -> Fractions {
    let row: usize = below.dims[1..].iter().product();
    let half = below.dims[0].div_ceil(2);
    let total = half * row;
    let upper = below.dims[0] * row - total;
    let (mut p, mut q) = (take(total), take(total));
    p.par_chunks_mut(PART)
        .zip(q.par_chunks_mut(PART))
        .enumerate()
        .for_each(|(k, (p, q))| {
            let start = k * PART;
            let both = upper.clamp(start, start + q.len()) - start;
            let (p_both, p_low) = p.split_at_mut(both);
            let (q_both, q_low) = q.split_at_mut(both);
            let mut s: [Vec<Fq>; 4] = Default::default();
            let [s0, s1, s2, s3] = &mut s;
            let low = start..start + both;
            // Where nothing is above, the range is empty, and inside.
            let high = (total + low.start).min(total + upper);
            let high = high..high + both;
            let denominators = [
                below.q.elements(low.clone(), s0),
                below.q.elements(high.clone(), s1),
            ];
            let numerators = match *below.p {
                Values::Ones(_) => None,
                _ => Some([below.p.elements(low, s2), below.p.elements(high, s3)]),
            };
            kernels::join([p_both, q_both], numerators, denominators);
            let alone = start + both..start + both + q_low.len();
            p_low.copy_from_slice(below.p.elements(alone.clone(), s0));
            q_low.copy_from_slice(below.q.elements(alone, s1));
        });
    let mut dims = below.dims.clone();
    dims[0] = half;
    Fractions {
        dims: strip(&dims),
        position: below.position / 2,
        p: Arc::new(p.into()),
        q: Arc::new(q.into()),
    }
}
