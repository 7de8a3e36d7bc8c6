//! Products of integer matrices, counts, and division by powers of two.

use crate::arrays::{SmallIn, require, rows, with_same, with_small};
use numpy::{Element, PyArray1, PyArray2, PyArrayMethods, PyReadonlyArray2, PyUntypedArrayMethods};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use veracity_kernels::entrywise::{look_up, rounded};
use veracity_kernels::integers::{Fitting, block_products, count, divide, products};
use veracity_kernels::small::{BLOCK, Small};
use veracity_kernels::stacked::stacked;

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(integer_block_products, module)?)?;
    module.add_function(wrap_pyfunction!(integer_counts, module)?)?;
    module.add_function(wrap_pyfunction!(integer_divide, module)?)?;
    module.add_function(wrap_pyfunction!(integer_look_up, module)?)?;
    module.add_function(wrap_pyfunction!(integer_products, module)?)?;
    module.add_function(wrap_pyfunction!(integer_rounded, module)?)?;
    module.add_function(wrap_pyfunction!(integer_stack, module)?)
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

/// `table[x - low]` for every integer, in the type of the table, without shape.
#[pyfunction]
fn integer_look_up<'py>(
    py: Python<'py>,
    x: SmallIn<'py>,
    low: i64,
    table: SmallIn<'py>,
) -> PyResult<Bound<'py, PyAny>> {
    with_small!(&table, |table| {
        let found = with_small!(&x, |x| Ok(py.detach(|| look_up(x, low, table))))?;
        let found = found.ok_or_else(|| PyValueError::new_err("an integer is out of range"))?;
        Ok(PyArray1::from_vec(py, found).into_any())
    })
}

/// `floor((x + 2^(shift - 1)) / 2^shift)` without shape, and the least and the greatest of these.
#[pyfunction]
fn integer_rounded<'py>(
    py: Python<'py>,
    x: SmallIn<'py>,
    shift: u32,
) -> PyResult<(Bound<'py, PyArray1<i64>>, [i64; 2])> {
    require(shift < 64, "a shift is below 64")?;
    let (found, range) = with_small!(&x, |x| Ok(py.detach(|| rounded(x, shift))))?;
    Ok((PyArray1::from_vec(py, found), range))
}

/// Arrays of one shape as one array with the axes of `(arrays, shape)` in an order, without shape;
/// of the type that has so many bits, with a sign or, with 16, without.
#[pyfunction]
fn integer_stack<'py>(
    py: Python<'py>,
    arrays: Vec<SmallIn<'py>>,
    shape: Vec<usize>,
    order: Vec<usize>,
    bits: u32,
    signed: bool,
) -> PyResult<Bound<'py, PyAny>> {
    let size = shape.iter().try_fold(1usize, |a, &n| a.checked_mul(n));
    let found = rows(&arrays)?;
    let fits = found.iter().all(|row| Some(row.len()) == size);
    require(fits && !found.is_empty(), "arrays of one shape are due")?;
    let mut named = order.clone();
    named.sort_unstable();
    require(
        named.into_iter().eq(0..=shape.len()),
        "an order names every axis once",
    )?;
    fn array<'py, O: Small + Default + Element>(
        py: Python<'py>,
        make: impl FnOnce() -> Vec<O> + Send,
    ) -> Bound<'py, PyAny> {
        PyArray1::from_vec(py, py.detach(make)).into_any()
    }
    match (bits, signed) {
        (8, true) => Ok(array::<i8>(py, || stacked(&found, &shape, &order))),
        (16, true) => Ok(array::<i16>(py, || stacked(&found, &shape, &order))),
        (16, false) => Ok(array::<u16>(py, || stacked(&found, &shape, &order))),
        (32, true) => Ok(array::<i32>(py, || stacked(&found, &shape, &order))),
        (64, true) => Ok(array::<i64>(py, || stacked(&found, &shape, &order))),
        _ => Err(PyValueError::new_err("no such type of integers")),
    }
}
