//! Sums of many points per bucket, and weighted sums of buckets: what every multi-scalar
//! multiplication here is made of.
//!
//! Both are trees of independent additions, so that all additions of a level share inversions.

use crate::curve::{Affine, Xyzz};
use crate::curve_batch::{Adder, Job, Signed};
use std::cell::RefCell;

/// Points reduced together: large enough to fill batches of additions far down the tree, small
/// enough for the partial sums to stay in the second-level cache.
const CHUNK: usize = 1 << 14;

/// Calls `f` with the buffers of this thread, which keep their memory from call to call: asking
/// the system for a few megabytes each time costs as much as a short multiplication.
pub fn with_buffers<R>(f: impl FnOnce(&mut Weighted) -> R) -> R {
    thread_local! {
        static BUFFERS: RefCell<Weighted> = RefCell::default();
    }
    // Taken out meanwhile: a call inside a call gets buffers of its own.
    let mut buffers = BUFFERS.take();
    let result = f(&mut buffers);
    BUFFERS.set(buffers);
    result
}

/// Sums segments of points; owns its buffers.
#[derive(Default)]
pub struct Reducer {
    adder: Adder,
    jobs: Vec<Job>,
    lengths: Vec<u32>,
    even: Vec<Affine>,
    odd: Vec<Affine>,
}

impl Reducer {
    /// The adder, for additions of other shapes.
    pub fn adder(&mut self) -> &mut Adder {
        &mut self.adder
    }

    /// `out[s]` = the sum of the points that `entries[offsets[s] .. offsets[s + 1]]` refer to.
    pub fn reduce(
        &mut self,
        points: &[Affine],
        entries: &[Signed],
        offsets: &[u32],
        out: &mut [Affine],
    ) {
        assert_eq!(offsets.len(), out.len() + 1);
        let mut first = 0;
        while first < out.len() {
            let start = offsets[first] as usize;
            let mut last = first + 1;
            while last < out.len() && offsets[last + 1] as usize - start <= CHUNK {
                last += 1;
            }
            self.reduce_chunk(
                points,
                entries,
                &offsets[first..=last],
                &mut out[first..last],
            );
            first = last;
        }
    }

    fn reduce_chunk(
        &mut self,
        points: &[Affine],
        entries: &[Signed],
        offsets: &[u32],
        out: &mut [Affine],
    ) {
        // First level: from the points to `even`. A point without partner is copied.
        self.jobs.clear();
        self.lengths.clear();
        let total = (offsets[out.len()] - offsets[0]) as usize;
        if self.even.len() < total / 2 + out.len() {
            self.even.resize(total / 2 + out.len(), Affine::IDENTITY);
        }
        let mut made = 0;
        for bounds in offsets.windows(2) {
            let segment = &entries[bounds[0] as usize..bounds[1] as usize];
            self.lengths.push(segment.len().div_ceil(2) as u32);
            let pairs = segment.chunks_exact(2);
            let rest = pairs.remainder();
            for pair in pairs {
                self.jobs.push(Job {
                    a: pair[0],
                    b: pair[1],
                    out: made,
                });
                made += 1;
            }
            if let [single] = rest {
                self.even[made as usize] = single.get(points);
                made += 1;
            }
        }
        self.adder.add(points, points, &self.jobs, &mut self.even);
        while self.lengths.iter().any(|&n| n > 1) {
            self.halve();
        }
        let mut sums = self.even.iter();
        for (o, &n) in out.iter_mut().zip(&self.lengths) {
            *o = match n {
                0 => Affine::IDENTITY,
                _ => *sums.next().expect("a sum for each segment"),
            };
        }
    }

    /// One level of the tree over all segments, from `even` to `odd`; then swaps them.
    fn halve(&mut self) {
        self.jobs.clear();
        self.odd.resize(self.even.len(), Affine::IDENTITY);
        let (mut read, mut made) = (0, 0);
        for n in &mut self.lengths {
            for _ in 0..*n / 2 {
                self.jobs.push(Job {
                    a: Signed::new(read, false),
                    b: Signed::new(read + 1, false),
                    out: made,
                });
                read += 2;
                made += 1;
            }
            if *n % 2 == 1 {
                self.odd[made as usize] = self.even[read];
                read += 1;
                made += 1;
            }
            *n = n.div_ceil(2);
        }
        self.adder
            .add(&self.even, &self.even, &self.jobs, &mut self.odd);
        std::mem::swap(&mut self.even, &mut self.odd);
    }
}

/// Weighted sums `sum_i digit_i P_i`, many at once.
///
/// A sum is a task: [`Weighted::push`] sorts its points into one bucket per absolute digit, and
/// [`Weighted::finish`] adds up the buckets of all tasks. With `B_j` the sum of bucket `j`,
/// `sum_j j B_j = 2 sum_j j (B_2j + B_2j+1) + sum_j B_2j+1`: two independent additions a bucket
/// in all, and the powers of two are left to the caller's Horner scheme.
#[derive(Default)]
pub struct Weighted {
    reducer: Reducer,
    entries: Vec<Signed>,
    offsets: Vec<u32>,
    cursor: Vec<u32>,
    /// Buckets of all tasks, one after the other; bucket 0 of a task is empty.
    buckets: Vec<Affine>,
    tasks: Vec<usize>,
    halving: Halving,
}

/// Buffers of [`Weighted::finish`].
#[derive(Default)]
struct Halving {
    jobs: Vec<Job>,
    /// Odd entries that are not empty, level by level and task by task.
    entries: Vec<Signed>,
    offsets: Vec<u32>,
    /// The task of each segment of `entries`.
    owner: Vec<usize>,
    sums: Vec<Affine>,
}

impl Weighted {
    /// The reducer, for sums without weights.
    pub fn reducer(&mut self) -> &mut Reducer {
        &mut self.reducer
    }

    /// Number of tasks since the last [`Weighted::finish`].
    pub fn tasks(&self) -> usize {
        self.tasks.len()
    }

    /// Adds the task `sum_i digits[i] points[i]`; digits are at most `largest` in absolute value,
    /// and zero where the point is the identity. All tasks share `points`.
    pub fn push(&mut self, points: &[Affine], digits: &[i32], largest: usize) {
        self.cursor.clear();
        self.cursor.resize(largest + 1, 0);
        for &d in digits {
            self.cursor[d.unsigned_abs() as usize] += 1;
        }
        // Counts become first places. Zeros are not kept: bucket 0 is empty.
        self.cursor[0] = 0;
        let mut place = self.entries.len() as u32;
        for count in &mut self.cursor {
            self.offsets.push(place);
            place += std::mem::replace(count, place);
        }
        // Zeros go to one place too many, again and again: no branch on the digit.
        self.cursor[0] = place;
        self.entries
            .resize(place as usize + 1, Signed::new(0, false));
        for (i, &d) in digits.iter().enumerate() {
            let next = &mut self.cursor[d.unsigned_abs() as usize];
            self.entries[*next as usize] = Signed::new(i, d < 0);
            *next += (d != 0) as u32;
        }
        self.entries.truncate(place as usize);
        self.tasks.push(largest + 1);
        if self.entries.len() >= CHUNK {
            self.flush(points);
        }
    }

    /// Sums the buckets of the tasks since the last flush.
    fn flush(&mut self, points: &[Affine]) {
        let start = self.buckets.len();
        self.buckets
            .resize(start + self.offsets.len(), Affine::IDENTITY);
        self.offsets.push(self.entries.len() as u32);
        self.reducer.reduce(
            points,
            &self.entries,
            &self.offsets,
            &mut self.buckets[start..],
        );
        self.entries.clear();
        self.offsets.clear();
    }

    /// Calls `visit(task, parts)` for each task in order, whose sum is `sum_l 2^l parts[l]`.
    ///
    /// There is a part for each bit of the task's `largest`.
    pub fn finish(&mut self, points: &[Affine], mut visit: impl FnMut(usize, &[Affine])) {
        self.flush(points);
        let h = &mut self.halving;
        h.entries.clear();
        h.offsets.clear();
        h.owner.clear();
        let mut sizes = self.tasks.clone();
        // The levels of all tasks are appended to the buckets, which are the first level.
        let mut start = 0;
        while sizes.iter().any(|&n| n > 1) {
            let end = self.buckets.len();
            let length: usize = sizes.iter().map(|n| n.div_ceil(2)).sum();
            self.buckets.resize(end + length, Affine::IDENTITY);
            let (nodes, next) = self.buckets.split_at_mut(end);
            h.jobs.clear();
            let (mut read, mut made) = (start, 0);
            for (task, n) in sizes.iter_mut().enumerate() {
                if *n > 1 {
                    h.offsets.push(h.entries.len() as u32);
                    h.owner.push(task);
                }
                for (j, pair) in nodes[read..read + *n].chunks(2).enumerate() {
                    let even = Signed::new(read + 2 * j, false);
                    let odd = Signed::new(read + 2 * j + 1, false);
                    let odd_present = pair.get(1).is_some_and(|p| !p.is_identity());
                    if odd_present {
                        h.entries.push(odd);
                    }
                    // Entry 0 has weight zero on every level: its sums are not made.
                    if j == 0 {
                        continue;
                    }
                    if !odd_present {
                        next[made + j] = pair[0];
                    } else if pair[0].is_identity() {
                        next[made + j] = pair[1];
                    } else {
                        h.jobs.push(Job {
                            a: even,
                            b: odd,
                            out: (made + j) as u32,
                        });
                    }
                }
                read += *n;
                *n = n.div_ceil(2);
                made += *n;
            }
            self.reducer.adder().add(nodes, nodes, &h.jobs, next);
            start = end;
        }
        h.offsets.push(h.entries.len() as u32);
        h.sums.clear();
        h.sums.resize(h.owner.len(), Affine::IDENTITY);
        self.reducer
            .reduce(&self.buckets, &h.entries, &h.offsets, &mut h.sums);
        let mut parts = vec![Vec::new(); self.tasks.len()];
        for (&task, &sum) in h.owner.iter().zip(&h.sums) {
            parts[task].push(sum);
        }
        for (task, parts) in parts.iter().enumerate() {
            visit(task, parts);
        }
        self.tasks.clear();
        self.buckets.clear();
    }
}

/// `sum_l 2^l parts[l] + 2^shift high`, for at most `shift` parts.
pub fn horner(parts: &[Affine], high: Xyzz, shift: usize) -> Xyzz {
    debug_assert!(parts.len() <= shift);
    let mut total = high;
    for l in (0..shift).rev() {
        total.double();
        if let Some(p) = parts.get(l) {
            total.add_affine(p);
        }
    }
    total
}
