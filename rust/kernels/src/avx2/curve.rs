//! Batched affine additions and doublings, four at a time.
//!
//! The same algorithm as the portable one in `curve_batch`, and the same results: what is stored
//! is canonical. A batch with an exceptional case (the identity, or equal abscissas) is refused
//! before anything is written.

use super::lanes::{Fe4, V, sub};
use super::machine::kernel;
use super::transpose::words;
use crate::curve::Affine;
use crate::field::{Base, Fp};
use crate::places::{Doubling, Group, IDLE, Places, Tagged};
use std::arch::x86_64::*;

type Lanes = Fe4<Base>;

/// Independent running products: enough to hide the latency of a multiplication.
const CHAINS: usize = 2;
/// Groups ahead of the current one whose operands are fetched into the cache.
const AHEAD: usize = 4;

/// Pointers, denominators and prefix products of a batch.
#[derive(Default)]
pub(crate) struct Scratch {
    groups: Vec<Group<4>>,
    products: Vec<[Lanes; 2]>,
    /// Groups that were looked up.
    ahead: usize,
}

// SAFETY: the pointers are used during a call only, the rest is plain data.
unsafe impl Send for Scratch {}

impl Scratch {
    /// Room for `n` additions.
    fn reserve(&mut self, n: usize) {
        if self.products.len() < n.div_ceil(4) {
            // SAFETY: all bits zero is the element zero.
            let zero = unsafe { std::mem::zeroed() };
            self.products.resize(n.div_ceil(4), zero);
            let idle = Group::idle(std::ptr::null_mut());
            self.groups.resize(n.div_ceil(4), idle);
        }
        self.ahead = 0;
    }

    /// Looks up the next four additions and begins to fetch their operands.
    #[inline(always)]
    fn look_up(&mut self, batch: &impl Places, sums: *mut Affine, sink: *mut Affine) {
        let start = 4 * self.ahead;
        if start < batch.len() {
            self.groups[self.ahead].look_up(batch, start, sums, sink);
            self.ahead += 1;
        }
    }
}

kernel! {
    /// All additions of a batch; false where one is exceptional, and then nothing is written.
    pub(crate) unsafe fn add_batch(batch: &mut impl Places, scratch: &mut Scratch) -> bool {
        let n = batch.len();
        let sums = batch.sums();
        let mut sink = Affine::IDENTITY;
        // SAFETY: the instructions exist, here and below.
        let one = unsafe { Lanes::broadcast(&Fp::ONE) };
        let mut products = [one; CHAINS];
        let mut identities = 0;
        scratch.reserve(n);
        for _ in 0..AHEAD {
            scratch.look_up(batch, sums, &raw mut sink);
        }
        for k in 0..n.div_ceil(4) {
            scratch.look_up(batch, sums, &raw mut sink);
            let group = &scratch.groups[k];
            let [difference, prefix] = &mut scratch.products[k];
            // SAFETY: the pointers are valid.
            unsafe {
                let (a, b) = (words(abscissas(&group.left)), words(abscissas(&group.right)));
                identities |= zeros(a) | zeros(b);
                *difference = Lanes::unpack(b).minus(Lanes::unpack(a));
            }
            *prefix = products[k % CHAINS];
            products[k % CHAINS] = unsafe { prefix.times(*difference) };
        }
        let Some(mut inverses) = (unsafe { invert(&products, identities) }) else {
            return false;
        };
        for k in (0..n.div_ceil(4)).rev() {
            let group = &scratch.groups[k];
            let [difference, prefix] = &scratch.products[k];
            let inverse = &mut inverses[k % CHAINS];
            // SAFETY: the pointers are valid.
            unsafe {
                let (xa, xb) = (load(abscissas(&group.left)), load(abscissas(&group.right)));
                let ya = negate_where(load(ordinates(&group.left)), &group.left);
                let yb = negate_where(load(ordinates(&group.right)), &group.right);
                let slope = inverse.times(*prefix).times(yb.minus(ya));
                *inverse = inverse.times(*difference);
                store_third(&group.sums, slope, [xa, xb], ya);
            }
        }
        true
    }

    /// Doubles all points in place; false where one is the identity, and then nothing is written.
    pub(crate) unsafe fn double_batch(points: &mut [Affine], scratch: &mut Scratch) -> bool {
        let n = points.len();
        let mut sink = IDLE[0];
        // SAFETY: the instructions exist, here and below.
        let one = unsafe { Lanes::broadcast(&Fp::ONE) };
        let mut products = [one; CHAINS];
        let mut identities = 0;
        scratch.reserve(n);
        let mut doubling = Doubling(points);
        let sums = doubling.sums();
        for k in 0..n.div_ceil(4) {
            scratch.look_up(&doubling, sums, &raw mut sink);
            let group = &scratch.groups[k];
            let [double, prefix] = &mut scratch.products[k];
            // SAFETY: the pointers are valid.
            unsafe {
                identities |= zeros(words(abscissas(&group.left)));
                let y = load(ordinates(&group.left));
                *double = y.plus(y);
            }
            *prefix = products[k % CHAINS];
            products[k % CHAINS] = unsafe { prefix.times(*double) };
        }
        let Some(mut inverses) = (unsafe { invert(&products, identities) }) else {
            return false;
        };
        for k in (0..n.div_ceil(4)).rev() {
            let group = &scratch.groups[k];
            let [double, prefix] = &scratch.products[k];
            let inverse = &mut inverses[k % CHAINS];
            // SAFETY: the pointers are valid.
            unsafe {
                let (x, y) = (load(abscissas(&group.left)), load(ordinates(&group.left)));
                let square = x.squared();
                let rise = square.plus(square).plus(square);
                let slope = inverse.times(*prefix).times(rise);
                *inverse = inverse.times(*double);
                store_third(&group.sums, slope, [x, x], y);
            }
        }
        true
    }
}

#[inline(always)]
unsafe fn abscissas(places: &[Tagged; 4]) -> [*const Fp; 4] {
    let mut out = [std::ptr::null(); 4];
    for (out, place) in out.iter_mut().zip(places) {
        *out = unsafe { &raw const (*place.point()).x };
    }
    out
}

#[inline(always)]
unsafe fn ordinates(places: &[Tagged; 4]) -> [*const Fp; 4] {
    let mut out = [std::ptr::null(); 4];
    for (out, place) in out.iter_mut().zip(places) {
        *out = unsafe { &raw const (*place.point()).y };
    }
    out
}

#[inline(always)]
unsafe fn load(places: [*const Fp; 4]) -> Lanes {
    unsafe { Lanes::load_from(places) }
}

/// `-y` in the lanes whose point is negated.
#[inline(always)]
unsafe fn negate_where(y: Lanes, places: &[Tagged; 4]) -> Lanes {
    unsafe {
        let pointers = _mm256_loadu_si256(places.as_ptr().cast());
        let one = _mm256_and_si256(pointers, _mm256_set1_epi64x(1));
        // All ones where negated: the complement plus one.
        let sign = sub(_mm256_setzero_si256(), one);
        let mut limbs = y.limbs;
        for limb in &mut limbs {
            *limb = sub(_mm256_xor_si256(*limb, sign), sign);
        }
        Lanes::from_limbs(limbs)
    }
}

/// Stores the sum for a line of this slope through points with abscissas `xa` and `xb`, the first
/// with ordinate `ya`.
#[inline(always)]
unsafe fn store_third(sums: &[*mut Affine; 4], slope: Lanes, [xa, xb]: [Lanes; 2], ya: Lanes) {
    unsafe {
        let x = slope.squared().minus(xa).minus(xb).canonical();
        let y = slope.times(xa.minus(x)).minus(ya).canonical();
        let [a, b, c, d] = *sums;
        x.store_to([
            &raw mut (*a).x,
            &raw mut (*b).x,
            &raw mut (*c).x,
            &raw mut (*d).x,
        ]);
        y.store_to([
            &raw mut (*a).y,
            &raw mut (*b).y,
            &raw mut (*c).y,
            &raw mut (*d).y,
        ]);
    }
}

/// The inverse of each chain's product; `None` where there are identities or a product is zero.
#[inline(always)]
unsafe fn invert(products: &[Lanes; CHAINS], identities: i32) -> Option<[Lanes; CHAINS]> {
    if identities != 0 {
        return None;
    }
    let mut elements = [[Fp::ZERO; 4]; CHAINS];
    unsafe {
        for (elements, product) in elements.iter_mut().zip(products) {
            product.canonical().store(elements);
        }
        if elements.as_flattened().iter().any(Fp::is_zero) {
            return None;
        }
        Fp::batch_invert(elements.as_flattened_mut());
        Some([Lanes::load(&elements[0]), Lanes::load(&elements[1])])
    }
}

/// Not zero where all four words of a lane are zero.
#[inline(always)]
unsafe fn zeros(w: [V; 4]) -> i32 {
    unsafe {
        let any = _mm256_or_si256(_mm256_or_si256(w[0], w[1]), _mm256_or_si256(w[2], w[3]));
        _mm256_movemask_epi8(_mm256_cmpeq_epi64(any, _mm256_setzero_si256()))
    }
}
