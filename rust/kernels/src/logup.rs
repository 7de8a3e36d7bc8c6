//! Fractional sums: p/q as (p, d) with q = 1 + d, so that zeros stand for the fraction 0/1.
//!
//! The bottom of the tree is made of small integers. Its fractions are computed where they are
//! used, a part at a time, and the halves of a level only exist once they are folded: fresh memory
//! costs more than the arithmetic.

mod halves;
mod leaves;
mod level;
mod numerators;
pub(crate) mod portable;
mod round;

pub use halves::{Halves, split_fold};
pub use leaves::{Leaves, collect};
pub use level::level;
pub use numerators::Fractions;
#[cfg(test)]
pub(crate) use numerators::NumeratorWeights;
pub(crate) use numerators::Weights;
pub use round::{round, round_separable};
