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

use crate::prg::{Hash, expand};
#[cfg(target_arch = "x86_64")]
use crate::vaes;
use rayon::prelude::*;

/// Words of a payload at most: a seed grows into eight blocks.
pub const MAX_PAYLOAD: usize = 4;
/// Bits of the domain of a table at most.
pub const MAX_TABLE_BITS: u32 = 20;
/// Bits of a block that are not part of the seed.
pub(crate) const CONTROL: u128 = 7;
/// Keys that are made at a time.
const MADE: usize = 32;
/// Points that are evaluated at a time, at least.
const LANES: usize = 256;
/// Streams of seeds start here; callers of `expand` have the labels below.
const SEED_LABELS: u64 = 1 << 63;

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

fn spread64(bit: u128) -> u64 {
    spread(bit) as u64
}

/// `x` or `-x`.
fn signed(x: u64, minus: bool) -> u64 {
    if minus { x.wrapping_neg() } else { x }
}

/// Key pairs for all `alpha`: the keys of party 0, then those of party 1.
///
/// `payload` holds the words of each key, one key after the other. A seed is good for one call.
pub fn make(shape: &Shape, seed: &[u8; 32], alpha: &[u64], payload: &[u64]) -> [Vec<u8>; 2] {
    let label = SEED_LABELS
        + ((shape.function == Function::Point) as u64 * 1000 + shape.payload as u64 * 100)
        + u64::from(shape.bits);
    let roots = expand(seed, label, 4 * alpha.len());
    let length = shape.bytes();
    let mut keys = [0; 2].map(|_| vec![0; alpha.len() * length]);
    let [first, second] = &mut keys;
    first
        .par_chunks_mut(MADE * length)
        .zip(second.par_chunks_mut(MADE * length))
        .zip(alpha.par_chunks(MADE))
        .enumerate()
        .for_each(|(k, ((first, second), alpha))| {
            let roots = &roots[4 * MADE * k..][..4 * alpha.len()];
            let payload = &payload[MADE * k * shape.payload..][..alpha.len() * shape.payload];
            Maker::new(shape, roots).make(alpha, payload, first);
            second.copy_from_slice(first);
            for (i, root) in roots.as_chunks::<4>().0.iter().enumerate() {
                for (key, root) in [(&mut *first, &root[..2]), (&mut *second, &root[2..])] {
                    let root = seed_of(root);
                    key[i * length..][..16].copy_from_slice(&root.to_le_bytes());
                }
            }
        });
    keys
}

fn seed_of(words: &[u64]) -> u128 {
    (u128::from(words[1]) << 64 | u128::from(words[0])) & !CONTROL
}

/// Makes the keys of a few pairs together: the paths to `alpha` of both parties, level by level.
struct Maker<'a> {
    shape: &'a Shape,
    hash: Hash,
    /// The node of each party: a seed, and the control bit in its lowest bit.
    nodes: Vec<[u128; 2]>,
    x: Vec<u128>,
}

impl<'a> Maker<'a> {
    fn new(shape: &'a Shape, roots: &[u64]) -> Self {
        let roots = roots.as_chunks::<4>().0.iter();
        Self {
            shape,
            hash: Hash::new(),
            nodes: roots
                .map(|root| [seed_of(&root[..2]), seed_of(&root[2..]) | 1])
                .collect(),
            x: Vec::new(),
        }
    }

    /// Grows every node of both parties into the blocks of the tweaks `0..count`.
    fn grow(&mut self, count: usize) {
        self.x.clear();
        for node in self.nodes.as_flattened() {
            self.x
                .extend((0..count).map(|tweak| (node & !CONTROL) ^ tweak as u128));
        }
        self.hash.apply(&mut self.x);
    }

    /// Writes everything but the roots' seeds.
    fn make(mut self, alpha: &[u64], payload: &[u64], keys: &mut [u8]) {
        let shape = self.shape;
        let (bytes, words, values) = (shape.bytes(), shape.payload, shape.values());
        // What the two shares add up to at alpha so far.
        let mut sums = vec![0u64; alpha.len() * words];
        let mut parity = vec![0u128; alpha.len()];
        let blocks = 2 + 2 * values.div_ceil(2);
        for level in 0..shape.levels() {
            self.grow(blocks);
            for (k, key) in keys.chunks_mut(bytes).enumerate() {
                let (grown, _) = self.x[2 * blocks * k..][..2 * blocks].split_at(2 * blocks);
                let (zero, one) = grown.split_at(blocks);
                let keep = shape.side(alpha[k], level);
                let lose = 1 - keep;
                let bit = keep as u128;
                let seed = (zero[lose] ^ one[lose]) & !CONTROL;
                let controls = [
                    (zero[0] ^ one[0] ^ bit ^ 1) & 1,
                    (zero[1] ^ one[1] ^ bit) & 1,
                ];
                let mut correction = seed | controls[0] | controls[1] << 1;
                if words == 0 {
                    let output = |side: usize| (zero[side] ^ one[side]) >> 1 & 1;
                    let corrected = output(lose) ^ parity[k] ^ bit;
                    correction |= corrected << 2;
                    parity[k] ^= output(keep) ^ corrected;
                }
                let out = &mut key[shape.level_at(level)..shape.level_at(level + 1)];
                out[..16].copy_from_slice(&correction.to_le_bytes());
                let minus = self.nodes[k][1] & 1 == 1;
                for p in 0..values {
                    // Values of the left child are in the even blocks, of the right in the odd.
                    let value = |grown: &[u128], side: usize| {
                        (grown[2 + 2 * (p / 2) + side] >> (64 * (p % 2))) as u64
                    };
                    let difference = |side| value(zero, side).wrapping_sub(value(one, side));
                    let sum = &mut sums[k * words + p];
                    let due = if keep == 1 { payload[k * words + p] } else { 0 };
                    let missing = due.wrapping_sub(*sum).wrapping_sub(difference(lose));
                    let corrected = signed(missing, minus);
                    out[16 + 8 * p..][..8].copy_from_slice(&corrected.to_le_bytes());
                    *sum = sum.wrapping_add(difference(keep)).wrapping_add(missing);
                }
                for (node, grown) in self.nodes[k].iter_mut().zip([zero, one]) {
                    let control = spread(*node);
                    *node = (grown[keep] & (!CONTROL | 1)) ^ (control & (seed | controls[keep]));
                }
            }
        }
        let blocks = shape.leaf_words() / 2;
        self.grow(blocks);
        for (k, key) in keys.chunks_mut(bytes).enumerate() {
            let (zero, one) = self.x[2 * blocks * k..][..2 * blocks].split_at(blocks);
            let out = &mut key[shape.leaf_at()..];
            let low = shape.low_part(alpha[k]);
            if words == 0 {
                let below = (1u128 << low) - 1;
                let corrected = zero[0] ^ one[0] ^ spread(parity[k]) ^ below;
                out.copy_from_slice(&corrected.to_le_bytes());
                continue;
            }
            let minus = self.nodes[k][1] & 1 == 1;
            for (j, out) in out.chunks_mut(8 * words).enumerate() {
                let inside = match shape.function {
                    Function::Comparison => j < low,
                    Function::Point => j == low,
                };
                for (p, out) in out.chunks_mut(8).enumerate() {
                    let due = if inside { payload[k * words + p] } else { 0 };
                    let found = sums[k * words + p]
                        .wrapping_add(word_of(zero, j * words + p))
                        .wrapping_sub(word_of(one, j * words + p));
                    let corrected = signed(due.wrapping_sub(found), minus);
                    out.copy_from_slice(&corrected.to_le_bytes());
                }
            }
        }
    }
}

/// A node that some points of one key pass.
#[derive(Copy, Clone)]
pub(crate) struct Node<const P: usize> {
    /// The seed; the control bit in bit 0; the sum of the output bits in bit 2.
    pub(crate) seed: u128,
    /// The sum of the values on the way.
    pub(crate) sum: [u64; P],
    /// Which points, in the order of the walk.
    pub(crate) from: u32,
    to: u32,
    pub(crate) key: u32,
}

/// Walks down the trees of a few keys together, past each node once, and calls
/// `found(key, point index, share)` for every point; without payload, with the bit in the lowest
/// bit of the second argument's word.
fn walk<const P: usize>(
    shape: &Shape,
    party: usize,
    keys: &[u8],
    points: &[u64],
    mut found: impl FnMut(usize, usize, [u64; P], bool),
) {
    let hash = Hash::new();
    let bytes = shape.bytes();
    let count = keys.len() / bytes;
    let each = points.len() / count;
    let mask = u64::MAX >> (64 - shape.bits);
    let mut order: Vec<(u64, u32)> = points
        .iter()
        .enumerate()
        .map(|(i, point)| (point & mask, i as u32))
        .collect();
    let mut nodes: Vec<Node<P>> = Vec::with_capacity(order.len());
    for (k, order) in order.chunks_mut(each).enumerate() {
        // Stable, since that takes linear time for points that are sorted but for a rotation.
        order.sort();
        nodes.push(Node {
            seed: (block(&keys[k * bytes..]) & !CONTROL) | party as u128,
            sum: [0; P],
            from: (k * each) as u32,
            to: ((k + 1) * each) as u32,
            key: k as u32,
        });
    }
    let mut next: Vec<Node<P>> = Vec::with_capacity(order.len());
    let mut x: Vec<u128> = Vec::with_capacity(order.len() * (1 + P.div_ceil(2)));
    let values = shape.values().div_ceil(2);
    let mut descended = false;
    for level in 0..shape.levels() {
        #[cfg(target_arch = "x86_64")]
        if vaes::available() && 2 * nodes.len() > order.len() {
            // Few paths are left to share: each point goes on alone.
            next.clear();
            for node in &nodes {
                let each = |from| Node {
                    from,
                    to: from + 1,
                    ..*node
                };
                next.extend((node.from..node.to).map(each));
            }
            std::mem::swap(&mut nodes, &mut next);
            x.clear();
            x.resize(nodes.len() * shape.point_blocks(), 0);
            // SAFETY: the machine has the instructions.
            unsafe { vaes::descend(shape, level, keys, &order, &mut nodes, &mut x) };
            descended = true;
            break;
        }
        next.clear();
        x.clear();
        for node in &nodes {
            let lanes = &order[node.from as usize..node.to as usize];
            let side = |lane: &(u64, u32)| shape.side(lane.0, level);
            let (first, last) = (side(&lanes[0]), side(&lanes[lanes.len() - 1]));
            let middle = if first == last {
                node.to
            } else {
                node.from + lanes.partition_point(|lane| side(lane) == 0) as u32
            };
            for (side, from, to) in [(first, node.from, middle), (last, middle, node.to)] {
                if from < to {
                    x.push((node.seed & !CONTROL) ^ side as u128);
                    next.push(Node { from, to, ..*node });
                }
            }
        }
        let count = next.len();
        for block in 0..values {
            for i in 0..count {
                x.push(x[i] ^ (2 + 2 * block) as u128);
            }
        }
        hash.apply(&mut x);
        for (i, node) in next.iter_mut().enumerate() {
            let correction = &keys[node.key as usize * bytes + shape.level_at(level)..];
            let control = spread(node.seed);
            let change = block(correction);
            let side = shape.side(order[node.from as usize].0, level);
            let child = x[i];
            let output = (child << 1 ^ change & control) & 4;
            node.seed = (child & (!CONTROL | 1))
                ^ (control & (change & !CONTROL | change >> side & 1))
                ^ (node.seed & 4 ^ output);
            if shape.values() == P {
                for p in 0..P {
                    let value = (x[(1 + p / 2) * count + i] >> (64 * (p % 2))) as u64;
                    let change = word(correction, 2 + p) & control as u64;
                    node.sum[p] = node.sum[p].wrapping_add(value).wrapping_add(change);
                }
            }
        }
        std::mem::swap(&mut nodes, &mut next);
    }
    // Of a leaf, only the blocks that hold the points are made.
    let wide = shape.point_blocks();
    if !descended {
        x.clear();
        for node in &nodes {
            for lane in &order[node.from as usize..node.to as usize] {
                let first = shape.first_block(lane.0);
                x.extend((first..first + wide).map(|j| (node.seed & !CONTROL) ^ j as u128));
            }
        }
        hash.apply(&mut x);
        let mut grown = x.chunks_mut(wide);
        for node in &nodes {
            let leaf = &keys[node.key as usize * bytes + shape.leaf_at()..];
            let control = spread(node.seed);
            let lanes = &order[node.from as usize..node.to as usize];
            for (lane, grown) in lanes.iter().zip(&mut grown) {
                for (j, grown) in grown.iter_mut().enumerate() {
                    let change = block(&leaf[16 * (shape.first_block(lane.0) + j)..]) & control;
                    *grown = if P == 0 {
                        *grown ^ change
                    } else {
                        add_words(*grown, change)
                    };
                }
            }
        }
    }
    let mut leaves = x.chunks(wide);
    for node in &nodes {
        let lanes = &order[node.from as usize..node.to as usize];
        for ((point, index), leaf) in lanes.iter().zip(&mut leaves) {
            let low = shape.low_part(*point);
            let bit = P == 0 && (leaf[0] >> low ^ node.seed >> 2) & 1 == 1;
            let share = std::array::from_fn(|p| {
                let sum = node.sum[p].wrapping_add(word_of(leaf, low * P % 2 + p));
                signed(sum, party == 1)
            });
            found(node.key as usize, *index as usize, share, bit);
        }
    }
}

/// The sums of both words.
fn add_words(a: u128, b: u128) -> u128 {
    let high = ((a >> 64) as u64).wrapping_add((b >> 64) as u64);
    u128::from(high) << 64 | u128::from((a as u64).wrapping_add(b as u64))
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
            walk::<0>(shape, party, keys, points, |_, index, _, bit| {
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
                walk::<P>(shape, party, keys, points, |_, index, share, _| {
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
                walk::<P>(shape, party, keys, points, |key, index, share, _| {
                    let weights = &weights[(index - key * each) * columns..][..columns];
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

/// A party's shares of `payload table[(shift - alpha) mod 2^bits]` for every point key with a
/// payload of one word; the table has `columns` entries in a row.
pub fn table(
    shape: &Shape,
    party: usize,
    keys: &[u8],
    shift: &[u64],
    table: &[u64],
    columns: usize,
) -> Vec<u64> {
    let mut out = vec![0; shift.len() * columns];
    if out.is_empty() {
        return out;
    }
    let size = 1usize << shape.bits;
    // By columns, each backwards and twice: every look-up reads a run of it, forwards.
    let reversed: Vec<u64> = (0..columns)
        .flat_map(|q| (0..2 * size).map(move |j| table[(2 * size - j) % size * columns + q]))
        .collect();
    out.par_chunks_mut(columns)
        .zip(shift)
        .zip(keys.par_chunks(shape.bytes()))
        .for_each(|((out, shift), key)| {
            let start = (shift.wrapping_neg() & (size as u64 - 1)) as usize;
            let columns = reversed.chunks(2 * size).map(|column| &column[start..]);
            look_up(shape, party, key, columns, out);
            for out in out {
                *out = signed(*out, party == 1);
            }
        });
    out
}

/// `out[q] = sum_j f(j) columns[q][j]`, without the sign of the party.
fn look_up<'a>(
    shape: &Shape,
    party: usize,
    key: &[u8],
    columns: impl Iterator<Item = &'a [u64]> + Clone,
    out: &mut [u64],
) {
    let root = (block(key) & !CONTROL) | party as u128;
    let changes: Vec<u128> = (0..shape.levels())
        .map(|level| block(&key[shape.level_at(level)..]))
        .collect();
    let leaf: Vec<u64> = (0..shape.leaf_words())
        .map(|k| word(&key[shape.leaf_at()..], k))
        .collect();
    #[cfg(target_arch = "x86_64")]
    if let (true, Ok(leaf)) = (shape.bits >= 6 && vaes::available(), leaf[..].try_into()) {
        // SAFETY: the machine has the instructions.
        unsafe { vaes::look_up(root, &changes, leaf, columns, out) };
        return;
    }
    let hash = Hash::new();
    let (mut nodes, mut x) = (vec![root], Vec::new());
    for change in changes {
        x.clear();
        for node in &nodes {
            x.extend([0, 1].map(|side| (node & !CONTROL) ^ side));
        }
        hash.apply(&mut x);
        for (i, child) in x.iter_mut().enumerate() {
            let control = spread(nodes[i / 2]);
            *child =
                (*child & (!CONTROL | 1)) ^ (control & (change & !CONTROL | change >> (i % 2) & 1));
        }
        std::mem::swap(&mut nodes, &mut x);
    }
    let words = leaf.len();
    x.clear();
    for node in &nodes {
        x.extend((0..words / 2).map(|j| (node & !CONTROL) ^ j as u128));
    }
    hash.apply(&mut x);
    for (out, column) in out.iter_mut().zip(columns) {
        for (j, entry) in column[..nodes.len() * words].iter().enumerate() {
            let change = leaf[j % words] & spread64(nodes[j / words]);
            let share = word_of(&x, j).wrapping_add(change);
            *out = out.wrapping_add(share.wrapping_mul(*entry));
        }
    }
}
