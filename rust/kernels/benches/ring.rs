//! Nanoseconds per unit of the kernels of private inference on one thread:
//! `cargo bench --bench ring`; `VERACITY_PORTABLE=1` times the path without AVX-512.

use std::hint::black_box;
use veracity_kernels::fss::{self, Function, Shape};
use veracity_kernels::prg::expand;
use veracity_kernels::ring::{matmul, matmul_batch, pack, unpack};

const SEED: [u8; 32] = [7; 32];

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
fn time<T>(name: &str, units: usize, mut f: impl FnMut() -> T) {
    // `cargo bench --bench ring -- WORD` runs what has the word in its name.
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
    println!("{name:52} {:10.3} ns", best * 1e9 / units as f64);
}

fn main() {
    rayon::ThreadPoolBuilder::new()
        .num_threads(1)
        .build_global()
        .expect("a first pool");
    products();
    streams();
    comparisons();
    points();
}

fn products() {
    let (count, width) = (16384, 1536);
    let words = expand(&SEED, 0, count * width);
    let int16: Vec<i16> = words.iter().map(|&x| x as i16).collect();
    let int8: Vec<i8> = words.iter().map(|&x| x as i8).collect();
    for rows in [1, 2, 4, 8, 64] {
        let x = &words[..rows * width];
        // A few rows pass all the weights, many rows a part of them.
        let count = if rows > 8 { 1024 } else { count };
        let units = rows * count * width;
        time(
            &format!("matmul int16, {rows} rows, per product"),
            units,
            || matmul(x, &int16[..count * width], rows, width),
        );
        time(
            &format!("matmul int8, {rows} rows, per product"),
            units,
            || matmul(x, &int8[..count * width], rows, width),
        );
    }
    for (batch, rows, count, width) in [(1, 1, 16384, 1536), (1, 64, 1024, 1536), (9, 64, 64, 64)] {
        let x = &words[..batch * rows * width];
        let y = &words[..batch * count * width];
        time(
            &format!("matmul dense, {batch} x ({rows}, {width}) ({count}, {width})"),
            batch * rows * count * width,
            || matmul_batch(x, y, batch, rows, width),
        );
    }
}

fn streams() {
    let n = 1 << 20;
    time("expand, per word", n, || expand(&SEED, 1, n));
    let words = expand(&SEED, 1, n);
    for bits in [17, 32, 44, 64] {
        time(&format!("pack {bits} bits, per word"), n, || {
            pack(&words, bits)
        });
        let data = pack(&words, bits);
        time(&format!("unpack {bits} bits, per word"), n, || {
            unpack(&data, bits, n)
        });
    }
}

fn comparisons() {
    let keys = 4096;
    let alpha = expand(&SEED, 2, keys);
    for (bits, payload) in [(16, 0), (20, 0), (20, 1), (20, 2), (40, 0)] {
        let shape = Shape::new(Function::Comparison, bits, payload, [7; 16]).expect("a shape");
        let name = format!("comparison, {bits} bits, {payload} words");
        let values = expand(&SEED, 3, keys * payload);
        time(&format!("{name}: key pair"), keys, || {
            fss::make(&shape, &SEED, &alpha, &values)
        });
        let [first, _] = fss::make(&shape, &SEED, &alpha, &values);
        for each in [1, 64, 1024] {
            // Knots a fixed way apart, moved by a mask.
            let keys = 4096 / each;
            let knots = |k: usize| move |m: usize| alpha_of(k) + ((m << bits) / each) as u64;
            let points: Vec<u64> = (0..keys).flat_map(|k| (0..each).map(knots(k))).collect();
            let first = &first[..keys * shape.bytes()];
            let name = format!("{name}: {each} points, per point");
            if payload == 0 {
                time(&name, points.len(), || {
                    fss::evaluate_bits(&shape, 0, first, &points)
                });
            } else {
                let weights = expand(&SEED, 4, each * 2);
                time(&name, points.len(), || {
                    fss::weighted(&shape, 0, first, &points, &weights, 2)
                });
            }
        }
    }
}

fn alpha_of(k: usize) -> u64 {
    (k as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 8
}

fn points() {
    let keys = 64;
    let alpha = expand(&SEED, 5, keys);
    for (bits, columns) in [(8, 1), (12, 1), (12, 2)] {
        let shape = Shape::new(Function::Point, bits, 1, [7; 16]).expect("a shape");
        time(&format!("point, {bits} bits: key pair"), keys, || {
            fss::make(&shape, &SEED, &alpha, &alpha)
        });
        let [first, _] = fss::make(&shape, &SEED, &alpha, &alpha);
        let table = expand(&SEED, 6, columns << bits);
        time(
            &format!("table, {bits} bits, {columns} columns, per look-up"),
            keys,
            || fss::table(&shape, 0, &first, &alpha, &table, columns),
        );
    }
}
