//! The two Pallas prime fields, in Montgomery form with R = 2^260.
//!
//! An element is four 64-bit limbs (32 bytes) holding `a R mod p`, always below `p`. R is 2^260
//! and not 2^256 so that the AVX-512 IFMA kernels, which work on five 52-bit limbs, share the
//! representation: the scalar path divides by 2^256 word by word and then takes one 4-bit step.
//!
//! Both moduli are `p = 2^254 + c` with `c < 2^126` and `p = 1 mod 2^32`; the reductions below
//! use both facts, and a test holds every [`Modulus`] to them.

mod arith;
mod element;
mod invert;
mod limbs;
mod modulus;
mod sqrt;
mod wide;

pub use element::{Fe, Fp, Fq};
pub use limbs::Limbs;
pub use modulus::{Base, Modulus, Order};
pub use sqrt::{Roots, SqrtTables};
pub use wide::Wide;
