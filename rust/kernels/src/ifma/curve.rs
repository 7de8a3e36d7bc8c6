//! Batched affine additions and doublings, eight at a time.
//!
//! The same algorithm as the portable one in `curve_batch`, and the same results: what is stored
//! is canonical. A batch with an exceptional case (the identity, or equal abscissas) is refused
//! before anything is written.

use super::kernel;
use super::lanes::{Constants, Fe8, V, add, set1, sub};
use super::transpose::lane_transpose;
use crate::curve::Affine;
use crate::field::{Base, Fe, Fp};
use std::arch::x86_64::*;

type Lanes = Fe8<Base>;

/// Independent running products: enough to hide the latency of a multiplication.
const CHAINS: usize = 4;
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

/// Differences and prefix products of a batch.
#[derive(Default)]
pub(crate) struct Scratch {
    groups: Vec<(Lanes, Lanes)>,
}

// SAFETY: plain data.
unsafe impl Send for Scratch {}

/// Two points with different abscissas, for lanes without work. Never on the curve, never read.
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
        let mut products = [unsafe { Lanes::broadcast(&Fp::ONE) }; CHAINS];
        let mut identities = 0;
        scratch.groups.clear();
        for start in (0..n).step_by(8) {
            let (mut left, mut right) = ([&raw const idle[0]; 8], [&raw const idle[1]; 8]);
            for k in 0..8.min(n - start) {
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
                let difference = Lanes::unpack(b).minus(Lanes::unpack(a));
                let product = &mut products[start / 8 % CHAINS];
                scratch.groups.push((difference, *product));
                *product = product.times(difference);
            }
        }
        if identities != 0 {
            return false;
        }
        // SAFETY: the instructions exist.
        let Some(mut inverses) = (unsafe { invert(&products) }) else {
            return false;
        };
        let mut sink = Affine::IDENTITY;
        for start in (0..n).step_by(8).rev() {
            let (mut left, mut right) = ([&raw const idle[0]; 8], [&raw const idle[1]; 8]);
            let (mut left_signs, mut right_signs) = (0u8, 0u8);
            for k in 0..8.min(n - start) {
                let (p, negative) = batch.left(start + k);
                left[k] = p;
                left_signs |= (negative as u8) << k;
                let (q, negative) = batch.right(start + k);
                right[k] = q;
                right_signs |= (negative as u8) << k;
            }
            // SAFETY: valid pointers, and the instructions exist.
            unsafe {
                let (xa, ya) = load_points(&left);
                let (xb, yb) = load_points(&right);
                let ya = negate_where(ya, left_signs);
                let yb = negate_where(yb, right_signs);
                let (difference, prefix) = scratch.groups[start / 8];
                let inverse = &mut inverses[start / 8 % CHAINS];
                let slope = inverse.times(prefix).times(yb.minus(ya));
                *inverse = inverse.times(difference);
                let (x, y) = third_point(slope, xa, xb, ya);
                // Only now, since a place may be that of an operand just read.
                let mut out = [&raw mut sink; 8];
                for (k, out) in out.iter_mut().enumerate().take(n - start) {
                    *out = batch.sum(start + k);
                }
                store_points(&out, x, y);
            }
        }
        true
    }

    /// Doubles all points in place; false where one is the identity, and then nothing is written.
    pub(crate) unsafe fn double_batch(points: &mut [Affine], scratch: &mut Scratch) -> bool {
        let n = points.len();
        let idle = &IDLE;
        let mut products = [unsafe { Lanes::broadcast(&Fp::ONE) }; CHAINS];
        let mut identities = 0;
        scratch.groups.clear();
        for (group, points) in points.chunks(8).enumerate() {
            let mut places = [&raw const idle[0]; 8];
            for (place, p) in places.iter_mut().zip(points) {
                *place = p;
            }
            // SAFETY: valid pointers, and the instructions exist.
            unsafe {
                let words = load_words(&places);
                identities |= zeros([words[0], words[1], words[2], words[3]]);
                let y = Lanes::unpack([words[4], words[5], words[6], words[7]]);
                let twice = y.plus(y);
                let product = &mut products[group % CHAINS];
                scratch.groups.push((twice, *product));
                *product = product.times(twice);
            }
        }
        if identities != 0 {
            return false;
        }
        // SAFETY: the instructions exist.
        let Some(mut inverses) = (unsafe { invert(&products) }) else {
            return false;
        };
        let mut sink = Affine::IDENTITY;
        for group in (0..n.div_ceil(8)).rev() {
            let points = &mut points[8 * group..n.min(8 * group + 8)];
            let mut out = [&raw mut sink; 8];
            let mut places = [&raw const idle[0]; 8];
            for ((place, out), p) in places.iter_mut().zip(&mut out).zip(points) {
                *out = p;
                *place = *out;
            }
            // SAFETY: valid pointers, and the instructions exist.
            unsafe {
                let (x, y) = load_points(&places);
                let (twice, prefix) = scratch.groups[group];
                let inverse = &mut inverses[group % CHAINS];
                let xx = x.times(x);
                let slope = inverse.times(prefix).times(xx.plus2(xx, xx));
                *inverse = inverse.times(twice);
                let (x, y) = third_point(slope, x, x, y);
                store_points(&out, x, y);
            }
        }
        true
    }
}

/// `(x, y)` of the sum, canonical, for a line of this slope through points with abscissas `xa`
/// and `xb`, the first with ordinate `ya`; these are at most p.
#[inline(always)]
unsafe fn third_point(slope: Lanes, xa: Lanes, xb: Lanes, ya: Lanes) -> (Lanes, Lanes) {
    let p = Constants::<Base>::P;
    unsafe {
        let mut x = slope.times(slope).limbs;
        for i in 0..5 {
            x[i] = sub(sub(add(x[i], set1(2 * p[i])), xa.limbs[i]), xb.limbs[i]);
        }
        let x = Lanes::carry_signed(x).canonical();
        let y = slope.times(xa.minus(x)).minus(ya).canonical();
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
/// Only the last of the 32 products is inverted.
#[inline(always)]
unsafe fn invert(products: &[Lanes; CHAINS]) -> Option<[Lanes; CHAINS]> {
    let mut elements = [[Fe::ZERO; 8]; CHAINS];
    for (out, product) in elements.iter_mut().zip(products) {
        unsafe { product.canonical().store(out) };
    }
    let elements = elements.as_flattened_mut();
    let mut prefixes = [Fp::ONE; 8 * CHAINS];
    for i in 1..prefixes.len() {
        prefixes[i] = prefixes[i - 1] * elements[i - 1];
    }
    let last = prefixes.len() - 1;
    let mut inverse = (prefixes[last] * elements[last]).invert_vartime()?;
    let mut inverses = [Lanes::from_limbs(unsafe { [_mm512_setzero_si512(); 5] }); CHAINS];
    for i in (0..elements.len()).rev() {
        let this = prefixes[i] * inverse;
        inverse *= elements[i];
        elements[i] = this;
    }
    let (chunks, _) = elements.as_chunks::<8>();
    for (out, chunk) in inverses.iter_mut().zip(chunks) {
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
