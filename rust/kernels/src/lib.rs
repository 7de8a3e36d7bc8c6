//! Arithmetic of Veracity's CPU engine: the Pallas fields, small integers against field vectors,
//! sumcheck rounds, fractional sums and the Pallas group.
//!
//! Pure Rust; what Python sees is the crate `veracity-bindings`.

pub mod field;
