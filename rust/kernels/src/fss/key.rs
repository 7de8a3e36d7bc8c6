//! What the bytes of a key are.

/// Words of a payload at most: a seed grows into eight blocks.
pub const MAX_PAYLOAD: usize = 4;
/// Bits of a block that are not part of the seed.
pub(crate) const CONTROL: u128 = 7;

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
    pub(super) function: Function,
    pub(super) bits: u32,
    pub(super) payload: usize,
    pub(super) low: u32,
    /// The public key of the hash that grows the trees.
    pub(crate) hash: [u8; 16],
}

impl Shape {
    /// The keys for a domain of 1 to 64 bits and at most [`MAX_PAYLOAD`] words; points have one.
    /// Trees grow by a hash with a public key, the same where keys are made and evaluated.
    pub fn new(function: Function, bits: u32, payload: usize, hash: [u8; 16]) -> Option<Self> {
        let early = match (function, payload) {
            (Function::Comparison, 0) => 7,
            (Function::Comparison, 1..=MAX_PAYLOAD) => 2,
            (Function::Point, 1) => 3,
            (Function::Point, 2..=MAX_PAYLOAD) => 1,
            _ => return None,
        };
        (1..=64).contains(&bits).then_some(Self {
            function,
            bits,
            payload,
            low: early.min(bits),
            hash,
        })
    }

    /// The keys of comparisons with a payload that have so many bytes.
    ///
    /// Of points there may be two: with one word and with two words they are as long.
    pub fn of_bytes(bits: u32, bytes: usize, hash: [u8; 16]) -> Option<Self> {
        (1..=MAX_PAYLOAD)
            .filter_map(|payload| Self::new(Function::Comparison, bits, payload, hash))
            .find(|shape| shape.bytes() == bytes)
    }

    /// Bits of the domain.
    pub fn bits(&self) -> u32 {
        self.bits
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

    pub(super) fn leaf_words(&self) -> usize {
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

    pub(super) fn side(&self, point: u64, level: usize) -> usize {
        (point >> self.shift(level) & 1) as usize
    }

    pub(super) fn low_part(&self, point: u64) -> usize {
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

pub(super) fn block(data: &[u8]) -> u128 {
    data.first_chunk()
        .map_or(0, |data| u128::from_le_bytes(*data))
}

pub(super) fn word(data: &[u8], k: usize) -> u64 {
    data[8 * k..]
        .first_chunk()
        .map_or(0, |data| u64::from_le_bytes(*data))
}

/// Word `k` of a sequence of blocks.
pub(super) fn word_of(blocks: &[u128], k: usize) -> u64 {
    (blocks[k / 2] >> (64 * (k % 2))) as u64
}

/// All ones for an odd number, else zero.
pub(super) fn spread(bit: u128) -> u128 {
    (bit & 1).wrapping_neg()
}

/// `x` or `-x`.
pub(super) fn signed(x: u64, minus: bool) -> u64 {
    if minus { x.wrapping_neg() } else { x }
}
