//! Field vectors, small integers and single elements on their way between Python and Rust.

use numpy::{
    PyArray1, PyArray2, PyArrayMethods, PyReadonlyArray2, PyReadonlyArrayDyn, PyUntypedArrayMethods,
};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
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

/// Elements from 32 canonical bytes each.
pub(crate) fn parse(data: &[u8]) -> PyResult<Vec<Fq>> {
    let (chunks, rest) = data.as_chunks::<32>();
    let values: Option<Vec<Fq>> = chunks.iter().map(Fq::from_bytes).collect();
    values
        .filter(|_| rest.is_empty())
        .ok_or_else(|| PyValueError::new_err("scalars are 32 little-endian bytes below the order"))
}

/// One element from 32 canonical bytes.
pub(crate) fn parse_one(data: &[u8]) -> PyResult<Fq> {
    match parse(data)?[..] {
        [value] => Ok(value),
        _ => Err(PyValueError::new_err("one scalar is 32 bytes")),
    }
}

/// 32 canonical bytes an element.
pub(crate) fn write<'py>(py: Python<'py>, values: &[Fq]) -> Bound<'py, PyBytes> {
    let bytes: Vec<u8> = values.iter().flat_map(Fq::to_bytes).collect();
    PyBytes::new(py, &bytes)
}

/// Checks a condition on the arguments.
pub(crate) fn require(condition: bool, message: &'static str) -> PyResult<()> {
    condition
        .then_some(())
        .ok_or_else(|| PyValueError::new_err(message))
}

/// An array of small integers, of any shape.
#[derive(FromPyObject)]
pub(crate) enum SmallIn<'py> {
    I8(PyReadonlyArrayDyn<'py, i8>),
    I16(PyReadonlyArrayDyn<'py, i16>),
    I32(PyReadonlyArrayDyn<'py, i32>),
    I64(PyReadonlyArrayDyn<'py, i64>),
    U16(PyReadonlyArrayDyn<'py, u16>),
}

/// Calls an expression with the entries of a [`SmallIn`] as a slice of their own type.
macro_rules! with_small {
    ($array:expr, |$slice:ident| $body:expr) => {{
        use crate::arrays::{SmallIn, contiguous};
        match $array {
            SmallIn::I8(array) => contiguous(array).and_then(|$slice| $body),
            SmallIn::I16(array) => contiguous(array).and_then(|$slice| $body),
            SmallIn::I32(array) => contiguous(array).and_then(|$slice| $body),
            SmallIn::I64(array) => contiguous(array).and_then(|$slice| $body),
            SmallIn::U16(array) => contiguous(array).and_then(|$slice| $body),
        }
    }};
}
pub(crate) use with_small;

/// The entries of a C-contiguous array, row-major.
pub(crate) fn contiguous<'a, T: numpy::Element>(
    array: &'a PyReadonlyArrayDyn<'_, T>,
) -> PyResult<&'a [T]> {
    if !array.is_c_contiguous() {
        return Err(PyValueError::new_err(
            "small-integer arrays must be C-contiguous",
        ));
    }
    array
        .as_slice()
        .map_err(|_| PyValueError::new_err("small-integer arrays must be aligned"))
}
