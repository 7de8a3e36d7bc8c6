//! The Pallas group.
//!
//! Points are NumPy arrays of dtype uint64 and shape (n, 8): both coordinates in Montgomery form,
//! the identity as zeros.

use crate::arrays::{SmallIn, VecIn, VecOut, elements, require, with_small};
use numpy::{PyArray1, PyArrayMethods, PyReadonlyArray1, PyUntypedArrayMethods};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use veracity_kernels::curve::{Affine, COORDINATE_BYTES, POINT_BYTES};
use veracity_kernels::{curve_encoding, curve_scale, hash_to_curve, msm, pedersen};

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(points_generators, module)?)?;
    module.add_function(wrap_pyfunction!(points_commit_rows, module)?)?;
    module.add_function(wrap_pyfunction!(points_msm, module)?)?;
    module.add_function(wrap_pyfunction!(points_scale, module)?)?;
    module.add_function(wrap_pyfunction!(points_add, module)?)?;
    module.add_function(wrap_pyfunction!(points_compress, module)?)?;
    module.add_function(wrap_pyfunction!(points_decompress, module)?)?;
    module.add_function(wrap_pyfunction!(points_coordinates, module)?)?;
    module.add_function(wrap_pyfunction!(points_from_coordinates, module)?)
}

/// The points of a contiguous array of shape (n, 8).
pub(crate) fn points<'a>(array: &'a VecIn<'_>) -> PyResult<&'a [Affine]> {
    require(array.shape()[1] == 8, "points have shape (n, 8)")?;
    let words = array
        .as_slice()
        .map_err(|_| PyValueError::new_err("points must be contiguous"))?;
    Ok(Affine::slice_of_limbs(words.as_chunks().0))
}

/// Points as a new array of shape (n, 8); nothing is copied.
pub(crate) fn give_points(py: Python<'_>, points: Vec<Affine>) -> PyResult<VecOut<'_>> {
    let n = points.len();
    PyArray1::from_vec(py, Affine::into_limbs(points).into_flattened()).reshape([n, 8])
}

/// The points `0 .. n` of a label, by hash-to-curve.
#[pyfunction]
fn points_generators<'py>(py: Python<'py>, label: &str, n: usize) -> PyResult<VecOut<'py>> {
    require(
        label.len() <= hash_to_curve::MAX_LABEL_BYTES,
        "label too long",
    )?;
    give_points(py, py.detach(|| hash_to_curve::generators(label, n)))
}

/// `out[r] = sum_j values[r, j] bases[index[j]]`.
#[pyfunction]
fn points_commit_rows<'py>(
    py: Python<'py>,
    values: SmallIn<'py>,
    rows: usize,
    index: PyReadonlyArray1<'py, i64>,
    bases: VecIn<'py>,
) -> PyResult<VecOut<'py>> {
    let bases = points(&bases)?;
    let index = index
        .as_slice()
        .map_err(|_| PyValueError::new_err("index must be contiguous"))?;
    let in_range = |&i: &i64| usize::try_from(i).is_ok_and(|i| i < bases.len());
    require(index.iter().all(in_range), "index out of range")?;
    let out = with_small!(&values, |values| {
        let fits = rows.checked_mul(index.len()) == Some(values.len());
        require(fits, "values must have shape (rows, len(index))")?;
        Ok(py.detach(|| pedersen::commit_rows(values, rows, index, bases)))
    })?;
    give_points(py, out)
}

/// `sum_i scalars[i] points[i]`, one point.
#[pyfunction]
fn points_msm<'py>(
    py: Python<'py>,
    points_in: VecIn<'py>,
    scalars: VecIn<'py>,
) -> PyResult<VecOut<'py>> {
    let (points, scalars) = (points(&points_in)?, elements(&scalars)?);
    require(points.len() == scalars.len(), "lengths differ")?;
    give_points(py, vec![py.detach(|| msm::msm(points, scalars))])
}

/// `scalars[i] points[i]`, or `scalars[i] points[0]` for a single point.
#[pyfunction]
fn points_scale<'py>(
    py: Python<'py>,
    points_in: VecIn<'py>,
    scalars: VecIn<'py>,
) -> PyResult<VecOut<'py>> {
    let (points, scalars) = (points(&points_in)?, elements(&scalars)?);
    let out = if let [point] = points {
        py.detach(|| curve_scale::scale_point(point, scalars))
    } else {
        require(points.len() == scalars.len(), "lengths differ")?;
        py.detach(|| curve_scale::scale_points(points, scalars))
    };
    give_points(py, out)
}

/// `a[i] + b[i]`.
#[pyfunction]
fn points_add<'py>(py: Python<'py>, a: VecIn<'py>, b: VecIn<'py>) -> PyResult<VecOut<'py>> {
    let (a, b) = (points(&a)?, points(&b)?);
    require(a.len() == b.len(), "lengths differ")?;
    give_points(py, py.detach(|| curve_scale::add_points(a, b)))
}

/// Canonical encodings, 32 bytes a point.
#[pyfunction]
fn points_compress<'py>(py: Python<'py>, points_in: VecIn<'py>) -> PyResult<Bound<'py, PyBytes>> {
    let points = points(&points_in)?;
    let mut out = vec![0; points.len() * POINT_BYTES];
    py.detach(|| curve_encoding::compress(points, &mut out));
    Ok(PyBytes::new(py, &out))
}

/// The points of canonical encodings; `behind` other work, to which a core is left.
#[pyfunction]
fn points_decompress<'py>(py: Python<'py>, data: &[u8], behind: bool) -> PyResult<VecOut<'py>> {
    let threads = rayon::current_num_threads() - usize::from(behind);
    match py.detach(|| curve_encoding::decompress(data, threads)) {
        Some(points) => give_points(py, points),
        None => Err(PyValueError::new_err("not a sequence of encoded points")),
    }
}

/// Both coordinates, 64 bytes a point.
#[pyfunction]
fn points_coordinates<'py>(
    py: Python<'py>,
    points_in: VecIn<'py>,
) -> PyResult<Bound<'py, PyBytes>> {
    let points = points(&points_in)?;
    let mut out = vec![0; points.len() * COORDINATE_BYTES];
    py.detach(|| curve_encoding::coordinates(points, &mut out));
    Ok(PyBytes::new(py, &out))
}

/// The points of coordinates.
#[pyfunction]
fn points_from_coordinates<'py>(py: Python<'py>, data: &[u8]) -> PyResult<VecOut<'py>> {
    match py.detach(|| curve_encoding::from_coordinates(data)) {
        Some(points) => give_points(py, points),
        None => Err(PyValueError::new_err("not a sequence of points")),
    }
}
