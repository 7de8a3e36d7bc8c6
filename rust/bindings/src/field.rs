//! Field vectors: making, reading, element-wise operations.

use crate::arrays::{VecIn, VecOut, elements, give};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use veracity_kernels::field::Fq;

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(from_bytes, module)?)?;
    module.add_function(wrap_pyfunction!(to_bytes, module)?)
}

/// Elements from 32 canonical bytes each.
#[pyfunction]
fn from_bytes<'py>(py: Python<'py>, data: &[u8]) -> PyResult<VecOut<'py>> {
    let (chunks, rest) = data.as_chunks::<32>();
    let values: Option<Vec<Fq>> = chunks.iter().map(Fq::from_bytes).collect();
    match values {
        Some(values) if rest.is_empty() => give(py, values),
        _ => Err(PyValueError::new_err("not a sequence of canonical scalars")),
    }
}

/// 32 canonical bytes an element.
#[pyfunction]
fn to_bytes<'py>(py: Python<'py>, v: VecIn<'py>) -> PyResult<Bound<'py, PyBytes>> {
    let v = elements::<veracity_kernels::field::Order>(&v)?;
    let bytes: Vec<u8> = v.iter().flat_map(Fq::to_bytes).collect();
    Ok(PyBytes::new(py, &bytes))
}
