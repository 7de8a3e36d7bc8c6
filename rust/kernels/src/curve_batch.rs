//! Many affine additions or doublings that share one inversion.
//!
//! An affine addition costs 2 multiplications, a square and the inverse of `x_b - x_a`; with
//! Montgomery's trick an inverse costs 3 multiplications and a share of one real inversion.
//! Additions where that difference is zero, or with the identity, are found and done apart.

#[cfg(target_arch = "x86_64")]
use crate::avx2;
use crate::curve::Affine;
use crate::field::Fp;
#[cfg(target_arch = "x86_64")]
use crate::ifma;
#[cfg(target_arch = "x86_64")]
use crate::places::{Place, Places, Tagged};
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
    #[cfg(target_arch = "x86_64")]
    fours: avx2::Scratch,
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
        if Places::len(batch) >= WIDE {
            // SAFETY: the instructions exist.
            let done = if ifma::available() {
                unsafe { ifma::add_batch(batch, &mut self.scratch) }
            } else {
                avx2::available() && unsafe { avx2::add_batch(batch, &mut self.fours) }
            };
            if done {
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
            if batch.len() >= WIDE {
                // SAFETY: the instructions exist.
                let done = if ifma::available() {
                    unsafe { ifma::double_batch(batch, &mut self.scratch) }
                } else {
                    avx2::available() && unsafe { avx2::double_batch(batch, &mut self.fours) }
                };
                if done {
                    continue;
                }
            }
            self.double_portable(batch);
        }
    }

    fn double_portable(&mut self, points: &mut [Affine]) {
        self.begin();
        let mut product = Fp::ONE;
        for p in points.iter() {
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
        for (i, p) in points.iter_mut().enumerate().rev() {
            let xx = p.x.square();
            // With x = y = 0 the slope is zero, and (0, 0) comes out again.
            let slope = (xx.double() + xx) * (self.prefixes[i] * inverse);
            inverse *= self.denominators[i];
            let x = slope.square() - p.x.double();
            p.y = slope * (p.x - x) - p.y;
            p.x = x;
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
mod tests;
