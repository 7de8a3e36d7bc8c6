//! Where batches of additions take their points from and put them, whatever adds them.

use crate::curve::Affine;
use crate::field::Fp;
use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};

/// Where a batch of additions takes its operands and puts its sums.
///
/// # Safety
/// All pointers are valid throughout the batch, and no sum overlaps an operand of an addition
/// with a smaller number.
pub(crate) unsafe trait Places {
    /// Number of additions.
    fn len(&self) -> usize;
    /// The slice that the sums go to. Asked for once a batch: all pointers into it derive from
    /// this one, so that none invalidates another.
    fn sums(&mut self) -> *mut Affine;
    /// Operands and sum of an addition; `sums` is that slice.
    fn place(&self, i: usize, sums: *mut Affine) -> Place;
}

/// Operands and sum of an addition.
pub(crate) struct Place {
    pub(crate) left: Tagged,
    pub(crate) right: Tagged,
    pub(crate) sum: *mut Affine,
}

/// A pointer to a point whose lowest bit says that the point is negated; points are aligned to
/// eight bytes.
#[derive(Copy, Clone)]
#[repr(transparent)]
pub(crate) struct Tagged(*const Affine);

impl Tagged {
    #[inline(always)]
    pub(crate) fn new(point: *const Affine, negative: bool) -> Self {
        Self(point.wrapping_byte_add(negative as usize))
    }

    #[inline(always)]
    pub(crate) fn point(self) -> *const Affine {
        self.0.map_addr(|a| a & !1)
    }
}

/// Points to double where they are.
pub(crate) struct Doubling<'a>(pub(crate) &'a mut [Affine]);

// SAFETY: each point is read and then written; others are not touched.
unsafe impl Places for Doubling<'_> {
    #[inline(always)]
    fn len(&self) -> usize {
        self.0.len()
    }

    #[inline(always)]
    fn sums(&mut self) -> *mut Affine {
        self.0.as_mut_ptr()
    }

    #[inline(always)]
    fn place(&self, i: usize, sums: *mut Affine) -> Place {
        assert!(i < self.0.len());
        let sum = sums.wrapping_add(i);
        Place {
            left: Tagged::new(sum, false),
            right: Tagged::new(sum, false),
            sum,
        }
    }
}

/// Two points with different abscissas, for lanes without work.
pub(crate) static IDLE: [Affine; 2] = [
    Affine {
        x: Fp::from_montgomery([1, 0, 0, 0]),
        y: Fp::from_montgomery([1, 0, 0, 0]),
    },
    Affine {
        x: Fp::from_montgomery([2, 0, 0, 0]),
        y: Fp::from_montgomery([1, 0, 0, 0]),
    },
];

/// Additions that are made at once.
#[derive(Copy, Clone)]
pub(crate) struct Group<const N: usize> {
    pub(crate) left: [Tagged; N],
    pub(crate) right: [Tagged; N],
    pub(crate) sums: [*mut Affine; N],
}

impl<const N: usize> Group<N> {
    /// Lanes without work, which put their sum into the sink.
    #[inline(always)]
    pub(crate) fn idle(sink: *mut Affine) -> Self {
        Self {
            left: [Tagged::new(&IDLE[0], false); N],
            right: [Tagged::new(&IDLE[1], false); N],
            sums: [sink; N],
        }
    }

    /// Becomes the additions of a batch from number `start` on, whose operands it begins to fetch.
    ///
    /// Where it lies: to make it elsewhere and move it here costs as much as one of its
    /// multiplications.
    #[inline(always)]
    pub(crate) fn look_up(
        &mut self,
        batch: &impl Places,
        start: usize,
        sums: *mut Affine,
        sink: *mut Affine,
    ) {
        let count = batch.len().saturating_sub(start);
        if count < N {
            *self = Self::idle(sink);
        }
        for k in 0..N.min(count) {
            let place = batch.place(start + k, sums);
            (self.left[k], self.right[k], self.sums[k]) = (place.left, place.right, place.sum);
            // SAFETY: fetching has no effect that a program can see.
            unsafe {
                _mm_prefetch::<_MM_HINT_T0>(place.left.point().cast());
                _mm_prefetch::<_MM_HINT_T0>(place.right.point().cast());
            }
        }
    }
}
