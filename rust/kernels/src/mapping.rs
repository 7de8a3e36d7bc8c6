//! Memory from the system for the largest consumer, the tree of fractions: one region, of which
//! only what is used is ever backed, kept for the next tree where it is not too large.
//!
//! In pages of the usual size: fewer, larger ones are quicker on some machines and several times
//! slower on virtual ones whose host has to find memory for them.

use crate::field::Limbs;
use std::ptr::NonNull;
use std::sync::{Mutex, PoisonError};

/// The region of the last tree.
static KEPT: Mutex<Option<Mapping>> = Mutex::new(None);

/// A region of memory; what is in it is not specified, but initialised.
pub(crate) struct Mapping {
    base: NonNull<Limbs>,
    length: usize,
}

// SAFETY: the region belongs to this value alone.
unsafe impl Send for Mapping {}
// SAFETY: see above; nothing is read or written through it here.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Room for so many elements; none where the system has none.
    pub(crate) fn new(length: usize) -> Option<Self> {
        let kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner).take();
        let fits = |kept: &Self| (length..=2 * length).contains(&kept.length);
        kept.filter(fits).or_else(|| mapped(length))
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

    /// Gives the region up, for [`Self::new`] to use again if it has at most `limit` bytes.
    pub(crate) fn recycle(self, limit: usize) {
        let kept = (self.bytes() <= limit).then_some(self);
        *KEPT.lock().unwrap_or_else(PoisonError::into_inner) = kept;
    }
}

/// Gives the kept region back to the system if it is larger than `limit` bytes.
pub(crate) fn keep(limit: usize) {
    let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    *kept = kept.take().filter(|kept| kept.bytes() <= limit);
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
    Some(Mapping { base, length })
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
