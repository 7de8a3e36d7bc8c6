//! The group against `pasta_curves`, and every kernel against sums made one by one.

use pasta_curves::group::{Group, GroupEncoding, ff::PrimeField};
use pasta_curves::pallas;
use proptest::prelude::*;
use std::sync::OnceLock;
use veracity_kernels::curve::{Affine, Xyzz};
use veracity_kernels::curve_batch::{Adder, Job, Signed};
use veracity_kernels::curve_encoding::{compress, decompress};
use veracity_kernels::curve_scale::{add_points, combine, scale_point, scale_points};
use veracity_kernels::field::Fq;
use veracity_kernels::hash_to_curve::generators;
use veracity_kernels::msm::msm;
use veracity_kernels::pedersen::commit_rows;

/// Enough points for several batches; a few of them the identity, equal or opposite.
fn points() -> &'static [Affine] {
    static POINTS: OnceLock<Vec<Affine>> = OnceLock::new();
    POINTS.get_or_init(|| {
        let mut points = generators("test", 6000);
        points[3] = Affine::IDENTITY;
        points[5] = points[4];
        points[6] = -points[4];
        points[700] = points[4];
        points[5999] = Affine::IDENTITY;
        points
    })
}

fn to_pasta(p: &Affine) -> pallas::Point {
    pallas::Point::from_bytes(&p.to_bytes()).expect("a canonical encoding")
}

fn scalar_to_pasta(k: &Fq) -> pallas::Scalar {
    pallas::Scalar::from_repr(k.to_bytes()).expect("a canonical scalar")
}

fn scalar() -> impl Strategy<Value = Fq> {
    prop_oneof![
        4 => any::<[[u8; 32]; 2]>().prop_map(|b| Fq::from_wide_bytes(b.as_flattened().try_into().unwrap())),
        1 => (-300i64..300).prop_map(Fq::from_i64),
        1 => Just(Fq::ZERO),
    ]
}

fn naive(values: impl IntoIterator<Item = (i64, Affine)>) -> Affine {
    let mut total = Xyzz::IDENTITY;
    for (v, p) in values {
        let p = p.negate_if(v < 0);
        let mut term = Xyzz::IDENTITY;
        for bit in (0..64).rev() {
            term.double();
            if v.unsigned_abs() >> bit & 1 == 1 {
                term.add_affine(&p);
            }
        }
        total.add(&term);
    }
    total.to_affine()
}

#[test]
fn encodings_are_those_of_pasta() {
    let points = points();
    let mut data = vec![0; points.len() * 32];
    compress(points, &mut data);
    for (p, bytes) in points.iter().zip(data.chunks_exact(32)).take(50) {
        assert!(p.is_on_curve());
        assert_eq!(to_pasta(p).to_bytes(), bytes);
    }
    for threads in [1, 2, usize::MAX] {
        assert_eq!(decompress(&data, threads).expect("good"), points);
    }
    assert!(decompress(&data[1..], usize::MAX).is_none());
}

#[test]
fn bad_encodings_are_refused() {
    let mut sign_of_identity = [0; 32];
    sign_of_identity[31] = 0x80;
    let mut modulus = [0; 32];
    modulus[..16].copy_from_slice(&0x2246_98fc_094c_f91b_992d_30ed_0000_0001u128.to_le_bytes());
    modulus[31] = 0x40;
    let mut no_square = [0; 32];
    no_square[0] = 2;
    let mut good = vec![0; 50 * 32];
    compress(&points()[..50], &mut good);
    for bad in [sign_of_identity, modulus, [0xff; 32], no_square] {
        assert!(Affine::from_bytes(&bad).is_none());
        for place in [0, 15, 16, 47, 48, 49] {
            let mut data = good.clone();
            data[32 * place..][..32].copy_from_slice(&bad);
            assert!(decompress(&data, usize::MAX).is_none());
        }
    }
}

#[test]
fn every_special_case_of_an_addition() {
    let p = points()[0];
    let q = points()[1];
    let mut doubled = Xyzz::from(p);
    doubled.double();
    let o = Affine::IDENTITY;
    let cases = [
        (p, q),
        (p, p),
        (p, -p),
        (p, o),
        (o, p),
        (o, o),
        (-p, p),
        (doubled.to_affine(), p),
        (doubled.to_affine(), -p),
    ];
    let (a, b): (Vec<Affine>, Vec<Affine>) = cases.into_iter().unzip();
    let expected: Vec<_> = a
        .iter()
        .zip(&b)
        .map(|(a, b)| to_pasta(a) + to_pasta(b))
        .collect();
    let check = |sums: &[Affine]| {
        for (sum, expected) in sums.iter().zip(&expected) {
            assert_eq!(&to_pasta(sum), expected);
        }
    };
    let one_by_one: Vec<_> = a.iter().zip(&b).map(|(a, b)| *a + *b).collect();
    check(&one_by_one);
    let mixed: Vec<_> = a
        .iter()
        .zip(&b)
        .map(|(a, b)| {
            let mut sum = Xyzz::from(*a);
            sum.double();
            sum.add(&Xyzz::from(-*a));
            sum.add(&Xyzz::from(*b));
            sum.to_affine()
        })
        .collect();
    check(&mixed);
    check(&add_points(&a, &b));
    let jobs: Vec<Job> = (0..a.len())
        .map(|i| Job {
            a: Signed::new(i, false),
            b: Signed::new(i, true),
            out: (a.len() - 1 - i) as u32,
        })
        .collect();
    let mut out = vec![o; a.len()];
    let negated: Vec<Affine> = b.iter().map(|&b| -b).collect();
    Adder::new().add(&a, &negated, &jobs, &mut out);
    out.reverse();
    check(&out);
    let mut twice = a.clone();
    Adder::new().double(&mut twice);
    assert_eq!(twice, add_points(&a, &a));
}

#[test]
fn batches_agree_with_single_additions() {
    let a = points();
    let b: Vec<Affine> = a.iter().cycle().skip(1).take(a.len()).copied().collect();
    let sums = add_points(a, &b);
    for i in 0..a.len() {
        assert_eq!(sums[i], a[i] + b[i]);
    }
}

#[test]
fn msm_of_many_sizes() {
    let mut k = Fq::from_u64(7);
    let scalars: Vec<Fq> = points()
        .iter()
        .enumerate()
        .map(|(i, _)| {
            k = k.square() + Fq::ONE;
            if i % 97 == 0 { Fq::ZERO } else { k }
        })
        .collect();
    for n in [0, 1, 2, 4, 7, 33, 300, 6000] {
        let expected: pallas::Point = points()[..n]
            .iter()
            .zip(&scalars)
            .map(|(p, k)| to_pasta(p) * scalar_to_pasta(k))
            .sum();
        assert_eq!(
            to_pasta(&msm(&points()[..n], &scalars[..n])),
            expected,
            "{n}"
        );
    }
    // All points equal: every bucket meets doublings.
    let same = vec![points()[0]; 500];
    let total: Fq = scalars[..500].iter().copied().sum();
    assert_eq!(
        to_pasta(&msm(&same, &scalars[..500])),
        to_pasta(&points()[0]) * scalar_to_pasta(&total)
    );
}

#[test]
fn rows_of_extreme_values() {
    let values: Vec<i64> = [
        i64::MIN,
        i64::MAX,
        -1,
        1,
        0,
        1 << 48,
        -(1 << 47),
        i64::MIN + 1,
    ]
    .into_iter()
    .cycle()
    .take(40)
    .collect();
    let index: Vec<i64> = (0..8).chain([4, 4]).collect();
    let sums = commit_rows(&values, 4, &index, points());
    for (r, sum) in sums.iter().enumerate() {
        let terms = (0..10).map(|j| (values[10 * r + j], points()[index[j] as usize]));
        assert_eq!(*sum, naive(terms));
    }
    assert_eq!(
        commit_rows(&[0i8; 0], 3, &[], points()),
        vec![Affine::IDENTITY; 3]
    );
    assert_eq!(
        commit_rows(&[0i8; 6], 3, &[1, 2], points()),
        vec![Affine::IDENTITY; 3]
    );
}

#[test]
fn long_rows_are_cut_between_threads() {
    let n = 40_000;
    let index: Vec<i64> = (0..n).map(|i| (i * i) % 6000).collect();
    let values: Vec<i16> = (0..n)
        .map(|i| ((i * 7919) % 65536 - 32768) as i16)
        .collect();
    let sums = commit_rows(&values, 1, &index, points());
    let scalars: Vec<Fq> = values.iter().map(|&v| Fq::from_i64(v.into())).collect();
    let selected: Vec<Affine> = index.iter().map(|&i| points()[i as usize]).collect();
    assert_eq!(sums, [msm(&selected, &scalars)]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn scalar_multiples(
        k in scalar(),
        l in scalar(),
        i in 0usize..10,
        n in 1usize..60,
        cut in 0usize..10,
    ) {
        let p = points()[i];
        let expected = to_pasta(&p) * scalar_to_pasta(&k);
        prop_assert_eq!(to_pasta(&scale_points(&[p], &[k])[0]), expected);
        let mut scalars = vec![k; 130];
        scalars[1] = l;
        let products = scale_point(&p, &scalars);
        prop_assert_eq!(to_pasta(&products[0]), expected);
        prop_assert_eq!(to_pasta(&products[1]), to_pasta(&p) * scalar_to_pasta(&l));

        let factors = [Fq::ONE, k, l, k * l];
        let parts = &points()[..n + n * cut / 3];
        for (j, point) in combine(parts, n, &factors).iter().enumerate() {
            let terms = parts[j..].iter().step_by(n).zip(&factors);
            let expected: pallas::Point =
                terms.map(|(p, factor)| to_pasta(p) * scalar_to_pasta(factor)).sum();
            prop_assert_eq!(to_pasta(point), expected);
        }
    }

    #[test]
    fn rows(
        values in proptest::collection::vec(any::<i16>(), 1..400),
        shift in 0u32..15,
        columns in 1usize..50,
    ) {
        let rows = values.len().div_ceil(columns);
        let mut values: Vec<i16> = values.into_iter().map(|v| v >> shift).collect();
        values.resize(rows * columns, 0);
        let index: Vec<i64> = (0..columns as i64).map(|j| (j * 3) % 20).collect();
        let sums = commit_rows(&values, rows, &index, points());
        let wide: Vec<i32> = values.iter().map(|&v| v.into()).collect();
        prop_assert_eq!(&sums, &commit_rows(&wide, rows, &index, points()));
        for (r, sum) in sums.iter().enumerate() {
            let row = &values[r * columns..(r + 1) * columns];
            let terms = row.iter().zip(&index).map(|(&v, &i)| (v.into(), points()[i as usize]));
            prop_assert_eq!(*sum, naive(terms));
        }
    }
}

#[test]
fn generators_have_no_accidental_structure() {
    let first = generators("a", 3);
    assert_eq!(first, generators("a", 5)[..3]);
    assert_ne!(first[0], generators("b", 1)[0]);
    assert_ne!(to_pasta(&first[0]), pallas::Point::generator());
}
