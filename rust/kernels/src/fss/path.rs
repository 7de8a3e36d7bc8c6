//! A point and the node it has come to.

/// A point on the way to its leaf.
#[derive(Copy, Clone)]
pub(crate) struct Path<const P: usize> {
    /// The seed of the node; the control bit in bit 0; the sum of the output bits in bit 2.
    pub(crate) seed: u128,
    /// The sum of the values on the way.
    pub(crate) sum: [u64; P],
    pub(crate) point: u64,
    /// Which key and which point of all.
    pub(crate) key: u32,
    pub(crate) index: u32,
}
