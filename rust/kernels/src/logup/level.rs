//! One level of the tree from the level below.

use super::portable;
use crate::buffers::take;
use crate::field::Fq;
#[cfg(target_arch = "x86_64")]
use crate::ifma;
use crate::parallel::CHUNK;
use crate::rows::{Groups, Source};
use rayon::prelude::*;

/// Adds neighbours: `(p', d')`; `p = None` stands for numerators 1.
pub fn level(p: Option<&dyn Source>, d: &dyn Source, n: usize) -> (Vec<Fq>, Vec<Fq>) {
    let pairs = Groups::<2>::new(n);
    let total = pairs.count(d.len());
    let mut out_p = take(total);
    let mut out_d = take(total);
    let part = |start: usize, out_p: &mut [Fq], out_d: &mut [Fq]| {
        let range = start..start + out_p.len();
        let mut scratch: [Vec<Fq>; 4] = Default::default();
        let [for_p, for_d, raw, none] = &mut scratch;
        let p = p.map(|p| pairs.elements(p, range.clone(), for_p, none));
        level_into(
            out_p,
            out_d,
            p,
            pairs.elements(d, range.clone(), for_d, raw),
        );
        if p.is_none() && pairs.ragged() {
            // The missing fraction that ends a row has numerator 0.
            let half = n.div_ceil(2);
            for end in (range.start / half * half + half - 1..range.end).step_by(half) {
                out_p[end - range.start] = Fq::ONE;
            }
        }
    };
    if total <= CHUNK {
        part(0, &mut out_p, &mut out_d);
        return (out_p, out_d);
    }
    out_p
        .par_chunks_mut(CHUNK)
        .zip(out_d.par_chunks_mut(CHUNK))
        .enumerate()
        .for_each(|(k, (out_p, out_d))| part(k * CHUNK, out_p, out_d));
    (out_p, out_d)
}

fn level_into(out_p: &mut [Fq], out_d: &mut [Fq], p: Option<&[Fq]>, d: &[Fq]) {
    #[cfg(target_arch = "x86_64")]
    if ifma::available() {
        // SAFETY: the machine has the instructions.
        return unsafe { ifma::level(out_p, out_d, p, d) };
    }
    portable::level(out_p, out_d, p, d);
}
