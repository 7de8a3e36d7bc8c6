//! Function secret sharing: keys and their evaluation. `tree_key` is the public key
//! of the hash that grows trees.

use crate::arrays::require;
use numpy::{
    PyArray1, PyArray2, PyArray3, PyArrayMethods, PyReadonlyArray1, PyReadonlyArray2,
    PyReadonlyArray3, PyUntypedArrayMethods,
};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use veracity_kernels::fss::{self, Function, Pieces, Shape};

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(fss_key_bytes, module)?)?;
    module.add_function(wrap_pyfunction!(fss_keys, module)?)?;
    module.add_function(wrap_pyfunction!(fss_bits, module)?)?;
    module.add_function(wrap_pyfunction!(fss_evaluate, module)?)?;
    module.add_function(wrap_pyfunction!(fss_weighted, module)?)?;
    module.add_function(wrap_pyfunction!(fss_table, module)?)?;
    module.add_function(wrap_pyfunction!(fss_histogram, module)?)?;
    module.add_function(wrap_pyfunction!(fss_pieces, module)?)
}

type Keys<'py> = PyReadonlyArray2<'py, u8>;
type KeysOut<'py> = Bound<'py, PyArray2<u8>>;

fn function(comparison: bool) -> Function {
    if comparison {
        Function::Comparison
    } else {
        Function::Point
    }
}

fn shape(comparison: bool, bits: u32, payload: usize, tree_key: [u8; 16]) -> PyResult<Shape> {
    Shape::new(function(comparison), bits, payload, tree_key)
        .ok_or_else(|| PyValueError::new_err("no keys have so many bits or words of payload"))
}

/// The shape of keys, where a party has one of the right length for each of so many rows of inputs.
fn check(shape: Shape, party: usize, keys: &Keys<'_>, rows: usize) -> PyResult<Shape> {
    require(party < 2, "a party is 0 or 1")?;
    require(keys.shape()[0] == rows, "keys and inputs differ in number")?;
    require(keys.shape()[1] == shape.bytes(), "keys of another length")?;
    Ok(shape)
}

/// Bytes of a key.
#[pyfunction]
fn fss_key_bytes(comparison: bool, bits: u32, payload: usize) -> PyResult<usize> {
    Ok(shape(comparison, bits, payload, [0; 16])?.bytes())
}

/// A pair of keys for every `alpha`.
#[pyfunction]
fn fss_keys<'py>(
    py: Python<'py>,
    tree_key: [u8; 16],
    comparison: bool,
    seed: [u8; 32],
    bits: u32,
    alpha: PyReadonlyArray1<'py, u64>,
    payload: PyReadonlyArray2<'py, u64>,
) -> PyResult<(KeysOut<'py>, KeysOut<'py>)> {
    let shape = shape(comparison, bits, payload.shape()[1], tree_key)?;
    let (alpha, count) = (alpha.as_slice()?, payload.shape()[0]);
    require(alpha.len() == count, "keys and payloads differ in number")?;
    let payload = payload.as_slice()?;
    let [first, second] = py.detach(|| fss::make(&shape, &seed, alpha, payload));
    let array = |keys| PyArray1::from_vec(py, keys).reshape([count, shape.bytes()]);
    Ok((array(first)?, array(second)?))
}

/// Shares of bits, by exclusive or, of comparison keys without payload.
#[pyfunction]
fn fss_bits<'py>(
    py: Python<'py>,
    tree_key: [u8; 16],
    party: usize,
    bits: u32,
    keys: Keys<'py>,
    points: PyReadonlyArray2<'py, u64>,
) -> PyResult<Bound<'py, PyArray2<u8>>> {
    let shape = check(
        shape(true, bits, 0, tree_key)?,
        party,
        &keys,
        points.shape()[0],
    )?;
    let dims = [points.shape()[0], points.shape()[1]];
    let (keys, points) = (keys.as_slice()?, points.as_slice()?);
    let out = py.detach(|| fss::evaluate_bits(&shape, party, keys, points));
    PyArray1::from_vec(py, out).reshape(dims)
}

/// Shares of the values at points, of shape (keys, points, payload).
#[pyfunction]
#[allow(clippy::too_many_arguments, reason = "they are the stub's")]
fn fss_evaluate<'py>(
    py: Python<'py>,
    tree_key: [u8; 16],
    comparison: bool,
    party: usize,
    bits: u32,
    keys: Keys<'py>,
    points: PyReadonlyArray2<'py, u64>,
    payload: usize,
) -> PyResult<Bound<'py, PyArray3<u64>>> {
    require(payload > 0, "a bit is not a word")?;
    let shape = check(
        shape(comparison, bits, payload, tree_key)?,
        party,
        &keys,
        points.shape()[0],
    )?;
    let dims = [points.shape()[0], points.shape()[1], shape.payload()];
    let (keys, points) = (keys.as_slice()?, points.as_slice()?);
    let out = py.detach(|| fss::evaluate(&shape, party, keys, points));
    PyArray1::from_vec(py, out).reshape(dims)
}

/// Shares of weighted sums over the points of a key, of shape (keys, payload, columns).
#[pyfunction]
fn fss_weighted<'py>(
    py: Python<'py>,
    tree_key: [u8; 16],
    party: usize,
    bits: u32,
    keys: Keys<'py>,
    points: PyReadonlyArray2<'py, u64>,
    weights: PyReadonlyArray2<'py, u64>,
) -> PyResult<Bound<'py, PyArray3<u64>>> {
    let shape = Shape::of_bytes(bits, keys.shape()[1], tree_key)
        .ok_or_else(|| PyValueError::new_err("no keys for so many bits have this length"))?;
    let shape = check(shape, party, &keys, points.shape()[0])?;
    require(
        points.shape()[1] == weights.shape()[0],
        "points and weights differ in number",
    )?;
    let columns = weights.shape()[1];
    let dims = [points.shape()[0], shape.payload(), columns];
    let (keys, points) = (keys.as_slice()?, points.as_slice()?);
    let weights = weights.as_slice()?;
    let out = py.detach(|| fss::weighted(&shape, party, keys, points, weights, columns));
    PyArray1::from_vec(py, out).reshape(dims)
}

/// Shares of `payload table[(shift - alpha) mod 2^bits]`, of shape (keys, payload, columns).
#[pyfunction]
#[allow(clippy::too_many_arguments, reason = "they are the stub's")]
fn fss_table<'py>(
    py: Python<'py>,
    tree_key: [u8; 16],
    party: usize,
    bits: u32,
    keys: Keys<'py>,
    shift: PyReadonlyArray1<'py, u64>,
    table: PyReadonlyArray2<'py, u64>,
    payload: usize,
) -> PyResult<Bound<'py, PyArray3<u64>>> {
    let shape = check(
        shape(false, bits, payload, tree_key)?,
        party,
        &keys,
        shift.len(),
    )?;
    require(bits <= fss::MAX_TABLE_BITS, "the table is too large")?;
    require(
        table.shape()[0] == 1 << bits,
        "a table has an entry for every number of so many bits",
    )?;
    let dims = [shift.len(), payload, table.shape()[1]];
    let (keys, shift) = (keys.as_slice()?, shift.as_slice()?);
    let table = table.as_slice()?;
    let out = py.detach(|| fss::table(&shape, party, keys, shift, table, dims[2]));
    PyArray1::from_vec(py, out).reshape(dims)
}

/// Shares of how many values `(shift - alpha) mod 2^bits` of each row are 0, 1, .., each counted
/// with its key's payload, of shape (rows, count).
#[pyfunction]
#[allow(clippy::too_many_arguments, reason = "they are the stub's")]
fn fss_histogram<'py>(
    py: Python<'py>,
    tree_key: [u8; 16],
    party: usize,
    bits: u32,
    keys: Keys<'py>,
    shift: PyReadonlyArray1<'py, u64>,
    lengths: PyReadonlyArray1<'py, u64>,
    count: usize,
) -> PyResult<Bound<'py, PyArray2<u64>>> {
    let shape = check(shape(false, bits, 1, tree_key)?, party, &keys, shift.len())?;
    require(bits <= fss::MAX_TABLE_BITS, "the histogram is too large")?;
    require(count <= 1 << bits, "there are not so many values")?;
    let lengths: Vec<usize> = lengths.as_slice()?.iter().map(|&n| n as usize).collect();
    let total = lengths
        .iter()
        .try_fold(0usize, |sum, &n| sum.checked_add(n));
    require(total == Some(shift.len()), "rows of other lengths")?;
    let dims = [lengths.len(), count];
    let (keys, shift) = (keys.as_slice()?, shift.as_slice()?);
    let out = py.detach(|| fss::histogram(&shape, party, keys, shift, &lengths, count));
    PyArray1::from_vec(py, out).reshape(dims)
}

/// Shares of functions by parabolas between knots, `lengths` knots each, of shape
/// (functions, values); keys follow each other, function after function.
#[pyfunction]
#[allow(clippy::too_many_arguments, reason = "they are the stub's")]
fn fss_pieces<'py>(
    py: Python<'py>,
    tree_key: [u8; 16],
    party: usize,
    bits: Vec<u32>,
    keys: PyReadonlyArray1<'py, u8>,
    values: PyReadonlyArray2<'py, u64>,
    payloads: PyReadonlyArray3<'py, u64>,
    lengths: Vec<usize>,
    knots: PyReadonlyArray1<'py, u64>,
    weights: PyReadonlyArray2<'py, u64>,
) -> PyResult<Bound<'py, PyArray2<u64>>> {
    let [count, each] = [values.shape()[0], values.shape()[1]];
    require(party < 2, "a party is 0 or 1")?;
    require(
        bits.len() == count && lengths.len() == count,
        "functions and values differ in number",
    )?;
    require(
        bits.iter().all(|&bits| bits < 64),
        "pieces are of 63 bits at most",
    )?;
    require(
        payloads.shape() == [count, each, 3],
        "payloads have shape (functions, values, 3)",
    )?;
    let total = lengths
        .iter()
        .try_fold(0usize, |sum, &n| sum.checked_add(n));
    require(total == Some(knots.len()), "knots of other numbers")?;
    require(
        weights.shape() == [knots.len(), 3],
        "every knot has three weights",
    )?;
    let shapes = bits
        .iter()
        .map(|&bits| shape(true, bits, 3, tree_key))
        .collect::<PyResult<Vec<_>>>()?;
    let bytes: usize = shapes.iter().map(|shape| each * shape.bytes()).sum();
    require(keys.len() == bytes, "keys of another length")?;
    let mut keys = keys.as_slice()?;
    let (mut knots, mut weights) = (knots.as_slice()?, weights.as_slice()?);
    let (values, payloads) = (values.as_slice()?, payloads.as_slice()?);
    let mut all = Vec::with_capacity(count);
    for (at, (shape, length)) in shapes.into_iter().zip(lengths).enumerate() {
        let own;
        (own, keys) = keys.split_at(each * shape.bytes());
        let (knots_here, weights_here);
        (knots_here, knots) = knots.split_at(length);
        (weights_here, weights) = weights.split_at(3 * length);
        all.push(Pieces {
            shape,
            keys: own,
            values: &values[at * each..][..each],
            payloads: &payloads[3 * at * each..][..3 * each],
            knots: knots_here,
            weights: weights_here,
        });
    }
    let out = py.detach(|| fss::pieces(party, &all));
    PyArray1::from_vec(py, out).reshape([count, each])
}
