//! Field vectors and single elements on their way between Python and Rust.

use numpy::{PyArray1, PyArray2, PyArrayMethods, PyReadonlyArray2, PyUntypedArrayMethods};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use veracity_kernels::field::{Fe, Fq, Modulus};

/// A vector of elements as Python passes it.
pub(crate) type VecIn<'py> = PyReadonlyArray2<'py, u64>;
/// A vector of elements as Python receives it.
pub(crate) type VecOut<'py> = Bound<'py, PyArray2<u64>>;

/// The elements of a contiguous array of shape (n, 4).
pub(crate) fn elements<'a, M: Modulus>(array: &'a VecIn<'_>) -> PyResult<&'a [Fe<M>]> {
    if array.shape()[1] != 4 {
        return Err(PyValueError::new_err("a field vector has shape (n, 4)"));
    }
    let words = array
        .as_slice()
        .map_err(|_| PyValueError::new_err("a field vector must be contiguous"))?;
    Ok(Fe::slice_of_limbs(words.as_chunks().0))
}

/// A vector as a new array of shape (n, 4); nothing is copied.
pub(crate) fn give<M: Modulus>(py: Python<'_>, values: Vec<Fe<M>>) -> PyResult<VecOut<'_>> {
    let n = values.len();
    PyArray1::from_vec(py, Fe::into_limbs(values).into_flattened()).reshape([n, 4])
}

/// An element from 32 canonical bytes.
pub(crate) fn element(bytes: &[u8]) -> PyResult<Fq> {
    <&[u8; 32]>::try_from(bytes)
        .ok()
        .and_then(Fq::from_bytes)
        .ok_or_else(|| PyValueError::new_err("a scalar is 32 little-endian bytes below the order"))
}
