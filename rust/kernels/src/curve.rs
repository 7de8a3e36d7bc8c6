//! The Pallas group: y^2 = x^3 + 5 over [`Fp`], of prime order.
//!
//! Every function is total: equal points, opposite points and the identity are all handled. No
//! point has x = 0 (5 is not a square) and none has y = 0 (the order is odd); the code uses both.

use crate::field::Fp;

/// An affine point; the identity, which has no affine coordinates, is (0, 0).
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct Affine {
    /// Abscissa.
    pub x: Fp,
    /// Ordinate.
    pub y: Fp,
}

/// Bytes of both coordinates of a point.
pub const COORDINATE_BYTES: usize = 64;
/// Bytes of an encoded point.
pub const POINT_BYTES: usize = 32;

fn curve_b() -> Fp {
    Fp::from_u64(5)
}

impl Affine {
    /// The neutral element.
    pub const IDENTITY: Self = Self {
        x: Fp::ZERO,
        y: Fp::ZERO,
    };

    /// Points as coordinates in Montgomery form, seen in place. Limbs that are no point break no
    /// memory safety, but the arithmetic on them is wrong.
    pub fn slice_of_limbs(limbs: &[[u64; 8]]) -> &[Self] {
        // SAFETY: two transparent wrappers of [u64; 4] in C layout are a [u64; 8].
        unsafe { std::slice::from_raw_parts(limbs.as_ptr().cast(), limbs.len()) }
    }

    /// The coordinates of points; nothing is copied.
    pub fn into_limbs(points: Vec<Self>) -> Vec<[u64; 8]> {
        let mut points = std::mem::ManuallyDrop::new(points);
        // SAFETY: same size and alignment, as in `slice_of_limbs`; the allocation changes hands
        // exactly once.
        unsafe { Vec::from_raw_parts(points.as_mut_ptr().cast(), points.len(), points.capacity()) }
    }

    /// Whether this is the neutral element.
    #[inline(always)]
    pub fn is_identity(&self) -> bool {
        self.x.is_zero()
    }

    /// `-self` where `negative`, else `self`.
    #[inline(always)]
    pub fn negate_if(self, negative: bool) -> Self {
        if negative { -self } else { self }
    }

    /// Whether the coordinates satisfy the equation (the identity counts).
    pub fn is_on_curve(&self) -> bool {
        (self.x.is_zero() && self.y.is_zero())
            || self.y.square() == self.x.square() * self.x + curve_b()
    }

    /// Both coordinates, little-endian; zeros for the identity.
    pub fn to_coordinates(&self) -> [u8; COORDINATE_BYTES] {
        let mut out = [0; COORDINATE_BYTES];
        out[..32].copy_from_slice(&self.x.to_bytes());
        out[32..].copy_from_slice(&self.y.to_bytes());
        out
    }

    /// Inverse of [`Affine::to_coordinates`]; `None` for all other bytes.
    pub fn from_coordinates(bytes: &[u8; COORDINATE_BYTES]) -> Option<Self> {
        let (halves, _) = bytes.as_chunks::<32>();
        let (x, y) = (Fp::from_bytes(&halves[0])?, Fp::from_bytes(&halves[1])?);
        Some(Self { x, y }).filter(Self::is_on_curve)
    }

    /// Canonical encoding: x little-endian, top bit = parity of y; zeros for the identity.
    pub fn to_bytes(&self) -> [u8; POINT_BYTES] {
        let mut out = self.x.to_bytes();
        out[31] |= (self.y.is_odd() as u8) << 7;
        out
    }

    /// Inverse of [`Affine::to_bytes`]; `None` for all other bytes.
    pub fn from_bytes(bytes: &[u8; POINT_BYTES]) -> Option<Self> {
        let encoded = Encoded::parse(bytes)?;
        encoded.finish(encoded.square().sqrt())
    }
}

/// What an encoding says: the abscissa and whether the ordinate is odd.
#[derive(Copy, Clone)]
pub(crate) struct Encoded {
    x: Fp,
    odd: bool,
}

impl Encoded {
    pub(crate) fn parse(bytes: &[u8; POINT_BYTES]) -> Option<Self> {
        let mut low = *bytes;
        let odd = low[31] >> 7 == 1;
        low[31] &= 0x7f;
        let x = Fp::from_bytes(&low)?;
        // x = 0 stands for the identity, which has no sign.
        (!x.is_zero() || !odd).then_some(Self { x, odd })
    }

    /// The square of the ordinate.
    pub(crate) fn square(&self) -> Fp {
        self.x.square() * self.x + curve_b()
    }

    /// The point, given a root of [`Encoded::square`] where there is one.
    pub(crate) fn finish(&self, root: Option<Fp>) -> Option<Affine> {
        if self.x.is_zero() {
            return Some(Affine::IDENTITY);
        }
        let y = root?;
        Some(Affine { x: self.x, y }.negate_if(y.is_odd() != self.odd))
    }
}

impl std::ops::Neg for Affine {
    type Output = Self;

    #[inline(always)]
    fn neg(self) -> Self {
        Self {
            x: self.x,
            y: -self.y,
        }
    }
}

impl std::ops::Add for Affine {
    type Output = Self;

    /// One addition with its own inversion; slow, for exceptional cases.
    fn add(self, other: Self) -> Self {
        let mut sum = Xyzz::from(self);
        sum.add_affine(&other);
        sum.to_affine()
    }
}

/// A point as `(X / ZZ, Y / ZZZ)` with `ZZ^3 = ZZZ^2`; the identity has `ZZ = 0`.
///
/// Formulas: madd-2008-s, add-2008-s and dbl-2008-s-1 for a = 0.
#[derive(Copy, Clone, Debug)]
pub struct Xyzz {
    x: Fp,
    y: Fp,
    zz: Fp,
    zzz: Fp,
}

impl From<Affine> for Xyzz {
    fn from(p: Affine) -> Self {
        let z = if p.is_identity() { Fp::ZERO } else { Fp::ONE };
        Self {
            x: p.x,
            y: p.y,
            zz: z,
            zzz: z,
        }
    }
}

impl Xyzz {
    /// The neutral element.
    pub const IDENTITY: Self = Self {
        x: Fp::ZERO,
        y: Fp::ZERO,
        zz: Fp::ZERO,
        zzz: Fp::ZERO,
    };

    /// Whether this is the neutral element.
    #[inline(always)]
    pub fn is_identity(&self) -> bool {
        self.zz.is_zero()
    }

    /// `self = 2 self`.
    pub fn double(&mut self) {
        // The identity stays: ZZ is multiplied.
        let u = self.y.double();
        let v = u.square();
        let w = u * v;
        let s = self.x * v;
        let xx = self.x.square();
        let m = xx.double() + xx;
        let x = m.square() - s.double();
        self.y = m * (s - x) - w * self.y;
        self.x = x;
        self.zz *= v;
        self.zzz *= w;
    }

    /// `self += other`.
    pub fn add_affine(&mut self, other: &Affine) {
        if other.is_identity() {
            return;
        }
        if self.is_identity() {
            *self = (*other).into();
            return;
        }
        let p = other.x * self.zz - self.x;
        let r = other.y * self.zzz - self.y;
        self.finish(p, r, self.x, self.y, self.zz, self.zzz);
    }

    /// `self += other`.
    pub fn add(&mut self, other: &Self) {
        if other.is_identity() {
            return;
        }
        if self.is_identity() {
            *self = *other;
            return;
        }
        let (u, s) = (self.x * other.zz, self.y * other.zzz);
        let p = other.x * self.zz - u;
        let r = other.y * self.zzz - s;
        let (zz, zzz) = (self.zz * other.zz, self.zzz * other.zzz);
        self.finish(p, r, u, s, zz, zzz);
    }

    #[inline(always)]
    pub(crate) fn finish(&mut self, p: Fp, r: Fp, u: Fp, s: Fp, zz: Fp, zzz: Fp) {
        if p.is_zero() {
            if r.is_zero() {
                self.double();
            } else {
                *self = Self::IDENTITY;
            }
            return;
        }
        let pp = p.square();
        let ppp = p * pp;
        let q = u * pp;
        let x = r.square() - ppp - q.double();
        *self = Self {
            x,
            y: r * (q - x) - s * ppp,
            zz: zz * pp,
            zzz: zzz * ppp,
        };
    }

    /// Affine coordinates, with one inversion.
    pub fn to_affine(&self) -> Affine {
        Self::batch_to_affine(&[*self])[0]
    }

    /// Affine coordinates, with one inversion for all.
    pub fn batch_to_affine(points: &[Self]) -> Vec<Affine> {
        let mut inverses: Vec<Fp> = points.iter().map(|p| p.zz * p.zzz).collect();
        Fp::batch_invert(&mut inverses);
        points
            .iter()
            .zip(inverses)
            .map(|(p, i)| {
                // The inverse of zero is taken as zero: the identity comes out as (0, 0).
                Affine {
                    x: p.x * i * p.zzz,
                    y: p.y * i * p.zz,
                }
            })
            .collect()
    }
}
