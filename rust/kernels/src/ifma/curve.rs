//! Batched affine additions and doublings, eight at a time.
//!
//! The same algorithm as the portable one in `curve_batch`, and the same results: what is stored
//! is canonical. A batch with an exceptional case (the identity, or equal abscissas) is refused
//! before anything is written.

use super::lanes::{Constants, Fe8, V, add, set1, sub};
use super::machine::kernel;
use super::places::{load_points, load_words, load_x, signs, store_points};
use crate::curve::Affine;
use crate::field::{Base, Fp, Limbs};
use crate::places::{Doubling, Group, IDLE, Places};
use std::arch::x86_64::*;

type Lanes = Fe8<Base>;

/// Independent running products: enough to hide the latency of a multiplication.
const CHAINS: usize = 2;
/// Pairs ahead of the current one whose operands are fetched into the cache.
const AHEAD: usize = 2;

/// Pointers, differences and prefix products of a batch, a pair of groups at a time.
#[derive(Default)]
pub(crate) struct Scratch {
    groups: Vec<[Group<8>; 2]>,
    pairs: Vec<[Pair; 2]>,
    /// Pairs of groups that were looked up.
    ahead: usize,
}

// SAFETY: the pointers are used during a call only, the rest is plain data.
unsafe impl Send for Scratch {}

impl Scratch {
    /// Room for `n` additions.
    fn reserve(&mut self, n: usize) {
        if self.pairs.len() < n.div_ceil(16) {
            let idle = Group::idle(std::ptr::null_mut());
            self.groups.resize(n.div_ceil(16), [idle; 2]);
            // SAFETY: all bits zero is the element zero.
            self.pairs
                .resize(n.div_ceil(16), unsafe { std::mem::zeroed() });
        }
        self.ahead = 0;
    }

    /// Looks up the next sixteen additions and begins to fetch their operands.
    #[inline(always)]
    fn look_up(&mut self, batch: &impl Places, sums: *mut Affine, sink: *mut Affine) {
        let start = 16 * self.ahead;
        if start >= batch.len() {
            return;
        }
        let [first, second] = &mut self.groups[self.ahead];
        first.look_up(batch, start, sums, sink);
        second.look_up(batch, start + 8, sums, sink);
        self.ahead += 1;
    }
}

/// Two groups of eight elements. Their multiplications are interleaved: alone, each waits for
/// its own results half of the time.
type Pair = [Lanes; 2];

kernel! {
    /// All additions of a batch; false where one is exceptional, and then nothing is written.
    pub(crate) unsafe fn add_batch(batch: &mut impl Places, scratch: &mut Scratch) -> bool {
        let n = batch.len();
        let sums = batch.sums();
        let mut sink = Affine::IDENTITY;
        // SAFETY: the instructions exist, here and below.
        let one = unsafe { Lanes::broadcast(&Fp::ONE) };
        let mut products = [[one; 2]; CHAINS];
        let mut identities = 0;
        scratch.reserve(n);
        for _ in 0..AHEAD {
            scratch.look_up(batch, sums, &raw mut sink);
        }
        for pair in 0..n.div_ceil(16) {
            scratch.look_up(batch, sums, &raw mut sink);
            let groups = &scratch.groups[pair];
            let [differences, prefix] = &mut scratch.pairs[pair];
            for w in 0..2 {
                // SAFETY: the pointers are valid.
                unsafe {
                    let (a, b) = (load_x(&groups[w].left), load_x(&groups[w].right));
                    identities |= zeros(a) | zeros(b);
                    differences[w] = Lanes::unpack(b).minus(Lanes::unpack(a));
                }
            }
            let product = &mut products[pair % CHAINS];
            *prefix = *product;
            *product = unsafe { times(product, differences) };
        }
        if identities != 0 {
            return false;
        }
        let Some(mut inverses) = (unsafe { invert(&products) }) else {
            return false;
        };
        for pair in (0..n.div_ceil(16)).rev() {
            let groups = &scratch.groups[pair];
            let [mut xa, mut ya, mut xb, mut rise] = [[one; 2]; 4];
            for w in 0..2 {
                // SAFETY: the pointers are valid.
                unsafe {
                    let yb;
                    (xa[w], ya[w]) = load_points(&groups[w].left);
                    (xb[w], yb) = load_points(&groups[w].right);
                    ya[w] = negate_where(ya[w], signs(&groups[w].left));
                    rise[w] = negate_where(yb, signs(&groups[w].right)).minus(ya[w]);
                }
            }
            let inverse = &mut inverses[pair % CHAINS];
            let [differences, prefixes] = &scratch.pairs[pair];
            // SAFETY: the pointers are valid.
            unsafe {
                let slope = times(&times(inverse, prefixes), &rise);
                *inverse = times(inverse, differences);
                let (x, y) = third_point(&slope, &xa, &xb, &ya);
                store_points(&groups[0].sums, x[0], y[0]);
                store_points(&groups[1].sums, x[1], y[1]);
            }
        }
        true
    }

    /// Powers with one exponent.
    pub(crate) unsafe fn power(bases: &[Fp; 16], exponent: &Limbs) -> [Fp; 16] {
        let (chunks, _) = bases.as_chunks::<8>();
        // SAFETY: the instructions exist.
        unsafe {
            let base = [Lanes::load(&chunks[0]), Lanes::load(&chunks[1])];
            let one = Lanes::broadcast(&Fp::ONE);
            let mut table = [[one; 2]; 16];
            for i in 1..16 {
                table[i] = times(&table[i - 1], &base);
            }
            let mut power = [one; 2];
            // Windows of four bits, most significant first.
            for window in (0..64).rev() {
                for _ in 0..4 {
                    power = square(&power);
                }
                let digit = exponent[window / 16] >> (4 * (window % 16)) & 15;
                power = times(&power, &table[digit as usize]);
            }
            let mut out = [Fp::ZERO; 16];
            let (chunks, _) = out.as_chunks_mut::<8>();
            power[0].canonical().store(&mut chunks[0]);
            power[1].canonical().store(&mut chunks[1]);
            out
        }
    }

    /// Doubles all points in place; false where one is the identity, and then nothing is written.
    pub(crate) unsafe fn double_batch(points: &mut [Affine], scratch: &mut Scratch) -> bool {
        let n = points.len();
        let mut sink = IDLE[0];
        // SAFETY: the instructions exist, here and below.
        let one = unsafe { Lanes::broadcast(&Fp::ONE) };
        let mut products = [[one; 2]; CHAINS];
        let mut identities = 0;
        scratch.reserve(n);
        let mut doubling = Doubling(points);
        let sums = doubling.sums();
        for pair in 0..n.div_ceil(16) {
            scratch.look_up(&doubling, sums, &raw mut sink);
            let groups = &scratch.groups[pair];
            let [doubles, prefix] = &mut scratch.pairs[pair];
            for w in 0..2 {
                // SAFETY: the pointers are valid.
                unsafe {
                    let words = load_words(&groups[w].left);
                    identities |= zeros([words[0], words[1], words[2], words[3]]);
                    let y = Lanes::unpack([words[4], words[5], words[6], words[7]]);
                    doubles[w] = y.plus(y);
                }
            }
            let product = &mut products[pair % CHAINS];
            *prefix = *product;
            *product = unsafe { times(product, doubles) };
        }
        if identities != 0 {
            return false;
        }
        let Some(mut inverses) = (unsafe { invert(&products) }) else {
            return false;
        };
        for pair in (0..n.div_ceil(16)).rev() {
            let groups = &scratch.groups[pair];
            let [mut x, mut y, mut rise] = [[one; 2]; 3];
            let inverse = &mut inverses[pair % CHAINS];
            let [doubles, prefixes] = &scratch.pairs[pair];
            // SAFETY: the pointers are valid.
            unsafe {
                (x[0], y[0]) = load_points(&groups[0].left);
                (x[1], y[1]) = load_points(&groups[1].left);
                let squares = square(&x);
                rise[0] = squares[0].plus2(squares[0], squares[0]);
                rise[1] = squares[1].plus2(squares[1], squares[1]);
                let slope = times(&times(inverse, prefixes), &rise);
                *inverse = times(inverse, doubles);
                let (x, y) = third_point(&slope, &x, &x, &y);
                store_points(&groups[0].sums, x[0], y[0]);
                store_points(&groups[1].sums, x[1], y[1]);
            }
        }
        true
    }
}

/// Products lane by lane, below 2p for factors below 8p.
#[inline(always)]
unsafe fn times(a: &Pair, b: &Pair) -> Pair {
    unsafe { Lanes::times2(*a, *b) }
}

/// Squares lane by lane, below 2p for numbers below 8p.
#[inline(always)]
unsafe fn square(a: &Pair) -> Pair {
    unsafe { Lanes::square2(*a) }
}

/// `(x, y)` of the sum, canonical, for a line of this slope through points with abscissas `xa`
/// and `xb`, the first with ordinate `ya`; these are at most p.
#[inline(always)]
unsafe fn third_point(slope: &Pair, xa: &Pair, xb: &Pair, ya: &Pair) -> (Pair, Pair) {
    let p = Constants::<Base>::P;
    unsafe {
        let mut x = square(slope);
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
    unsafe {
        let [a, b] = products;
        let ab = times(a, b);
        let [c, d] = ab;
        let [all, _] = times(&[c, c], &[d, d]);
        let mut elements = [Fp::ZERO; 8];
        all.canonical().store(&mut elements);
        let mut prefixes = [Fp::ONE; 8];
        for i in 1..8 {
            prefixes[i] = prefixes[i - 1] * elements[i - 1];
        }
        let mut inverse = (prefixes[7] * elements[7]).invert_vartime()?;
        for i in (0..8).rev() {
            let this = prefixes[i] * inverse;
            inverse *= elements[i];
            elements[i] = this;
        }
        let inverse = Lanes::load(&elements);
        let inverse_ab = times(&[inverse, inverse], &[d, c]);
        Some([times(&inverse_ab, b), times(&inverse_ab, a)])
    }
}

/// Lanes where all four words are zero.
#[inline(always)]
unsafe fn zeros(w: [V; 4]) -> u8 {
    unsafe {
        let any = _mm512_or_si512(_mm512_or_si512(w[0], w[1]), _mm512_or_si512(w[2], w[3]));
        _mm512_testn_epi64_mask(any, any)
    }
}
