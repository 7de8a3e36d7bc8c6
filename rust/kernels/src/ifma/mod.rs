//! The same arithmetic on eight elements at a time, with AVX-512 IFMA, chosen at run time.
//!
//! Everything here is `unsafe` for one reason: the machine must have the instructions of
//! [`available`]. The building blocks are always inlined into kernels that carry the
//! `target_feature` attribute; the kernels are the only functions to call from elsewhere.

use std::sync::OnceLock;

mod contract;
mod curve;
mod integers;
mod lanes;
mod logup;
mod ring;
mod small;
mod sumcheck;
#[cfg(test)]
mod tests;
mod transpose;
mod vector;

pub(crate) use contract::{COLUMNS, ColumnDigits, RowDigits, columns, rows};
pub(crate) use curve::{Place, Places, Scratch, Tagged, add_batch, double_batch, power};
pub(crate) use integers::{Operand, digits_of, products};
pub(crate) use logup::{level, round, round_separable};
pub(crate) use ring::ring_product;
pub(crate) use small::{LIMIT, affine, weigh};
pub(crate) use sumcheck::{fold, product};
pub(crate) use vector::{dot, lincomb, mul, scale};

/// Whether this machine has the instructions and nobody asked for the portable path.
pub(crate) fn available() -> bool {
    static AVAILABLE: OnceLock<bool> = OnceLock::new();
    *AVAILABLE.get_or_init(|| {
        let portable = std::env::var_os("VERACITY_PORTABLE").is_some_and(|v| v == "1");
        !portable && supported()
    })
}

/// Whether this machine has the instructions.
pub(crate) fn supported() -> bool {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512ifma")
        && is_x86_feature_detected!("avx512vbmi2")
        && is_x86_feature_detected!("avx512vnni")
}

/// A kernel of this module: a function compiled for the instructions of [`available`].
macro_rules! kernel {
    ($($item:item)*) => {$(
        #[target_feature(
            enable = "avx512f,avx512dq,avx512bw,avx512vl,avx512ifma,avx512vbmi2,avx512vnni"
        )]
        $item
    )*};
}
use kernel;
