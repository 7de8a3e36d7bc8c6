//! Products of small integers with field elements and with each other, with AVX2, chosen at run
//! time where AVX-512 is missing.
//!
//! Everything here is `unsafe` for one reason: the machine must have the instructions of
//! [`available`]. The building blocks are always inlined into kernels that carry the
//! `target_feature` attribute; the kernels are the only functions to call from elsewhere.

mod contract;
mod machine;
mod pack;
mod products;
#[cfg(test)]
mod tests;
mod weigh;

pub(crate) use contract::{column_digits, contract};
pub(crate) use machine::available;
#[cfg(test)]
pub(crate) use machine::supported;
pub(crate) use pack::TILE;
pub(crate) use products::products;
pub(crate) use weigh::weigh;
