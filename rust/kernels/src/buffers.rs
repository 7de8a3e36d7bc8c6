//! Memory for large vectors, used again instead of given back.
//!
//! A round of a proof makes vectors as long as those it consumes. Fresh memory costs a page fault
//! per 128 elements, more time than a multiplication of each; so results are kept here when
//! Python drops them, up to a limit, and the first touch of new ones is of huge pages.

use crate::field::{Fe, Limbs, Modulus};
use crate::mapping;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock};

/// Vectors from this size on, in bytes, are worth it.
const LARGE: usize = 1 << 20;
/// Bytes kept at most; an eighth of the memory on a small machine. More is hardly faster: the
/// longest vectors are made once a proof.
const KEPT: usize = 256 << 20;
const HUGE_PAGE: usize = 2 << 20;

#[derive(Default)]
struct Pool {
    /// By length.
    free: BTreeMap<usize, Vec<Vec<Limbs>>>,
    bytes: usize,
}

static POOL: Mutex<Pool> = Mutex::new(Pool {
    free: BTreeMap::new(),
    bytes: 0,
});

/// Bytes to keep, where somebody said how many.
static WANTED: AtomicUsize = AtomicUsize::new(usize::MAX);
static TREE: AtomicUsize = AtomicUsize::new(usize::MAX);

fn bytes(limbs: &Vec<Limbs>) -> usize {
    limbs.capacity() * size_of::<Limbs>()
}

/// A vector of `n` elements, for the caller to overwrite: what they are is not specified.
pub fn take<M: Modulus>(n: usize) -> Vec<Fe<M>> {
    if n * size_of::<Limbs>() < LARGE {
        return Fe::from_limbs(vec![[0; 4]; n]);
    }
    let mut evicted = Vec::new();
    if let Ok(mut pool) = POOL.lock() {
        let found = pool
            .free
            .range_mut(n..=n + n / 4)
            .find_map(|(_, v)| v.pop());
        if let Some(mut limbs) = found {
            pool.bytes -= bytes(&limbs);
            limbs.truncate(n);
            return Fe::from_limbs(limbs);
        }
        // What does not fit makes room, so that kept memory does not add to the peak.
        let left = pool.bytes.saturating_sub(n * size_of::<Limbs>());
        evicted = shrink(&mut pool, left);
    }
    drop(evicted);
    let mut limbs = vec![[0; 4]; n];
    prefer_huge(&mut limbs);
    Fe::from_limbs(limbs)
}

/// Gives a vector up, for [`take`] to use again.
///
/// Secrets may be in it, as in any memory that is freed: elements are not erased.
pub fn recycle<M: Modulus>(values: Vec<Fe<M>>) {
    let mut limbs = Fe::into_limbs(values);
    let (size, limit) = (bytes(&limbs), limit());
    if !(LARGE..=limit).contains(&size) {
        return;
    }
    limbs.resize(limbs.capacity(), [0; 4]);
    let mut evicted = Vec::new();
    if let Ok(mut pool) = POOL.lock() {
        pool.bytes += size;
        pool.free.entry(limbs.len()).or_default().push(limbs);
        evicted = shrink(&mut pool, limit);
    }
    // Given back to the system here, where nobody waits for the lock.
    drop(evicted);
}

/// Takes vectors out until at most `limit` bytes are left; the shortest first, which are the
/// cheapest to make again.
fn shrink(pool: &mut Pool, limit: usize) -> Vec<Vec<Limbs>> {
    let mut evicted = Vec::new();
    while pool.bytes > limit {
        let Some(mut entry) = pool.free.first_entry() else {
            break;
        };
        match entry.get_mut().pop() {
            Some(old) => {
                pool.bytes -= bytes(&old);
                evicted.push(old);
            }
            None => {
                entry.remove();
            }
        }
    }
    evicted
}

/// Keeps at most `limit` bytes from now on, and for the next tree of fractions the memory of the
/// last one, at most `tree` bytes; gives what is free beyond that back to the system.
///
/// The allocator keeps about `limit` bytes beside them.
pub fn keep(limit: usize, tree: usize) {
    WANTED.store(limit, Ordering::Relaxed);
    TREE.store(tree, Ordering::Relaxed);
    release();
}

/// Gives back to the system what is free beyond what may be kept, where somebody said how much.
pub fn release() {
    let limit = WANTED.load(Ordering::Relaxed);
    if limit == usize::MAX {
        return;
    }
    let evicted = POOL.lock().map(|mut pool| shrink(&mut pool, limit));
    drop(evicted);
    mapping::keep(tree_limit());
    allocator(limit);
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: returns free memory of the allocator to the system; touches no live object.
    unsafe {
        libc::malloc_trim(limit.min(KEPT));
    }
}

/// Bytes to keep of a tree's memory.
pub(crate) fn tree_limit() -> usize {
    match TREE.load(Ordering::Relaxed) {
        usize::MAX => limit(),
        tree => tree,
    }
}

/// How much freed memory the allocator keeps, too: NumPy's arrays come from there, and giving
/// every one back costs a third of a proof in page faults. Where it keeps nothing it has its own
/// thresholds.
fn allocator(keeps: usize) {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        // The greatest that the allocator takes; what it keeps are whole parts of its heap.
        const FROM: i32 = 32 << 20;
        let least = 128 << 10;
        let (from, trim) = if keeps > 0 {
            (
                FROM,
                i32::try_from(keeps.min(KEPT)).unwrap_or(FROM).max(least),
            )
        } else {
            (least, least)
        };
        // SAFETY: sets thresholds of the allocator; touches no object.
        unsafe {
            libc::mallopt(libc::M_MMAP_THRESHOLD, from);
            libc::mallopt(libc::M_TRIM_THRESHOLD, trim);
            libc::mallopt(libc::M_TOP_PAD, trim.min(16 << 20));
        }
    }
    #[cfg(not(all(target_os = "linux", target_env = "gnu")))]
    let _ = keeps;
}

/// Bytes to keep.
pub(crate) fn limit() -> usize {
    let wanted = WANTED.load(Ordering::Relaxed);
    if wanted != usize::MAX {
        return wanted;
    }
    static LIMIT: OnceLock<usize> = OnceLock::new();
    *LIMIT.get_or_init(|| {
        allocator(KEPT);
        #[cfg(target_os = "linux")]
        // SAFETY: asks for two numbers.
        let memory =
            unsafe { libc::sysconf(libc::_SC_PHYS_PAGES) * libc::sysconf(libc::_SC_PAGESIZE) };
        #[cfg(not(target_os = "linux"))]
        let memory = 0;
        usize::try_from(memory / 8).map_or(0, |memory| memory.min(KEPT))
    })
}

/// Advises the system to back the whole huge pages inside fresh memory by huge pages. Only
/// advice: failure changes nothing.
fn prefer_huge(memory: &mut [Limbs]) {
    let start = memory.as_mut_ptr() as usize;
    let end = start + size_of_val(memory);
    let (first, last) = (
        start.next_multiple_of(HUGE_PAGE),
        end / HUGE_PAGE * HUGE_PAGE,
    );
    if first >= last {
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
