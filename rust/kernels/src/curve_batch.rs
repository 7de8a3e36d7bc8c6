//! Many affine additions or doublings that share one inversion.
//!
//! An affine addition costs 2 multiplications, a square and the inverse of `x_b - x_a`; with
//! Montgomery's trick an inverse costs 3 multiplications and a share of one real inversion.
//! Additions where that difference is zero, or with the identity, are found and done apart.

use crate::curve::Affine;
use crate::field::Fp;
#[cfg(target_arch = "x86_64")]
use crate::ifma::{self, Place, Places, Tagged};
#[cfg(not(target_arch = "x86_64"))]
use Additions as Places;

/// Additions that share an inversion, which costs as much as about 320 multiplications.
pub const BATCH: usize = 2048;
/// Fewest additions worth the eight-way path.
#[cfg(target_arch = "x86_64")]
const WIDE: usize = 4;

/// A reference to a point of a slice, perhaps negated: index and sign in one word.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Signed(u32);

impl Signed {
    /// Point `index`, negated where `negative`.
    #[inline(always)]
    pub fn new(index: usize, negative: bool) -> Self {
        debug_assert!(index < 1 << 31);
        Self((index as u32) << 1 | negative as u32)
    }

    /// The index.
    #[inline(always)]
    pub fn index(self) -> usize {
        (self.0 >> 1) as usize
    }

    /// Whether the point is negated.
    #[inline(always)]
    pub fn negative(self) -> bool {
        self.0 & 1 == 1
    }

    /// The point itself.
    #[inline(always)]
    pub fn get(self, points: &[Affine]) -> Affine {
        points[self.index()].negate_if(self.negative())
    }
}

/// `out[self.out] = a[self.a] + b[self.b]`.
#[derive(Copy, Clone, Debug)]
pub struct Job {
    /// Left operand.
    pub a: Signed,
    /// Right operand.
    pub b: Signed,
    /// Where the sum goes.
    pub out: u32,
}

/// Buffers of batched additions, kept from call to call; one per thread.
#[derive(Default)]
pub struct Adder {
    denominators: Vec<Fp>,
    prefixes: Vec<Fp>,
    exceptions: Vec<usize>,
    #[cfg(target_arch = "x86_64")]
    scratch: ifma::Scratch,
}

impl Adder {
    /// Buffers for batches of [`BATCH`].
    pub fn new() -> Self {
        Self::default()
    }

    /// All `jobs`; operands from `a` and `b`, which may be the same slice, sums into `out`.
    pub fn add(&mut self, a: &[Affine], b: &[Affine], jobs: &[Job], out: &mut [Affine]) {
        for batch in jobs.chunks(BATCH) {
            self.run(&mut Jobs {
                a,
                b,
                jobs: batch,
                out,
            });
        }
    }

    /// `a[i] += b[i]`, or `a[i] -= b[i]` where `negative`.
    pub fn add_assign(&mut self, a: &mut [Affine], b: &[Affine], negative: bool) {
        assert_eq!(a.len(), b.len());
        for (a, b) in a.chunks_mut(BATCH).zip(b.chunks(BATCH)) {
            self.run(&mut InPlace { a, b, negative });
        }
    }

    fn run(&mut self, batch: &mut (impl Additions + Places)) {
        #[cfg(target_arch = "x86_64")]
        if Places::len(batch) >= WIDE && ifma::available() {
            // SAFETY: the instructions exist.
            if unsafe { ifma::add_batch(batch, &mut self.scratch) } {
                return;
            }
        }
        self.run_portable(batch);
    }

    fn run_portable(&mut self, batch: &mut impl Additions) {
        self.begin();
        let mut product = Fp::ONE;
        for i in 0..batch.len() {
            let (xa, xb) = batch.abscissas(i);
            let mut d = xb - xa;
            if d.is_zero() || xa.is_zero() || xb.is_zero() {
                self.exceptions.push(i);
                d = Fp::ONE;
            }
            self.denominators.push(d);
            self.prefixes.push(product);
            product *= d;
        }
        let mut inverse = product.invert_vartime().expect("a product of non-zeros");
        for i in (0..batch.len()).rev() {
            let (p, q) = batch.operands(i);
            if self.exceptions.last() == Some(&i) {
                self.exceptions.pop();
                batch.store(i, p + q);
                continue;
            }
            let slope = (q.y - p.y) * (self.prefixes[i] * inverse);
            inverse *= self.denominators[i];
            let x = slope.square() - p.x - q.x;
            let y = slope * (p.x - x) - p.y;
            batch.store(i, Affine { x, y });
        }
    }

    /// Doubles every point in place; the identity stays.
    pub fn double(&mut self, points: &mut [Affine]) {
        for batch in points.chunks_mut(BATCH) {
            #[cfg(target_arch = "x86_64")]
            if batch.len() >= WIDE && ifma::available() {
                // SAFETY: the instructions exist.
                if unsafe { ifma::double_batch(batch, &mut self.scratch) } {
                    continue;
                }
            }
            self.begin();
            let mut product = Fp::ONE;
            for p in batch.iter() {
                // 2y = 0 for the identity only.
                let d = if p.is_identity() {
                    Fp::ONE
                } else {
                    p.y.double()
                };
                self.denominators.push(d);
                self.prefixes.push(product);
                product *= d;
            }
            let mut inverse = product.invert_vartime().expect("a product of non-zeros");
            for (i, p) in batch.iter_mut().enumerate().rev() {
                let xx = p.x.square();
                // With x = y = 0 the slope is zero, and (0, 0) comes out again.
                let slope = (xx.double() + xx) * (self.prefixes[i] * inverse);
                inverse *= self.denominators[i];
                let x = slope.square() - p.x.double();
                p.y = slope * (p.x - x) - p.y;
                p.x = x;
            }
        }
    }

    fn begin(&mut self) {
        self.denominators.clear();
        self.prefixes.clear();
        self.exceptions.clear();
    }
}

/// Additions of one batch. Operand `i` is not read after result `i` was stored.
trait Additions {
    fn len(&self) -> usize;
    fn abscissas(&self, i: usize) -> (Fp, Fp);
    fn operands(&self, i: usize) -> (Affine, Affine);
    fn store(&mut self, i: usize, sum: Affine);
}

struct Jobs<'a> {
    a: &'a [Affine],
    b: &'a [Affine],
    jobs: &'a [Job],
    out: &'a mut [Affine],
}

impl Additions for Jobs<'_> {
    #[inline(always)]
    fn len(&self) -> usize {
        self.jobs.len()
    }

    #[inline(always)]
    fn abscissas(&self, i: usize) -> (Fp, Fp) {
        let job = self.jobs[i];
        (self.a[job.a.index()].x, self.b[job.b.index()].x)
    }

    #[inline(always)]
    fn operands(&self, i: usize) -> (Affine, Affine) {
        let job = self.jobs[i];
        (job.a.get(self.a), job.b.get(self.b))
    }

    #[inline(always)]
    fn store(&mut self, i: usize, sum: Affine) {
        self.out[self.jobs[i].out as usize] = sum;
    }
}

struct InPlace<'a> {
    a: &'a mut [Affine],
    b: &'a [Affine],
    negative: bool,
}

impl Additions for InPlace<'_> {
    #[inline(always)]
    fn len(&self) -> usize {
        self.a.len()
    }

    #[inline(always)]
    fn abscissas(&self, i: usize) -> (Fp, Fp) {
        (self.a[i].x, self.b[i].x)
    }

    #[inline(always)]
    fn operands(&self, i: usize) -> (Affine, Affine) {
        (self.a[i], self.b[i].negate_if(self.negative))
    }

    #[inline(always)]
    fn store(&mut self, i: usize, sum: Affine) {
        self.a[i] = sum;
    }
}

// SAFETY: the places are within slices that live as long as the batch, and `out` is another one
// than `a` and `b`.
#[cfg(target_arch = "x86_64")]
unsafe impl Places for Jobs<'_> {
    #[inline(always)]
    fn len(&self) -> usize {
        self.jobs.len()
    }

    #[inline(always)]
    fn sums(&mut self) -> *mut Affine {
        self.out.as_mut_ptr()
    }

    #[inline(always)]
    fn place(&self, i: usize, sums: *mut Affine) -> Place {
        let job = self.jobs[i];
        let sum = job.out as usize;
        assert!(sum < self.out.len());
        Place {
            left: Tagged::new(&self.a[job.a.index()], job.a.negative()),
            right: Tagged::new(&self.b[job.b.index()], job.b.negative()),
            sum: sums.wrapping_add(sum),
        }
    }
}

// SAFETY: the places are within slices that live as long as the batch; sum `i` takes the place
// of operand `i`.
#[cfg(target_arch = "x86_64")]
unsafe impl Places for InPlace<'_> {
    #[inline(always)]
    fn len(&self) -> usize {
        self.a.len()
    }

    #[inline(always)]
    fn sums(&mut self) -> *mut Affine {
        self.a.as_mut_ptr()
    }

    #[inline(always)]
    fn place(&self, i: usize, sums: *mut Affine) -> Place {
        assert!(i < self.a.len());
        let sum = sums.wrapping_add(i);
        Place {
            left: Tagged::new(sum, false),
            right: Tagged::new(&self.b[i], self.negative),
            sum,
        }
    }
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use super::*;
    use crate::hash_to_curve::generators;

    /// Sums by the portable path and by whatever [`Adder::add`] chooses.
    fn both(points: &[Affine], jobs: &[Job]) -> [Vec<Affine>; 2] {
        let mut out = [vec![Affine::IDENTITY; jobs.len()], vec![]];
        out[1] = out[0].clone();
        let [portable, chosen] = &mut out;
        Adder::new().run_portable(&mut Jobs {
            a: points,
            b: points,
            jobs,
            out: portable,
        });
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
            let [portable, chosen] = both(&points, &jobs(n, 64));
            assert_eq!(portable, chosen, "{n}");
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
                let [portable, chosen] = both(&points, &jobs);
                assert_eq!(portable, chosen);
                assert_eq!(chosen[39 - place], points[a] + points[b]);
            }
        }
    }

    #[test]
    fn doublings_agree() {
        let mut points = generators("paths", 50);
        for n in [1, 4, 15, 16, 17, 50] {
            let mut doubles = points[..n].to_vec();
            Adder::new().double(&mut doubles);
            let expected: Vec<_> = points[..n].iter().map(|&p| p + p).collect();
            assert_eq!(doubles, expected);
        }
        points[20] = Affine::IDENTITY;
        let mut doubles = points.clone();
        Adder::new().double(&mut doubles);
        assert_eq!(doubles[20], Affine::IDENTITY);
        assert_eq!(doubles[21], points[21] + points[21]);
    }
}
