//! Fractional sums.

use crate::arrays::{
    SmallIn, VecIn, VecOut, elements, give, parse_one, require, with_small, write,
};
use crate::field::whole_rows;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use veracity_kernels::logup::{self, Fractions};

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(logup_denominators, module)?)?;
    module.add_function(wrap_pyfunction!(logup_level, module)?)?;
    module.add_function(wrap_pyfunction!(logup_round, module)?)?;
    module.add_function(wrap_pyfunction!(logup_round_separable, module)?)
}

/// `constants[b] - values[b, i] - beta images[b, i]`.
#[pyfunction]
fn logup_denominators<'py>(
    py: Python<'py>,
    values: SmallIn<'py>,
    images: Option<SmallIn<'py>>,
    constants: VecIn<'py>,
    beta: &[u8],
) -> PyResult<VecOut<'py>> {
    let (constants, beta) = (elements(&constants)?, parse_one(beta)?);
    let rows = constants.len();
    let out = with_small!(&values, |x| {
        let whole = x
            .len()
            .checked_rem(rows)
            .map_or(x.is_empty(), |rest| rest == 0);
        require(whole, "values must have a row per constant")?;
        match &images {
            None => Ok(py.detach(|| logup::denominators(x, None::<&[i8]>, constants, beta))),
            Some(images) => with_small!(images, |y| {
                require(x.len() == y.len(), "values and images must have one shape")?;
                Ok(py.detach(|| logup::denominators(x, Some(y), constants, beta)))
            }),
        }
    })?;
    give(py, out)
}

/// Sums of neighbouring fractions.
#[pyfunction]
fn logup_level<'py>(
    py: Python<'py>,
    p: Option<VecIn<'py>>,
    d: VecIn<'py>,
    n: usize,
) -> PyResult<(VecOut<'py>, VecOut<'py>)> {
    let d = elements(&d)?;
    let p = p.as_ref().map(elements).transpose()?;
    let fits = p.is_none_or(|p| p.len() == d.len());
    require(fits, "numerators and denominators must have one length")?;
    whole_rows(d.len(), n)?;
    let (p, d) = py.detach(|| logup::level(p, d, n));
    Ok((give(py, p)?, give(py, d)?))
}

/// The value at 0 and the leading coefficient of a round, 64 bytes.
#[pyfunction]
fn logup_round<'py>(
    py: Python<'py>,
    even: (VecIn<'py>, VecIn<'py>),
    odd: (VecIn<'py>, VecIn<'py>),
    n: usize,
    outer: VecIn<'py>,
    inner: VecIn<'py>,
    lam: &[u8],
) -> PyResult<Bound<'py, PyBytes>> {
    round(
        py,
        true,
        [&even.0, &even.1, &odd.0, &odd.1],
        n,
        [&outer, &inner],
        lam,
    )
}

/// The same for numerators that are equal in all rows.
#[pyfunction]
fn logup_round_separable<'py>(
    py: Python<'py>,
    even: (VecIn<'py>, VecIn<'py>),
    odd: (VecIn<'py>, VecIn<'py>),
    n: usize,
    outer: VecIn<'py>,
    inner: VecIn<'py>,
    lam: &[u8],
) -> PyResult<Bound<'py, PyBytes>> {
    round(
        py,
        false,
        [&even.0, &even.1, &odd.0, &odd.1],
        n,
        [&outer, &inner],
        lam,
    )
}

fn round<'py>(
    py: Python<'py>,
    full: bool,
    arrays: [&VecIn<'py>; 4],
    n: usize,
    weights: [&VecIn<'py>; 2],
    lam: &[u8],
) -> PyResult<Bound<'py, PyBytes>> {
    let [even_p, even_d, odd_p, odd_d] = arrays.map(elements);
    let even = Fractions {
        p: even_p?,
        d: even_d?,
    };
    let odd = Fractions {
        p: odd_p?,
        d: odd_d?,
    };
    let [outer, inner] = weights.map(elements);
    let (outer, inner, lam) = (outer?, inner?, parse_one(lam)?);
    let whole = outer.len().checked_mul(n);
    let numerators = if full { whole } else { Some(n) };
    let fits = [even.d, odd.d].iter().all(|d| Some(d.len()) == whole)
        && [even.p, odd.p].iter().all(|p| Some(p.len()) == numerators)
        && inner.len() == n.div_ceil(2);
    require(
        fits,
        "the arrays of a round must have shape (len(outer), n)",
    )?;
    let out = py.detach(|| match full {
        true => logup::round(even, odd, n, outer, inner, lam),
        false => logup::round_separable(even, odd, n, outer, inner, lam),
    });
    Ok(write(py, &out))
}
