//! Fractional sums.

use crate::arrays::{
    SmallIn, VecIn, VecOut, elements, give, parse_one, require, with_small, write,
};
use crate::field::whole_rows;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use veracity_kernels::field::Fq;
use veracity_kernels::logup::{self, Halves, Leaves};
use veracity_kernels::rows::Source;

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(logup_denominators, module)?)?;
    module.add_function(wrap_pyfunction!(logup_level, module)?)?;
    module.add_function(wrap_pyfunction!(logup_split_fold, module)?)?;
    module.add_function(wrap_pyfunction!(logup_first_round, module)?)?;
    module.add_function(wrap_pyfunction!(logup_round, module)?)
}

/// Entries minus one: a vector, or `(values, images, constants, beta)` to compute them from.
#[derive(FromPyObject)]
enum Entries<'py> {
    Vector(VecIn<'py>),
    Leaves(
        (
            SmallIn<'py>,
            Option<SmallIn<'py>>,
            VecIn<'py>,
            Bound<'py, PyBytes>,
        ),
    ),
}

impl Entries<'_> {
    fn source(&self) -> PyResult<Box<dyn Source + '_>> {
        let (values, images, constants, beta) = match self {
            Entries::Vector(vector) => return Ok(Box::new(elements(vector)?)),
            Entries::Leaves((values, images, constants, beta)) => (values, images, constants, beta),
        };
        let (constants, beta) = (elements(constants)?, parse_one(beta.as_bytes())?);
        with_small!(values, |x| {
            let whole = x
                .len()
                .checked_rem(constants.len())
                .map_or(x.is_empty(), |rest| rest == 0);
            require(whole, "values must have a row per constant")?;
            match images {
                None => Ok(leaves(x, None::<&[i8]>, constants, beta)),
                Some(images) => with_small!(images, |y| {
                    require(x.len() == y.len(), "values and images must have one shape")?;
                    Ok(leaves(x, Some(y), constants, beta))
                }),
            }
        })
    }
}

fn leaves<'a, T: veracity_kernels::small::Small, U: veracity_kernels::small::Small>(
    values: &'a [T],
    images: Option<&'a [U]>,
    constants: &'a [Fq],
    beta: Fq,
) -> Box<dyn Source + 'a> {
    Box::new(Leaves {
        values,
        images,
        constants,
        beta,
    })
}

/// All entries, as a vector.
#[pyfunction]
fn logup_denominators<'py>(py: Python<'py>, d: Entries<'py>) -> PyResult<VecOut<'py>> {
    let source = d.source()?;
    let out = py.detach(|| logup::collect(source.as_ref()));
    give(py, out)
}

/// Sums of neighbouring fractions.
#[pyfunction]
fn logup_level<'py>(
    py: Python<'py>,
    p: Option<Entries<'py>>,
    d: Entries<'py>,
    n: usize,
) -> PyResult<(VecOut<'py>, VecOut<'py>)> {
    let d = d.source()?;
    let p = p.as_ref().map(Entries::source).transpose()?;
    let fits = p.as_ref().is_none_or(|p| p.len() == d.len());
    require(fits, "numerators and denominators must have one length")?;
    whole_rows(d.len(), n)?;
    let (p, d) = py.detach(|| logup::level(p.as_deref(), d.as_ref(), n));
    Ok((give(py, p)?, give(py, d)?))
}

/// Even and odd entries, each folded.
#[pyfunction]
fn logup_split_fold<'py>(
    py: Python<'py>,
    a: Entries<'py>,
    n: usize,
    r: &[u8],
) -> PyResult<(VecOut<'py>, VecOut<'py>)> {
    let (source, r) = (a.source()?, parse_one(r)?);
    whole_rows(source.len(), n)?;
    let (even, odd) = py.detach(|| logup::split_fold(source.as_ref(), n, r));
    Ok((give(py, even)?, give(py, odd)?))
}

/// The value at 0 and the leading coefficient of the first round of a layer, 64 bytes; rows of
/// `d` have length `n`, and without `p` the numerators are `ends`, the same in all rows.
#[pyfunction]
#[pyo3(signature = (p, ends, d, n, outer, inner, lam))]
#[allow(clippy::too_many_arguments)]
fn logup_first_round<'py>(
    py: Python<'py>,
    p: Option<Entries<'py>>,
    ends: Option<(VecIn<'py>, VecIn<'py>)>,
    d: Entries<'py>,
    n: usize,
    outer: VecIn<'py>,
    inner: VecIn<'py>,
    lam: &[u8],
) -> PyResult<Bound<'py, PyBytes>> {
    let source = d.source()?;
    let (outer, inner, lam) = (elements(&outer)?, elements(&inner)?, parse_one(lam)?);
    let half = n.div_ceil(2);
    let fits = outer.len().checked_mul(n) == Some(source.len()) && inner.len() == half.div_ceil(2);
    require(fits, "the array of a round must have shape (len(outer), n)")?;
    let d = Halves::Whole {
        source: source.as_ref(),
        n,
    };
    let out = match (&p, &ends) {
        (Some(p), None) => {
            let p = p.source()?;
            require(p.len() == source.len(), "p and d must have one length")?;
            let p = Halves::Whole {
                source: p.as_ref(),
                n,
            };
            py.detach(|| logup::round(p, d, outer, inner, lam))
        }
        (None, Some((even, odd))) => {
            let ends: [&[Fq]; 2] = [elements(even)?, elements(odd)?];
            let one_row = ends.iter().all(|p| p.len() == half);
            require(one_row, "shared numerators must have half a row")?;
            py.detach(|| logup::round_separable(ends, d, outer, inner, lam))
        }
        _ => {
            require(false, "a round takes numerators of every entry or of a row")?;
            [Fq::ZERO; 2]
        }
    };
    Ok(write(py, &out))
}

/// The value at 0 and the leading coefficient of a round, 64 bytes; numerators may be one row.
#[pyfunction]
#[allow(clippy::too_many_arguments)]
fn logup_round<'py>(
    py: Python<'py>,
    p: (VecIn<'py>, VecIn<'py>),
    d: (VecIn<'py>, VecIn<'py>),
    n: usize,
    outer: VecIn<'py>,
    inner: VecIn<'py>,
    lam: &[u8],
    separable: bool,
) -> PyResult<Bound<'py, PyBytes>> {
    let p: [&[Fq]; 2] = [elements(&p.0)?, elements(&p.1)?];
    let [even, odd]: [&[Fq]; 2] = [elements(&d.0)?, elements(&d.1)?];
    let (outer, inner, lam) = (elements(&outer)?, elements(&inner)?, parse_one(lam)?);
    let whole = outer.len().checked_mul(n);
    let numerators = if separable { Some(n) } else { whole };
    let fits = [even, odd].iter().all(|d| Some(d.len()) == whole)
        && p.iter().all(|p| Some(p.len()) == numerators)
        && inner.len() == n.div_ceil(2);
    require(
        fits,
        "the arrays of a round must have shape (len(outer), n)",
    )?;
    let d = Halves::Split { even, odd, n };
    let out = py.detach(|| match separable {
        true => logup::round_separable(p, d, outer, inner, lam),
        false => {
            let [even, odd] = p;
            logup::round(Halves::Split { even, odd, n }, d, outer, inner, lam)
        }
    });
    Ok(write(py, &out))
}
