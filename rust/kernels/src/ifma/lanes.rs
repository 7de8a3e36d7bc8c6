//! Eight field elements in five vectors of 52-bit limbs, lane by lane.
//!
//! With R = 2^260 and p just above 2^254 there are six bits to spare: a product of values below
//! `2^k p` comes out below `(1 + 2^(2k-6)) p`, so sums of a few elements go into products as
//! they are, and only what is stored is brought below p.

use crate::field::{Fe, Modulus, Wide};
use std::arch::x86_64::*;
use std::marker::PhantomData;

/// A vector of eight 64-bit lanes.
pub(super) type V = __m512i;

pub(super) const MASK52: u64 = (1 << 52) - 1;

/// 52-bit limbs of a number.
const fn limbs52(a: [u64; 4]) -> [u64; 5] {
    [
        a[0] & MASK52,
        ((a[0] >> 52) | (a[1] << 12)) & MASK52,
        ((a[1] >> 40) | (a[2] << 24)) & MASK52,
        ((a[2] >> 28) | (a[3] << 36)) & MASK52,
        a[3] >> 16,
    ]
}

/// Limb `i` of `q c` for `q` in 0..8, where `p = 2^254 + c`.
const fn excess_table<M: Modulus>(i: usize) -> [u64; 8] {
    let p = limbs52(M::MODULUS);
    let mut table = [0; 8];
    let mut q = 0;
    while q < 8 {
        let mut carry = 0;
        let mut k = 0;
        while k <= i {
            let t = p[k] * q as u64 + carry;
            table[q] = t & MASK52;
            carry = t >> 52;
            k += 1;
        }
        q += 1;
    }
    table
}

/// Constants of a modulus.
pub(super) struct Constants<M>(PhantomData<M>);

impl<M: Modulus> Constants<M> {
    pub(super) const P: [u64; 5] = limbs52(M::MODULUS);
    pub(super) const NEG_INV: u64 = M::NEG_INV & MASK52;
    const EXCESS: [[u64; 8]; 3] = [
        excess_table::<M>(0),
        excess_table::<M>(1),
        excess_table::<M>(2),
    ];
}

#[inline(always)]
pub(super) unsafe fn set1(x: u64) -> V {
    unsafe { _mm512_set1_epi64(x as i64) }
}

/// Five numbers, each in all lanes.
#[inline(always)]
unsafe fn set5(x: [u64; 5]) -> [V; 5] {
    unsafe { [set1(x[0]), set1(x[1]), set1(x[2]), set1(x[3]), set1(x[4])] }
}

#[inline(always)]
unsafe fn add5(a: [V; 5], b: [V; 5]) -> [V; 5] {
    let mut out = a;
    for i in 0..5 {
        out[i] = unsafe { add(a[i], b[i]) };
    }
    out
}

#[inline(always)]
unsafe fn sub5(a: [V; 5], b: [V; 5]) -> [V; 5] {
    let mut out = a;
    for i in 0..5 {
        out[i] = unsafe { sub(a[i], b[i]) };
    }
    out
}

#[inline(always)]
pub(super) unsafe fn add(a: V, b: V) -> V {
    unsafe { _mm512_add_epi64(a, b) }
}

#[inline(always)]
pub(super) unsafe fn sub(a: V, b: V) -> V {
    unsafe { _mm512_sub_epi64(a, b) }
}

#[inline(always)]
unsafe fn low_bits(a: V) -> V {
    unsafe { _mm512_and_si512(a, set1(MASK52)) }
}

/// `c` plus the low half of the 104-bit product of the low 52 bits of `a` and `b`.
#[inline(always)]
pub(super) unsafe fn mac_low(c: V, a: V, b: V) -> V {
    unsafe { _mm512_madd52lo_epu64(c, a, b) }
}

/// `c` plus the high half.
#[inline(always)]
pub(super) unsafe fn mac_high(c: V, a: V, b: V) -> V {
    unsafe { _mm512_madd52hi_epu64(c, a, b) }
}

/// Eight elements, below a small multiple of p, in limbs of 52 bits.
#[derive(Copy, Clone)]
pub(super) struct Fe8<M> {
    pub(super) limbs: [V; 5],
    modulus: PhantomData<M>,
}

impl<M: Modulus> Fe8<M> {
    #[inline(always)]
    pub(super) fn from_limbs(limbs: [V; 5]) -> Self {
        Self {
            limbs,
            modulus: PhantomData,
        }
    }

    /// The same element in every lane.
    #[inline(always)]
    pub(super) unsafe fn broadcast(a: &Fe<M>) -> Self {
        unsafe { Self::from_limbs(set5(limbs52(*a.montgomery()))) }
    }

    /// From 64-bit limbs.
    #[inline(always)]
    pub(super) unsafe fn unpack(w: [V; 4]) -> Self {
        unsafe {
            Self::from_limbs([
                low_bits(w[0]),
                low_bits(_mm512_shrdi_epi64::<52>(w[0], w[1])),
                low_bits(_mm512_shrdi_epi64::<40>(w[1], w[2])),
                low_bits(_mm512_shrdi_epi64::<28>(w[2], w[3])),
                _mm512_srli_epi64::<16>(w[3]),
            ])
        }
    }

    /// To 64-bit limbs, for a value below 2^256.
    #[inline(always)]
    pub(super) unsafe fn pack(self) -> [V; 4] {
        let l = self.limbs;
        unsafe {
            let or = |a, b| _mm512_or_si512(a, b);
            [
                or(l[0], _mm512_slli_epi64::<52>(l[1])),
                or(_mm512_srli_epi64::<12>(l[1]), _mm512_slli_epi64::<40>(l[2])),
                or(_mm512_srli_epi64::<24>(l[2]), _mm512_slli_epi64::<28>(l[3])),
                or(_mm512_srli_epi64::<36>(l[3]), _mm512_slli_epi64::<16>(l[4])),
            ]
        }
    }

    /// Carries between limbs that are sums of up to 2^11 others, none negative.
    #[inline(always)]
    pub(super) unsafe fn carry(z: [V; 5]) -> Self {
        unsafe {
            let mut limbs = z;
            for i in 0..4 {
                limbs[i + 1] = add(limbs[i + 1], _mm512_srli_epi64::<52>(limbs[i]));
                limbs[i] = low_bits(limbs[i]);
            }
            Self::from_limbs(limbs)
        }
    }

    /// Carries between limbs that may be negative; the top limb keeps the sign.
    #[inline(always)]
    pub(super) unsafe fn carry_signed(z: [V; 5]) -> Self {
        unsafe {
            let mut limbs = z;
            for i in 0..4 {
                limbs[i + 1] = add(limbs[i + 1], _mm512_srai_epi64::<52>(limbs[i]));
                limbs[i] = low_bits(limbs[i]);
            }
            Self::from_limbs(limbs)
        }
    }

    /// `self + other`, not reduced.
    #[inline(always)]
    pub(super) unsafe fn plus(self, other: Self) -> Self {
        unsafe { Self::carry(add5(self.limbs, other.limbs)) }
    }

    /// `self + a + b`, not reduced.
    #[inline(always)]
    pub(super) unsafe fn plus2(self, a: Self, b: Self) -> Self {
        unsafe { Self::carry(add5(self.limbs, add5(a.limbs, b.limbs))) }
    }

    /// `self - other + p`, not reduced, for `other` at most p.
    #[inline(always)]
    pub(super) unsafe fn minus(self, other: Self) -> Self {
        unsafe {
            let difference = sub5(self.limbs, other.limbs);
            Self::carry_signed(add5(difference, set5(Constants::<M>::P)))
        }
    }

    /// `self other / R`, below 2p for factors below 8p.
    #[inline(always)]
    pub(super) unsafe fn times(self, other: Self) -> Self {
        unsafe {
            let mut sum = Sum8::zero();
            sum.add_product(self, other);
            sum.reduce()
        }
    }

    /// Two products at once; see [`Sum8::reduce_all`].
    #[inline(always)]
    pub(super) unsafe fn times2(a: [Self; 2], b: [Self; 2]) -> [Self; 2] {
        unsafe {
            let mut sums = [Sum8::zero(); 2];
            sums[0].add_product(a[0], b[0]);
            sums[1].add_product(a[1], b[1]);
            Sum8::reduce_all(sums)
        }
    }

    /// Two squares; see [`Self::times2`].
    #[inline(always)]
    pub(super) unsafe fn square2(a: [Self; 2]) -> [Self; 2] {
        unsafe { Sum8::reduce_all([Sum8::square(a[0]), Sum8::square(a[1])]) }
    }

    /// The canonical representative of a value below 2^257.
    #[inline(always)]
    pub(super) unsafe fn canonical(self) -> Self {
        unsafe {
            let l = self.limbs;
            // v = q 2^254 + low = low - q c mod p, with q < 8 from a table.
            let q = _mm512_srli_epi64::<46>(l[4]);
            let [e0, e1, e2] = Constants::<M>::EXCESS;
            let e0 = _mm512_permutexvar_epi64(q, _mm512_loadu_si512(e0.as_ptr().cast()));
            let e1 = _mm512_permutexvar_epi64(q, _mm512_loadu_si512(e1.as_ptr().cast()));
            let e2 = _mm512_permutexvar_epi64(q, _mm512_loadu_si512(e2.as_ptr().cast()));
            let top = _mm512_and_si512(l[4], set1((1 << 46) - 1));
            let r = Self::carry_signed([sub(l[0], e0), sub(l[1], e1), sub(l[2], e2), l[3], top]);
            // Only values within 2^129 of a multiple of 2^254 come out negative.
            let negative = _mm512_movepi64_mask(r.limbs[4]);
            if negative == 0 {
                return r;
            }
            let mut fixed = r.limbs;
            for (limb, p) in fixed.iter_mut().zip(Constants::<M>::P) {
                *limb = _mm512_mask_add_epi64(*limb, negative, *limb, set1(p));
            }
            Self::carry_signed(fixed)
        }
    }
}

/// Sums of products in ten columns of weight 2^(52 k): up to 256 products before they overflow.
#[derive(Copy, Clone)]
pub(super) struct Sum8<M> {
    columns: [V; 10],
    modulus: PhantomData<M>,
}

impl<M: Modulus> Sum8<M> {
    #[inline(always)]
    pub(super) unsafe fn zero() -> Self {
        Self {
            columns: [unsafe { _mm512_setzero_si512() }; 10],
            modulus: PhantomData,
        }
    }

    /// The square of `a`: products of different limbs are made once and doubled.
    #[inline(always)]
    unsafe fn square(a: Fe8<M>) -> Self {
        let a = a.limbs;
        unsafe {
            let mut z = Self::zero().columns;
            z[1] = mac_low(z[1], a[0], a[1]);
            z[2] = mac_high(z[2], a[0], a[1]);
            z[3] = mac_low(z[3], a[0], a[3]);
            z[4] = mac_high(z[4], a[0], a[3]);
            z[5] = mac_low(z[5], a[1], a[4]);
            z[6] = mac_high(z[6], a[1], a[4]);
            z[7] = mac_low(z[7], a[3], a[4]);
            z[8] = mac_high(z[8], a[3], a[4]);
            z[2] = mac_low(z[2], a[0], a[2]);
            z[3] = mac_high(z[3], a[0], a[2]);
            z[4] = mac_low(z[4], a[0], a[4]);
            z[5] = mac_high(z[5], a[0], a[4]);
            z[6] = mac_low(z[6], a[2], a[4]);
            z[7] = mac_high(z[7], a[2], a[4]);
            z[3] = mac_low(z[3], a[1], a[2]);
            z[4] = mac_high(z[4], a[1], a[2]);
            z[5] = mac_low(z[5], a[2], a[3]);
            z[6] = mac_high(z[6], a[2], a[3]);
            z[4] = mac_low(z[4], a[1], a[3]);
            z[5] = mac_high(z[5], a[1], a[3]);
            for column in &mut z[1..9] {
                *column = add(*column, *column);
            }
            for i in 0..5 {
                z[2 * i] = mac_low(z[2 * i], a[i], a[i]);
                z[2 * i + 1] = mac_high(z[2 * i + 1], a[i], a[i]);
            }
            Self {
                columns: z,
                modulus: PhantomData,
            }
        }
    }

    /// Adds `a b`.
    #[inline(always)]
    pub(super) unsafe fn add_product(&mut self, a: Fe8<M>, b: Fe8<M>) {
        let z = &mut self.columns;
        for i in 0..5 {
            for j in 0..5 {
                unsafe {
                    z[i + j] = mac_low(z[i + j], a.limbs[i], b.limbs[j]);
                    z[i + j + 1] = mac_high(z[i + j + 1], a.limbs[i], b.limbs[j]);
                }
            }
        }
    }

    /// `sum / R`, below `sum / R + p`.
    #[inline(always)]
    pub(super) unsafe fn reduce(self) -> Fe8<M> {
        unsafe { Self::reduce_all([self])[0] }
    }

    /// [`Self::reduce`] of several sums at once: each step waits for the one before, so that two
    /// side by side take little longer than one.
    #[inline(always)]
    pub(super) unsafe fn reduce_all<const N: usize>(sums: [Self; N]) -> [Fe8<M>; N] {
        unsafe {
            let p = set5(Constants::<M>::P);
            let neg_inv = set1(Constants::<M>::NEG_INV);
            let zero = _mm512_setzero_si512();
            let mut sums = sums;
            let mut m = [zero; N];
            for i in 0..5 {
                for (m, sum) in m.iter_mut().zip(&sums) {
                    *m = mac_low(zero, sum.columns[i], neg_inv);
                }
                for (&m, sum) in m.iter().zip(&mut sums) {
                    let z = &mut sum.columns;
                    // z[i] + low(m p0) = 0 mod 2^52: the carry is that of rounding z[i] up.
                    let carry = _mm512_srli_epi64::<52>(add(z[i], set1(MASK52)));
                    z[i + 1] = add(z[i + 1], carry);
                    z[i + 1] = mac_high(z[i + 1], m, p[0]);
                    z[i + 1] = mac_low(z[i + 1], m, p[1]);
                    z[i + 2] = mac_high(z[i + 2], m, p[1]);
                    z[i + 2] = mac_low(z[i + 2], m, p[2]);
                    z[i + 3] = mac_high(z[i + 3], m, p[2]);
                    // p[3] = 0.
                    z[i + 4] = mac_low(z[i + 4], m, p[4]);
                    z[i + 5] = mac_high(z[i + 5], m, p[4]);
                }
            }
            let mut out = [Fe8::from_limbs([zero; 5]); N];
            for (out, sum) in out.iter_mut().zip(&sums) {
                let z = &sum.columns;
                *out = Fe8::carry([z[5], z[6], z[7], z[8], z[9]]);
            }
            out
        }
    }

    /// The sum over the lanes.
    #[inline(always)]
    pub(super) unsafe fn across(self) -> Wide<M> {
        let mut columns = [[0u64; 8]; 10];
        for (out, column) in columns.iter_mut().zip(self.columns) {
            unsafe { _mm512_storeu_si512(out.as_mut_ptr().cast(), column) };
        }
        Wide::from_columns(columns.map(|lanes| lanes.iter().map(|&x| x as u128).sum()))
    }
}
