//! Bytes from elsewhere: nothing panics, and what is accepted has one encoding.
//!
//! Every target runs for about a second; `VERACITY_FUZZ_SECONDS` says how long instead, and
//! `VERACITY_FUZZ_SEED` where its deterministic generator starts.

use std::time::{Duration, Instant};
use veracity_kernels::curve::{Affine, POINT_BYTES};
use veracity_kernels::curve_encoding::{compress, decompress};
use veracity_kernels::field::{Fe, Fp, Fq, Modulus};
use veracity_kernels::fss::{self, Function, MAX_PAYLOAD, MAX_TABLE_BITS, Shape};
use veracity_kernels::hash_to_curve::generators;
use veracity_kernels::ring::{pack, packed_bytes, unpack};

/// A public key of trees.
const HASH: [u8; 16] = [7; 16];

/// A deterministic generator (splitmix64).
struct Generator(u64);

impl Generator {
    fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`, which is not zero.
    fn below(&mut self, bound: usize) -> usize {
        (self.word() % bound as u64) as usize
    }

    fn words(&mut self, count: usize) -> Vec<u64> {
        (0..count).map(|_| self.word()).collect()
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.word() as u8).collect()
    }

    /// One change: a bit flipped, a byte at its edge, a piece cut off, repeated or overwritten.
    fn mutate(&mut self, data: &mut Vec<u8>) {
        if data.is_empty() {
            return data.push(self.word() as u8);
        }
        let at = self.below(data.len());
        match self.below(6) {
            0 | 1 => data[at] ^= 1 << self.below(8),
            2 => data[at] = [0, 1, 0x3f, 0x40, 0x7f, 0x80, 0xff][self.below(7)],
            3 => data.truncate(at),
            4 => data.extend_from_within(at..),
            _ => {
                let from = self.below(data.len());
                let length = self.below(data.len() - at.max(from)) + 1;
                data.copy_within(from..from + length, at);
            }
        }
    }
}

/// Calls a target with fresh randomness until its time is up, and at least once.
fn fuzz(mut target: impl FnMut(&mut Generator)) {
    let variable = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let end = Instant::now() + Duration::from_secs(variable("VERACITY_FUZZ_SECONDS").unwrap_or(1));
    let mut seed = variable("VERACITY_FUZZ_SEED").unwrap_or(0);
    loop {
        // Captured by the test harness, and shown where the target panics.
        println!("VERACITY_FUZZ_SEED={seed}");
        target(&mut Generator(seed));
        seed += 1;
        if Instant::now() >= end {
            return;
        }
    }
}

/// 32 bytes as often at the edges of a field as anywhere.
fn near<M: Modulus>(random: &mut Generator) -> [u8; 32] {
    let mut limbs: [u64; 4] = std::array::from_fn(|_| random.word());
    match random.below(4) {
        0 => {
            limbs = M::MODULUS;
            limbs[0] = limbs[0]
                .wrapping_add(random.below(5) as u64)
                .wrapping_sub(2);
        }
        1 => limbs = [random.below(3) as u64, 0, 0, 0],
        2 => limbs[3] >>= 1 + random.below(3),
        _ => {}
    }
    let mut out = [0; 32];
    for (out, limb) in out.chunks_mut(8).zip(limbs) {
        out.copy_from_slice(&limb.to_le_bytes());
    }
    out
}

fn check_element<M: Modulus>(bytes: &[u8; 32]) {
    if let Some(element) = Fe::<M>::from_bytes(bytes) {
        assert_eq!(&element.to_bytes(), bytes);
    }
}

#[test]
fn elements_have_one_encoding() {
    fuzz(|random| {
        for _ in 0..1000 {
            check_element::<veracity_kernels::field::Order>(
                &near::<veracity_kernels::field::Order>(random),
            );
            check_element::<veracity_kernels::field::Base>(&near::<veracity_kernels::field::Base>(
                random,
            ));
            let wide: [u8; 64] = std::array::from_fn(|_| random.word() as u8);
            let (p, q) = (Fp::from_wide_bytes(&wide), Fq::from_wide_bytes(&wide));
            assert_eq!(Fp::from_bytes(&p.to_bytes()), Some(p));
            assert_eq!(Fq::from_bytes(&q.to_bytes()), Some(q));
        }
    });
}

#[test]
fn points_have_one_encoding() {
    let mut points = generators("fuzz", 70);
    points[1] = Affine::IDENTITY;
    points[40] = -points[39];
    let mut valid = vec![0; points.len() * POINT_BYTES];
    compress(&points, &mut valid);
    fuzz(|random| {
        let from = random.below(points.len());
        let to = from + random.below(points.len() - from);
        let mut data = valid[from * POINT_BYTES..to * POINT_BYTES].to_vec();
        for _ in 0..random.below(4) {
            random.mutate(&mut data);
        }
        if random.below(4) == 0 {
            data.extend(near::<veracity_kernels::field::Base>(random));
        }
        let (chunks, rest) = data.as_chunks::<POINT_BYTES>();
        let one_by_one: Option<Vec<Affine>> = chunks.iter().map(Affine::from_bytes).collect();
        let decoded = decompress(&data, usize::MAX);
        assert_eq!(decoded, one_by_one.filter(|_| rest.is_empty()));
        if let Some(points) = decoded {
            assert!(points.iter().all(Affine::is_on_curve));
            let mut again = vec![0; data.len()];
            compress(&points, &mut again);
            assert_eq!(again, data);
        }
    });
}

/// Keys for a few points, honest or with changed or random bytes; never of another length, which
/// the bindings refuse.
fn keys(random: &mut Generator, shape: &Shape, count: usize, alpha: &[u64]) -> Vec<u8> {
    if random.below(3) == 0 {
        return random.bytes(count * shape.bytes());
    }
    let seed = std::array::from_fn(|_| random.word() as u8);
    let payload = random.words(count * shape.payload());
    let [mut keys, _] = fss::make(shape, &seed, alpha, &payload);
    for _ in 0..random.below(20) {
        let at = random.below(keys.len().max(1));
        if let Some(byte) = keys.get_mut(at) {
            *byte ^= random.word() as u8;
        }
    }
    keys
}

#[test]
fn shapes_of_keys_are_refused_or_sound() {
    fuzz(|random| {
        for _ in 0..1000 {
            let function = [Function::Comparison, Function::Point][random.below(2)];
            let bits = [random.below(70) as u32, random.word() as u32][random.below(2)];
            let payload = [random.below(7), random.word() as usize][random.below(2)];
            if let Some(shape) = Shape::new(function, bits, payload, HASH) {
                assert!((1..=64).contains(&bits) && payload <= MAX_PAYLOAD);
                assert_eq!(shape.payload(), payload);
                assert!(shape.bytes() <= 16 + 64 * (16 + 8 * payload) + 8 * (payload << 3).max(2));
                if function == Function::Comparison && payload > 0 {
                    let found = Shape::of_bytes(bits, shape.bytes(), HASH);
                    assert!(found.is_some_and(|same| same.payload() == payload));
                }
            }
            let bytes = random.below(3000);
            if let Some(shape) = Shape::of_bytes(bits, bytes, HASH) {
                assert_eq!(shape.bytes(), bytes);
            }
        }
    });
}

#[test]
fn any_bytes_of_the_right_length_are_a_key() {
    fuzz(|random| {
        let function = [Function::Comparison, Function::Point][random.below(2)];
        let bits = 1 + random.below(64) as u32;
        let Some(shape) = Shape::new(function, bits, random.below(MAX_PAYLOAD + 1), HASH) else {
            return;
        };
        let (count, each) = (random.below(5), [1, 2, 17, 40][random.below(4)]);
        let party = random.below(2);
        // Points and alphas beyond the domain, too: they come from the other party.
        let alpha = random.words(count);
        let points = random.words(count * each);
        let keys = keys(random, &shape, count, &alpha);
        if shape.payload() == 0 {
            let shares = fss::evaluate_bits(&shape, party, &keys, &points);
            assert_eq!(shares.len(), points.len());
            assert!(shares.iter().all(|bit| *bit < 2));
            return;
        }
        let shares = fss::evaluate(&shape, party, &keys, &points);
        assert_eq!(shares.len(), points.len() * shape.payload());
        let columns = random.below(3);
        let weights = random.words(each * columns);
        let sums = fss::weighted(&shape, party, &keys, &points, &weights, columns);
        assert_eq!(sums.len(), count * shape.payload() * columns);
        for (at, sum) in sums.iter().enumerate() {
            let (row, q) = (at / columns, at % columns);
            let (key, p) = (row / shape.payload(), row % shape.payload());
            let expected = (0..each).fold(0u64, |sum, m| {
                let share = shares[(key * each + m) * shape.payload() + p];
                sum.wrapping_add(share.wrapping_mul(weights[m * columns + q]))
            });
            assert_eq!(*sum, expected);
        }
    });
}

#[test]
fn any_bytes_of_the_right_length_look_up_a_table() {
    let most = MAX_TABLE_BITS.min(10) as usize;
    fuzz(|random| {
        let bits = 1 + random.below(most) as u32;
        let Some(shape) = Shape::new(Function::Point, bits, 1 + random.below(MAX_PAYLOAD), HASH)
        else {
            return;
        };
        let (count, columns, party) = (random.below(4), random.below(3), random.below(2));
        let alpha = random.words(count);
        let keys = keys(random, &shape, count, &alpha);
        let shift = random.words(count);
        let table = random.words(columns << bits);
        let shares = fss::table(&shape, party, &keys, &shift, &table, columns);
        assert_eq!(shares.len(), count * shape.payload() * columns);
        // The same, a point at a time: the key is evaluated everywhere.
        let everywhere: Vec<u64> = (0..count).flat_map(|_| 0..1 << bits).collect();
        let values = fss::evaluate(&shape, party, &keys, &everywhere);
        for (at, share) in shares.iter().enumerate() {
            let (row, q) = (at / columns, at % columns);
            let (key, p) = (row / shape.payload(), row % shape.payload());
            let expected = (0..1u64 << bits).fold(0u64, |sum, x| {
                let value = values[((key << bits) + x as usize) * shape.payload() + p];
                let entry = shift[key].wrapping_sub(x) as usize & ((1 << bits) - 1);
                sum.wrapping_add(value.wrapping_mul(table[entry * columns + q]))
            });
            assert_eq!(*share, expected);
        }
    });
}

#[test]
fn packed_values_have_one_encoding() {
    fuzz(|random| {
        let bits = 1 + random.below(64) as u32;
        let count = [random.below(9), random.below(3000)][random.below(2)];
        let mut data = random.bytes(packed_bytes(count, bits));
        let values = unpack(&data, bits, count);
        assert_eq!(values.len(), count);
        assert!(bits == 64 || values.iter().all(|value| value >> bits == 0));
        // The bits that fill the last byte say nothing, and are written as zeros.
        let used = count * bits as usize % 8;
        if let Some(last) = data.last_mut().filter(|_| used > 0) {
            *last &= (1 << used) - 1;
        }
        assert_eq!(pack(&values, bits), data);
    });
}
