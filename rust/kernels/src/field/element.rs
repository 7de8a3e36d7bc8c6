//! Elements and their operations.

use super::arith::{self, add_mod, mont_mul, mont_square, neg_mod, sub_mod};
use super::invert;
use super::limbs::{Limbs, less, limbs_of_bytes, subtract_once};
use super::modulus::{Base, Modulus, Order};
use std::marker::PhantomData;

/// The scalar field: what the proofs compute in.
pub type Fq = Fe<Order>;
/// The base field: coordinates of points.
pub type Fp = Fe<Base>;

/// An element of the field with modulus `M`, below the modulus after every operation.
#[derive(Copy, Clone, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct Fe<M: Modulus> {
    limbs: Limbs,
    modulus: PhantomData<M>,
}

impl<M: Modulus> std::fmt::Debug for Fe<M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let c = self.to_canonical();
        write!(f, "{:#x}{:016x}{:016x}{:016x}", c[3], c[2], c[1], c[0])
    }
}

impl<M: Modulus> Default for Fe<M> {
    fn default() -> Self {
        Self::ZERO
    }
}

impl<M: Modulus> Fe<M> {
    /// Zero.
    pub const ZERO: Self = Self::from_montgomery([0; 4]);
    /// One.
    pub const ONE: Self = Self::from_montgomery(M::R);

    /// The element whose Montgomery form is `limbs`, which must be below the modulus.
    #[inline(always)]
    pub const fn from_montgomery(limbs: Limbs) -> Self {
        Self {
            limbs,
            modulus: PhantomData,
        }
    }

    /// The Montgomery form, below the modulus.
    #[inline(always)]
    pub const fn montgomery(&self) -> &Limbs {
        &self.limbs
    }

    /// The element whose Montgomery form is `low + high 2^256` modulo the modulus;
    /// `high < 2^62`.
    #[inline(always)]
    pub fn from_montgomery_overflow(low: Limbs, high: u64) -> Self {
        debug_assert!(high < 1 << 62);
        let t = arith::reduce_overflow::<M>(&low, high);
        Self::from_montgomery(subtract_once(t, &M::MODULUS))
    }

    /// `x self` for `x <= 2^63`: a quarter of a multiplication.
    #[inline(always)]
    pub fn times_u64(&self, x: u64) -> Self {
        debug_assert!(x <= 1 << 63);
        Self::from_montgomery(arith::mul_small::<M>(&self.limbs, x))
    }

    /// Elements in Montgomery form, seen in place. Limbs at or above the modulus break no memory
    /// safety, but the arithmetic on them is wrong.
    #[inline]
    pub fn slice_of_limbs(limbs: &[Limbs]) -> &[Self] {
        // SAFETY: `Fe` is a transparent wrapper of `Limbs`.
        unsafe { std::slice::from_raw_parts(limbs.as_ptr().cast(), limbs.len()) }
    }

    /// The Montgomery forms of a vector; nothing is copied.
    pub fn into_limbs(values: Vec<Self>) -> Vec<Limbs> {
        let mut values = std::mem::ManuallyDrop::new(values);
        // SAFETY: `Fe` is a transparent wrapper of `Limbs`: same size, same alignment, and the
        // allocation changes hands exactly once.
        unsafe { Vec::from_raw_parts(values.as_mut_ptr().cast(), values.len(), values.capacity()) }
    }

    /// A vector of Montgomery forms, which must be below the modulus; nothing is copied.
    pub fn from_limbs(limbs: Vec<Limbs>) -> Vec<Self> {
        let mut limbs = std::mem::ManuallyDrop::new(limbs);
        // SAFETY: as in `into_limbs`.
        unsafe { Vec::from_raw_parts(limbs.as_mut_ptr().cast(), limbs.len(), limbs.capacity()) }
    }

    /// Montgomery forms, seen in place.
    #[inline]
    pub fn limbs_of_slice(values: &[Self]) -> &[Limbs] {
        // SAFETY: `Fe` is a transparent wrapper of `Limbs`.
        unsafe { std::slice::from_raw_parts(values.as_ptr().cast(), values.len()) }
    }

    /// The element of canonical limbs, or `None` where they are not below the modulus.
    pub fn from_canonical(limbs: Limbs) -> Option<Self> {
        less(&limbs, &M::MODULUS).then(|| Self::from_reduced(limbs))
    }

    #[inline(always)]
    fn from_reduced(limbs: Limbs) -> Self {
        Self::from_montgomery(mont_mul::<M>(&limbs, &M::R2))
    }

    /// Canonical limbs, below the modulus.
    #[inline]
    pub fn to_canonical(&self) -> Limbs {
        mont_mul::<M>(&self.limbs, &[1, 0, 0, 0])
    }

    /// The element of 32 little-endian bytes, or `None` where they are not canonical.
    pub fn from_bytes(bytes: &[u8; 32]) -> Option<Self> {
        Self::from_canonical(limbs_of_bytes(bytes))
    }

    /// 32 little-endian bytes, canonical.
    pub fn to_bytes(&self) -> [u8; 32] {
        let mut out = [0; 32];
        for (chunk, limb) in out.chunks_exact_mut(8).zip(self.to_canonical()) {
            chunk.copy_from_slice(&limb.to_le_bytes());
        }
        out
    }

    /// A 512-bit little-endian number modulo the field: uniform bytes give an element whose
    /// distance from uniform is below 2^-256.
    pub fn from_wide_bytes(bytes: &[u8; 64]) -> Self {
        let (low, high) = bytes.split_at(32);
        let half = |b: &[u8]| {
            let mut limbs = [0; 4];
            for (limb, chunk) in limbs.iter_mut().zip(b.chunks_exact(8)) {
                *limb = u64::from_le_bytes(chunk.try_into().expect("eight bytes"));
            }
            arith::reduce_256::<M>(limbs)
        };
        // The high half counts 2^256: 2^776 / 2^260 = 2^256 R.
        Self::from_reduced(half(low)) + Self::from_montgomery(mont_mul::<M>(&half(high), &M::HIGH))
    }

    /// The element of an unsigned integer.
    #[inline]
    pub fn from_u64(x: u64) -> Self {
        Self::from_reduced([x, 0, 0, 0])
    }

    /// The element of an unsigned integer.
    #[inline]
    pub fn from_u128(x: u128) -> Self {
        Self::from_reduced([x as u64, (x >> 64) as u64, 0, 0])
    }

    /// The element of a signed integer.
    #[inline]
    pub fn from_i64(x: i64) -> Self {
        let magnitude = Self::from_u64(x.unsigned_abs());
        if x < 0 { -magnitude } else { magnitude }
    }

    /// The element of a signed integer.
    #[inline]
    pub fn from_i128(x: i128) -> Self {
        let magnitude = Self::from_u128(x.unsigned_abs());
        if x < 0 { -magnitude } else { magnitude }
    }

    /// Whether this is zero.
    #[inline(always)]
    pub fn is_zero(&self) -> bool {
        self.limbs == [0; 4]
    }

    /// Whether the canonical representative is odd.
    pub fn is_odd(&self) -> bool {
        self.to_canonical()[0] & 1 == 1
    }

    /// `2 self`.
    #[inline(always)]
    pub fn double(&self) -> Self {
        *self + *self
    }

    /// `self^2`.
    #[inline(always)]
    pub fn square(&self) -> Self {
        Self::from_montgomery(mont_square::<M>(&self.limbs))
    }

    /// `self^exponent`; the time depends on the exponent.
    pub fn pow_vartime(&self, exponent: &Limbs) -> Self {
        // Windows of four bits, most significant first.
        let mut table = [Self::ONE; 16];
        for i in 1..16 {
            table[i] = table[i - 1] * *self;
        }
        let mut out = Self::ONE;
        let mut started = false;
        for limb in exponent.iter().rev() {
            for shift in (0..16).rev() {
                let window = (limb >> (4 * shift)) as usize & 15;
                if started {
                    out = out.square().square().square().square();
                }
                if window != 0 {
                    out *= table[window];
                    started = true;
                }
            }
        }
        out
    }

    /// `1 / self`, or `None` for zero; the time depends on the value.
    pub fn invert_vartime(&self) -> Option<Self> {
        // The inverse of the Montgomery form a R lacks R^2; R^2 R^2 / R = R^3 makes up for it.
        (!self.is_zero()).then(|| {
            let cube = Self::from_montgomery(M::R2) * Self::from_montgomery(M::R2);
            Self::from_montgomery(invert::invert_vartime::<M>(&self.limbs)) * cube
        })
    }

    /// Replaces every element by its inverse, with one inversion in all; zeros stay zero.
    pub fn batch_invert(values: &mut [Self]) {
        let mut prefixes = Vec::with_capacity(values.len());
        let mut product = Self::ONE;
        for v in values.iter() {
            prefixes.push(product);
            if !v.is_zero() {
                product *= *v;
            }
        }
        // A product of non-zero elements is not zero.
        let mut inverse = product.invert_vartime().unwrap_or(Self::ONE);
        for (v, prefix) in values.iter_mut().zip(prefixes).rev() {
            if !v.is_zero() {
                let out = prefix * inverse;
                inverse *= *v;
                *v = out;
            }
        }
    }
}

macro_rules! operators {
    ($($trait:ident $method:ident $assign:ident $assign_method:ident $function:ident;)*) => {$(
        impl<M: Modulus> std::ops::$trait for Fe<M> {
            type Output = Self;

            #[inline(always)]
            fn $method(self, other: Self) -> Self {
                Self::from_montgomery($function::<M>(&self.limbs, &other.limbs))
            }
        }

        impl<M: Modulus> std::ops::$assign for Fe<M> {
            #[inline(always)]
            fn $assign_method(&mut self, other: Self) {
                *self = std::ops::$trait::$method(*self, other);
            }
        }
    )*};
}

operators! {
    Add add AddAssign add_assign add_mod;
    Sub sub SubAssign sub_assign sub_mod;
    Mul mul MulAssign mul_assign mont_mul;
}

impl<M: Modulus> std::ops::Neg for Fe<M> {
    type Output = Self;

    #[inline(always)]
    fn neg(self) -> Self {
        Self::from_montgomery(neg_mod::<M>(&self.limbs))
    }
}

impl<M: Modulus> std::iter::Sum for Fe<M> {
    fn sum<I: Iterator<Item = Self>>(iter: I) -> Self {
        iter.fold(Self::ZERO, |a, b| a + b)
    }
}
