//! Four field elements at a time, and products of small integers with field elements and with each
//! other, with AVX2, chosen at run time where AVX-512 is missing.
//!
//! Everything here is `unsafe` for one reason: the machine must have the instructions of
//! [`available`]. The building blocks are always inlined into kernels that carry the
//! `target_feature` attribute; the kernels are the only functions to call from elsewhere.

mod blocks;
mod columns;
mod contract;
mod curve;
pub(crate) mod fractions;
#[cfg(test)]
mod lane_tests;
mod lanes;
mod machine;
mod pack;
mod power;
mod products;
pub(crate) mod short;
mod small;
mod sumcheck;
#[cfg(test)]
mod tests;
mod transpose;
#[cfg(test)]
#[expect(
    clippy::duplicate_mod,
    reason = "each of two modules is held to the same tests"
)]
#[path = "../twins.rs"]
mod twins;
mod vector;
mod weigh;

pub(crate) use blocks::blocks;
pub(crate) use contract::{column_digits, contract};
pub(crate) use curve::{Scratch, add_batch, double_batch};
pub(crate) use machine::available;
#[cfg(test)]
pub(crate) use machine::supported;
pub(crate) use pack::TILE;
pub(crate) use power::power;
pub(crate) use products::products;
pub(crate) use small::{LIMIT, affine};
pub(crate) use sumcheck::{fold, product};
pub(crate) use vector::{dot, lincomb, mul, scale};
pub(crate) use weigh::weigh;
