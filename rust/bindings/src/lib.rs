//! The extension module `veracity.engine._cpu`.
//!
//! Checks arguments, releases the GIL and maps errors; the arithmetic is in `veracity-kernels`.
//! Field vectors are NumPy arrays of dtype uint64 and shape (n, 4): Montgomery form, R = 2^260.
//! Single elements cross as 32 little-endian bytes, canonical.

use pyo3::prelude::*;

mod arrays;
mod field;
mod group;

#[pymodule]
fn _cpu(module: &Bound<'_, PyModule>) -> PyResult<()> {
    field::register(module)?;
    group::register(module)
}
