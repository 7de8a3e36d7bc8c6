//! Generators whose discrete logarithms nobody knows.
//!
//! The map is the Pallas hash-to-curve of the `pasta_curves` crate (RFC 9380: simplified SWU on a
//! 3-isogenous curve, BLAKE2b); this module only feeds it labels and indices.

use crate::curve::Affine;
use crate::field::Fp;
use pasta_curves::arithmetic::{Coordinates, CurveExt};
use pasta_curves::group::{Curve, ff::PrimeField};
use pasta_curves::pallas;
use rayon::prelude::*;

/// A label this long still fits the hash's domain separation tag, which is at most 255 bytes.
pub const MAX_LABEL_BYTES: usize = 226;

/// The points `0 .. n` of a label; point `i` depends on the label and `i` only.
///
/// # Panics
/// Where the label is longer than [`MAX_LABEL_BYTES`].
pub fn generators(label: &str, n: usize) -> Vec<Affine> {
    assert!(label.len() <= MAX_LABEL_BYTES);
    (0..n)
        .into_par_iter()
        .with_min_len(64)
        .map_init(
            || pallas::Point::hash_to_curve(label),
            |hash, i| from_pasta(&hash(&(i as u64).to_le_bytes())),
        )
        .collect()
}

fn from_pasta(point: &pallas::Point) -> Affine {
    let convert = |x: &pallas::Base| Fp::from_bytes(&x.to_repr()).expect("a canonical encoding");
    match Option::<Coordinates<pallas::Affine>>::from(
        pasta_curves::arithmetic::CurveAffine::coordinates(&point.to_affine()),
    ) {
        Some(c) => Affine {
            x: convert(c.x()),
            y: convert(c.y()),
        },
        None => Affine::IDENTITY,
    }
}
