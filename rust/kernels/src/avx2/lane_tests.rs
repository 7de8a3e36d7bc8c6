//! Canonical forms of numbers that need a correction.

use super::lanes::{BITS, Constants, Fe4, MASK, TOP, set1};
use super::supported;
use crate::field::{Base, Fe, Modulus, Order};
use proptest::prelude::*;
use std::arch::x86_64::_mm256_loadu_si256;

/// `multiple p + small` in limbs of 26 bits, the top one with the sign.
fn limbs<M: Modulus>(multiple: i64, small: i64) -> [i64; 10] {
    let mut carry = small;
    let mut out = Constants::<M>::P;
    for limb in &mut out[..9] {
        carry += *limb * multiple;
        *limb = carry & MASK;
        carry >>= BITS;
    }
    out[9] = out[9] * multiple + carry;
    out
}

/// Canonical forms, in four lanes.
fn canonical<M: Modulus>(limbs: [[i64; 10]; 4]) -> [Fe<M>; 4] {
    let mut out = [Fe::ZERO; 4];
    // SAFETY: the caller returned where the machine lacks the instructions.
    unsafe {
        let mut registers = [set1(0); 10];
        for (i, register) in registers.iter_mut().enumerate() {
            let lanes = [limbs[0][i], limbs[1][i], limbs[2][i], limbs[3][i]];
            *register = _mm256_loadu_si256(lanes.as_ptr().cast());
        }
        Fe4::from_limbs(registers).canonical().store(&mut out);
    }
    out
}

fn multiples_are_taken_away<M: Modulus>() {
    let smalls = [
        0,
        1,
        -1,
        2,
        i64::from(i32::MAX),
        -(1 << 40),
        1 << 61,
        -(1 << 61),
    ];
    let mut all = Vec::new();
    for multiple in -7..7 {
        for small in smalls {
            let expected = Fe::<M>::from_montgomery([small.unsigned_abs(), 0, 0, 0]);
            let expected = if small < 0 { -expected } else { expected };
            all.push((limbs::<M>(multiple, small), expected));
        }
    }
    // Neighbours in one register: lanes that are corrected beside ones that are not.
    for four in all.windows(4) {
        let found = canonical::<M>([four[0].0, four[1].0, four[2].0, four[3].0]);
        assert_eq!(found, [four[0].1, four[1].1, four[2].1, four[3].1]);
    }
}

#[test]
fn numbers_around_multiples_of_the_modulus() {
    if supported() {
        multiples_are_taken_away::<Order>();
        multiples_are_taken_away::<Base>();
    }
}

proptest! {
    /// Limbs that are sums and differences of others, with carries to come.
    #[test]
    fn limbs_with_carries_to_come(
        low in prop::array::uniform9(-(1i64 << 28)..1 << 28),
        top in -(7i64 << TOP)..7 << TOP,
    ) {
        if !supported() {
            return Ok(());
        }
        let mut all = [0; 10];
        all[..9].copy_from_slice(&low);
        all[9] = top;
        let radix = Fe::<Order>::from_u64(1 << BITS);
        let value = all.iter().rev().fold(Fe::ZERO, |sum, &limb| sum * radix + Fe::from_i64(limb));
        // Limbs are of Montgomery forms.
        let expected = Fe::from_montgomery(value.to_canonical());
        prop_assert_eq!(canonical::<Order>([all; 4]), [expected; 4]);
    }
}
