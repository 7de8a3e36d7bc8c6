//! Powers with one exponent, for square roots.

use super::lanes::Fe4;
use super::machine::kernel;
use crate::field::{Base, Fp, Limbs};

type Lanes = Fe4<Base>;

kernel! {
    /// Powers with one exponent.
    pub(crate) unsafe fn power(bases: &[Fp; 16], exponent: &Limbs) -> [Fp; 16] {
        let mut out = [Fp::ZERO; 16];
        // SAFETY: the instructions exist.
        unsafe {
            for (out, bases) in out.as_chunks_mut().0.iter_mut().zip(bases.as_chunks().0) {
                let base = Lanes::load(bases);
                let mut table = [Lanes::broadcast(&Fp::ONE); 16];
                for i in 1..16 {
                    table[i] = table[i - 1].times(base);
                }
                let mut power = table[0];
                // Windows of four bits, most significant first.
                for window in (0..64).rev() {
                    for _ in 0..4 {
                        power = power.squared();
                    }
                    let digit = exponent[window / 16] >> (4 * (window % 16)) & 15;
                    power = power.times(table[digit as usize]);
                }
                power.canonical().store(out);
            }
        }
        out
    }
}
