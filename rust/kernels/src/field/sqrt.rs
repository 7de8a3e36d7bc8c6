//! Square roots where `p - 1 = 2^32 t`, `t` odd, by table lookups of discrete logarithms.
//!
//! With `w = a^((t-1)/2)`, `x = a w` satisfies `x^2 = a b` for `b = x w = a^t`, an element of the
//! subgroup of order 2^32. Where `b = g^e` with even `e`, the root is `x g^(-e/2)`. The four
//! bytes of `e` are found one at a time (Sarkar, eprint 2020/1407): 48 squarings, not 500.

use super::element::Fe;
use super::limbs::Limbs;
use super::modulus::{Base, Modulus, Order};
use std::collections::HashMap;
use std::sync::OnceLock;

const TWO_ADICITY: u32 = 32;

/// Powers of a generator `g` of the subgroup of order 2^32.
pub struct SqrtTables<M: Modulus> {
    /// `inverse_powers[k][j] = g^(-j 256^k)`.
    inverse_powers: Box<[[Fe<M>; 256]; 4]>,
    /// The `j` with `g^(j 2^24)` as key, by the low Montgomery limb.
    byte_of: HashMap<u64, u8>,
    /// `(t - 1) / 2`.
    half_odd_part: Limbs,
}

impl<M: Modulus> SqrtTables<M> {
    /// Builds the tables; about a thousand multiplications.
    pub fn new() -> Self {
        let p = M::MODULUS;
        // p >> 32 is t, since p - 1 = 2^32 t; and then (t - 1) / 2 = t >> 1.
        let shift = |s: u32, a: Limbs| -> Limbs {
            std::array::from_fn(|i| (a[i] >> s) | a.get(i + 1).map_or(0, |next| next << (64 - s)))
        };
        let odd_part = shift(TWO_ADICITY, p);
        let g = Fe::<M>::from_u64(5).pow_vartime(&odd_part);
        let mut step = g.pow_vartime(&[(1 << TWO_ADICITY) - 1, 0, 0, 0]);
        let mut inverse_powers = Box::new([[Fe::ONE; 256]; 4]);
        for row in inverse_powers.iter_mut() {
            for j in 1..256 {
                row[j] = row[j - 1] * step;
            }
            step = row[255] * step;
        }
        // The last row holds the subgroup of order 256: g^(-j 2^24) = g^((256-j) 2^24).
        let byte_of: HashMap<_, _> = (0..=255u8)
            .map(|j| {
                (
                    inverse_powers[3][j.wrapping_neg() as usize].montgomery()[0],
                    j,
                )
            })
            .collect();
        debug_assert_eq!(byte_of.len(), 256);
        Self {
            inverse_powers,
            byte_of,
            half_odd_part: shift(1, odd_part),
        }
    }
}

impl<M: Modulus> Default for SqrtTables<M> {
    fn default() -> Self {
        Self::new()
    }
}

/// A modulus with tables for square roots.
pub trait Roots: Modulus {
    /// The tables of [`Fe::sqrt`], built on first use.
    fn sqrt_tables() -> &'static SqrtTables<Self>;
}

macro_rules! roots {
    ($($modulus:ident)*) => {$(
        impl Roots for $modulus {
            fn sqrt_tables() -> &'static SqrtTables<Self> {
                static TABLES: OnceLock<SqrtTables<$modulus>> = OnceLock::new();
                TABLES.get_or_init(SqrtTables::new)
            }
        }
    )*};
}

roots!(Base Order);

impl<M: Roots> Fe<M> {
    /// A square root, or `None` for a non-residue. Which of the two is not specified.
    pub fn sqrt(&self) -> Option<Self> {
        from_power(self, &self.pow_vartime(&exponent::<M>()))
    }

    /// The power that makes up most of [`Fe::sqrt`], for many elements at once.
    #[cfg(target_arch = "x86_64")]
    pub(crate) fn sqrt_exponent() -> Limbs {
        exponent::<M>()
    }

    /// [`Fe::sqrt`], given the power [`Fe::sqrt_exponent`] of this element.
    #[cfg(target_arch = "x86_64")]
    pub(crate) fn sqrt_from_power(&self, power: &Self) -> Option<Self> {
        from_power(self, power)
    }
}

/// `(t - 1) / 2`, for [`from_power`].
fn exponent<M: Roots>() -> Limbs {
    M::sqrt_tables().half_odd_part
}

/// A square root of `a`, given `w = a^((t-1)/2)`.
fn from_power<M: Roots>(a: &Fe<M>, w: &Fe<M>) -> Option<Fe<M>> {
    if a.is_zero() {
        return Some(*a);
    }
    let tables = M::sqrt_tables();
    let x = *a * *w;
    let mut b = x * *w;
    let mut e = 0u32;
    for k in 0..4 {
        let mut top = b;
        for _ in 0..24 - 8 * k {
            top = top.square();
        }
        let byte = *tables.byte_of.get(&top.montgomery()[0])?;
        e |= (byte as u32) << (8 * k);
        b *= tables.inverse_powers[k][byte as usize];
    }
    if e & 1 == 1 {
        return None;
    }
    let half = (e / 2).to_le_bytes();
    let root = (0..4).fold(x, |r, k| r * tables.inverse_powers[k][half[k] as usize]);
    debug_assert_eq!(root.square(), *a);
    Some(root)
}
