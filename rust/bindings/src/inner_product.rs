//! Inner-product arguments.

use crate::arrays::{VecIn, VecOut, elements, parse_one, require, write};
use crate::group::{give_points, points};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use veracity_kernels::inner_product;

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<InnerProduct>()
}

fn error(error: inner_product::InnerProductError) -> PyErr {
    use inner_product::InnerProductError::{Lengths, Order, Zero};
    PyValueError::new_err(match error {
        Lengths => "vectors and points must have one length, which is not zero",
        Order => "a step of an inner product out of turn",
        Zero => "a challenge of an inner product must not be zero",
    })
}

/// The operands of an inner-product argument, as far as they are folded.
#[pyclass]
struct InnerProduct(inner_product::InnerProduct);

#[pymethods]
impl InnerProduct {
    #[new]
    fn new<'py>(
        py: Python<'py>,
        bases: VecIn<'py>,
        inner: VecIn<'py>,
        a: VecIn<'py>,
        b: VecIn<'py>,
    ) -> PyResult<Self> {
        let (bases, inner, a, b) = (
            points(&bases)?,
            points(&inner)?,
            elements(&a)?,
            elements(&b)?,
        );
        require(inner.len() == 1, "one point for inner products is due")?;
        py.detach(|| inner_product::InnerProduct::new(bases, inner[0], a, b))
            .map(Self)
            .map_err(error)
    }

    /// The cross terms of a round, two points.
    fn cross<'py>(&self, py: Python<'py>) -> PyResult<VecOut<'py>> {
        let sums = py.detach(|| self.0.cross()).map_err(error)?;
        give_points(py, sums.to_vec())
    }

    /// Halves all operands by a challenge.
    fn fold(&mut self, py: Python<'_>, x: &[u8]) -> PyResult<()> {
        let x = parse_one(x)?;
        py.detach(|| self.0.fold(x)).map_err(error)
    }

    /// The committed vector once one entry is left, 32 bytes.
    fn end<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        Ok(write(py, &[self.0.end().map_err(error)?]))
    }
}
