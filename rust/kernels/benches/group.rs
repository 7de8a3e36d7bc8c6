//! Nanoseconds per unit of the group kernels on one thread, beside the floor of a C++ prototype
//! with AVX-512 IFMA on a 2.9 GHz server core: `cargo bench --bench group`.

use std::hint::black_box;
use std::time::Instant;
use veracity_kernels::curve_encoding::{compress, decompress};
use veracity_kernels::curve_scale::{add_points, combine, scale_point};
use veracity_kernels::field::Fq;
use veracity_kernels::hash_to_curve::generators;
use veracity_kernels::inner_product::InnerProduct;
use veracity_kernels::msm::msm;
use veracity_kernels::pedersen::commit_rows;

/// Nanoseconds that this thread has run, which other jobs on the machine hardly change; wall time
/// where the system does not tell.
fn clock(start: Instant) -> f64 {
    std::fs::read_to_string("/proc/thread-self/schedstat")
        .ok()
        .and_then(|text| text.split(' ').next()?.parse().ok())
        .unwrap_or(start.elapsed().as_nanos() as f64)
}

/// Prints the mean time of `f`, divided by `units`, where the name contains the
/// arguments of the command line.
fn report<T>(name: &str, units: usize, floor: &str, mut f: impl FnMut() -> T) {
    let filters = std::env::args().skip(1).filter(|a| !a.starts_with('-'));
    if !filters.into_iter().all(|f| name.contains(&f)) {
        return;
    }
    black_box(f());
    // The clock may be coarse: many runs between two looks.
    let started = Instant::now();
    let before = clock(started);
    let mut runs = 0;
    while started.elapsed().as_millis() < 500 {
        black_box(f());
        runs += 1;
    }
    let mean = (clock(started) - before) / (runs * units) as f64;
    println!("{name:<44} {:>10.1} ns   floor {floor}", mean);
}

/// Pseudo-random 64-bit numbers (splitmix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Roughly normal: a sum of twelve uniform numbers.
    fn normal(&mut self, deviation: f64) -> i16 {
        let uniform = |r: &mut Self| (r.next() >> 11) as f64 / (1u64 << 53) as f64;
        let sum: f64 = (0..12).map(|_| uniform(self)).sum();
        ((sum - 6.0) * deviation) as i16
    }
}

fn main() {
    rayon::ThreadPoolBuilder::new()
        .num_threads(1)
        .use_current_thread()
        .build_global()
        .expect("the first use of the pool");
    let mut random = Random(1);
    let points = generators("bench", 1 << 16);
    let scalars: Vec<Fq> = (0..1 << 16)
        .map(|_| {
            let words: [u64; 8] = std::array::from_fn(|_| random.next());
            let bytes: Vec<u8> = words.iter().flat_map(|w| w.to_le_bytes()).collect();
            Fq::from_wide_bytes(bytes.as_slice().try_into().expect("64 bytes"))
        })
        .collect();

    for (columns, rows, floor) in [(1 << 12, 64, "90-105"), (1 << 14, 16, "-"), (576, 400, "-")] {
        let index: Vec<i64> = (0..columns).collect();
        let n = columns as usize * rows;
        let uniform: Vec<i16> = (0..n).map(|_| random.next() as i16).collect();
        report(
            &format!("commit 16-bit uniform, rows of {columns}"),
            n,
            floor,
            || commit_rows(&uniform, rows, &index, &points),
        );
        let weights: Vec<i16> = (0..n).map(|_| random.normal(1000.0)).collect();
        report(
            &format!("commit normal, deviation 1000, rows of {columns}"),
            n,
            "-",
            || commit_rows(&weights, rows, &index, &points),
        );
        let bytes: Vec<i8> = (0..n).map(|_| random.next() as i8).collect();
        let floor = if columns == 1 << 12 { "47-58" } else { "-" };
        report(
            &format!("commit 8-bit uniform, rows of {columns}"),
            n,
            floor,
            || commit_rows(&bytes, rows, &index, &points),
        );
    }
    for (log, floor) in [(8, "-"), (12, "1430"), (16, "1060")] {
        let n = 1 << log;
        report(&format!("msm, full scalars, 2^{log}"), n, floor, || {
            msm(&points[..n], &scalars[..n])
        });
    }
    let factors = [&[Fq::ONE], &scalars[..15]].concat();
    for (log, parts) in [(6, 8), (9, 8), (12, 2), (12, 4), (12, 8), (12, 16)] {
        let n = 1 << log;
        report(&format!("fold, 2^{log} sums of {parts}"), n, "-", || {
            combine(&points[..parts * n], n, &factors[..parts])
        });
    }
    for n in [5000, 18_000] {
        report(&format!("inner product, {n} entries"), n, "-", || {
            let vectors = (&scalars[..n], &scalars[n..2 * n]);
            let mut state = InnerProduct::new(&points[..n], points[n], vectors.0, vectors.1)
                .expect("operands of one length");
            while state.end().is_err() {
                black_box(state.cross().expect("a round"));
                state.fold(scalars[0]).expect("a round");
            }
        });
    }
    let n = 1 << 14;
    report("add", n, "28-43", || {
        add_points(&points[..n], &points[n..2 * n])
    });
    report("scale one point by 2^13 scalars", n / 2, "-", || {
        scale_point(&points[0], &scalars[..n / 2])
    });
    let mut data = vec![0; n * 32];
    report("compress", n, "-", || compress(&points[..n], &mut data));
    report("decompress", n, "-", || decompress(&data, usize::MAX));
    report("hash to curve", n / 8, "-", || generators("bench", n / 8));
}
