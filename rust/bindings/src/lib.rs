//! The extension module `veracity.engine._cpu`.
//!
//! Checks arguments, releases the GIL and maps errors; the arithmetic is in `veracity-kernels`.
//! Field vectors are NumPy arrays of dtype uint64 and shape (n, 4): Montgomery form, R = 2^260.
//! Single elements cross as 32 little-endian bytes, canonical.

use pyo3::prelude::*;
use std::num::NonZero;

mod arrays;
mod field;
mod fractions;
mod fss;
mod group;
mod inner_product;
mod integers;
mod ring;

#[pymodule]
fn _cpu(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(use_threads, module)?)?;
    module.add_function(wrap_pyfunction!(keep_memory, module)?)?;
    module.add_function(wrap_pyfunction!(release_memory, module)?)?;
    field::register(module)?;
    fractions::register(module)?;
    fss::register(module)?;
    inner_product::register(module)?;
    integers::register(module)?;
    ring::register(module)?;
    group::register(module)
}

/// Makes the pool of threads, once for the process; 0 stands for `RAYON_NUM_THREADS`, or one a core.
///
/// With `caller`, the calling thread is one of them: a kernel that it calls begins at once, without
/// a thread that is woken for it and wakes it after. It works for no other thread that calls a
/// kernel, so it needs another beside it, which does.
///
/// Returns how many threads there are.
#[pyfunction]
fn use_threads(threads: usize, caller: bool) -> usize {
    let threads = if threads > 0 {
        threads
    } else {
        usual_threads()
    };
    let mut pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
    if caller && threads > 1 {
        pool = pool.use_current_thread();
    }
    // An error says that the pool exists already, with its own number of threads.
    let _ = pool.build_global();
    rayon::current_num_threads()
}

/// As many threads as the environment asks for, else one a core.
fn usual_threads() -> usize {
    let asked = std::env::var("RAYON_NUM_THREADS").ok();
    match asked.and_then(|text| text.parse().ok()) {
        Some(threads @ 1..) => threads,
        _ => std::thread::available_parallelism().map_or(1, NonZero::get),
    }
}

/// Keeps at most `limit` bytes of freed vectors for use again, and at most `tree` bytes of the last
/// tree's memory for the next one; the rest goes back to the system.
#[pyfunction]
fn keep_memory(py: Python<'_>, limit: usize, tree: usize) {
    py.detach(|| veracity_kernels::buffers::keep(limit, tree));
}

/// Gives back to the system what is free beyond that, if it was said.
#[pyfunction]
fn release_memory(py: Python<'_>) {
    py.detach(veracity_kernels::buffers::release);
}
