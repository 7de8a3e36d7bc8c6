//! The two moduli.

use super::limbs::{self, Limbs};

/// A prime modulus `2^254 + c`, `c < 2^126`, `1 mod 2^32`, with 5 as a non-residue.
pub trait Modulus: Copy + Clone + Send + Sync + Eq + std::fmt::Debug + Sized + 'static {
    /// The modulus.
    const MODULUS: Limbs;
    /// `-1 / MODULUS mod 2^64`.
    const NEG_INV: u64 = limbs::neg_inv(Self::MODULUS[0]);
    /// `2^260 mod MODULUS`: one in Montgomery form.
    const R: Limbs = limbs::pow2_mod(260, Self::MODULUS);
    /// `2^520 mod MODULUS`.
    const R2: Limbs = limbs::pow2_mod(520, Self::MODULUS);
    /// `2^776 mod MODULUS`: takes the high half of a 512-bit number to Montgomery form.
    const HIGH: Limbs = limbs::pow2_mod(776, Self::MODULUS);
    /// `NIBBLE[n] = (n + m p) / 16` with `m = -n mod 16`: the last, 4-bit step of a reduction.
    const NIBBLE: [Limbs; 16] = limbs::nibble_table(Self::MODULUS);
}

/// Parameter of `Fq`: the order of the Pallas group.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Order;

impl Modulus for Order {
    const MODULUS: Limbs = [0x8c46_eb21_0000_0001, 0x2246_98fc_0994_a8dd, 0, 1 << 62];
}

/// Parameter of `Fp`: the field that the coordinates of Pallas points live in.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Base;

impl Modulus for Base {
    const MODULUS: Limbs = [0x992d_30ed_0000_0001, 0x2246_98fc_094c_f91b, 0, 1 << 62];
}
