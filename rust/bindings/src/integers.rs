//! Products of integer matrices, counts, and division by powers of two.

use crate::arrays::{SmallIn, require, with_same, with_small};
use numpy::{PyArray1, PyArray2, PyArrayMethods, PyReadonlyArray2, PyUntypedArrayMethods};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use veracity_kernels::integers::{Fitting, block_products, count, divide, products};
use veracity_kernels::small::BLOCK;

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(integer_block_products, module)?)?;
    module.add_function(wrap_pyfunction!(integer_counts, module)?)?;
    module.add_function(wrap_pyfunction!(integer_divide, module)?)?;
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

/// `x + 2^(shift - 1)` divided by `2^shift`: quotients, rounded down, and rests, without shape.
#[pyfunction]
fn integer_divide<'py>(
    py: Python<'py>,
    x: SmallIn<'py>,
    shift: u32,
) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyAny>)> {
    require(shift < 64, "a shift is below 64")?;
    let (quotients, rests) = with_small!(&x, |x| Ok(py.detach(|| divide(x, shift))))?;
    Ok((array(py, quotients), array(py, rests)))
}

/// Integers as an array of their type.
fn array(py: Python<'_>, values: Fitting) -> Bound<'_, PyAny> {
    match values {
        Fitting::U16(values) => PyArray1::from_vec(py, values).into_any(),
        Fitting::I16(values) => PyArray1::from_vec(py, values).into_any(),
        Fitting::I32(values) => PyArray1::from_vec(py, values).into_any(),
        Fitting::I64(values) => PyArray1::from_vec(py, values).into_any(),
    }
}

/// `out[c, o, d, i] = x[o, i, c] y[o, i, d]` for blocks `first .. last` of rows with so many, of two
/// arrays of one type; 32 bits of each product, or 64 where they are `wide`; without shape.
#[pyfunction]
fn integer_block_products<'py>(
    py: Python<'py>,
    operands: [SmallIn<'py>; 2],
    blocks: usize,
    first: usize,
    last: usize,
    wide: bool,
) -> PyResult<Bound<'py, PyAny>> {
    require(first < last && last <= blocks, "no such blocks")?;
    let found = with_same!(operands, |slices| {
        let whole = slices[0].len().is_multiple_of(BLOCK * blocks);
        require(
            whole && slices[0].len() == slices[1].len(),
            "operands are rows of blocks, as many of each",
        )?;
        let (x, y, range) = (slices[0], slices[1], first..last);
        Ok(py.detach(|| match wide {
            true => Fitting::I64(block_products(x, y, blocks, range)),
            false => Fitting::I32(block_products(x, y, blocks, range)),
        }))
    })?;
    Ok(array(py, found))
}
