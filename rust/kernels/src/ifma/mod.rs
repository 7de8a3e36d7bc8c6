//! The same arithmetic on eight elements at a time, with AVX-512 IFMA, chosen at run time.
//!
//! Everything here is `unsafe` for one reason: the machine must have the instructions of
//! [`available`]. The building blocks are always inlined into kernels that carry the
//! `target_feature` attribute; the kernels are the only functions to call from elsewhere.

mod blocks;
mod contract;
mod contract_rows;
mod curve;
mod digits;
pub(crate) mod fractions;
mod integers;
mod lanes;
mod machine;
mod places;
mod ring;
pub(crate) mod short;
mod small;
mod sumcheck;
mod transpose;
#[cfg(test)]
#[expect(
    clippy::duplicate_mod,
    reason = "each of two modules is held to the same tests"
)]
#[path = "../twins.rs"]
mod twins;
mod vector;

pub(crate) use blocks::{BLOCK_LIMIT, biases, blocks};
pub(crate) use contract::{COLUMNS, NARROW, columns};
pub(crate) use contract_rows::rows;
pub(crate) use curve::{Scratch, add_batch, double_batch, power};
pub(crate) use digits::{RowDigits, column_digits};
pub(crate) use integers::{Columns, SIDE, TILE, many_products};
pub(crate) use machine::available;
#[cfg(test)]
pub(crate) use machine::supported;
pub(crate) use ring::ring_product;
pub(crate) use small::{LIMIT, affine, weigh};
pub(crate) use sumcheck::{fold, product};
pub(crate) use vector::{dot, lincomb, mul, scale};
