//! Trees of function secret sharing with AVX-512 and its AES rounds on four blocks at a time,
//! chosen at run time.
//!
//! Everything here is `unsafe` for one reason: the machine must have the instructions of
//! [`available`]. The building blocks are always inlined into kernels that carry the
//! `target_feature` attribute; the kernels are the only functions to call from elsewhere.

mod blocks;
mod descend;
mod histogram;
mod table;

pub(crate) use blocks::available;
pub(crate) use descend::descend;
pub(crate) use histogram::{Scratch, add_points};
pub(crate) use table::{LEVELS, LookUp, look_up};
