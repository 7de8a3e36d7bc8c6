//! Memory from the system for the largest consumer, the tree of fractions: one region, of which
//! only what is used is ever backed, kept for the next tree as far as that is wanted.
//!
//! In pages of the usual size: fewer, larger ones are quicker on some machines and several times
//! slower on virtual ones whose host has to find memory for them.

use crate::field::Limbs;
use rayon::prelude::*;
use std::ops::Range;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// A region is cut at multiples of this.
const PAGE: usize = 1 << 16;
/// What a thread has backed at a time.
const PART: usize = 1 << 21;

/// The region of the last tree.
static KEPT: Mutex<Option<Mapping>> = Mutex::new(None);

/// A region of memory; what is in it is not specified, but initialised.
pub(crate) struct Mapping {
    base: NonNull<Limbs>,
    length: usize,
    /// Elements at its beginning that the system was asked to back.
    backed: AtomicUsize,
}

// SAFETY: the region belongs to this value alone.
unsafe impl Send for Mapping {}
// SAFETY: see above; nothing is read or written through it here.
unsafe impl Sync for Mapping {}

impl Mapping {
    fn at(base: NonNull<Limbs>, length: usize) -> Self {
        let backed = AtomicUsize::new(0);
        Self {
            base,
            length,
            backed,
        }
    }

    /// Room for so many elements; none where the system has none.
    pub(crate) fn new(length: usize) -> Option<Self> {
        let kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner).take();
        kept.and_then(|kept| kept.resized(length))
            .or_else(|| mapped(length))
    }

    /// The first element.
    pub(crate) fn base(&self) -> *mut Limbs {
        self.base.as_ptr()
    }

    /// Number of elements.
    pub(crate) fn length(&self) -> usize {
        self.length
    }

    fn bytes(&self) -> usize {
        self.length * size_of::<Limbs>()
    }

    /// Has the system back elements that are about to be written: a fault for each page takes a
    /// third longer. Only advice: failure changes nothing.
    #[cfg(target_os = "linux")]
    pub(crate) fn back(&self, elements: Range<usize>) {
        const ELEMENT: usize = size_of::<Limbs>();
        let backed = self.backed.fetch_max(elements.end, Ordering::Relaxed);
        let first = elements.start.max(backed) * ELEMENT / PAGE * PAGE;
        let end = self.bytes().min(elements.end * ELEMENT);
        (first..end).into_par_iter().step_by(PART).for_each(|at| {
            let part = self.base().cast::<u8>().wrapping_add(at);
            // SAFETY: the range lies inside the region, and what is in it does not change.
            unsafe {
                libc::madvise(part.cast(), PART.min(end - at), libc::MADV_POPULATE_WRITE);
            }
        });
    }

    #[cfg(not(target_os = "linux"))]
    pub(crate) fn back(&self, _elements: Range<usize>) {}

    /// Gives the region up, for [`Self::new`] to use again: as far as `limit` bytes of it.
    pub(crate) fn recycle(self, limit: usize) {
        let kept = self.cut(limit);
        *KEPT.lock().unwrap_or_else(PoisonError::into_inner) = kept;
    }

    /// Its beginning, of at most `limit` bytes; the rest goes back to the system.
    fn cut(self, limit: usize) -> Option<Self> {
        let length = limit.min(self.bytes()) / PAGE * PAGE / size_of::<Limbs>();
        if length == 0 {
            None
        } else {
            self.resized(length)
        }
    }

    /// The region with another length; what both have in common stays backed.
    #[cfg(target_os = "linux")]
    fn resized(self, length: usize) -> Option<Self> {
        let bytes = length.checked_mul(size_of::<Limbs>()).filter(|&n| n > 0)?;
        // SAFETY: this is the mapping that was made, and nobody else refers to it.
        let base = unsafe {
            let at = self.base().cast();
            libc::mremap(at, self.bytes(), bytes, libc::MREMAP_MAYMOVE)
        };
        if base == libc::MAP_FAILED {
            return None;
        }
        std::mem::forget(self); // it lies elsewhere now
        let base = NonNull::new(base.cast())?;
        Some(Self::at(base, length))
    }

    #[cfg(not(target_os = "linux"))]
    fn resized(self, length: usize) -> Option<Self> {
        (self.length == length).then_some(self)
    }
}

/// Gives the kept region back to the system beyond `limit` bytes.
pub(crate) fn keep(limit: usize) {
    let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    *kept = kept.take().and_then(|kept| kept.cut(limit));
}

#[cfg(unix)]
fn mapped(length: usize) -> Option<Mapping> {
    let bytes = length.checked_mul(size_of::<Limbs>()).filter(|&n| n > 0)?;
    let access = libc::PROT_READ | libc::PROT_WRITE;
    let kind = libc::MAP_PRIVATE | libc::MAP_ANON;
    // SAFETY: asks for memory of zeros at any address.
    let base = unsafe { libc::mmap(std::ptr::null_mut(), bytes, access, kind, -1, 0) };
    if base == libc::MAP_FAILED {
        return None;
    }
    let base = NonNull::new(base.cast())?;
    Some(Mapping::at(base, length))
}

#[cfg(not(unix))]
fn mapped(_length: usize) -> Option<Mapping> {
    None
}

impl Drop for Mapping {
    fn drop(&mut self) {
        #[cfg(unix)]
        // SAFETY: this is the mapping that was made, and nobody else refers to it.
        unsafe {
            libc::munmap(self.base().cast(), self.bytes());
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_region_keeps_its_beginning() {
        let length = 3 * PAGE / size_of::<Limbs>();
        let region = mapped(length).expect("memory");
        // SAFETY: both elements lie in the region.
        unsafe {
            *region.base() = [1, 2, 3, 4];
            *region.base().add(length - 1) = [5, 6, 7, 8];
        }
        let region = region.cut(2 * PAGE + 5).expect("two pages of three");
        assert_eq!(region.bytes(), 2 * PAGE);
        let region = region.resized(length).expect("three again");
        // SAFETY: see above.
        let ends = unsafe { (*region.base(), *region.base().add(length - 1)) };
        assert_eq!(ends, ([1, 2, 3, 4], [0; 4]));
        assert!(region.cut(PAGE - 1).is_none());
    }
}
