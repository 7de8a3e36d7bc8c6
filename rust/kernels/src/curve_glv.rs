//! Scalars halved by the endomorphism `(x, y) -> (zeta x, y)`, which multiplies by `lambda`.
//!
//! `k = k1 + lambda k2` with both parts below 2^128: half the doublings (Gallant, Lambert,
//! Vanstone 2001). The parts are written in signed windows (width-4 non-adjacent form).

use crate::curve::{Affine, Xyzz};
use crate::field::{Fp, Fq, Limbs};

/// Odd multiples of a point that the digits refer to: 1, 3, 5, 7.
pub const ODD_MULTIPLES: usize = 4;

/// A cube root of unity of the base field.
const ZETA: Limbs = [
    0x1dad_5ebd_fdfe_4ab9,
    0x1d1f_8bd2_37ad_3149,
    0x2caa_d5dc_57aa_b1b0,
    0x12cc_ca83_4acd_ba71,
];
#[cfg(test)]
const LAMBDA: Limbs = [
    0x2aa9_d2e0_50aa_0e4f,
    0x0fed_467d_47c0_33af,
    0x511d_b4d8_1cf7_0f5a,
    0x0681_9a58_283e_528e,
];
/// Short vectors `(A1, -B1)`, `(A2, B2)` of the lattice of `(u, v)` with `u + lambda v = 0`.
const A1: u128 = 0x49e6_9d16_40f0_4915_7fca_e1c7_0000_0001;
const B1: u128 = 0x49e6_9d16_40a8_9953_8cb1_2793_0000_0000;
const A2: u128 = 0x49e6_9d16_40a8_9953_8cb1_2793_0000_0000;
const B2: u128 = 0x93cd_3a2c_8198_e269_0c7c_095a_0000_0001;
/// `round(2^320 B2 / q)` and `round(2^320 B1 / q)`.
const G1: Limbs = [
    0xc35f_bd4d_0868_62e0,
    0x31f0_2568_0000_0002,
    0x4f34_e8b2_0663_89a4,
    0x0000_0000_0000_0002,
];
const G2: Limbs = [
    0x61af_dea6_8480_fa55,
    0x32c4_9e4b_ffff_ffff,
    0x279a_7459_02a2_654e,
    0x0000_0000_0000_0001,
];

/// Digits of a half scalar, least significant first: odd and at most 7 in absolute value, or 0.
pub type Digits = Vec<i8>;

/// Digits of `k1` and `k2`.
pub fn recode(k: &Fq) -> [Digits; 2] {
    decompose(k).map(|(magnitude, negative)| {
        let mut digits = wnaf(magnitude);
        if negative {
            digits.iter_mut().for_each(|d| *d = -*d);
        }
        digits
    })
}

/// `(|k|, k < 0)` for both parts.
fn decompose(k: &Fq) -> [(u128, bool); 2] {
    let canonical = k.to_canonical();
    let c1 = Fq::from_u128(high_bits(&canonical, &G1));
    let c2 = Fq::from_u128(high_bits(&canonical, &G2));
    let k1 = *k - c1 * Fq::from_u128(A1) - c2 * Fq::from_u128(A2);
    let k2 = c1 * Fq::from_u128(B1) - c2 * Fq::from_u128(B2);
    [k1, k2].map(|part| {
        let low = |x: &Fq| {
            let c = x.to_canonical();
            (c[2] == 0 && c[3] == 0).then_some(c[0] as u128 | (c[1] as u128) << 64)
        };
        match low(&part) {
            Some(magnitude) => (magnitude, false),
            None => (low(&-part).expect("parts are below 2^128"), true),
        }
    })
}

/// `(a b) >> 320`, below 2^128 for the operands here.
fn high_bits(a: &Limbs, b: &Limbs) -> u128 {
    let mut t = [0u64; 8];
    for i in 0..4 {
        let mut carry = 0u128;
        for j in 0..4 {
            carry += t[i + j] as u128 + a[i] as u128 * b[j] as u128;
            t[i + j] = carry as u64;
            carry >>= 64;
        }
        t[i + 4] = carry as u64;
    }
    t[5] as u128 | (t[6] as u128) << 64
}

fn wnaf(mut k: u128) -> Digits {
    let mut digits = Vec::with_capacity(129);
    while k != 0 {
        let mut d = 0;
        if k & 1 == 1 {
            d = (k & 15) as i8;
            if d > 8 {
                d -= 16;
            }
            // (k - d) / 2 without leaving 128 bits.
            k >>= 1;
            let half = (d - 1) / 2;
            k = if half < 0 {
                k + half.unsigned_abs() as u128
            } else {
                k - half as u128
            };
        } else {
            k >>= 1;
        }
        digits.push(d);
    }
    digits
}

/// `lambda p`.
#[inline(always)]
pub fn endomorphism(p: &Affine, zeta: &Fp) -> Affine {
    Affine {
        x: p.x * *zeta,
        y: p.y,
    }
}

/// The constant of [`endomorphism`].
pub fn zeta() -> Fp {
    Fp::from_canonical(ZETA).expect("a canonical constant")
}

/// `k p` for recoded `k`; the time depends on `k`.
pub fn multiply(p: &Affine, k: &[Digits; 2]) -> Xyzz {
    sum(&[*p], std::slice::from_ref(k))
}

/// `sum_i k_i p_i` for recoded `k_i`, for few points: the doublings are shared (Straus 1964). The
/// time depends on the scalars.
pub fn sum(points: &[Affine], scalars: &[[Digits; 2]]) -> Xyzz {
    let mut odd = Vec::with_capacity(ODD_MULTIPLES * points.len());
    for p in points {
        let mut multiple = Xyzz::from(*p);
        let mut twice = multiple;
        twice.double();
        odd.push(multiple);
        for _ in 1..ODD_MULTIPLES {
            multiple.add(&twice);
            odd.push(multiple);
        }
    }
    let zeta = zeta();
    let plain = Xyzz::batch_to_affine(&odd);
    let turned: Vec<Affine> = plain.iter().map(|p| endomorphism(p, &zeta)).collect();
    let longest = scalars.iter().flatten().map(Vec::len).max().unwrap_or(0);
    let mut total = Xyzz::IDENTITY;
    for bit in (0..longest).rev() {
        total.double();
        for (i, k) in scalars.iter().enumerate() {
            for (table, digits) in [&plain, &turned].into_iter().zip(k) {
                let d = digits.get(bit).copied().unwrap_or(0);
                if d != 0 {
                    let multiple = ODD_MULTIPLES * i + d.unsigned_abs() as usize / 2;
                    total.add_affine(&table[multiple].negate_if(d < 0));
                }
            }
        }
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signed((magnitude, negative): (u128, bool)) -> Fq {
        let x = Fq::from_u128(magnitude);
        if negative { -x } else { x }
    }

    #[test]
    fn parts_and_digits_give_the_scalar_back() {
        let lambda = Fq::from_canonical(LAMBDA).expect("canonical");
        let mut k = Fq::from_u64(3);
        let edge = [Fq::ZERO, Fq::ONE, -Fq::ONE, lambda, -lambda];
        for i in 0..500 {
            let x = edge.get(i).copied().unwrap_or(k);
            let [first, second] = decompose(&x);
            assert_eq!(signed(first) + lambda * signed(second), x);
            let [d1, d2] = recode(&x).map(|digits| {
                digits.iter().rev().fold(Fq::ZERO, |sum, &d| {
                    assert!(d == 0 || d % 2 != 0 && d.abs() < 8);
                    sum.double() + Fq::from_i64(d.into())
                })
            });
            assert_eq!(d1 + lambda * d2, x);
            k = k.square() + k;
        }
        assert_eq!(wnaf(u128::MAX).len(), 129);
    }
}
