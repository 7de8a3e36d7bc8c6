//! Batched affine additions and doublings, eight at a time.
//!
//! The same algorithm as the portable one in `curve_batch`, and the same results: what is stored
//! is canonical. A batch with an exceptional case (the identity, or equal abscissas) is refused
//! before anything is written.

use super::kernel;
use super::lanes::{Constants, Fe8, MASK52, V, add, mac_high, mac_low, set1, sub};
use super::transpose::lane_transpose;
use crate::curve::Affine;
use crate::field::{Base, Fp};
use std::arch::x86_64::*;

type Lanes = Fe8<Base>;

/// Independent running products: enough to hide the latency of a multiplication.
const CHAINS: usize = 2;
/// Additions ahead of the current one whose operands are fetched into the cache.
const AHEAD: usize = 32;

/// Where the operands and results of a batch of additions are. All pointers are valid, and no
/// result overlaps an operand of an earlier addition.
pub(crate) trait Places {
    /// Number of additions.
    fn len(&self) -> usize;
    /// The left operand and whether it is negated.
    fn left(&self, i: usize) -> (*const Affine, bool);
    /// The right operand and whether it is negated.
    fn right(&self, i: usize) -> (*const Affine, bool);
    /// Where the sum goes.
    fn sum(&mut self, i: usize) -> *mut Affine;
}

/// Differences and prefix products of a batch, a pair of groups of eight at a time.
#[derive(Default)]
pub(crate) struct Scratch {
    pairs: Vec<[Pair; 2]>,
}

// SAFETY: plain data.
unsafe impl Send for Scratch {}

/// Two groups of eight elements. Their multiplications are interleaved: alone, each waits for
/// its own results half of the time.
type Pair = [Lanes; 2];

/// Two points with different abscissas, for lanes without work.
const IDLE: [Affine; 2] = [
    Affine {
        x: Fp::from_montgomery([1, 0, 0, 0]),
        y: Fp::from_montgomery([1, 0, 0, 0]),
    },
    Affine {
        x: Fp::from_montgomery([2, 0, 0, 0]),
        y: Fp::from_montgomery([1, 0, 0, 0]),
    },
];

kernel! {
    /// All additions of a batch; false where one is exceptional, and then nothing is written.
    pub(crate) unsafe fn add_batch(batch: &mut impl Places, scratch: &mut Scratch) -> bool {
        let n = batch.len();
        let idle = &IDLE;
        let one = unsafe { Lanes::broadcast(&Fp::ONE) };
        let mut products = [[one; 2]; CHAINS];
        let mut identities = 0;
        scratch.reserve(n);
        for (pair, slot) in scratch.pairs.iter_mut().take(n.div_ceil(16)).enumerate() {
            let [differences, prefix] = slot;
            for (w, difference) in differences.iter_mut().enumerate() {
                let start = 16 * pair + 8 * w;
                let (mut left, mut right) = ([&raw const idle[0]; 8], [&raw const idle[1]; 8]);
                for k in 0..8.min(n.saturating_sub(start)) {
                    left[k] = batch.left(start + k).0;
                    right[k] = batch.right(start + k).0;
                }
                for i in start + AHEAD..n.min(start + AHEAD + 8) {
                    _mm_prefetch::<_MM_HINT_T0>(batch.left(i).0.cast());
                    _mm_prefetch::<_MM_HINT_T0>(batch.right(i).0.cast());
                }
                // SAFETY: valid pointers, and the instructions exist.
                unsafe {
                    let (a, b) = (load_x(&left), load_x(&right));
                    identities |= zeros(a) | zeros(b);
                    *difference = Lanes::unpack(b).minus(Lanes::unpack(a));
                }
            }
            let product = &mut products[pair % CHAINS];
            *prefix = *product;
            // SAFETY: the instructions exist.
            *product = unsafe { times(product, differences) };
        }
        if identities != 0 {
            return false;
        }
        // SAFETY: the instructions exist.
        let Some(mut inverses) = (unsafe { invert(&products) }) else {
            return false;
        };
        let mut sink = Affine::IDENTITY;
        for pair in (0..n.div_ceil(16)).rev() {
            let [mut xa, mut ya, mut xb, mut rise] = [[one; 2]; 4];
            for w in 0..2 {
                let start = 16 * pair + 8 * w;
                let (mut left, mut right) = ([&raw const idle[0]; 8], [&raw const idle[1]; 8]);
                let (mut left_signs, mut right_signs) = (0u8, 0u8);
                for k in 0..8.min(n.saturating_sub(start)) {
                    let (p, negative) = batch.left(start + k);
                    left[k] = p;
                    left_signs |= (negative as u8) << k;
                    let (q, negative) = batch.right(start + k);
                    right[k] = q;
                    right_signs |= (negative as u8) << k;
                }
                // SAFETY: valid pointers, and the instructions exist.
                unsafe {
                    let yb;
                    (xa[w], ya[w]) = load_points(&left);
                    (xb[w], yb) = load_points(&right);
                    ya[w] = negate_where(ya[w], left_signs);
                    rise[w] = negate_where(yb, right_signs).minus(ya[w]);
                }
            }
            let inverse = &mut inverses[pair % CHAINS];
            let [differences, prefixes] = &scratch.pairs[pair];
            // SAFETY: the instructions exist.
            let (x, y) = unsafe {
                let slope = times(&times(inverse, prefixes), &rise);
                *inverse = times(inverse, differences);
                third_point(&slope, &xa, &xb, &ya)
            };
            for w in 0..2 {
                // Only now, since a place may be that of an operand just read.
                let start = 16 * pair + 8 * w;
                let mut out = [&raw mut sink; 8];
                for (k, out) in out.iter_mut().enumerate().take(n.saturating_sub(start)) {
                    *out = batch.sum(start + k);
                }
                // SAFETY: valid pointers, and the instructions exist.
                unsafe { store_points(&out, x[w], y[w]) };
            }
        }
        true
    }

    /// Doubles all points in place; false where one is the identity, and then nothing is written.
    pub(crate) unsafe fn double_batch(points: &mut [Affine], scratch: &mut Scratch) -> bool {
        let n = points.len();
        let idle = &IDLE;
        let one = unsafe { Lanes::broadcast(&Fp::ONE) };
        let mut products = [[one; 2]; CHAINS];
        let mut identities = 0;
        scratch.reserve(n);
        for (pair, slot) in scratch.pairs.iter_mut().take(n.div_ceil(16)).enumerate() {
            let [doubles, prefix] = slot;
            for (w, twice) in doubles.iter_mut().enumerate() {
                let mut places = [&raw const idle[0]; 8];
                for (place, p) in places.iter_mut().zip(points.iter().skip(16 * pair + 8 * w)) {
                    *place = p;
                }
                // SAFETY: valid pointers, and the instructions exist.
                unsafe {
                    let words = load_words(&places);
                    identities |= zeros([words[0], words[1], words[2], words[3]]);
                    let y = Lanes::unpack([words[4], words[5], words[6], words[7]]);
                    *twice = y.plus(y);
                }
            }
            let product = &mut products[pair % CHAINS];
            *prefix = *product;
            // SAFETY: the instructions exist.
            *product = unsafe { times(product, doubles) };
        }
        if identities != 0 {
            return false;
        }
        // SAFETY: the instructions exist.
        let Some(mut inverses) = (unsafe { invert(&products) }) else {
            return false;
        };
        let mut sink = Affine::IDENTITY;
        for pair in (0..n.div_ceil(16)).rev() {
            let [mut x, mut y, mut rise] = [[one; 2]; 3];
            let mut out = [[&raw mut sink; 8]; 2];
            let places = out.as_flattened_mut();
            for (place, p) in places.iter_mut().zip(points.iter_mut().skip(16 * pair)) {
                *place = p;
            }
            let (inverse, [doubles, prefixes]) =
                (&mut inverses[pair % CHAINS], &scratch.pairs[pair]);
            // SAFETY: valid pointers, and the instructions exist. Idle lanes read the sink.
            unsafe {
                for w in 0..2 {
                    (x[w], y[w]) = load_points(&out[w].map(|p| p.cast_const()));
                }
                let squares = times(&x, &x);
                for w in 0..2 {
                    rise[w] = squares[w].plus2(squares[w], squares[w]);
                }
                let slope = times(&times(inverse, prefixes), &rise);
                *inverse = times(inverse, doubles);
                let (x, y) = third_point(&slope, &x, &x, &y);
                for w in 0..2 {
                    store_points(&out[w], x[w], y[w]);
                }
            }
        }
        true
    }
}

impl Scratch {
    /// Room for `n` additions.
    fn reserve(&mut self, n: usize) {
        if self.pairs.len() < n.div_ceil(16) {
            // SAFETY: all bits zero is the element zero.
            self.pairs
                .resize(n.div_ceil(16), unsafe { std::mem::zeroed() });
        }
    }
}

/// Products lane by lane, below 2p for factors below 8p.
#[inline(always)]
unsafe fn times(a: &Pair, b: &Pair) -> Pair {
    unsafe {
        let zero = _mm512_setzero_si512();
        let (mut y, mut z) = ([zero; 6], [zero; 6]);
        rows::<0>(&mut y, &mut z, a, b);
        rows::<1>(&mut y, &mut z, a, b);
        rows::<2>(&mut y, &mut z, a, b);
        rows::<3>(&mut y, &mut z, a, b);
        rows::<4>(&mut y, &mut z, a, b);
        [
            Lanes::carry([y[0], y[1], y[2], y[3], y[4]]),
            Lanes::carry([z[0], z[1], z[2], z[3], z[4]]),
        ]
    }
}

/// Adds limb `I` of `b` times `a` to both columns of sums, and divides them by 2^52.
///
/// Unrolled by hand: the compiler stops at half of this.
#[inline(always)]
unsafe fn rows<const I: usize>(y: &mut [V; 6], z: &mut [V; 6], a: &Pair, b: &Pair) {
    unsafe {
        let p = Constants::<Base>::P;
        let (p0, p1, p2, p4) = (set1(p[0]), set1(p[1]), set1(p[2]), set1(p[4]));
        let (c, d) = (&a[0].limbs, &a[1].limbs);
        let (e, f) = (b[0].limbs[I], b[1].limbs[I]);
        let zero = _mm512_setzero_si512();
        y[0] = mac_low(y[0], c[0], e);
        z[0] = mac_low(z[0], d[0], f);
        let negative_inverse = set1(Constants::<Base>::NEG_INV);
        let m = mac_low(zero, y[0], negative_inverse);
        let n = mac_low(zero, z[0], negative_inverse);
        y[1] = mac_low(y[1], c[1], e);
        z[1] = mac_low(z[1], d[1], f);
        y[2] = mac_low(y[2], c[2], e);
        z[2] = mac_low(z[2], d[2], f);
        y[3] = mac_low(y[3], c[3], e);
        z[3] = mac_low(z[3], d[3], f);
        y[4] = mac_low(y[4], c[4], e);
        z[4] = mac_low(z[4], d[4], f);
        // The low product m p0 clears the low 52 bits: a carry of one if there were any.
        let up = set1(MASK52);
        let y1 = add(y[1], _mm512_srli_epi64::<52>(add(y[0], up)));
        let z1 = add(z[1], _mm512_srli_epi64::<52>(add(z[0], up)));
        // From here on one limb further down.
        y[0] = mac_high(y1, c[0], e);
        z[0] = mac_high(z1, d[0], f);
        y[1] = mac_high(y[2], c[1], e);
        z[1] = mac_high(z[2], d[1], f);
        y[2] = mac_high(y[3], c[2], e);
        z[2] = mac_high(z[3], d[2], f);
        y[3] = mac_high(y[4], c[3], e);
        z[3] = mac_high(z[4], d[3], f);
        y[4] = mac_high(y[5], c[4], e);
        z[4] = mac_high(z[5], d[4], f);
        y[0] = mac_high(y[0], m, p0);
        z[0] = mac_high(z[0], n, p0);
        y[1] = mac_high(y[1], m, p1);
        z[1] = mac_high(z[1], n, p1);
        y[2] = mac_high(y[2], m, p2);
        z[2] = mac_high(z[2], n, p2);
        y[3] = mac_low(y[3], m, p4);
        z[3] = mac_low(z[3], n, p4);
        y[4] = mac_high(y[4], m, p4);
        z[4] = mac_high(z[4], n, p4);
        y[0] = mac_low(y[0], m, p1);
        z[0] = mac_low(z[0], n, p1);
        y[1] = mac_low(y[1], m, p2);
        z[1] = mac_low(z[1], n, p2);
        y[5] = zero;
        z[5] = zero;
    }
}

/// `(x, y)` of the sum, canonical, for a line of this slope through points with abscissas `xa`
/// and `xb`, the first with ordinate `ya`; these are at most p.
#[inline(always)]
unsafe fn third_point(slope: &Pair, xa: &Pair, xb: &Pair, ya: &Pair) -> (Pair, Pair) {
    let p = Constants::<Base>::P;
    unsafe {
        let mut x = times(slope, slope);
        for w in 0..2 {
            let mut limbs = x[w].limbs;
            for i in 0..5 {
                let two_p = add(limbs[i], set1(2 * p[i]));
                limbs[i] = sub(sub(two_p, xa[w].limbs[i]), xb[w].limbs[i]);
            }
            x[w] = Lanes::carry_signed(limbs).canonical();
        }
        let mut y = times(slope, &[xa[0].minus(x[0]), xa[1].minus(x[1])]);
        for w in 0..2 {
            y[w] = y[w].minus(ya[w]).canonical();
        }
        (x, y)
    }
}

/// `p - y` in the lanes of `which`.
#[inline(always)]
unsafe fn negate_where(y: Lanes, which: u8) -> Lanes {
    let p = Constants::<Base>::P;
    unsafe {
        let mut limbs = y.limbs;
        for (limb, p) in limbs.iter_mut().zip(p) {
            *limb = _mm512_mask_sub_epi64(*limb, which, set1(p), *limb);
        }
        Lanes::carry_signed(limbs)
    }
}

/// For each chain, the inverse of its product; `None` where a product is zero.
///
/// Only the product of all is inverted.
#[inline(always)]
unsafe fn invert(products: &[Pair; CHAINS]) -> Option<[Pair; CHAINS]> {
    const N: usize = 16 * CHAINS;
    let mut elements = [Fp::ZERO; N];
    let (chunks, _) = elements.as_chunks_mut::<8>();
    for (out, product) in chunks.iter_mut().zip(products.as_flattened()) {
        unsafe { product.canonical().store(out) };
    }
    let mut prefixes = [Fp::ONE; N];
    for i in 1..N {
        prefixes[i] = prefixes[i - 1] * elements[i - 1];
    }
    let mut inverse = (prefixes[N - 1] * elements[N - 1]).invert_vartime()?;
    for i in (0..N).rev() {
        let this = prefixes[i] * inverse;
        inverse *= elements[i];
        elements[i] = this;
    }
    let mut inverses = *products;
    let (chunks, _) = elements.as_chunks::<8>();
    for (out, chunk) in inverses.as_flattened_mut().iter_mut().zip(chunks) {
        *out = unsafe { Lanes::load(chunk) };
    }
    Some(inverses)
}

/// Lanes where all four words are zero.
#[inline(always)]
unsafe fn zeros(w: [V; 4]) -> u8 {
    unsafe {
        let any = _mm512_or_si512(_mm512_or_si512(w[0], w[1]), _mm512_or_si512(w[2], w[3]));
        _mm512_testn_epi64_mask(any, any)
    }
}

/// The words of eight abscissas: register `k` holds word `k` of each.
#[inline(always)]
unsafe fn load_x(places: &[*const Affine; 8]) -> [V; 4] {
    unsafe {
        let pair = |i: usize| {
            _mm512_inserti64x4::<1>(
                _mm512_castsi256_si512(_mm256_loadu_si256(places[i].cast())),
                _mm256_loadu_si256(places[i + 4].cast()),
            )
        };
        let r = [pair(0), pair(1), pair(2), pair(3)];
        let t0 = _mm512_unpacklo_epi64(r[0], r[1]);
        let t1 = _mm512_unpackhi_epi64(r[0], r[1]);
        let t2 = _mm512_unpacklo_epi64(r[2], r[3]);
        let t3 = _mm512_unpackhi_epi64(r[2], r[3]);
        let low = _mm512_setr_epi64(0, 1, 8, 9, 4, 5, 12, 13);
        let high = _mm512_setr_epi64(2, 3, 10, 11, 6, 7, 14, 15);
        [
            _mm512_permutex2var_epi64(t0, low, t2),
            _mm512_permutex2var_epi64(t1, low, t3),
            _mm512_permutex2var_epi64(t0, high, t2),
            _mm512_permutex2var_epi64(t1, high, t3),
        ]
    }
}

#[inline(always)]
unsafe fn load_words(places: &[*const Affine; 8]) -> [V; 8] {
    unsafe {
        let mut rows = [_mm512_setzero_si512(); 8];
        for (row, place) in rows.iter_mut().zip(places) {
            *row = _mm512_loadu_si512(place.cast());
        }
        transpose(rows)
    }
}

#[inline(always)]
unsafe fn load_points(places: &[*const Affine; 8]) -> (Lanes, Lanes) {
    unsafe {
        let w = load_words(places);
        (
            Lanes::unpack([w[0], w[1], w[2], w[3]]),
            Lanes::unpack([w[4], w[5], w[6], w[7]]),
        )
    }
}

#[inline(always)]
unsafe fn store_points(places: &[*mut Affine; 8], x: Lanes, y: Lanes) {
    unsafe {
        let (x, y) = (x.pack(), y.pack());
        let rows = transpose([x[0], x[1], x[2], x[3], y[0], y[1], y[2], y[3]]);
        for (place, row) in places.iter().zip(rows) {
            _mm512_storeu_si512(place.cast(), row);
        }
    }
}

/// Transposes 8 by 8 words.
#[inline(always)]
unsafe fn transpose(r: [V; 8]) -> [V; 8] {
    unsafe {
        let even = lane_transpose([
            _mm512_unpacklo_epi64(r[0], r[1]),
            _mm512_unpacklo_epi64(r[2], r[3]),
            _mm512_unpacklo_epi64(r[4], r[5]),
            _mm512_unpacklo_epi64(r[6], r[7]),
        ]);
        let odd = lane_transpose([
            _mm512_unpackhi_epi64(r[0], r[1]),
            _mm512_unpackhi_epi64(r[2], r[3]),
            _mm512_unpackhi_epi64(r[4], r[5]),
            _mm512_unpackhi_epi64(r[6], r[7]),
        ]);
        [
            even[0], odd[0], even[1], odd[1], even[2], odd[2], even[3], odd[3],
        ]
    }
}
