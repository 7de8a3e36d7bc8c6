//! Matrices over the integers modulo 2^64, streams of random words, packed bits.

use crate::arrays::{SmallIn, require, with_small};
use numpy::{
    PyArray1, PyArray2, PyArray3, PyArrayMethods, PyReadonlyArray1, PyReadonlyArray2,
    PyReadonlyArray3, PyUntypedArrayMethods,
};
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use veracity_kernels::{prg, ring};

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(ring_matmul, module)?)?;
    module.add_function(wrap_pyfunction!(ring_matmul_dense, module)?)?;
    module.add_function(wrap_pyfunction!(ring_expand, module)?)?;
    module.add_function(wrap_pyfunction!(ring_pack, module)?)?;
    module.add_function(wrap_pyfunction!(ring_unpack, module)?)
}

/// `out[r, i] = sum_j x[r, j] w[i, j]` modulo 2^64, for `w` of shape (count, width).
#[pyfunction]
fn ring_matmul<'py>(
    py: Python<'py>,
    x: PyReadonlyArray2<'py, u64>,
    w: SmallIn<'py>,
) -> PyResult<Bound<'py, PyArray2<u64>>> {
    let (rows, width) = (x.shape()[0], x.shape()[1]);
    require(rows > 0 && width > 0, "an operand of a product is empty")?;
    let x = x.as_slice()?;
    let out = with_small!(&w, |w| {
        require(
            w.len().is_multiple_of(width),
            "w must have shape (count, width)",
        )?;
        Ok(py.detach(|| ring::matmul(x, w, rows, width)))
    })?;
    let count = out.len() / rows;
    PyArray1::from_vec(py, out).reshape([rows, count])
}

/// `out[b, r, i] = sum_j x[b, r, j] y[b, i, j]` modulo 2^64.
#[pyfunction]
fn ring_matmul_dense<'py>(
    py: Python<'py>,
    x: PyReadonlyArray3<'py, u64>,
    y: PyReadonlyArray3<'py, u64>,
) -> PyResult<Bound<'py, PyArray3<u64>>> {
    let [batch, rows, width] = [x.shape()[0], x.shape()[1], x.shape()[2]];
    let count = y.shape()[1];
    require(
        y.shape()[0] == batch && y.shape()[2] == width,
        "operands must have shapes (batch, rows, width) and (batch, count, width)",
    )?;
    require(
        batch * rows * width * count > 0,
        "an operand of a product is empty",
    )?;
    let (x, y) = (x.as_slice()?, y.as_slice()?);
    let out = py.detach(|| ring::matmul_batch(x, y, batch, rows, width));
    PyArray1::from_vec(py, out).reshape([batch, rows, count])
}

/// The first words of the stream of a seed and a label.
#[pyfunction]
fn ring_expand<'py>(
    py: Python<'py>,
    seed: [u8; 32],
    label: u64,
    count: usize,
) -> Bound<'py, PyArray1<u64>> {
    let out = py.detach(|| prg::expand(&seed, label, count));
    PyArray1::from_vec(py, out)
}

/// The low bits of each value, one after the other.
#[pyfunction]
fn ring_pack<'py>(
    py: Python<'py>,
    values: PyReadonlyArray1<'py, u64>,
    bits: u32,
) -> PyResult<Bound<'py, PyBytes>> {
    require((1..=64).contains(&bits), "values have 1 to 64 bits")?;
    let values = values.as_slice()?;
    let out = py.detach(|| ring::pack(values, bits));
    Ok(PyBytes::new(py, &out))
}

/// The inverse of `ring_pack`.
#[pyfunction]
fn ring_unpack<'py>(
    py: Python<'py>,
    data: &[u8],
    bits: u32,
    count: usize,
) -> PyResult<Bound<'py, PyArray1<u64>>> {
    require((1..=64).contains(&bits), "values have 1 to 64 bits")?;
    require(
        data.len() == ring::packed_bytes(count, bits),
        "the data has another length than so many values",
    )?;
    let out = py.detach(|| ring::unpack(data, bits, count));
    Ok(PyArray1::from_vec(py, out))
}
