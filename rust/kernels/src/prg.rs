//! Pseudo-random bits from AES: streams from a seed, and the hash that grows FSS trees.

use aes::cipher::{Array, BlockCipherEncrypt, KeyInit};
use aes::{Aes128, Aes256};

use crate::parallel::for_parts;

/// Blocks that the cipher takes at a time: 16 AVX-512 registers of four.
const BATCH: usize = 64;
/// Words of a stream a task makes.
const PART: usize = 1 << 14;
/// Words `first..first + out.len()` of the stream of a seed and a label: AES-256 in counter
/// mode, the key the seed, the block number `k` the cipher of `k + 2^64 label`. Two words a
/// block, little-endian; `first` must be even.
///
/// Streams of different labels share no block. Distinguishing all streams of a seed from random
/// words after `q` blocks has advantage `q^2 / 2^129` beyond that against AES.
pub fn expand_into(seed: &[u8; 32], label: u64, first: usize, out: &mut [u64]) {
    let cipher = Aes256::new(&Array::from(*seed));
    let mut blocks = [[0u8; 16]; BATCH];
    for (k, out) in out.chunks_mut(2 * BATCH).enumerate() {
        let blocks = &mut blocks[..out.len().div_ceil(2)];
        let start = (u128::from(label) << 64) + (first / 2 + k * BATCH) as u128;
        for (i, block) in blocks.iter_mut().enumerate() {
            *block = (start + i as u128).to_le_bytes();
        }
        cipher.encrypt_blocks(Array::cast_slice_from_core_mut(blocks));
        for (out, block) in out.chunks_mut(2).zip(blocks) {
            let block = u128::from_le_bytes(*block);
            out[0] = block as u64;
            if let Some(out) = out.get_mut(1) {
                *out = (block >> 64) as u64;
            }
        }
    }
}

/// The first `count` words of the stream of a seed and a label; see [`expand_into`].
pub fn expand(seed: &[u8; 32], label: u64, count: usize) -> Vec<u64> {
    let mut out = vec![0; count];
    for_parts(&mut out, PART, |start, part| {
        expand_into(seed, label, start, part);
    });
    out
}

/// `H(x) = AES_K(x) xor x` with a public key: the Matyas-Meyer-Oseas hash, correlation
/// robust for an ideal permutation (Guo, Katz, Wang, Yu, eprint 2019/074). A seed `s` whose low
/// three bits are zero grows into `H(s), H(s xor 1), ..., H(s xor 7)`.
pub(crate) struct Hash(Aes128);

impl Hash {
    pub(crate) fn new(key: &[u8; 16]) -> Self {
        Self(Aes128::new(&Array::from(*key)))
    }

    /// Replaces every block by its hash.
    pub(crate) fn apply(&self, x: &mut [u128]) {
        let mut blocks = [[0u8; 16]; BATCH];
        for x in x.chunks_mut(BATCH) {
            for (block, x) in blocks.iter_mut().zip(&*x) {
                *block = x.to_le_bytes();
            }
            // A full batch takes as long as a handful of single blocks.
            let count = if x.len() > 12 { BATCH } else { x.len() };
            self.0
                .encrypt_blocks(Array::cast_slice_from_core_mut(&mut blocks[..count]));
            for (x, block) in x.iter_mut().zip(&blocks) {
                *x ^= u128::from_le_bytes(*block);
            }
        }
    }
}
