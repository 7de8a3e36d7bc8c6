//! Four field elements in ten vectors of 26-bit limbs, lane by lane.
//!
//! Limbs are signed, so that differences go into products as they are. R = 2^260 is ten limbs, and
//! the lowest limb of p is one: a step of Montgomery's reduction takes away a multiple of p that is
//! the lowest limb itself, and p has but five other limbs that are not zero.

use super::columns;
use crate::field::{Fe, Limbs, Modulus};
use std::arch::x86_64::*;
use std::marker::PhantomData;

/// The body for each value of a constant.
macro_rules! unrolled {
    ($i:ident in [$($value:literal)*] $body:block) => {$(
        {
            const $i: usize = $value;
            $body
        }
    )*};
}

/// A vector of four 64-bit lanes.
pub(super) type V = __m256i;

pub(super) const BITS: i32 = 26;
pub(super) const MASK: i64 = (1 << BITS) - 1;
/// The bit of the top limb that counts 2^254.
pub(super) const TOP: i32 = 20;

/// 26-bit limbs of a number.
const fn limbs26(a: Limbs) -> [i64; 10] {
    let mut out = [0; 10];
    let mut i = 0;
    while i < 10 {
        let (word, shift) = (26 * i / 64, 26 * i % 64);
        let mut x = a[word] >> shift;
        if shift > 38 && word < 3 {
            x |= a[word + 1] << (64 - shift);
        }
        out[i] = x as i64 & MASK;
        i += 1;
    }
    out
}

/// Limbs of a modulus.
pub(super) struct Constants<M>(PhantomData<M>);

impl<M: Modulus> Constants<M> {
    pub(super) const P: [i64; 10] = {
        let p = limbs26(M::MODULUS);
        // What the reductions below count on.
        assert!(p[0] == 1 && p[5] == 0 && p[6] == 0 && p[7] == 0 && p[8] == 0);
        assert!(p[9] == 1 << TOP);
        p
    };
}

#[inline(always)]
pub(super) unsafe fn set1(x: i64) -> V {
    unsafe { _mm256_set1_epi64x(x) }
}

#[inline(always)]
pub(super) unsafe fn add(a: V, b: V) -> V {
    unsafe { _mm256_add_epi64(a, b) }
}

#[inline(always)]
pub(super) unsafe fn sub(a: V, b: V) -> V {
    unsafe { _mm256_sub_epi64(a, b) }
}

#[inline(always)]
pub(super) unsafe fn low_bits(a: V) -> V {
    unsafe { _mm256_and_si256(a, set1(MASK)) }
}

/// Products of 32-bit numbers with signs.
#[inline(always)]
pub(super) unsafe fn mul(a: V, b: V) -> V {
    unsafe { _mm256_mul_epi32(a, b) }
}

/// There is no arithmetic shift of 64-bit lanes. A column carries 2^63 more than its value, which
/// makes 2^37 of the carry that a logical shift takes out of it, and the next column begins with so
/// much less. The lowest bits stay as they are, and in all nothing is added.
pub(super) const FIRST: i64 = i64::MIN;
pub(super) const NEXT: i64 = i64::MIN.wrapping_sub(1 << (63 - BITS));
pub(super) const LAST: i64 = -(1 << (63 - BITS));

/// Carries between columns that begin with [`FIRST`], [`NEXT`], .. and [`LAST`].
#[inline(always)]
pub(super) unsafe fn carry_columns<const N: usize>(mut z: [V; N]) -> [V; N] {
    unsafe {
        for i in 0..N - 1 {
            z[i + 1] = add(z[i + 1], _mm256_srli_epi64::<BITS>(z[i]));
            z[i] = low_bits(z[i]);
        }
    }
    z
}

/// Columns of a product, before anything is added.
#[inline(always)]
unsafe fn started() -> [V; 20] {
    unsafe {
        let mut z = [set1(NEXT); 20];
        (z[0], z[19]) = (set1(FIRST), set1(LAST));
        z
    }
}

/// Takes the multiple of p from column `I` on that leaves nothing of this column but its carry.
#[inline(always)]
unsafe fn reduce_column<M: Modulus, const I: usize>(z: &mut [V; 20]) {
    let p = Constants::<M>::P;
    unsafe {
        // z - m p for m = z mod 2^26: the lowest limb of p takes away these bits.
        let m = low_bits(z[I]);
        z[I + 1] = add(z[I + 1], _mm256_srli_epi64::<BITS>(z[I]));
        for j in 1..5 {
            z[I + j] = sub(z[I + j], mul(m, set1(p[j])));
        }
        z[I + 9] = sub(z[I + 9], _mm256_slli_epi64::<TOP>(m));
    }
}

/// Carries between limbs of at most 31 bits and a sign; the top limb keeps the sign.
#[inline(always)]
unsafe fn carry_limbs(mut z: [V; 10]) -> [V; 10] {
    unsafe {
        for i in 0..9 {
            // The upper half of a lane is the sign, and stays so.
            z[i + 1] = add(z[i + 1], _mm256_srai_epi32::<BITS>(z[i]));
            z[i] = low_bits(z[i]);
        }
    }
    z
}

/// Four elements in limbs of at most 28 bits and a sign, between -8p and 8p.
#[derive(Copy, Clone)]
pub(super) struct Fe4<M> {
    pub(super) limbs: [V; 10],
    modulus: PhantomData<M>,
}

impl<M: Modulus> Fe4<M> {
    #[inline(always)]
    pub(super) fn from_limbs(limbs: [V; 10]) -> Self {
        Self {
            limbs,
            modulus: PhantomData,
        }
    }

    /// The same element in every lane.
    #[inline(always)]
    pub(super) unsafe fn broadcast(a: &Fe<M>) -> Self {
        let mut limbs = [unsafe { set1(0) }; 10];
        for (limb, x) in limbs.iter_mut().zip(limbs26(*a.montgomery())) {
            *limb = unsafe { set1(x) };
        }
        Self::from_limbs(limbs)
    }

    /// `self + other`, not reduced: limbs grow.
    #[inline(always)]
    pub(super) unsafe fn plus(self, other: Self) -> Self {
        let mut limbs = self.limbs;
        for (a, b) in limbs.iter_mut().zip(other.limbs) {
            *a = unsafe { add(*a, b) };
        }
        Self::from_limbs(limbs)
    }

    /// `self - other`, not reduced: limbs grow.
    #[inline(always)]
    pub(super) unsafe fn minus(self, other: Self) -> Self {
        let mut limbs = self.limbs;
        for (a, b) in limbs.iter_mut().zip(other.limbs) {
            *a = unsafe { sub(*a, b) };
        }
        Self::from_limbs(limbs)
    }

    /// `self other / R`.
    #[inline(always)]
    pub(super) unsafe fn times(self, other: Self) -> Self {
        unsafe { Self::products([self], [other]) }
    }

    /// `self^2 / R`: products of different limbs are made once and doubled.
    #[inline(always)]
    pub(super) unsafe fn squared(self) -> Self {
        let a = self.limbs;
        unsafe {
            let mut z = started();
            unrolled! { I in [0 1 2 3 4 5 6 7 8 9] {
                let twice = add(a[I], a[I]);
                z[2 * I] = add(z[2 * I], mul(a[I], a[I]));
                for (z, limb) in z[2 * I + 1..].iter_mut().zip(&a[I + 1..]) {
                    *z = add(*z, mul(twice, *limb));
                }
                reduce_column::<M, I>(&mut z);
            }}
            Self::finished(z)
        }
    }

    /// `sum_n a_n b_n / R` with limbs of 26 bits, between `sum / R - p` and `sum / R`.
    ///
    /// Rows of the product and steps of the reduction by turns, so that ten columns are enough.
    #[inline(always)]
    pub(super) unsafe fn products<const N: usize>(a: [Self; N], b: [Self; N]) -> Self {
        unsafe {
            let mut z = started();
            unrolled! { I in [0 1 2 3 4 5 6 7 8 9] {
                for (a, b) in a.iter().zip(&b) {
                    for j in 0..10 {
                        z[I + j] = add(z[I + j], mul(a.limbs[I], b.limbs[j]));
                    }
                }
                reduce_column::<M, I>(&mut z);
            }}
            Self::finished(z)
        }
    }

    /// The upper ten columns.
    #[inline(always)]
    unsafe fn finished([.., a, b, c, d, e, f, g, h, i, j]: [V; 20]) -> Self {
        Self::from_limbs(unsafe { carry_columns([a, b, c, d, e, f, g, h, i, j]) })
    }

    /// The canonical representative.
    #[inline(always)]
    pub(super) unsafe fn canonical(self) -> Self {
        let p = Constants::<M>::P;
        unsafe {
            let mut l = self.limbs;
            // v = q 2^254 + low = low - q c mod p. Carries to come may make q one more.
            let q = _mm256_srai_epi32::<TOP>(l[9]);
            l[9] = _mm256_and_si256(l[9], set1((1 << TOP) - 1));
            l[0] = sub(l[0], q);
            for i in 1..5 {
                l[i] = sub(l[i], mul(q, set1(p[i])));
            }
            Self::from_limbs(carry_limbs(l)).settled()
        }
    }

    /// The canonical representative of numbers between -p and 2p with carried limbs, nearly all
    /// of which are between 0 and 2^254 and so below p.
    #[inline(always)]
    pub(super) unsafe fn settled(self) -> Self {
        unsafe {
            let top = self.limbs[9];
            let outside = _mm256_or_si256(top, sub(set1((1 << TOP) - 1), top));
            if _mm256_movemask_pd(_mm256_castsi256_pd(outside)) == 0 {
                return self;
            }
            self.corrected()
        }
    }

    /// [`Self::settled`], whatever the numbers.
    #[cold]
    #[inline(never)]
    unsafe fn corrected(self) -> Self {
        let p = Constants::<M>::P;
        let mut lanes = [[0i64; 4]; 10];
        unsafe {
            for (lanes, limb) in lanes.iter_mut().zip(self.limbs) {
                _mm256_storeu_si256(lanes.as_mut_ptr().cast(), limb);
            }
            for lane in 0..4 {
                let plus = |sign: i64, lanes: &[[i64; 4]; 10]| {
                    let mut carry = 0;
                    let mut out: [i64; 10] = std::array::from_fn(|i| {
                        carry += lanes[i][lane] + sign * p[i];
                        let limb = carry & MASK;
                        carry >>= BITS;
                        limb
                    });
                    out[9] += carry << BITS;
                    out
                };
                let sum = plus(if lanes[9][lane] < 0 { 1 } else { -1 }, &lanes);
                if sum[9] >= 0 {
                    for (lanes, limb) in lanes.iter_mut().zip(sum) {
                        lanes[lane] = limb;
                    }
                }
            }
            Self::from_limbs(lanes.map(|x| _mm256_loadu_si256(x.as_ptr().cast())))
        }
    }
}

/// Sums of products in columns of weight 2^(26 k): up to [`LAZY`] products of limbs of 26 bits
/// and a sign before they overflow.
#[derive(Copy, Clone)]
pub(super) struct Sum4<M> {
    columns: [V; 19],
    modulus: PhantomData<M>,
}

/// See [`Sum4`]: `10 LAZY 2^52 < 2^63`.
pub(super) const LAZY: usize = 192;

impl<M: Modulus> Sum4<M> {
    #[inline(always)]
    pub(super) unsafe fn zero() -> Self {
        Self {
            columns: [unsafe { _mm256_setzero_si256() }; 19],
            modulus: PhantomData,
        }
    }

    /// Adds `a b`.
    #[inline(always)]
    pub(super) unsafe fn add_product(&mut self, a: Fe4<M>, b: Fe4<M>) {
        let z = &mut self.columns;
        unrolled! { I in [0 1 2 3 4 5 6 7 8 9] {
            for j in 0..10 {
                z[I + j] = unsafe { add(z[I + j], mul(a.limbs[I], b.limbs[j])) };
            }
        }}
    }

    /// The sum over the lanes, divided by R.
    #[inline(always)]
    pub(super) unsafe fn across(self) -> Fe<M> {
        let mut lanes = [[0i64; 4]; 20];
        for (out, column) in lanes.iter_mut().zip(self.columns) {
            unsafe { _mm256_storeu_si256(out.as_mut_ptr().cast(), column) };
        }
        columns::reduce(&lanes)
    }
}
