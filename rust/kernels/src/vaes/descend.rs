//! Paths from roots to leaves: of keys with many points first the top of the tree, whole or as far
//! as few nodes lead to all of them, then sixteen paths at a time.

use super::blocks::{Keys, V, controlled, four, grow, interleave, kernel, load, store};
use crate::fss::{CONTROL, Path, Shape};
use std::arch::x86_64::*;
use std::ops::Range;

/// Vectors of four paths: enough to fill the pipeline of AES rounds.
const VECTORS: usize = 4;
const PATHS: usize = 4 * VECTORS;
/// Points of a key from which on the top of its tree is made: fewer than the paths it spares.
const MANY: usize = 24;

/// A block from each of four keys, all of them the same if so said.
#[inline(always)]
unsafe fn blocks<const SAME: bool>(from: &[*const u8], offset: [usize; 4]) -> V {
    unsafe {
        let mut blocks = [_mm_setzero_si128(); 4];
        for (i, block) in blocks.iter_mut().enumerate() {
            *block = _mm_loadu_si128(from[i].add(offset[i]).cast());
        }
        if SAME {
            return _mm512_broadcast_i32x4(blocks[0]);
        }
        let mut out = _mm512_castsi128_si512(blocks[0]);
        out = _mm512_inserti32x4::<1>(out, blocks[1]);
        out = _mm512_inserti32x4::<2>(out, blocks[2]);
        _mm512_inserti32x4::<3>(out, blocks[3])
    }
}

/// Words `2 block` and `2 block + 1` of a sum.
#[inline(always)]
fn pair<const P: usize>(sum: &[u64; P], block: usize) -> u128 {
    let high = sum.get(2 * block + 1).map_or(0, |&x| u128::from(x) << 64);
    u128::from(sum[2 * block]) | high
}

#[inline(always)]
fn set_pair<const P: usize>(sum: &mut [u64; P], block: usize, value: u128) {
    sum[2 * block] = value as u64;
    if let Some(sum) = sum.get_mut(2 * block + 1) {
        *sum = (value >> 64) as u64;
    }
}

/// Moves sixteen paths down some levels, and on to the leaves where there is room for them. A level
/// hashes `GROWN` vectors: those of the children, then those of the values.
#[inline(always)]
unsafe fn sixteen<const P: usize, const GROWN: usize, const SAME: bool>(
    hash: &Keys,
    shape: &Shape,
    levels: Range<usize>,
    keys: &[*const u8; PATHS],
    paths: &mut [Path<P>; PATHS],
    leaves: &mut [u128],
) {
    unsafe {
        let (one, output_bit, clean) = (four(1), four(4), four(!CONTROL));
        let kept = _mm512_or_si512(clean, one);
        // No closures around instructions: they would not have them.
        let (mut seeds, mut points) = ([one; VECTORS], [one; VECTORS]);
        for v in 0..VECTORS {
            let four: &[_; 4] = &std::array::from_fn(|i| paths[4 * v + i]);
            seeds[v] = load(&four.map(|path| path.seed));
            points[v] = load(&four.map(|path| path.point.into()));
        }
        let mut sums = [four(0); GROWN];
        for (at, sums) in sums.iter_mut().enumerate().skip(VECTORS) {
            let (v, block) = (at % VECTORS, at / VECTORS - 1);
            let pairs: [u128; 4] = std::array::from_fn(|i| pair(&paths[4 * v + i].sum, block));
            *sums = load(&pairs);
        }
        for level in levels {
            let offset = shape.level_at(level);
            let shift = _mm_cvtsi64_si128(shape.shift(level).into());
            let mut x = [four(0); GROWN];
            let mut sides = [four(0); VECTORS];
            for v in 0..VECTORS {
                sides[v] = _mm512_and_si512(_mm512_srl_epi64(points[v], shift), one);
                x[v] = _mm512_xor_si512(_mm512_and_si512(seeds[v], clean), sides[v]);
            }
            for at in VECTORS..GROWN {
                let tweak = four(2 * (at / VECTORS) as u128);
                x[at] = _mm512_xor_si512(x[at % VECTORS], tweak);
            }
            let grown = hash.hash(x);
            for v in 0..VECTORS {
                let keys = &keys[4 * v..4 * v + 4];
                let control = controlled(seeds[v]);
                let change = blocks::<SAME>(keys, [offset; 4]);
                let change = _mm512_maskz_mov_epi64(control, change);
                let child = grown[v];
                let bit = _mm512_and_si512(_mm512_srlv_epi64(change, sides[v]), one);
                let seed = _mm512_xor_si512(
                    _mm512_and_si512(child, kept),
                    _mm512_or_si512(_mm512_and_si512(change, clean), bit),
                );
                seeds[v] = if P == 0 {
                    let output = _mm512_xor_si512(_mm512_slli_epi64::<1>(child), change);
                    let output = _mm512_xor_si512(output, seeds[v]);
                    _mm512_xor_si512(seed, _mm512_and_si512(output, output_bit))
                } else {
                    seed
                };
                for at in (v + VECTORS..GROWN).step_by(VECTORS) {
                    // Of an odd payload, the last block reads on into the next correction.
                    let change = blocks::<SAME>(keys, [offset + 16 * (at / VECTORS); 4]);
                    let sum = _mm512_add_epi64(sums[at], grown[at]);
                    sums[at] = _mm512_mask_add_epi64(sum, control, sum, change);
                }
            }
        }
        for (at, sums) in sums.iter().enumerate().skip(VECTORS) {
            let (v, block) = (at % VECTORS, at / VECTORS - 1);
            let mut pairs = [0; 4];
            store(&mut pairs, *sums);
            for (i, value) in pairs.into_iter().enumerate() {
                set_pair(&mut paths[4 * v + i].sum, block, value);
            }
        }
        let wide = if leaves.is_empty() {
            0
        } else {
            shape.point_blocks()
        };
        for block in 0..wide {
            let mut places = [[0usize; 4]; VECTORS];
            let mut x = [one; VECTORS];
            for v in 0..VECTORS {
                let mut tweaks = [0u128; 4];
                for (i, tweak) in tweaks.iter_mut().enumerate() {
                    let place = shape.first_block(paths[4 * v + i].point) + block;
                    places[v][i] = shape.leaf_at() + 16 * place;
                    *tweak = place as u128;
                }
                x[v] = _mm512_xor_si512(_mm512_and_si512(seeds[v], clean), load(&tweaks));
            }
            let grown = hash.hash(x);
            for v in 0..VECTORS {
                let control = controlled(seeds[v]);
                let change = blocks::<false>(&keys[4 * v..4 * v + 4], places[v]);
                let leaf = if P == 0 {
                    _mm512_mask_xor_epi64(grown[v], control, grown[v], change)
                } else {
                    _mm512_mask_add_epi64(grown[v], control, grown[v], change)
                };
                let mut values = [0; 4];
                store(&mut values, leaf);
                for (i, value) in values.into_iter().enumerate() {
                    leaves[(4 * v + i) * wide + block] = value;
                }
            }
        }
        for v in 0..VECTORS {
            let mut values = [0; 4];
            store(&mut values, seeds[v]);
            for (i, value) in values.into_iter().enumerate() {
                paths[4 * v + i].seed = value;
            }
        }
    }
}

/// The nodes of a level of one tree, in order, and the sums of their values: two words a block,
/// the blocks of all nodes one after the other.
struct Top {
    seeds: Vec<u128>,
    sums: [Vec<u128>; 2],
}

impl Top {
    /// Room for the level, in whole vectors.
    fn new(depth: usize, values: usize) -> Self {
        let room = (1 << depth) + 2 * PATHS;
        Self {
            seeds: vec![0; room],
            sums: std::array::from_fn(|k| vec![0; if k < values.div_ceil(2) { room } else { 0 }]),
        }
    }
}

/// The level `depth` of the tree of a key, from its root in `top`.
#[inline(always)]
unsafe fn grow_top(
    hash: &Keys,
    shape: &Shape,
    key: &[u8],
    depth: usize,
    (top, next): (&mut Top, &mut Top),
) {
    unsafe {
        let clean = four(!CONTROL);
        for level in 0..depth {
            let correction = &key[shape.level_at(level)..];
            let change = u128::from_le_bytes(*correction.first_chunk().unwrap_or(&[0; 16]));
            for from in (0..1usize << level).step_by(PATHS) {
                for block in 0..shape.values().div_ceil(2) {
                    let change = _mm512_broadcast_i32x4(_mm_loadu_si128(
                        correction[16 * (block + 1)..].as_ptr().cast(),
                    ));
                    let mut x = [clean; 2 * VECTORS];
                    for v in 0..VECTORS {
                        let seeds = _mm512_and_si512(load(&top.seeds[from + 4 * v..]), clean);
                        x[v] = _mm512_xor_si512(seeds, four(2 + 2 * block as u128));
                        x[v + VECTORS] = _mm512_xor_si512(seeds, four(3 + 2 * block as u128));
                    }
                    let grown = hash.hash(x);
                    for v in 0..VECTORS {
                        let at = from + 4 * v;
                        let control = controlled(load(&top.seeds[at..]));
                        let sum = load(&top.sums[block][at..]);
                        let sum = _mm512_mask_add_epi64(sum, control, sum, change);
                        let left = _mm512_add_epi64(sum, grown[v]);
                        let right = _mm512_add_epi64(sum, grown[v + VECTORS]);
                        interleave(&mut next.sums[block][2 * at..], left, right);
                    }
                }
                let seeds = (&top.seeds[from..], &mut next.seeds[2 * from..]);
                grow::<VECTORS, { 2 * VECTORS }>(hash, change, shape.payload() == 0, seeds);
            }
            std::mem::swap(top, next);
        }
    }
}

/// The deepest level where at most [`PATHS`] nodes lead to all points, as how many levels are above
/// it, and the places of these nodes in it, in order.
fn narrow<const P: usize>(shape: &Shape, paths: &[Path<P>]) -> (usize, Vec<u64>) {
    let mut points: Vec<u64> = paths.iter().map(|path| path.point).collect();
    points.sort_unstable();
    points.dedup();
    // How many neighbours part at each level.
    let mut parts = vec![0; shape.bits() as usize + 1];
    for pair in points.windows(2) {
        parts[(shape.bits() - (pair[0] ^ pair[1]).ilog2()) as usize] += 1;
    }
    let (mut depth, mut nodes) = (0, 1);
    while depth < shape.levels() && nodes + parts[depth + 1] <= PATHS {
        nodes += parts[depth + 1];
        depth += 1;
    }
    if depth > 0 {
        points
            .iter_mut()
            .for_each(|point| *point >>= shape.shift(depth - 1));
        points.dedup();
    }
    (depth, points)
}

/// Moves the paths of one key to the level where [`narrow`] says that few nodes lead to them.
#[inline(always)]
unsafe fn descend_narrow<const P: usize, const GROWN: usize>(
    hash: &Keys,
    shape: &Shape,
    key: &[u8],
    (depth, places): (usize, &[u64]),
    paths: &mut [Path<P>],
) {
    let shift = shape.shift(depth - 1);
    let mut group: [Path<P>; PATHS] = std::array::from_fn(|i| Path {
        point: places[i.min(places.len() - 1)] << shift,
        ..paths[0]
    });
    // SAFETY: the key has all its bytes.
    unsafe {
        let from = [key.as_ptr(); PATHS];
        sixteen::<P, GROWN, true>(hash, shape, 0..depth, &from, &mut group, &mut []);
    }
    for path in paths {
        let place = path.point >> shift;
        let node = &group[places.partition_point(|&other| other < place)];
        (path.seed, path.sum) = (node.seed, node.sum);
    }
}

kernel! {
    /// Moves paths, `each` of every key, from the roots to the leaves, and writes the corrected
    /// blocks of the leaves that hold the points.
    pub(crate) unsafe fn descend<const P: usize>(
        shape: &Shape,
        keys: &[u8],
        each: usize,
        paths: &mut [Path<P>],
        leaves: &mut [u128],
    ) {
        let hash = unsafe { Keys::new(&shape.hash) };
        let wide = shape.point_blocks();
        if each < MANY {
            unsafe { on::<P>(&hash, shape, 0, keys, paths, leaves) };
            return;
        }
        let whole = shape.levels().min(each.ilog2() as usize);
        let mut tops = [0; 2].map(|_| Top::new(whole, shape.values()));
        let parts = paths.chunks_mut(each).zip(leaves.chunks_mut(each * wide));
        for ((paths, leaves), key) in parts.zip(keys.chunks(shape.bytes())) {
            let (mut depth, places) = narrow(shape, paths);
            if depth > whole {
                // SAFETY: the machine has the instructions.
                unsafe {
                    let few = (depth, &places[..]);
                    match (shape.values(), P) {
                        (0, _) => descend_narrow::<P, 4>(&hash, shape, key, few, paths),
                        (_, 1 | 2) => descend_narrow::<P, 8>(&hash, shape, key, few, paths),
                        _ => descend_narrow::<P, 12>(&hash, shape, key, few, paths),
                    }
                }
            } else if whole > 0 {
                depth = whole;
                let [top, next] = &mut tops;
                top.seeds[0] = paths[0].seed;
                for sums in top.sums.iter_mut().filter(|sums| !sums.is_empty()) {
                    sums[0] = 0;
                }
                unsafe { grow_top(&hash, shape, key, depth, (&mut *top, next)) };
                for path in &mut *paths {
                    let place = (path.point >> shape.shift(depth - 1)) as usize;
                    path.seed = top.seeds[place];
                    for block in 0..shape.values().div_ceil(2) {
                        set_pair(&mut path.sum, block, top.sums[block][place]);
                    }
                }
            }
            unsafe { on::<P>(&hash, shape, depth, keys, paths, leaves) };
        }
    }
}

/// Moves paths from level `first` to the leaves, sixteen at a time.
#[inline(always)]
unsafe fn on<const P: usize>(
    hash: &Keys,
    shape: &Shape,
    first: usize,
    keys: &[u8],
    paths: &mut [Path<P>],
    leaves: &mut [u128],
) {
    let wide = shape.point_blocks();
    for (paths, leaves) in paths.chunks_mut(PATHS).zip(leaves.chunks_mut(PATHS * wide)) {
        let count = paths.len();
        // A last chunk that is not full repeats its last path.
        let mut group: [Path<P>; PATHS] = std::array::from_fn(|i| paths[i.min(count - 1)]);
        let from = group.map(|path| keys[path.key as usize * shape.bytes()..].as_ptr());
        let mut out = [0; 2 * PATHS];
        let out = &mut out[..PATHS * wide];
        let same = group[0].key == group[count - 1].key;
        let levels = first..shape.levels();
        macro_rules! run {
            ($grown:literal) => {
                if same {
                    sixteen::<P, $grown, true>(hash, shape, levels, &from, &mut group, out)
                } else {
                    sixteen::<P, $grown, false>(hash, shape, levels, &from, &mut group, out)
                }
            };
        }
        // SAFETY: every key has all its bytes.
        unsafe {
            match (shape.values(), P) {
                (0, _) => run!(4),
                (_, 1 | 2) => run!(8),
                _ => run!(12),
            }
        }
        paths.copy_from_slice(&group[..count]);
        leaves.copy_from_slice(&out[..count * wide]);
    }
}
