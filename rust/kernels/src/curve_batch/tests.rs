//! Every path of additions and doublings against the portable one.

use super::*;
use crate::hash_to_curve::generators;

/// What a kernel makes of the batch; done portably where it refuses.
fn sums(points: &[Affine], jobs: &[Job], f: impl Fn(&mut Jobs<'_>) -> bool) -> Vec<Affine> {
    let mut out = vec![Affine::IDENTITY; jobs.len()];
    let mut batch = Jobs {
        a: points,
        b: points,
        jobs,
        out: &mut out,
    };
    if !f(&mut batch) {
        Adder::new().run_portable(&mut batch);
    }
    out
}

/// Sums by the portable path, by each other one that the machine has, and by the one that
/// [`Adder::add`] chooses; `refused` says whether fast paths leave the batch to the portable one.
fn each(points: &[Affine], jobs: &[Job], refused: bool) -> Vec<Vec<Affine>> {
    let mut out = vec![sums(points, jobs, |_| false)];
    if ifma::supported() {
        out.push(sums(points, jobs, |batch| {
            // SAFETY: the instructions exist.
            let done = unsafe { ifma::add_batch(batch, &mut Default::default()) };
            assert_eq!(done, !refused);
            done
        }));
    }
    if avx2::supported() {
        out.push(sums(points, jobs, |batch| {
            // SAFETY: the instructions exist.
            let done = unsafe { avx2::add_batch(batch, &mut Default::default()) };
            assert_eq!(done, !refused);
            done
        }));
    }
    out.push(vec![Affine::IDENTITY; jobs.len()]);
    let chosen = out.last_mut().expect("the one before");
    Adder::new().add(points, points, jobs, chosen);
    out
}

fn jobs(n: usize, m: usize) -> Vec<Job> {
    (0..n)
        .map(|i| Job {
            a: Signed::new(7 * i % m, i % 3 == 0),
            b: Signed::new((11 * i + 1) % m, i % 5 < 2),
            out: (n - 1 - i) as u32,
        })
        .collect()
}

#[test]
fn paths_agree_byte_for_byte() {
    let points = generators("paths", 64);
    for n in (1..70).chain([500, BATCH, BATCH + 1]) {
        let found = each(&points, &jobs(n, 64), false);
        for sums in &found[1..] {
            assert_eq!(&found[0], sums, "{n}");
        }
    }
}

#[test]
fn exceptional_batches_are_done_apart() {
    let mut points = generators("paths", 64);
    points[5] = Affine::IDENTITY;
    points[9] = points[8];
    points[10] = -points[8];
    let exceptional = [(8, 9), (8, 10), (5, 5), (5, 3), (3, 5), (7, 7)];
    for (a, b) in exceptional {
        for place in [0, 1, 7, 8, 15, 16, 39] {
            let mut jobs = jobs(40, 5);
            jobs[place].a = Signed::new(a, false);
            jobs[place].b = Signed::new(b, false);
            for sums in each(&points, &jobs, true) {
                assert_eq!(sums[39 - place], points[a] + points[b]);
                for (job, rest) in jobs.iter().zip(sums.iter().rev()).step_by(5) {
                    assert_eq!(*rest, job.a.get(&points) + job.b.get(&points));
                }
            }
        }
    }
}

/// Doubles by each path; see [`each`].
fn doubles(points: &[Affine], refused: bool) -> Vec<Vec<Affine>> {
    let mut out = vec![points.to_vec()];
    Adder::new().double_portable(&mut out[0]);
    for fast in [ifma::supported(), avx2::supported()] {
        out.extend(fast.then(|| points.to_vec()));
    }
    let mut rest = out[1..].iter_mut();
    // SAFETY: the instructions exist.
    unsafe {
        if ifma::supported() {
            let points = rest.next().expect("one for each path");
            assert_eq!(
                ifma::double_batch(points, &mut Default::default()),
                !refused
            );
        }
        if avx2::supported() {
            let points = rest.next().expect("one for each path");
            assert_eq!(
                avx2::double_batch(points, &mut Default::default()),
                !refused
            );
        }
    }
    out.push(points.to_vec());
    Adder::new().double(out.last_mut().expect("the one before"));
    out
}

#[test]
fn doublings_agree() {
    let mut points = generators("paths", 50);
    for n in [1, 4, 15, 16, 17, 50] {
        let expected: Vec<_> = points[..n].iter().map(|&p| p + p).collect();
        for doubles in doubles(&points[..n], false) {
            assert_eq!(doubles, expected);
        }
    }
    points[20] = Affine::IDENTITY;
    let found = doubles(&points, true);
    let [portable, refused @ .., chosen] = &found[..] else {
        panic!("two or more");
    };
    for doubles in [portable, chosen] {
        assert_eq!(doubles[20], Affine::IDENTITY);
        assert_eq!(doubles[21], points[21] + points[21]);
    }
    for doubles in refused {
        assert_eq!(doubles, &points, "nothing is written");
    }
}
