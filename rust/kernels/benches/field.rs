//! Nanoseconds per unit of the field kernels, beside the floors of the design.
//!
//! `cargo bench --bench field`; `VERACITY_PORTABLE=1` times the path without AVX-512,
//! `VERACITY_PORTABLE=plain` the one without AVX2.

use std::hint::black_box;
use veracity_kernels::buffers::recycle;
use veracity_kernels::contract::contract;
use veracity_kernels::field::{Fp, Fq};
use veracity_kernels::fractions::{Block, Entries, Integers, SmallArray, Tree, collect};
use veracity_kernels::small::Tensor;
use veracity_kernels::{sumcheck, vector};

/// CPU time of the process: other jobs on the machine do not count.
fn cpu_seconds() -> f64 {
    let mut now = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: writes to a variable of the type that it expects.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut now) };
    now.tv_sec as f64 + now.tv_nsec as f64 * 1e-9
}

/// Prints the best of some runs over `units` units.
fn time<T>(name: &str, floor: &str, units: usize, mut f: impl FnMut() -> T) {
    // `cargo bench --bench field -- WORD` runs what has the word in its name.
    let chosen = |word: String| word.starts_with("--") || name.contains(&word);
    if !std::env::args().skip(1).all(chosen) {
        return;
    }
    let mut best = f64::MAX;
    for _ in 0..5 {
        let start = cpu_seconds();
        black_box(f());
        best = best.min(cpu_seconds() - start);
    }
    println!(
        "{name:44} {:9.2} ns   floor {floor}",
        best * 1e9 / units as f64
    );
}

fn copy(a: &[Fq]) -> Vec<Fq> {
    vector::scale(a, Fq::ONE)
}

fn vector_of(n: usize) -> Vec<Fq> {
    let seed = Fq::from_u64(0x9e37_79b9_7f4a_7c15).square();
    let mut x = seed;
    (0..n)
        .map(|_| {
            x = x * seed + Fq::ONE;
            x
        })
        .collect()
}

fn main() {
    // One thread: the floors are for one core.
    rayon::ThreadPoolBuilder::new()
        .num_threads(1)
        .build_global()
        .expect("a first pool");
    let n = 1 << 18;
    let (a, b) = (vector_of(n), vector_of(n));
    let r = a[5];
    field(&a);
    time("mul", "2.7", n, || recycle(vector::mul(&a, &b)));
    time("eq table, per entry", "2.7", n, || {
        recycle(vector::eq(&a[..18], n))
    });
    time("dot", "1.1", n, || vector::dot(&a, &b));
    time("fold, per input", "-", n, || {
        recycle(sumcheck::fold(&a, n, r))
    });
    for k in [12, 15] {
        time("fold, short", "-", 1 << k, || {
            sumcheck::fold(&a[..1 << k], 1 << k, r)
        });
    }
    time("product_round, per input", "-", n, || {
        sumcheck::product_round(&a, &b, n)
    });
    time("whole a*b sumcheck, per entry", "17", n, || {
        let (mut x, mut y, mut n) = (copy(&a), copy(&b), n);
        while n > 1 {
            black_box(sumcheck::product_round(&x, &y, n));
            for v in [&mut x, &mut y] {
                recycle(std::mem::replace(v, sumcheck::fold(v, n, r)));
            }
            n /= 2;
        }
    });
    fractions(&a, &b, r);
    contractions(&a);
}

fn field(a: &[Fq]) {
    let mut x = a[0];
    time("scalar multiplication, dependent", "17-19", 1 << 16, || {
        for _ in 0..1 << 16 {
            x *= a[1];
        }
        x
    });
    let mut x = Fp::from_u64(7);
    time("scalar squaring, dependent", "17-19", 1 << 16, || {
        for _ in 0..1 << 16 {
            x = x.square();
        }
        x
    });
    time("scalar inversion", "6400", 1, || {
        black_box(x).invert_vartime()
    });
    let square = x.square();
    time("scalar square root", "-", 1, || black_box(square).sqrt());
}

fn fractions(a: &[Fq], _b: &[Fq], r: Fq) {
    let n = a.len();
    let values: Vec<i16> = (0..n).map(|i| (i * 40503) as i16).collect();
    let leaves = |images: Option<Vec<i16>>| Integers {
        values: SmallArray::I16(values.clone()),
        images: images.map(SmallArray::I16),
        constants: a[..1].to_vec(),
        beta: r,
    };
    let (plain, pairs) = (leaves(None), leaves(Some(values.clone())));
    for (name, source) in [("int16", &plain), ("int16 pairs", &pairs)] {
        time(&format!("logup leaves, {name}, per leaf"), "-", n, || {
            recycle(collect(source))
        });
    }
    let tree = || {
        let (p, q) = (Entries::Ones(n), Entries::Integers(leaves(None)));
        let dims = vec![64, n / 64];
        Tree::new(vec![Block { dims, p, q }]).expect("one block")
    };
    time("levels of a tree, numerators 1, per leaf", "-", n, tree);
    let name = "whole fractional sum, numerators 1, per leaf";
    time(name, "53", n, || {
        let mut tree = tree();
        for variables in 0..tree.variables() {
            tree.descend(r).expect("a layer");
            for j in 0..variables {
                black_box(tree.round(&a[j..variables])).expect("a round");
                tree.bind(r).expect("a variable");
            }
            black_box(tree.ends()).expect("the end");
        }
    });
}

fn contractions(a: &[Fq]) {
    let (rows, n) = (1536, 576);
    let v = &a[..rows];
    let int8: Vec<i8> = (0..rows * n).map(|i| (i * 40503) as i8).collect();
    let int16: Vec<i16> = (0..rows * n).map(|i| (i * 40503) as i16).collect();
    let int32: Vec<i32> = (0..rows * n).map(|i| (i * 2654435761) as i32).collect();
    let int64: Vec<i64> = (0..rows * n).map(|i| (i as i64) << 20).collect();
    macro_rules! both {
        ($data:expr, $name:expr, $row:expr, $column:expr) => {
            time(
                &format!("contract {}, W e, per weight", $name),
                $row,
                rows * n,
                || {
                    contract(
                        Tensor {
                            data: &$data,
                            n,
                            inner: 1,
                        },
                        rows,
                        &v[..n],
                    )
                },
            );
            time(
                &format!("contract {}, e W, per weight", $name),
                $column,
                rows * n,
                || {
                    contract(
                        Tensor {
                            data: &$data,
                            n: rows,
                            inner: n,
                        },
                        1,
                        v,
                    )
                },
            );
        };
    }
    both!(int8, "int8", "0.20", "0.24");
    both!(int16, "int16", "0.41", "0.49");
    both!(int32, "int32", "-", "-");
    both!(int64, "int64", "-", "-");
    time(
        "contract int16, one long row, per weight",
        "-",
        a.len(),
        || {
            contract(
                Tensor {
                    data: &int16[..a.len()],
                    n: a.len(),
                    inner: 1,
                },
                1,
                a,
            )
        },
    );
    let narrow: Vec<i64> = int16.iter().map(|&x| x as i64).collect();
    both!(narrow, "int64 of 16 bits", "-", "-");
    let heads = 9;
    time(
        "contract int16, (64, 1536, 9), per weight",
        "-",
        rows * n,
        || {
            contract(
                Tensor {
                    data: &int16,
                    n: rows,
                    inner: heads,
                },
                n / heads,
                v,
            )
        },
    );
}
