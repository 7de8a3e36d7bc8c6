//! Every kernel against sums of single products.

use super::supported;
use crate::digits::{DIGITS, STEPS};
use crate::field::{Fq, Modulus, Order};
use crate::panels::{Panels, digits_of};
use crate::small::{Small, Tensor};
use proptest::prelude::*;

/// The element whose digits of 10 bits are all `low` but the highest, which is 8.
fn of_digits(low: i64) -> Fq {
    let base = Fq::from_u64(1 << 10);
    let digits = (0..DIGITS).map(|k| if k + 1 < DIGITS { low } else { 8 });
    let value = digits
        .rev()
        .fold(Fq::ZERO, |sum, digit| sum * base + Fq::from_i64(digit));
    // What is cut are Montgomery forms.
    Fq::from_montgomery(value.to_canonical())
}

/// Uniform elements and, often, ones with the largest digits.
fn element() -> impl Strategy<Value = Fq> {
    let mut last = Order::MODULUS;
    last[0] -= 1;
    prop_oneof![
        4 => any::<[[u8; 32]; 2]>()
            .prop_map(|halves| Fq::from_wide_bytes(halves.as_flattened().try_into().expect("64"))),
        1 => Just(of_digits(-512)),
        1 => Just(of_digits(511)),
        1 => Just(Fq::from_montgomery(last)),
        1 => Just(Fq::ZERO),
    ]
}

/// Integers of a type, often the least, the greatest or -1, made from any of 64 bits.
fn integers(length: usize) -> impl Strategy<Value = Vec<i64>> {
    let one = prop_oneof![
        4 => any::<i64>(),
        1 => Just(i64::MIN),
        1 => Just(i64::MAX),
        1 => Just(-1),
        1 => -40000i64..40000,
        1 => Just(0),
    ];
    prop::collection::vec(one, length)
}

/// `out[o, i] = sum_j m[o, j, i] v[j]` for `j` of a range.
fn contracted<T: Small>(m: Tensor<'_, T>, start: usize, v: &[Fq], output: usize) -> Fq {
    let (o, i) = (output / m.inner, output % m.inner);
    let entry = |j: usize| m.data[(o * m.n + start + j) * m.inner + i].to_i64();
    v.iter()
        .enumerate()
        .map(|(j, v)| Fq::from_i64(entry(j)) * *v)
        .sum()
}

fn check_contract<T: Small>(data: &[T], shape: [usize; 3], v: &[Fq], skip: usize) {
    let [outer, n, inner] = shape;
    let data: Vec<T> = data
        .iter()
        .copied()
        .cycle()
        .take(outer * n * inner)
        .collect();
    let v: Vec<Fq> = v.iter().copied().cycle().take(n).collect();
    let m = Tensor {
        data: &data,
        n,
        inner,
    };
    // Two pieces, the second of which is part of an axis.
    let (first, second) = (&v[..], &v[skip..]);
    let mut out = vec![Fq::ONE; outer * inner];
    // SAFETY: the caller returned where the machine lacks the instructions.
    unsafe {
        let digits = [super::column_digits(first), super::column_digits(second)];
        let pieces = [(m, 0..n, &digits[0]), (m, skip..n, &digits[1])];
        let part = if inner < super::TILE {
            out.len()
        } else {
            inner
        };
        for (k, out) in out.chunks_mut(part).enumerate() {
            super::contract(&pieces, k * part, out);
        }
    }
    for (output, found) in out.iter().enumerate() {
        let expected = contracted(m, 0, first, output) + contracted(m, skip, second, output);
        assert_eq!(*found, expected, "{shape:?}, output {output}");
    }
    let row = &data[..n.min(data.len())];
    // SAFETY: as above.
    let found = unsafe { super::weigh(row, &v[..row.len()]) };
    let m = Tensor {
        data: row,
        n: row.len(),
        inner: 1,
    };
    assert_eq!(found, contracted(m, 0, &v[..row.len()], 0));
}

fn check_products<T: Small, const K: usize>(w: &[T], x: &[i64], [count, rows, width]: [usize; 3]) {
    let w: Vec<T> = w.iter().copied().cycle().take(count * width).collect();
    let x: Vec<i64> = x.iter().copied().cycle().take(rows * width).collect();
    let mut out = vec![1; count * rows];
    let panels = Panels::<K>::new(&x, rows, digits_of(&x));
    // SAFETY: the caller returned where the machine lacks the instructions.
    unsafe { super::products(&mut out, &w, &panels) };
    for (out, w) in out.chunks(rows).zip(w.chunks(width)) {
        for (out, x) in out.iter().zip(x.chunks(width)) {
            let products = w.iter().zip(x).map(|(w, x)| w.to_i64().wrapping_mul(*x));
            assert_eq!(*out, products.fold(0, i64::wrapping_add));
        }
    }
}

macro_rules! of_all_types {
    ($check:ident, $data:expr, $($rest:expr),*) => {{
        $check(&$data, $($rest),*);
        $check(&$data.iter().map(|x| *x as i32).collect::<Vec<_>>(), $($rest),*);
        $check(&$data.iter().map(|x| *x as i16).collect::<Vec<_>>(), $($rest),*);
        $check(&$data.iter().map(|x| *x as u16).collect::<Vec<_>>(), $($rest),*);
        $check(&$data.iter().map(|x| *x as i8).collect::<Vec<_>>(), $($rest),*);
    }};
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn contractions_agree(
        data in integers(331),
        v in prop::collection::vec(element(), 37),
        outer in 1usize..40,
        n in prop_oneof![4 => 1usize..50, 1 => 2 * STEPS - 2..2 * STEPS + 20],
        inner in prop_oneof![2 => Just(1usize), 1 => 2usize..16, 2 => 30usize..70],
        skip in 0usize..40,
    ) {
        if supported() {
            let outer = if inner > 1 { outer.div_ceil(8) } else { outer };
            of_all_types!(check_contract, data, [outer, n, inner], &v, skip.min(n - 1));
        }
    }

    #[test]
    fn products_agree(
        w in integers(331),
        x in integers(37),
        bits in 1u32..64,
        count in 1usize..70,
        rows in 1usize..6,
        width in prop_oneof![4 => 1usize..50, 1 => 2 * STEPS - 2..2 * STEPS + 20],
    ) {
        if supported() {
            let x: Vec<i64> = x.iter().map(|x| x >> bits).collect();
            let shape = [count, rows, width];
            macro_rules! check {
                ($k:literal) => {{
                    fn check<T: Small>(w: &[T], x: &[i64], shape: [usize; 3]) {
                        check_products::<T, $k>(w, x, shape);
                    }
                    of_all_types!(check, w, &x, shape);
                }};
            }
            check!(2);
            check!(13);
        }
    }
}

/// Sums of as many largest products as lanes hold, and of more.
#[test]
fn largest_sums() {
    if !supported() {
        return;
    }
    for digits in [-512, 511] {
        for n in [2 * STEPS, 6 * STEPS + 1] {
            let v = [of_digits(digits)];
            for inner in [1, 32] {
                check_contract(&[i16::MIN], [33, n, inner], &v, 0);
                check_contract(&[i16::MAX], [33, n, inner], &v, 0);
                check_contract(&[i64::MIN], [9, n, inner], &v, 0);
                check_contract(&[u16::MAX], [9, n, inner], &v, 0);
            }
        }
    }
    for x in [-128, 127, i64::MIN, i64::MAX] {
        // More columns of digits than are summed at a time.
        check_products::<i16, 13>(&[i16::MIN], &[x], [33, 250, 6 * STEPS + 1]);
        check_products::<i64, 2>(&[i64::MIN], &[x], [33, 3, 2 * STEPS]);
    }
}

/// The largest products in one sum that is too long for lanes of 64 bits.
#[test]
fn longest_sums() {
    if !supported() {
        return;
    }
    let ones = Fq::from_montgomery([u64::MAX, u64::MAX, u64::MAX, (1 << 62) - 1]);
    for n in [1 << 15, (1 << 16) + 2] {
        check_contract(&[i16::MAX], [1, n, 1], &[ones], n - 1);
        check_contract(&[i64::MAX], [1, n, 1], &[ones], n - 1);
    }
}
