//! Fewer page faults for large vectors.

/// From this size on, in bytes, a vector asks for huge pages.
const LARGE: usize = 4 << 20;
const HUGE_PAGE: usize = 2 << 20;

/// Advises the system to back the whole huge pages inside fresh memory by huge pages.
///
/// The first touch of 2^20 elements costs 8192 faults in pages of 4 KiB, more time than one
/// multiplication an element. Only advice: failure changes nothing.
pub(crate) fn prefer_huge<T>(memory: &mut [T]) {
    let start = memory.as_mut_ptr() as usize;
    let end = start + size_of_val(memory);
    let (first, last) = (
        start.next_multiple_of(HUGE_PAGE),
        end / HUGE_PAGE * HUGE_PAGE,
    );
    if end - start < LARGE || first >= last {
        return;
    }
    #[cfg(target_os = "linux")]
    // SAFETY: the range lies inside memory that the caller owns, and the advice does not change
    // its contents.
    unsafe {
        libc::madvise(
            first as *mut libc::c_void,
            last - first,
            libc::MADV_HUGEPAGE,
        );
    }
}
