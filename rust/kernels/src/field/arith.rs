//! Limb arithmetic modulo `p = 2^254 + c`.

use super::limbs::{Limbs, adc, add4, mac, sbb, subtract_once};
use super::modulus::Modulus;

/// `a + b mod p`; two elements sum below 2^256, so no carry leaves the top.
#[inline(always)]
pub(super) fn add_mod<M: Modulus>(a: &Limbs, b: &Limbs) -> Limbs {
    subtract_once(add4(a, b), &M::MODULUS)
}

/// `a - b mod p`.
#[inline(always)]
pub(super) fn sub_mod<M: Modulus>(a: &Limbs, b: &Limbs) -> Limbs {
    let (d0, w) = sbb(a[0], b[0], 0);
    let (d1, w) = sbb(a[1], b[1], w);
    let (d2, w) = sbb(a[2], b[2], w);
    let (d3, w) = sbb(a[3], b[3], w);
    let p = M::MODULUS;
    let mask = w.wrapping_neg();
    let fix = [p[0] & mask, p[1] & mask, p[2] & mask, p[3] & mask];
    add4(&[d0, d1, d2, d3], &fix)
}

#[inline(always)]
pub(super) fn neg_mod<M: Modulus>(a: &Limbs) -> Limbs {
    subtract_once(sub_mod::<M>(&[0; 4], a), &M::MODULUS)
}

/// The exact product, eight limbs.
#[inline(always)]
pub(super) fn product(a: &Limbs, b: &Limbs) -> [u64; 8] {
    let mut t = [0; 8];
    for i in 0..4 {
        let mut carry = 0;
        for j in 0..4 {
            (t[i + j], carry) = mac(t[i + j], a[i], b[j], carry);
        }
        t[i + 4] = carry;
    }
    t
}

/// The exact square, eight limbs.
#[inline(always)]
fn square(a: &Limbs) -> [u64; 8] {
    let mut t = [0; 8];
    let mut carry;
    (t[1], carry) = mac(0, a[0], a[1], 0);
    (t[2], carry) = mac(0, a[0], a[2], carry);
    (t[3], t[4]) = mac(0, a[0], a[3], carry);
    (t[3], carry) = mac(t[3], a[1], a[2], 0);
    (t[4], t[5]) = mac(t[4], a[1], a[3], carry);
    (t[5], t[6]) = mac(t[5], a[2], a[3], 0);
    t[7] = t[6] >> 63;
    for i in (2..7).rev() {
        t[i] = (t[i] << 1) | (t[i - 1] >> 63);
    }
    t[1] <<= 1;
    carry = 0;
    for i in 0..4 {
        let s = a[i] as u128 * a[i] as u128;
        (t[2 * i], carry) = adc(t[2 * i], s as u64, carry);
        (t[2 * i + 1], carry) = adc(t[2 * i + 1], (s >> 64) as u64, carry);
    }
    t
}

/// One step of Montgomery's reduction: adds the multiple of p that clears `t[0]`, and returns the
/// carry into `t[4]`. `p[2] = 0` and `p[3] = 2^62`.
#[inline(always)]
fn clear_word<M: Modulus>(t: &mut [u64; 4]) -> u64 {
    let p = M::MODULUS;
    let m = t[0].wrapping_mul(M::NEG_INV);
    let (_, c) = mac(t[0], m, p[0], 0);
    let (t1, c) = mac(t[1], m, p[1], c);
    let (t2, c) = adc(t[2], c, 0);
    let top = ((m as u128) << 62) + t[3] as u128 + c as u128;
    *t = [t1, t2, top as u64, 0];
    (top >> 64) as u64
}

/// `t / 16 mod p` for `t` below 2^256; the result is below `t / 16 + p`.
#[inline(always)]
pub(super) fn divide_by_16<M: Modulus>(t: &Limbs) -> Limbs {
    let shifted = [
        (t[0] >> 4) | (t[1] << 60),
        (t[1] >> 4) | (t[2] << 60),
        (t[2] >> 4) | (t[3] << 60),
        t[3] >> 4,
    ];
    // (t >> 4) + (n + m p) / 16 with n = t mod 16: the fraction n / 16 is inside the table.
    add4(&shifted, &M::NIBBLE[t[0] as usize & 15])
}

/// Low half of a reduction: `t / 2^256 mod p` where `t` has `4 + N` limbs; below `t/2^256 + p`.
#[inline(always)]
pub(super) fn reduce_low<M: Modulus>(low: Limbs, high: Limbs) -> (Limbs, u64) {
    let mut t = low;
    // Each step shifts by one word; the word that enters at the top is from `high`.
    let mut carry = 0;
    for word in high {
        let top = clear_word::<M>(&mut t);
        let (sum, c) = adc(word, top, carry);
        t[3] = sum;
        carry = c;
    }
    (t, carry)
}

/// `t / 2^260 mod p`, canonical, for a product of two elements.
#[inline(always)]
fn reduce<M: Modulus>(t: &[u64; 8]) -> Limbs {
    // t < p^2 < 2^256 p / 3, so the quotient is below 4p/3 and fits.
    let (r, _) = reduce_low::<M>([t[0], t[1], t[2], t[3]], [t[4], t[5], t[6], t[7]]);
    subtract_once(divide_by_16::<M>(&r), &M::MODULUS)
}

/// `low + high 2^256 mod p`, below `2^254 + p`, for `high < 2^62`.
#[inline(always)]
pub(super) fn reduce_overflow<M: Modulus>(low: &Limbs, high: u64) -> Limbs {
    // 2^254 = -c mod p, so that h 2^254 + l = l - h c; h < 2^64 and c < 2^126: h c < 2^190.
    let p = M::MODULUS;
    let h = (high << 2) | (low[3] >> 62);
    let t0 = h as u128 * p[0] as u128;
    let t1 = h as u128 * p[1] as u128 + (t0 >> 64);
    let (d0, b) = sbb(low[0], t0 as u64, 0);
    let (d1, b) = sbb(low[1], t1 as u64, b);
    let (d2, b) = sbb(low[2], (t1 >> 64) as u64, b);
    let (d3, b) = sbb(low[3] & ((1 << 62) - 1), 0, b);
    // p more where that went below zero.
    let mask = b.wrapping_neg();
    let fix = [p[0] & mask, p[1] & mask, p[2] & mask, p[3] & mask];
    add4(&[d0, d1, d2, d3], &fix)
}

/// `x a mod p`, canonical, for `x <= 2^63`.
#[inline(always)]
pub(super) fn mul_small<M: Modulus>(a: &Limbs, x: u64) -> Limbs {
    let (t0, c) = mac(0, a[0], x, 0);
    let (t1, c) = mac(0, a[1], x, c);
    let (t2, c) = mac(0, a[2], x, c);
    let (t3, c) = mac(0, a[3], x, c);
    subtract_once(reduce_overflow::<M>(&[t0, t1, t2, t3], c), &M::MODULUS)
}

#[inline(always)]
pub(super) fn mont_mul<M: Modulus>(a: &Limbs, b: &Limbs) -> Limbs {
    reduce::<M>(&product(a, b))
}

#[inline(always)]
pub(super) fn mont_square<M: Modulus>(a: &Limbs) -> Limbs {
    reduce::<M>(&square(a))
}

/// Any 256-bit number modulo p, which is above 2^254: at most three subtractions.
pub(super) fn reduce_256<M: Modulus>(mut a: Limbs) -> Limbs {
    for _ in 0..3 {
        a = subtract_once(a, &M::MODULUS);
    }
    a
}
