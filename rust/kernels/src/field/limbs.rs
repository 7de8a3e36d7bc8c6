//! Numbers of four limbs, and what a modulus has precomputed.

/// Four 64-bit limbs, least significant first.
pub type Limbs = [u64; 4];

#[inline(always)]
pub(super) const fn adc(a: u64, b: u64, carry: u64) -> (u64, u64) {
    let t = a as u128 + b as u128 + carry as u128;
    (t as u64, (t >> 64) as u64)
}

#[inline(always)]
pub(super) const fn sbb(a: u64, b: u64, borrow: u64) -> (u64, u64) {
    let t = (a as u128).wrapping_sub(b as u128 + borrow as u128);
    (t as u64, (t >> 64) as u64 & 1)
}

/// `t + a b + carry` as (low, high); cannot overflow.
#[inline(always)]
pub(super) const fn mac(t: u64, a: u64, b: u64, carry: u64) -> (u64, u64) {
    let t = t as u128 + a as u128 * b as u128 + carry as u128;
    (t as u64, (t >> 64) as u64)
}

#[inline(always)]
pub(super) const fn less(a: &Limbs, b: &Limbs) -> bool {
    let mut borrow = 0;
    let mut i = 0;
    while i < 4 {
        borrow = sbb(a[i], b[i], borrow).1;
        i += 1;
    }
    borrow == 1
}

/// `a - p` where `a >= p`, else `a`.
#[inline(always)]
pub(super) const fn subtract_once(a: Limbs, p: &Limbs) -> Limbs {
    let (d0, b) = sbb(a[0], p[0], 0);
    let (d1, b) = sbb(a[1], p[1], b);
    let (d2, b) = sbb(a[2], p[2], b);
    let (d3, b) = sbb(a[3], p[3], b);
    let keep = b.wrapping_neg();
    [
        d0 ^ (keep & (d0 ^ a[0])),
        d1 ^ (keep & (d1 ^ a[1])),
        d2 ^ (keep & (d2 ^ a[2])),
        d3 ^ (keep & (d3 ^ a[3])),
    ]
}

#[inline(always)]
pub(super) const fn add4(a: &Limbs, b: &Limbs) -> Limbs {
    let (s0, c) = adc(a[0], b[0], 0);
    let (s1, c) = adc(a[1], b[1], c);
    let (s2, c) = adc(a[2], b[2], c);
    let (s3, _) = adc(a[3], b[3], c);
    [s0, s1, s2, s3]
}

pub(super) fn limbs_of_bytes(bytes: &[u8; 32]) -> Limbs {
    let mut limbs = [0; 4];
    for (limb, chunk) in limbs.iter_mut().zip(bytes.chunks_exact(8)) {
        *limb = u64::from_le_bytes(chunk.try_into().expect("eight bytes"));
    }
    limbs
}

/// `-1 / p0 mod 2^64` by Newton's iteration; doubling the correct bits from one to 64.
pub(super) const fn neg_inv(p0: u64) -> u64 {
    let mut inv = 1u64;
    let mut i = 0;
    while i < 6 {
        inv = inv.wrapping_mul(2u64.wrapping_sub(p0.wrapping_mul(inv)));
        i += 1;
    }
    inv.wrapping_neg()
}

/// `2^k mod p` by doubling.
pub(super) const fn pow2_mod(k: u32, p: Limbs) -> Limbs {
    let mut a = [1, 0, 0, 0];
    let mut i = 0;
    while i < k {
        a = subtract_once(add4(&a, &a), &p);
        i += 1;
    }
    a
}

/// See `Modulus::NIBBLE`.
pub(super) const fn nibble_table(p: Limbs) -> [Limbs; 16] {
    let mut table = [[0; 4]; 16];
    let mut n = 0;
    while n < 16 {
        let m = (16 - n as u64) % 16; // p = 1 mod 16
        let mut t = [0u64; 5];
        let mut carry = n as u64;
        let mut i = 0;
        while i < 4 {
            (t[i], carry) = mac(0, m, p[i], carry);
            i += 1;
        }
        t[4] = carry;
        i = 0;
        while i < 4 {
            table[n][i] = (t[i] >> 4) | (t[i + 1] << 60);
            i += 1;
        }
        n += 1;
    }
    table
}
