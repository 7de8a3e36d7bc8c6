//! Inverses by the division steps of Bernstein and Yang (eprint 2019/266), 62 at a time.
//!
//! `f` starts as the modulus and `g` as the number; a step replaces `(f, g)` by combinations that
//! keep their greatest common divisor and make `g` even, and halves `g`. The steps of a round
//! depend on the low 62 bits only: they are done on single words and collected in a matrix, which
//! then is applied to the whole numbers, and modulo p to `(d, e)`, where `d x = f` and
//! `e x = g`. In the end `g = 0` and `f` is 1 or -1.

use super::limbs::Limbs;
use super::modulus::Modulus;

/// A number in 62-bit limbs; the last one carries the sign.
type Signed = [i64; 5];

const LOW: i64 = (1 << 62) - 1;

/// A matrix with rows `(u, v)` and `(q, r)`, times 2^62.
struct Steps {
    u: i64,
    v: i64,
    q: i64,
    r: i64,
}

/// `1 / x` modulo p for `x` in `1 .. p`, both plain numbers; the time depends on `x`.
pub(super) fn invert_vartime<M: Modulus>(x: &Limbs) -> Limbs {
    let p = from_limbs(&M::MODULUS);
    let (mut f, mut g) = (p, from_limbs(x));
    let (mut d, mut e): (Signed, Signed) = ([0; 5], [1, 0, 0, 0, 0]);
    let mut eta = -1;
    while g != [0; 5] {
        let steps;
        (eta, steps) = divide(eta, f[0] as u64, g[0] as u64);
        (d, e) = apply_modulo::<M>(&steps, &d, &e, &p);
        (f, g) = apply(&steps, &f, &g);
    }
    // d is above -2p and below p.
    let mut out = d;
    if out[4] < 0 {
        out = combine(&out, 1, &p);
    }
    if f[4] < 0 {
        out = combine(&[0; 5], -1, &out);
    }
    if out[4] < 0 {
        out = combine(&out, 1, &p);
    }
    to_limbs(&out)
}

/// 62 division steps on the low words; `eta` is the negated difference of degrees.
fn divide(mut eta: i64, f: u64, g: u64) -> (i64, Steps) {
    let (mut f, mut g) = (f, g);
    let (mut u, mut v, mut q, mut r) = (1u64, 0u64, 0u64, 1u64);
    let mut left = 62;
    loop {
        let zeros = (g | (u64::MAX << left)).trailing_zeros();
        g >>= zeros;
        u <<= zeros;
        v <<= zeros;
        eta -= zeros as i64;
        left -= zeros;
        if left == 0 {
            break;
        }
        // Both are odd; add the multiple of f that clears several low bits of g.
        let swap = eta < 0;
        if swap {
            eta = -eta;
            (f, g) = (g, f.wrapping_neg());
            (u, q) = (q, u.wrapping_neg());
            (v, r) = (r, v.wrapping_neg());
        }
        // As many as may follow without another swap, and no more than the formula gives.
        let limit = (eta + 1).min(left as i64) as u32;
        let mask = (u64::MAX >> (64 - limit)) & 63;
        // f (2 - f^2) = 1 / f mod 64 for odd f.
        let w = f
            .wrapping_mul(g)
            .wrapping_mul(f.wrapping_mul(f).wrapping_sub(2))
            & mask;
        g = g.wrapping_add(f.wrapping_mul(w));
        q = q.wrapping_add(u.wrapping_mul(w));
        r = r.wrapping_add(v.wrapping_mul(w));
    }
    let [u, v, q, r] = [u, v, q, r].map(|x| x as i64);
    (eta, Steps { u, v, q, r })
}

#[inline(always)]
fn wide(a: i64, b: i64) -> i128 {
    a as i128 * b as i128
}

/// `steps (f, g) / 2^62`, exact.
fn apply(steps: &Steps, f: &Signed, g: &Signed) -> (Signed, Signed) {
    let row = |a: i64, b: i64| {
        let mut out = [0; 5];
        let mut sum = (wide(a, f[0]) + wide(b, g[0])) >> 62;
        for i in 1..5 {
            sum += wide(a, f[i]) + wide(b, g[i]);
            out[i - 1] = sum as i64 & LOW;
            sum >>= 62;
        }
        out[4] = sum as i64;
        out
    };
    (row(steps.u, steps.v), row(steps.q, steps.r))
}

/// `steps (d, e) / 2^62` modulo p; both stay above -2p and below p.
fn apply_modulo<M: Modulus>(steps: &Steps, d: &Signed, e: &Signed, p: &Signed) -> (Signed, Signed) {
    let row = |a: i64, b: i64| {
        // One p for each negative number, then the multiple that clears the low limb.
        let negative = (a & (d[4] >> 63)) + (b & (e[4] >> 63));
        let low = wide(a, d[0]) + wide(b, e[0]);
        // 1/p = -NEG_INV.
        let inexact = (low as i64).wrapping_mul((M::NEG_INV as i64).wrapping_neg());
        let multiple = negative - (inexact.wrapping_add(negative) & LOW);
        let mut out = [0; 5];
        let mut sum = (low + wide(p[0], multiple)) >> 62;
        for i in 1..5 {
            sum += wide(a, d[i]) + wide(b, e[i]) + wide(p[i], multiple);
            out[i - 1] = sum as i64 & LOW;
            sum >>= 62;
        }
        out[4] = sum as i64;
        out
    };
    (row(steps.u, steps.v), row(steps.q, steps.r))
}

/// `a + sign b`.
fn combine(a: &Signed, sign: i64, b: &Signed) -> Signed {
    let mut out = [0; 5];
    let mut sum = 0;
    for i in 0..5 {
        sum += a[i] + sign * b[i];
        out[i] = if i < 4 { sum & LOW } else { sum };
        sum >>= 62;
    }
    out
}

fn from_limbs(a: &Limbs) -> Signed {
    let low = LOW as u64;
    [
        a[0] & low,
        ((a[0] >> 62) | (a[1] << 2)) & low,
        ((a[1] >> 60) | (a[2] << 4)) & low,
        ((a[2] >> 58) | (a[3] << 6)) & low,
        a[3] >> 56,
    ]
    .map(|x| x as i64)
}

fn to_limbs(a: &Signed) -> Limbs {
    let a = a.map(|x| x as u64);
    [
        a[0] | a[1] << 62,
        a[1] >> 2 | a[2] << 60,
        a[2] >> 4 | a[3] << 58,
        a[3] >> 6 | a[4] << 56,
    ]
}

#[cfg(test)]
mod tests {
    use crate::field::{Base, Fe, Modulus, Order};

    fn check<M: Modulus>() {
        let mut random = Fe::<M>::from_u64(7);
        for i in 1..3000u64 {
            let small = Fe::from_montgomery([i, 0, 0, 0]);
            let power = Fe::from_montgomery(std::array::from_fn(|k| {
                u64::from(i as usize % 254 / 64 == k) << (i % 254 % 64)
            }));
            for x in [random, small, -small, Fe::from_u64(i), power] {
                assert_eq!(x * x.invert_vartime().expect("not zero"), Fe::ONE);
            }
            random = random.square() + Fe::ONE;
        }
        assert!(Fe::<M>::ZERO.invert_vartime().is_none());
    }

    #[test]
    fn inverses_multiply_to_one() {
        check::<Base>();
        check::<Order>();
    }
}
