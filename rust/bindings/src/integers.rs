//! Products of integer matrices, and counts.

use crate::arrays::{SmallIn, require, with_same, with_small};
use numpy::{PyArray1, PyArray2, PyArrayMethods, PyReadonlyArray2, PyUntypedArrayMethods};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use veracity_kernels::integers::{count, products};

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(integer_counts, module)?)?;
    module.add_function(wrap_pyfunction!(integer_products, module)?)
}

/// `out[r, i] = sum_j w[i, j] x[r, j]` modulo 2^64, for `w` of shape (count, width).
#[pyfunction]
fn integer_products<'py>(
    py: Python<'py>,
    w: SmallIn<'py>,
    x: PyReadonlyArray2<'py, i64>,
) -> PyResult<Bound<'py, PyArray2<i64>>> {
    let (rows, width) = (x.shape()[0], x.shape()[1]);
    require(rows > 0 && width > 0, "an operand of a product is empty")?;
    let x = x.as_slice()?;
    let out = with_small!(&w, |w| {
        require(
            w.len().is_multiple_of(width),
            "w must have shape (count, width)",
        )?;
        Ok(py.detach(|| products(w, x, rows)))
    })?;
    let count = out.len() / rows;
    PyArray1::from_vec(py, out).reshape([rows, count])
}

/// How often each of `low .. low + size` occurs in arrays of one type.
#[pyfunction]
fn integer_counts<'py>(
    py: Python<'py>,
    arrays: Vec<SmallIn<'py>>,
    low: i64,
    size: usize,
) -> PyResult<Bound<'py, PyArray1<i64>>> {
    let found = with_same!(arrays, |slices| Ok(py.detach(|| count(&slices, low, size))))?;
    let counts = found.ok_or_else(|| PyValueError::new_err("an integer is out of range"))?;
    Ok(PyArray1::from_vec(py, counts))
}
