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

mod make;
mod table;
mod walk;

pub use make::make;
use rayon::prelude::*;
pub use table::table;
pub(crate) use walk::Path;
use walk::walk;

/// Words of a payload at most: a seed grows into eight blocks.
pub const MAX_PAYLOAD: usize = 4;
/// Bits of the domain of a table at most.
pub const MAX_TABLE_BITS: u32 = 20;
/// Bits of a block that are not part of the seed.
pub(crate) const CONTROL: u128 = 7;
/// Points that are evaluated at a time, at least.
const LANES: usize = 256;

/// Which function the keys share.
#[derive(Copy, Clone, PartialEq, Eq)]
pub enum Function {
    /// `payload [x < alpha]`.
    Comparison,
    /// `payload [x = alpha]`.
    Point,
}

/// What the bytes of a key are.
#[derive(Copy, Clone)]
pub struct Shape {
    function: Function,
    bits: u32,
    payload: usize,
    low: u32,
}

impl Shape {
    /// The keys for a domain of 1 to 64 bits and at most [`MAX_PAYLOAD`] words; points have one.
    pub fn new(function: Function, bits: u32, payload: usize) -> Option<Self> {
        let early = match (function, payload) {
            (Function::Comparison, 0) => 7,
            (Function::Comparison, 1..=MAX_PAYLOAD) => 2,
            (Function::Point, 1) => 3,
            (Function::Point, 2..=MAX_PAYLOAD) => 2,
            _ => return None,
        };
        (1..=64).contains(&bits).then_some(Self {
            function,
            bits,
            payload,
            low: early.min(bits),
        })
    }

    /// The keys with a payload that have so many bytes.
    pub fn of_bytes(function: Function, bits: u32, bytes: usize) -> Option<Self> {
        (1..=MAX_PAYLOAD)
            .filter_map(|payload| Self::new(function, bits, payload))
            .find(|shape| shape.bytes() == bytes)
    }

    /// Words of the payload.
    pub fn payload(&self) -> usize {
        self.payload
    }

    /// Bytes of a key.
    pub fn bytes(&self) -> usize {
        self.leaf_at() + 8 * self.leaf_words()
    }

    /// Levels above the leaves.
    pub(crate) fn levels(&self) -> usize {
        (self.bits - self.low) as usize
    }

    /// Words of payload that a level corrects.
    pub(crate) fn values(&self) -> usize {
        match self.function {
            Function::Comparison => self.payload,
            Function::Point => 0,
        }
    }

    fn level_bytes(&self) -> usize {
        16 + 8 * self.values()
    }

    fn leaf_words(&self) -> usize {
        if self.payload == 0 {
            2
        } else {
            self.payload << self.low
        }
    }

    /// Where the correction of a level is in a key.
    pub(crate) fn level_at(&self, level: usize) -> usize {
        16 + level * self.level_bytes()
    }

    /// Where the correction of the leaf is in a key.
    pub(crate) fn leaf_at(&self) -> usize {
        self.level_at(self.levels())
    }

    /// Place of the bit of a point that chooses the child on a level.
    pub(crate) fn shift(&self, level: usize) -> u32 {
        self.bits - 1 - level as u32
    }

    fn side(&self, point: u64, level: usize) -> usize {
        (point >> self.shift(level) & 1) as usize
    }

    fn low_part(&self, point: u64) -> usize {
        (point & ((1 << self.low) - 1)) as usize
    }

    /// The first block of a leaf that holds the value at a point.
    pub(crate) fn first_block(&self, point: u64) -> usize {
        self.low_part(point) * self.payload / 2
    }

    /// How many blocks of a leaf hold the value at a point.
    pub(crate) fn point_blocks(&self) -> usize {
        self.payload.div_ceil(2).max(1)
    }
}

fn block(data: &[u8]) -> u128 {
    data.first_chunk()
        .map_or(0, |data| u128::from_le_bytes(*data))
}

fn word(data: &[u8], k: usize) -> u64 {
    data[8 * k..]
        .first_chunk()
        .map_or(0, |data| u64::from_le_bytes(*data))
}

/// Word `k` of a sequence of blocks.
fn word_of(blocks: &[u128], k: usize) -> u64 {
    (blocks[k / 2] >> (64 * (k % 2))) as u64
}

/// All ones for an odd number, else zero.
fn spread(bit: u128) -> u128 {
    (bit & 1).wrapping_neg()
}

/// `x` or `-x`.
fn signed(x: u64, minus: bool) -> u64 {
    if minus { x.wrapping_neg() } else { x }
}

/// Calls an expression with the number of words of the payload as a constant.
macro_rules! with_payload {
    ($payload:expr, |$P:ident| $body:expr) => {
        match $payload {
            1 => {
                const $P: usize = 1;
                $body
            }
            2 => {
                const $P: usize = 2;
                $body
            }
            3 => {
                const $P: usize = 3;
                $body
            }
            _ => {
                const $P: usize = MAX_PAYLOAD;
                $body
            }
        }
    };
}

/// Keys of a task.
fn task(each: usize) -> usize {
    (LANES / each).max(1)
}

/// A party's shares of the bits `[point < alpha]`, without payload, by exclusive or.
pub fn evaluate_bits(shape: &Shape, party: usize, keys: &[u8], points: &[u64]) -> Vec<u8> {
    let mut out = vec![0; points.len()];
    let count = keys.len() / shape.bytes();
    if out.is_empty() {
        return out;
    }
    let each = points.len() / count;
    let task = task(each);
    out.par_chunks_mut(task * each)
        .zip(points.par_chunks(task * each))
        .zip(keys.par_chunks(task * shape.bytes()))
        .for_each(|((out, points), keys)| {
            walk::<0>(shape, party, keys, points, |index, _, bit| {
                out[index] = u8::from(bit);
            });
        });
    out
}

/// A party's shares of the values at the points, as many points for each key.
pub fn evaluate(shape: &Shape, party: usize, keys: &[u8], points: &[u64]) -> Vec<u64> {
    let mut out = vec![0; points.len() * shape.payload];
    let count = keys.len() / shape.bytes();
    if out.is_empty() {
        return out;
    }
    let each = points.len() / count;
    let task = task(each);
    out.par_chunks_mut(task * each * shape.payload)
        .zip(points.par_chunks(task * each))
        .zip(keys.par_chunks(task * shape.bytes()))
        .for_each(|((out, points), keys)| {
            with_payload!(shape.payload, |P| {
                walk::<P>(shape, party, keys, points, |index, share, _| {
                    out[index * P..][..P].copy_from_slice(&share);
                })
            });
        });
    out
}

/// A party's shares of `sum_m f(points[m]) weights[m, q]` for every key, of shape
/// (keys, payload, `columns`).
pub fn weighted(
    shape: &Shape,
    party: usize,
    keys: &[u8],
    points: &[u64],
    weights: &[u64],
    columns: usize,
) -> Vec<u64> {
    let count = keys.len() / shape.bytes();
    let mut out = vec![0; count * shape.payload * columns];
    if out.is_empty() || points.is_empty() {
        return out;
    }
    let each = points.len() / count;
    let task = task(each);
    out.par_chunks_mut(task * shape.payload * columns)
        .zip(points.par_chunks(task * each))
        .zip(keys.par_chunks(task * shape.bytes()))
        .for_each(|((out, points), keys)| {
            with_payload!(shape.payload, |P| {
                walk::<P>(shape, party, keys, points, |index, share, _| {
                    let (key, place) = (index / each, index % each);
                    let weights = &weights[place * columns..][..columns];
                    let out = &mut out[key * P * columns..][..P * columns];
                    for (out, share) in out.chunks_mut(columns).zip(share) {
                        for (out, weight) in out.iter_mut().zip(weights) {
                            *out = out.wrapping_add(share.wrapping_mul(*weight));
                        }
                    }
                })
            });
        });
    out
}
