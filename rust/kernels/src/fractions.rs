//! Sums of fractions p/q as a tree, and the sumchecks that lead from its root to its leaves.
//!
//! A block is an array of fractions. Its first axis is halved until one entry of it is left, then
//! the next: an axis of `n` entries has the lower half `0..h` and the upper half `h..n` with
//! `h = ceil(n / 2)`, and a missing fraction is 0/1. So a half is one run of memory, whatever the
//! dims, and kernels see whole slices. The bottom of the tree is made of small integers; its
//! fractions are computed where they are used, since fresh memory costs more than the arithmetic.

mod bind;
mod block;
mod entries;
mod eq;
mod joint;
mod kernels;
mod layer;
mod leaves;
mod pair;
pub(crate) mod portable;
pub(crate) mod short;
mod stack;
mod tail;
mod tree;
mod weights;

pub(crate) use entries::with_row;
pub use entries::{Entries, Integers, Row, SmallArray};
pub use eq::eq_halved;
pub use leaves::collect;
pub use tree::{Block, Tree, TreeError};
