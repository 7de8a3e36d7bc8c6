//! Every kernel against its portable twin.

use super::supported;
use crate::field::{Fp, Fq, Modulus, Order};
use crate::fractions::{portable, short::portable as short};
use crate::{affine, sumcheck, vector};
use proptest::prelude::*;

/// Uniform elements and, often, ones where carries and reductions happen.
fn element() -> impl Strategy<Value = Fq> {
    let below = |k: u64| {
        let mut limbs = Order::MODULUS;
        limbs[0] -= k;
        limbs
    };
    prop_oneof![
        4 => any::<[[u8; 32]; 2]>()
            .prop_map(|halves| Fq::from_wide_bytes(halves.as_flattened().try_into().expect("64"))),
        1 => (1u64..4).prop_map(move |k| Fq::from_montgomery(below(k))),
        1 => (0u64..4).prop_map(|k| Fq::from_montgomery([k, 0, 0, 0])),
        1 => (0u64..4).prop_map(|k| Fq::from_montgomery([k, 0, 0, 1 << 62])),
        1 => Just(Fq::from_montgomery([u64::MAX, u64::MAX, u64::MAX, (1 << 62) - 1])),
    ]
}

/// Vectors of one length: around a register, and across an emptying of the sums.
fn vectors(count: usize) -> impl Strategy<Value = Vec<Vec<Fq>>> {
    let length = prop_oneof![6 => 0usize..40, 1 => 1100usize..1200];
    // A short random vector, repeated, is random enough for the long ones.
    (
        length,
        prop::collection::vec(prop::collection::vec(element(), 37), count),
    )
        .prop_map(|(n, bases)| {
            let cut = |base: &Vec<Fq>| base.iter().copied().cycle().take(n).collect();
            bases.iter().map(cut).collect()
        })
}

/// Integers of 16 bits, often the greatest, also where they are read without a sign.
fn extreme() -> impl Strategy<Value = i16> {
    prop_oneof![
        any::<i16>(),
        Just(i16::MIN),
        Just(i16::MAX),
        Just(-1),
        Just(0)
    ]
}

fn zeros(n: usize) -> Vec<Fq> {
    vec![Fq::ZERO; n]
}

macro_rules! same {
    ($length:expr, |$out:ident| $fast:expr, $slow:expr) => {{
        let $out = &mut zeros($length)[..];
        // SAFETY: the test returned where the machine lacks the instructions.
        unsafe { $fast };
        let fast = $out.to_vec();
        let $out = &mut zeros($length)[..];
        $slow;
        prop_assert_eq!(fast, $out.to_vec());
    }};
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn vectors_agree(v in vectors(2), s in element(), t in element()) {
        if !supported() {
            return Ok(());
        }
        let (a, b) = (&v[0], &v[1]);
        same!(a.len(), |o| super::mul(o, a, b), vector::portable::mul(o, a, b));
        same!(a.len(), |o| super::scale(o, s, b), vector::portable::scale(o, s, b));
        let parts = [&a[..], &b[..b.len() / 2]];
        same!(
            a.len(),
            |o| super::lincomb(o, &parts, &[s, t], 0),
            vector::portable::lincomb(o, &parts, &[s, t], 0)
        );
        // SAFETY: see above.
        prop_assert_eq!(unsafe { super::dot(a, b) }, vector::portable::dot(a, b));
    }

    #[test]
    fn sumchecks_agree(v in vectors(2), r in element()) {
        if !supported() {
            return Ok(());
        }
        let even = v[0].len() / 2 * 2;
        let (a, b) = (&v[0][..even], &v[1][..even]);
        same!(even / 2, |o| super::fold(o, a, r), sumcheck::portable::fold(o, a, r));
        // SAFETY: see above.
        prop_assert_eq!(unsafe { super::product(a, b) }, sumcheck::portable::product(a, b));
    }

    #[test]
    fn fractions_agree(v in vectors(9), x in prop::collection::vec(element(), 4)) {
        if !supported() {
            return Ok(());
        }
        let n = v[0].len();
        let four = |k: usize| [0, 1, 2, 3].map(|i| &v[k + i][..]);
        let (p, q, w, x) = (four(0), four(4), &v[8][..], [x[0], x[1], x[2], x[3]]);
        let (p2, q2) = ([p[0], p[1]], [q[0], q[1]]);
        type Run<'a> = &'a dyn Fn([&mut [Fq]; 2]);
        let run = |f: Run<'_>| {
            let (mut a, mut b) = (zeros(n), zeros(n));
            f([&mut a, &mut b]);
            (a, b)
        };
        for p in [None, Some(p2)] {
            // SAFETY: see above.
            let fast = run(&|out| unsafe { super::fractions::join(out, p, q2) });
            prop_assert_eq!(fast, run(&|out| portable::join(out, p, q2)));
        }
        same!(n, |o| super::fractions::lerp(o, p2, x[0]), portable::lerp(o, p2, x[0]));
        let (mut folded, mut slow) = (v[0].clone(), v[0].clone());
        // SAFETY: see above.
        unsafe { super::fractions::fold(&mut folded, p[1], x[0]) };
        portable::fold(&mut slow, p[1], x[0]);
        prop_assert_eq!(folded, slow);
        // SAFETY: see above.
        let fast = run(&|out| unsafe {
            super::fractions::lerp_batched(out, p2, q2, x[0], x[1], x[2])
        });
        prop_assert_eq!(fast, run(&|out| portable::lerp_batched(out, p2, q2, x[0], x[1], x[2])));
        // SAFETY: see above.
        unsafe {
            prop_assert_eq!(super::fractions::leading(p, q, w), portable::leading(p, q, w));
            prop_assert_eq!(super::fractions::round(p, q, w), portable::round(p, q, w));
            let fast = super::fractions::round_shifted(q, x, w);
            prop_assert_eq!(fast, portable::round_shifted(q, x, w));
        }
    }

    #[test]
    fn short_agree(
        v in prop::collection::vec(prop::collection::vec(extreme(), 24), 4),
        w in prop::collection::vec(element(), 24),
        x in prop::collection::vec(element(), 14),
        n in 0usize..24,
    ) {
        if !supported() {
            return Ok(());
        }
        let unsigned: Vec<Vec<u16>> = v.iter().map(|v| v.iter().map(|x| *x as u16).collect()).collect();
        let constants = [x[0], x[1]];
        let coefficients = [0, 6].map(|k| [2, 5].map(|j| [x[k + j], x[k + j + 1], x[k + j + 2]]));
        macro_rules! agree {
            ($v:expr) => {{
                let [a, b, c, d] = [0, 1, 2, 3].map(|i| &$v[i][..n]);
                for slopes in [false, true] {
                    // SAFETY: see above.
                    let fast = unsafe { super::short::moments([a, b, c, d], &w[..n], slopes) };
                    prop_assert_eq!(fast, short::moments([a, b, c, d], &w[..n], slopes));
                }
                let (mut fast, mut slow) = ([zeros(n), zeros(n)], [zeros(n), zeros(n)]);
                let out = fast.each_mut().map(|x| &mut x[..]);
                // SAFETY: see above.
                unsafe { super::short::join(out, [a, b], constants) };
                short::join(slow.each_mut().map(|x| &mut x[..]), [a, b], constants);
                prop_assert_eq!(&fast, &slow);
                let pairs = [[a, b], [c, d]];
                let out = fast.each_mut().map(|x| &mut x[..]);
                // SAFETY: see above.
                unsafe { super::short::bilinear(out, pairs, constants, coefficients) };
                let out = slow.each_mut().map(|x| &mut x[..]);
                short::bilinear(out, pairs, constants, coefficients);
                prop_assert_eq!(fast, slow);
            }};
        }
        agree!(v);
        agree!(unsigned);
    }

    #[test]
    fn small_agree(
        x in prop::collection::vec(-(super::LIMIT as i64)..=super::LIMIT as i64, 0..40),
        y in prop::collection::vec(prop_oneof![any::<i16>(), Just(i16::MIN)], 40),
        a in element(),
        b in element(),
        c in element(),
    ) {
        if !supported() {
            return Ok(());
        }
        let y = &y[..x.len()];
        same!(
            x.len(),
            |o| super::affine(o, c, (&x, a), Some((y, b))),
            affine::portable::affine(o, c, (&x, a), Some((y, b)))
        );
        same!(
            x.len(),
            |o| super::affine(o, c, (y, a), None::<(&[i8], Fq)>),
            affine::portable::affine(o, c, (y, a), None::<(&[i8], Fq)>)
        );
        let v = [a, b, c].into_iter().cycle().take(x.len()).collect::<Vec<_>>();
        let product = |(x, v): (&i64, &Fq)| Fq::from_i64(*x) * *v;
        // SAFETY: see above.
        let found = unsafe { super::weigh(&x, &v) };
        prop_assert_eq!(found, x.iter().zip(&v).map(product).sum::<Fq>());
    }

    #[test]
    fn powers_agree(
        halves in prop::collection::vec(any::<[[u8; 32]; 2]>(), 16),
        exponent in any::<[u64; 4]>(),
    ) {
        if !supported() {
            return Ok(());
        }
        let mut bases = [Fp::ZERO; 16];
        for (base, halves) in bases[2..].iter_mut().zip(&halves) {
            *base = Fp::from_wide_bytes(halves.as_flattened().try_into().expect("64"));
        }
        bases[1] = -Fp::ONE;
        // SAFETY: see above.
        let fast = unsafe { super::power(&bases, &exponent) };
        prop_assert_eq!(fast, bases.map(|base| base.pow_vartime(&exponent)));
    }
}
