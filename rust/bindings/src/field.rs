//! Field vectors: making, reading, element-wise operations.

use crate::arrays::{
    SmallIn, VecIn, VecOut, elements, give, parse, parse_one, require, with_same, with_small, write,
};
use numpy::PyReadonlyArray1;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use veracity_kernels::blocks::weigh_blocks;
use veracity_kernels::contract::{contract, contract_each, contract_sum};
use veracity_kernels::field::Fq;
use veracity_kernels::small::{BLOCK, Tensor};
use veracity_kernels::{sumcheck, vector};

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(vec_from_bytes, module)?)?;
    module.add_function(wrap_pyfunction!(vec_from_wide_bytes, module)?)?;
    module.add_function(wrap_pyfunction!(vec_to_bytes, module)?)?;
    module.add_function(wrap_pyfunction!(vec_from_small, module)?)?;
    module.add_function(wrap_pyfunction!(vec_add, module)?)?;
    module.add_function(wrap_pyfunction!(vec_sub, module)?)?;
    module.add_function(wrap_pyfunction!(vec_mul, module)?)?;
    module.add_function(wrap_pyfunction!(vec_outer, module)?)?;
    module.add_function(wrap_pyfunction!(vec_lincomb, module)?)?;
    module.add_function(wrap_pyfunction!(vec_dot, module)?)?;
    module.add_function(wrap_pyfunction!(vec_cumsum, module)?)?;
    module.add_function(wrap_pyfunction!(vec_gather, module)?)?;
    module.add_function(wrap_pyfunction!(vec_eq, module)?)?;
    module.add_function(wrap_pyfunction!(small_contract, module)?)?;
    module.add_function(wrap_pyfunction!(small_contract_each, module)?)?;
    module.add_function(wrap_pyfunction!(small_contract_sum, module)?)?;
    module.add_function(wrap_pyfunction!(small_weigh_blocks, module)?)?;
    module.add_function(wrap_pyfunction!(sumcheck_fold, module)?)?;
    module.add_function(wrap_pyfunction!(sumcheck_fold_each, module)?)?;
    module.add_function(wrap_pyfunction!(sumcheck_product_round, module)?)?;
    module.add_function(wrap_pyfunction!(sumcheck_product_rounds, module)?)
}

/// Elements from 32 canonical bytes each.
#[pyfunction]
fn vec_from_bytes<'py>(py: Python<'py>, data: &[u8]) -> PyResult<VecOut<'py>> {
    let values = py.detach(|| parse(data))?;
    give(py, values)
}

/// Elements from 64 bytes each, read as little-endian numbers and reduced.
#[pyfunction]
fn vec_from_wide_bytes<'py>(py: Python<'py>, data: &[u8]) -> PyResult<VecOut<'py>> {
    let (chunks, rest) = data.as_chunks::<64>();
    require(rest.is_empty(), "wide scalars are 64 bytes each")?;
    let values = py.detach(|| chunks.iter().map(Fq::from_wide_bytes).collect());
    give(py, values)
}

/// 32 canonical bytes an element.
#[pyfunction]
fn vec_to_bytes<'py>(py: Python<'py>, v: VecIn<'py>) -> PyResult<Bound<'py, PyBytes>> {
    Ok(write(py, elements(&v)?))
}

/// Elements of small integers, row-major.
#[pyfunction]
fn vec_from_small<'py>(py: Python<'py>, values: SmallIn<'py>) -> PyResult<VecOut<'py>> {
    let out = with_small!(&values, |x| Ok(py.detach(|| vector::from_small(x))))?;
    give(py, out)
}

fn zip<'py>(
    py: Python<'py>,
    a: &VecIn<'py>,
    b: &VecIn<'py>,
    f: fn(&[Fq], &[Fq]) -> Vec<Fq>,
) -> PyResult<VecOut<'py>> {
    let (a, b) = (elements(a)?, elements(b)?);
    require(a.len() == b.len(), "vectors must have one length")?;
    let out = py.detach(|| f(a, b));
    give(py, out)
}

/// Sum.
#[pyfunction]
fn vec_add<'py>(py: Python<'py>, a: VecIn<'py>, b: VecIn<'py>) -> PyResult<VecOut<'py>> {
    zip(py, &a, &b, vector::add)
}

/// Difference.
#[pyfunction]
fn vec_sub<'py>(py: Python<'py>, a: VecIn<'py>, b: VecIn<'py>) -> PyResult<VecOut<'py>> {
    zip(py, &a, &b, vector::sub)
}

/// Element-wise product.
#[pyfunction]
fn vec_mul<'py>(py: Python<'py>, a: VecIn<'py>, b: VecIn<'py>) -> PyResult<VecOut<'py>> {
    zip(py, &a, &b, vector::mul)
}

/// Kronecker product.
#[pyfunction]
fn vec_outer<'py>(py: Python<'py>, a: VecIn<'py>, b: VecIn<'py>) -> PyResult<VecOut<'py>> {
    let (a, b) = (elements(&a)?, elements(&b)?);
    require(
        a.len().checked_mul(b.len()).is_some(),
        "the product is too long",
    )?;
    let out = py.detach(|| vector::outer(a, b));
    give(py, out)
}

/// Linear combination; `coefficients` holds 32 canonical bytes a vector.
#[pyfunction]
fn vec_lincomb<'py>(
    py: Python<'py>,
    vectors: Vec<VecIn<'py>>,
    coefficients: &[u8],
) -> PyResult<VecOut<'py>> {
    let coefficients = parse(coefficients)?;
    let vectors: Vec<&[Fq]> = vectors.iter().map(elements).collect::<PyResult<_>>()?;
    require(
        vectors.len() == coefficients.len(),
        "one coefficient a vector",
    )?;
    let out = py.detach(|| vector::lincomb(&vectors, &coefficients));
    give(py, out)
}

/// Inner product, 32 bytes.
#[pyfunction]
fn vec_dot<'py>(py: Python<'py>, a: VecIn<'py>, b: VecIn<'py>) -> PyResult<Bound<'py, PyBytes>> {
    let (a, b) = (elements(&a)?, elements(&b)?);
    require(a.len() == b.len(), "vectors must have one length")?;
    let out = py.detach(|| vector::dot(a, b));
    Ok(write(py, &[out]))
}

/// Inclusive prefix sums.
#[pyfunction]
fn vec_cumsum<'py>(py: Python<'py>, a: VecIn<'py>) -> PyResult<VecOut<'py>> {
    let a = elements(&a)?;
    let out = py.detach(|| vector::cumsum(a));
    give(py, out)
}

/// `a[index]`.
#[pyfunction]
fn vec_gather<'py>(
    py: Python<'py>,
    a: VecIn<'py>,
    index: PyReadonlyArray1<'py, i64>,
) -> PyResult<VecOut<'py>> {
    let (a, index) = (elements(&a)?, index.as_slice()?);
    let out = py.detach(|| vector::gather(a, index));
    give(
        py,
        out.ok_or_else(|| PyValueError::new_err("index out of range"))?,
    )
}

/// First `n` entries of the eq table of a point of 32 canonical bytes a variable.
#[pyfunction]
fn vec_eq<'py>(py: Python<'py>, point: &[u8], n: usize) -> PyResult<VecOut<'py>> {
    let point = parse(point)?;
    let fits = point.len() >= usize::BITS as usize || n <= 1 << point.len();
    require(fits, "the eq table has fewer entries")?;
    let out = py.detach(|| vector::eq(&point, n));
    give(py, out)
}

/// `out[o, i] = sum_j m[o, j, i] v[j]` for `m` of shape (outer, len(v), inner).
#[pyfunction]
fn small_contract<'py>(
    py: Python<'py>,
    m: SmallIn<'py>,
    outer: usize,
    inner: usize,
    v: VecIn<'py>,
) -> PyResult<VecOut<'py>> {
    let v = elements(&v)?;
    let n = v.len();
    let size = outer.checked_mul(inner).and_then(|x| x.checked_mul(n));
    let out = with_small!(&m, |data| {
        require(
            size == Some(data.len()),
            "m must have shape (outer, n, inner)",
        )?;
        Ok(py.detach(|| contract(Tensor { data, n, inner }, outer, v)))
    })?;
    give(py, out)
}

/// Arrays of shape (outer, n, inner), where `n` is what the length of each says.
fn tensors<'a, T>(arrays: &[&'a [T]], outer: usize, inner: usize) -> PyResult<Vec<Tensor<'a, T>>> {
    let outputs = outer.checked_mul(inner).unwrap_or(0);
    let tensor = |&data: &&'a [T]| {
        let whole = outputs > 0 && data.len().is_multiple_of(outputs);
        require(whole, "arrays must have shape (outer, n, inner)")?;
        let n = data.len() / outputs;
        Ok(Tensor { data, n, inner })
    };
    arrays.iter().map(tensor).collect()
}

/// Contractions of arrays of one type: of each on its own, or side by side along their bound axes.
fn contracted<'py>(
    py: Python<'py>,
    arrays: &[SmallIn<'py>],
    (outer, inner): (usize, usize),
    v: &VecIn<'py>,
    each: bool,
) -> PyResult<VecOut<'py>> {
    let v = elements(v)?;
    let out = with_same!(arrays, |slices| {
        let found = tensors(&slices, outer, inner)?;
        let mut lengths = found.iter().map(|m| m.n);
        let fit = if each {
            lengths.all(|n| n == v.len())
        } else {
            lengths.sum::<usize>() == v.len()
        };
        require(fit, "v must have an element for each step of the arrays")?;
        let contract = if each { contract_each } else { contract_sum };
        Ok(py.detach(|| contract(&found, outer, v)))
    })?;
    give(py, out)
}

/// [`small_contract`] of each of several arrays of one type and shape, one after the other.
#[pyfunction]
fn small_contract_each<'py>(
    py: Python<'py>,
    arrays: Vec<SmallIn<'py>>,
    outer: usize,
    inner: usize,
    v: VecIn<'py>,
) -> PyResult<VecOut<'py>> {
    contracted(py, &arrays, (outer, inner), &v, true)
}

/// [`small_contract`] of arrays of one type, side by side along their bound axes.
#[pyfunction]
fn small_contract_sum<'py>(
    py: Python<'py>,
    arrays: Vec<SmallIn<'py>>,
    outer: usize,
    inner: usize,
    v: VecIn<'py>,
) -> PyResult<VecOut<'py>> {
    contracted(py, &arrays, (outer, inner), &v, false)
}

/// `out[o, i] = rows[o] sum_c entries[c, i] x[o, i, c]` for `x` of shape (rows, blocks, 4).
#[pyfunction]
#[pyo3(signature = (x, rows, entries))]
fn small_weigh_blocks<'py>(
    py: Python<'py>,
    x: SmallIn<'py>,
    rows: Option<VecIn<'py>>,
    entries: VecIn<'py>,
) -> PyResult<VecOut<'py>> {
    let entries = elements(&entries)?;
    let rows = rows.as_ref().map(elements).transpose()?;
    let out = with_small!(&x, |x| {
        let whole = entries.len().is_multiple_of(BLOCK)
            && x.len().checked_rem(entries.len()).unwrap_or(x.len()) == 0;
        require(whole, "x must have shape (rows, blocks, 4)")?;
        let count = x.len().checked_div(entries.len()).unwrap_or(0);
        let fit = rows.is_none_or(|rows| rows.len() == count);
        require(fit, "an element for each row is due")?;
        Ok(py.detach(|| weigh_blocks(x, rows, entries)))
    })?;
    give(py, out)
}

/// Whether `length` elements are whole rows of `n`.
pub(crate) fn whole_rows(length: usize, n: usize) -> PyResult<()> {
    let whole = length.checked_rem(n).map_or(length == 0, |rest| rest == 0);
    require(whole, "not a whole number of rows")
}

/// Binds variable 0 of every row of `n` to `r`.
#[pyfunction]
fn sumcheck_fold<'py>(py: Python<'py>, a: VecIn<'py>, n: usize, r: &[u8]) -> PyResult<VecOut<'py>> {
    let (a, r) = (elements(&a)?, parse_one(r)?);
    whole_rows(a.len(), n)?;
    let out = py.detach(|| sumcheck::fold(a, n, r));
    give(py, out)
}

/// Coefficients of the round polynomial of an inner product, 96 bytes.
#[pyfunction]
fn sumcheck_product_round<'py>(
    py: Python<'py>,
    a: VecIn<'py>,
    b: VecIn<'py>,
    n: usize,
) -> PyResult<Bound<'py, PyBytes>> {
    let (a, b) = (elements(&a)?, elements(&b)?);
    require(a.len() == b.len(), "vectors must have one length")?;
    whole_rows(a.len(), n)?;
    let out = py.detach(|| sumcheck::product_round(a, b, n));
    Ok(write(py, &out))
}

/// [`sumcheck_fold`] of several arrays, each with its own length of rows.
#[pyfunction]
fn sumcheck_fold_each<'py>(
    py: Python<'py>,
    arrays: Vec<VecIn<'py>>,
    lengths: Vec<usize>,
    r: &[u8],
) -> PyResult<Vec<VecOut<'py>>> {
    require(arrays.len() == lengths.len(), "one length an array")?;
    let r = parse_one(r)?;
    let mut found: Vec<(&[Fq], usize)> = Vec::with_capacity(arrays.len());
    for (a, n) in arrays.iter().zip(lengths) {
        let a = elements(a)?;
        whole_rows(a.len(), n)?;
        found.push((a, n));
    }
    let out = py.detach(|| sumcheck::fold_each(&found, r));
    out.into_iter().map(|values| give(py, values)).collect()
}

/// The weighed sum of round polynomials of inner products, 96 bytes; `factors` holds 32 canonical
/// bytes a pair.
#[pyfunction]
fn sumcheck_product_rounds<'py>(
    py: Python<'py>,
    pairs: Vec<(VecIn<'py>, VecIn<'py>)>,
    lengths: Vec<usize>,
    factors: &[u8],
) -> PyResult<Bound<'py, PyBytes>> {
    let factors = parse(factors)?;
    let same = pairs.len() == lengths.len() && pairs.len() == factors.len();
    require(same, "one length and one factor a pair")?;
    let mut found: Vec<(&[Fq], &[Fq], usize)> = Vec::with_capacity(pairs.len());
    for ((a, b), n) in pairs.iter().zip(lengths) {
        let (a, b) = (elements(a)?, elements(b)?);
        require(a.len() == b.len(), "vectors must have one length")?;
        whole_rows(a.len(), n)?;
        found.push((a, b, n));
    }
    let out = py.detach(|| sumcheck::product_rounds(&found, &factors));
    Ok(write(py, &out))
}
