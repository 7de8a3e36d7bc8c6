//! Every kernel against its portable twin.

use super::supported;
use crate::field::{Fq, Modulus, Order};
use crate::logup::Fractions;
use crate::{affine, logup, sumcheck, vector};
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
    fn fractions_agree(v in vectors(4), w in vectors(1), lam in element()) {
        if !supported() {
            return Ok(());
        }
        let half = (v[0].len() / 2).min(w[0].len());
        let [p0, d0, p1, d1] = [0, 1, 2, 3].map(|k| &v[k][..2 * half]);
        let (even, odd) = (Fractions { p: p0, d: d0 }, Fractions { p: p1, d: d1 });
        let w = &w[0][..half];
        for p in [None, Some(p0)] {
            let run = |f: &dyn Fn(&mut [Fq], &mut [Fq])| {
                let (mut out_p, mut out_d) = (zeros(half), zeros(half));
                f(&mut out_p, &mut out_d);
                (out_p, out_d)
            };
            // SAFETY: see above.
            let fast = run(&|out_p, out_d| unsafe { super::level(out_p, out_d, p, d0) });
            let slow = run(&|out_p, out_d| logup::portable::level(out_p, out_d, p, d0));
            prop_assert_eq!(fast, slow);
        }
        // SAFETY: see above.
        let fast = unsafe { super::round(even, odd, w) };
        prop_assert_eq!(fast, logup::portable::round(even, odd, w));
        let weights = logup::NumeratorWeights::new(p0, p1, w, lam);
        // SAFETY: see above.
        let fast = unsafe { super::round_separable(d0, d1, weights.part(0..half)) };
        prop_assert_eq!(fast, logup::portable::round_separable(d0, d1, weights.part(0..half)));
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
}
