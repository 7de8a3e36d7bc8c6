//! Function secret sharing: distributed comparison functions and point functions.
//!
//! A comparison key pair (Boyle, Chandran, Gilboa, Gupta, Ishai, Kumar, Rathee, eprint 2020/1392,
//! figure 1) shares `x -> payload [x < alpha]`, a point key pair (Boyle, Gilboa, Ishai, eprint
//! 2018/707) `x -> payload [x = alpha]`, for `x` of some bits and payloads of 64-bit words. Trees
//! end early: a leaf stands for several points. A comparison without payload shares one bit by
//! exclusive or, 128 points a leaf.
//!
//! A key is: the root's seed, 16 bytes; for each level a correction block of 16 bytes, whose low
//! three bits correct the control bits of the left and of the right child and the output bit, and
//! for comparisons with payload the correction of the payload; the correction of the leaf. All
//! but the seed is the same in both keys of a pair.

mod descend;
mod evaluate;
mod histogram;
mod key;
mod make;
mod nodes;
mod path;
mod pieces;
mod table;

pub use evaluate::{evaluate, evaluate_bits, weighted};
pub use histogram::histogram;
pub(crate) use key::CONTROL;
pub use key::{Function, MAX_PAYLOAD, Shape};
pub use make::make;
pub(crate) use nodes::above;
pub(crate) use path::Path;
pub use pieces::{Pieces, pieces};
pub use table::{MAX_TABLE_BITS, table};
