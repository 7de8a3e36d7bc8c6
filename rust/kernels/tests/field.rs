//! The fields against pasta_curves.

use ff::{Field, PrimeField};
use pasta_curves::pallas;
use proptest::prelude::*;
use veracity_kernels::field::{Fe, Fp, Fq, Limbs, Modulus, Roots, Wide};

trait Oracle: Roots {
    type Field: PrimeField<Repr = [u8; 32]>;
}
impl Oracle for veracity_kernels::field::Order {
    type Field = pallas::Scalar;
}
impl Oracle for veracity_kernels::field::Base {
    type Field = pallas::Base;
}

fn oracle<M: Oracle>(a: &Fe<M>) -> M::Field {
    Option::from(M::Field::from_repr(a.to_bytes())).expect("canonical")
}

fn ours<M: Oracle>(a: &M::Field) -> Fe<M> {
    Fe::from_bytes(&a.to_repr()).expect("canonical")
}

/// Uniform elements and, often, ones at the edges of the range.
fn element<M: Modulus>() -> impl Strategy<Value = Fe<M>> {
    let below = |k: u64| {
        let mut limbs = M::MODULUS;
        limbs[0] -= k;
        limbs
    };
    prop_oneof![
        4 => (any::<[u8; 32]>(), any::<[u8; 32]>()).prop_map(|(a, b)| {
            let mut wide = [0; 64];
            wide[..32].copy_from_slice(&a);
            wide[32..].copy_from_slice(&b);
            Fe::from_wide_bytes(&wide)
        }),
        1 => (0u64..4).prop_map(Fe::from_u64),
        1 => (1u64..4).prop_map(move |k| Fe::from_montgomery(below(k))),
        1 => (1u64..4).prop_map(move |k| Fe::from_canonical(below(k)).expect("below p")),
        1 => (0u64..4).prop_map(|k| Fe::from_montgomery([k, 0, 0, 0])),
        1 => any::<i64>().prop_map(Fe::from_i64),
    ]
}

fn check_ring<M: Oracle>(a: Fe<M>, b: Fe<M>) {
    let (x, y) = (oracle(&a), oracle(&b));
    assert_eq!(a + b, ours(&(x + y)));
    assert_eq!(a - b, ours(&(x - y)));
    assert_eq!(a * b, ours(&(x * y)));
    assert_eq!(-a, ours(&-x));
    assert_eq!(a.double(), ours(&x.double()));
    assert_eq!(a.square(), ours(&x.square()));
    assert_eq!(a.is_odd(), bool::from(x.is_odd()));
    let inverse: Option<M::Field> = x.invert().into();
    assert_eq!(a.invert_vartime(), inverse.map(|i| ours(&i)));
    assert_eq!(Fe::from_bytes(&a.to_bytes()), Some(a));
    for v in [a + b, a - b, a * b, -a, a.square()] {
        assert!(v.montgomery().iter().rev().lt(M::MODULUS.iter().rev()));
    }
}

fn check_sqrt<M: Oracle>(a: Fe<M>) {
    let square = a.square();
    let root = square.sqrt().expect("a square");
    assert!(root == a || root == -a);
    assert_eq!(a.sqrt().is_some(), bool::from(oracle(&a).sqrt().is_some()));
    if !a.is_zero() {
        assert_eq!((square * Fe::from_u64(5)).sqrt(), None);
    }
}

fn check_wide<M: Oracle>(terms: &[(Fe<M>, Fe<M>)]) {
    let mut sum = Wide::ZERO;
    let mut twice = Wide::ZERO;
    for (a, b) in terms {
        sum.add_product(a, b);
        twice.add_product(a, b);
    }
    let expected: Fe<M> = terms.iter().map(|(a, b)| *a * *b).sum();
    assert_eq!(sum.reduce(), expected);
    for _ in 0..40 {
        let copy = twice;
        twice.add_wide(&copy);
    }
    assert_eq!(twice.reduce(), expected * Fe::from_u64(1 << 40));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn ring_q(a in element(), b in element()) { check_ring::<veracity_kernels::field::Order>(a, b); }

    #[test]
    fn ring_p(a in element(), b in element()) { check_ring::<veracity_kernels::field::Base>(a, b); }

    #[test]
    fn roots_q(a in element()) { check_sqrt::<veracity_kernels::field::Order>(a); }

    #[test]
    fn roots_p(a in element()) { check_sqrt::<veracity_kernels::field::Base>(a); }

    #[test]
    fn sums_q(t in prop::collection::vec((element(), element()), 0..9)) {
        check_wide::<veracity_kernels::field::Order>(&t);
    }

    #[test]
    fn sums_p(t in prop::collection::vec((element(), element()), 0..9)) {
        check_wide::<veracity_kernels::field::Base>(&t);
    }

    #[test]
    fn powers(a in element::<veracity_kernels::field::Order>(), e in any::<Limbs>()) {
        prop_assert_eq!(a.pow_vartime(&e), ours(&oracle(&a).pow_vartime(e)));
    }

    #[test]
    fn integers(u in any::<u128>(), i in any::<i128>()) {
        let expected = pallas::Scalar::from_u128(u);
        prop_assert_eq!(oracle(&Fq::from_u128(u)), expected);
        let magnitude = pallas::Scalar::from_u128(i.unsigned_abs());
        prop_assert_eq!(oracle(&Fq::from_i128(i)), if i < 0 { -magnitude } else { magnitude });
    }

    #[test]
    fn wide_bytes(low in any::<[u64; 4]>(), high in any::<[u64; 4]>()) {
        let number = |limbs: [u64; 4]| {
            let base = pallas::Base::from_u128(1 << 64);
            limbs.iter().rev().fold(pallas::Base::ZERO, |s, l| s * base + pallas::Base::from(*l))
        };
        let shift = pallas::Base::from(2).pow_vartime([256]);
        let bytes: Vec<u8> = low.iter().chain(&high).flat_map(|l| l.to_le_bytes()).collect();
        let found = Fp::from_wide_bytes(bytes[..].try_into().expect("64 bytes"));
        prop_assert_eq!(oracle(&found), number(low) + shift * number(high));
    }

    #[test]
    fn batch(mut values in prop::collection::vec(element::<veracity_kernels::field::Base>(), 0..20)) {
        let expected: Vec<_> =
            values.iter().map(|v| v.invert_vartime().unwrap_or(Fe::ZERO)).collect();
        Fe::batch_invert(&mut values);
        prop_assert_eq!(values, expected);
    }
}

fn check_modulus<M: Oracle>() {
    let p = M::MODULUS;
    assert_eq!(p[0] as u32, 1);
    assert_eq!((p[2], p[3]), (0, 1 << 62));
    assert!(p[1] < 1 << 62);
    assert_eq!(Fe::<M>::from_canonical(p), None);
    assert_eq!(Fe::<M>::from_bytes(&[255; 32]), None);
    assert_eq!(Fe::<M>::ONE.to_canonical(), [1, 0, 0, 0]);
    assert_eq!(Fe::<M>::ZERO.sqrt(), Some(Fe::ZERO));
}

#[test]
fn moduli() {
    check_modulus::<veracity_kernels::field::Order>();
    check_modulus::<veracity_kernels::field::Base>();
}
