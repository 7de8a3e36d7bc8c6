//! Field vectors, small integers and single elements on their way between Python and Rust.

use numpy::ndarray::ArrayView2;
use numpy::{
    PyArray2, PyArrayDescrMethods, PyReadonlyArray2, PyReadonlyArrayDyn, PyUntypedArray,
    PyUntypedArrayMethods, dtype,
};
use pyo3::Borrowed;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use veracity_kernels::buffers;
use veracity_kernels::field::{Fe, Fq, Modulus};
use veracity_kernels::fractions::Row;

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

/// Keeps the memory of an array, and hands it on when Python drops the array.
#[pyclass(frozen)]
struct Owner(Option<Vec<Fq>>);

impl Drop for Owner {
    fn drop(&mut self) {
        if let Some(values) = self.0.take() {
            buffers::recycle(values);
        }
    }
}

/// A vector as a new array of shape (n, 4); nothing is copied.
pub(crate) fn give(py: Python<'_>, values: Vec<Fq>) -> PyResult<VecOut<'_>> {
    let shape = (values.len(), 4);
    let owner = Bound::new(py, Owner(Some(values)))?;
    let words = Fq::limbs_of_slice(owner.get().0.as_deref().unwrap_or_default()).as_flattened();
    let view = ArrayView2::from_shape(shape, words)
        .map_err(|error| PyValueError::new_err(error.to_string()))?;
    // SAFETY: the owner keeps the vector, whose memory does not move, as long as the array lives,
    // and nobody else refers to it.
    Ok(unsafe { PyArray2::borrow_from_array(&view, owner.clone().into_any()) })
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
pub(crate) enum SmallIn<'py> {
    I8(PyReadonlyArrayDyn<'py, i8>),
    I16(PyReadonlyArrayDyn<'py, i16>),
    I32(PyReadonlyArrayDyn<'py, i32>),
    I64(PyReadonlyArrayDyn<'py, i64>),
    U16(PyReadonlyArrayDyn<'py, u16>),
}

impl<'a, 'py> FromPyObject<'a, 'py> for SmallIn<'py> {
    type Error = PyErr;

    /// By a look at the dtype: one try after the other would write a message for each that fails.
    fn extract(object: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        let (py, found) = (object.py(), object.cast::<PyUntypedArray>()?.dtype());
        if found.is_equiv_to(&dtype::<i16>(py)) {
            object.extract().map(Self::I16)
        } else if found.is_equiv_to(&dtype::<i64>(py)) {
            object.extract().map(Self::I64)
        } else if found.is_equiv_to(&dtype::<u16>(py)) {
            object.extract().map(Self::U16)
        } else if found.is_equiv_to(&dtype::<i8>(py)) {
            object.extract().map(Self::I8)
        } else if found.is_equiv_to(&dtype::<i32>(py)) {
            object.extract().map(Self::I32)
        } else {
            Err(PyTypeError::new_err("not an array of small integers"))
        }
    }
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

/// Calls an expression with the entries of several [`SmallIn`] of one type, as slices of that type.
macro_rules! with_same {
    ($arrays:expr, |$slices:ident| $body:expr) => {{
        use crate::arrays::{SmallIn, contiguous};
        use pyo3::exceptions::PyTypeError;
        macro_rules! of_type {
            ($kind:ident) => {{
                let same = |array| match array {
                    &SmallIn::$kind(ref array) => contiguous(array),
                    _ => Err(PyTypeError::new_err("arrays of one type are due")),
                };
                let slices = $arrays.iter().map(same).collect::<PyResult<Vec<_>>>();
                slices.and_then(|$slices| $body)
            }};
        }
        match $arrays.first() {
            Some(SmallIn::I8(_)) => of_type!(I8),
            Some(SmallIn::I16(_)) => of_type!(I16),
            Some(SmallIn::I32(_)) => of_type!(I32),
            Some(SmallIn::I64(_)) => of_type!(I64),
            Some(SmallIn::U16(_)) => of_type!(U16),
            None => Err(PyTypeError::new_err("an array of small integers is due")),
        }
    }};
}
pub(crate) use with_same;

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

/// The entries of arrays, each of a type of its own.
pub(crate) fn rows<'a>(arrays: &'a [SmallIn<'_>]) -> PyResult<Vec<Row<'a>>> {
    arrays.iter().map(row).collect()
}

fn row<'a>(array: &'a SmallIn<'_>) -> PyResult<Row<'a>> {
    Ok(match array {
        SmallIn::I8(x) => Row::I8(contiguous(x)?),
        SmallIn::I16(x) => Row::I16(contiguous(x)?),
        SmallIn::I32(x) => Row::I32(contiguous(x)?),
        SmallIn::I64(x) => Row::I64(contiguous(x)?),
        SmallIn::U16(x) => Row::U16(contiguous(x)?),
    })
}
