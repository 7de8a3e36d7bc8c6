//! Arithmetic of Veracity's CPU engine: the Pallas fields, small integers against field vectors,
//! sumcheck rounds, fractional sums and the Pallas group.
//!
//! Pure Rust; what Python sees is the crate `veracity-bindings`.

mod affine;
#[cfg(target_arch = "x86_64")]
mod avx2;
pub mod blocks;
pub mod buffers;
pub mod contract;
pub mod curve;
pub mod curve_batch;
pub mod curve_encoding;
pub mod curve_glv;
pub mod curve_scale;
#[cfg(target_arch = "x86_64")]
mod digits;
pub mod entrywise;
pub mod field;
pub mod fractions;
pub mod fss;
pub mod hash_to_curve;
#[cfg(target_arch = "x86_64")]
mod ifma;
pub mod inner_product;
pub mod integers;
#[cfg(target_arch = "x86_64")]
mod machine;
mod mapping;
pub mod msm;
pub mod msm_buckets;
#[cfg(target_arch = "x86_64")]
mod panels;
mod parallel;
pub mod pedersen;
#[cfg(target_arch = "x86_64")]
mod places;
pub mod prg;
pub mod ring;
pub mod rows;
pub mod small;
pub mod stacked;
pub mod sumcheck;
#[cfg(target_arch = "x86_64")]
mod vaes;
pub mod vector;
