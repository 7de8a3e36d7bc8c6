//! Sums of fractions.

use crate::arrays::{
    SmallIn, VecIn, VecOut, elements, give, parse, parse_one, require, rows, write,
};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use veracity_kernels::field::Fq;
use veracity_kernels::fractions::{
    Block, Entries, Integers, Row, SmallArray, Tree, TreeError, collect, eq_halved,
};

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(logup_denominators, module)?)?;
    module.add_function(wrap_pyfunction!(vec_eq_halved, module)?)?;
    module.add_class::<FractionTree>()
}

/// `(values, images, constants, beta)`, an array a row: entries that are computed.
type LeavesIn<'py> = (
    Vec<SmallIn<'py>>,
    Option<Vec<SmallIn<'py>>>,
    VecIn<'py>,
    Bound<'py, PyBytes>,
);

/// Entries of a block: a vector, or what they are computed from.
#[derive(FromPyObject)]
enum EntriesIn<'py> {
    Vector(VecIn<'py>),
    Leaves(LeavesIn<'py>),
}

impl EntriesIn<'_> {
    /// The entries, all plus `plus`.
    fn entries(&self, plus: Fq) -> PyResult<Entries> {
        match self {
            Self::Vector(vector) => {
                let moved = elements(vector)?.iter().map(|x| *x + plus);
                Ok(Entries::Vector(moved.collect()))
            }
            Self::Leaves(leaves) => integers(leaves, plus).map(Entries::Integers),
        }
    }
}

/// What leaves are computed from, all constants plus `plus`.
fn integers((values, images, constants, beta): &LeavesIn<'_>, plus: Fq) -> PyResult<Integers> {
    let constants: Vec<_> = elements(constants)?.iter().map(|x| *x + plus).collect();
    let values = even_rows(values, constants.len())?;
    let images = images
        .as_ref()
        .map(|y| even_rows(y, constants.len()))
        .transpose()?;
    let width = |rows: &[Row<'_>]| rows.first().map_or(0, Row::len);
    let fits = images.as_ref().is_none_or(|y| width(y) == width(&values));
    require(fits, "values and images must have one shape")?;
    Ok(Integers {
        values: SmallArray::gathered(&values),
        images: images.map(|y| SmallArray::gathered(&y)),
        constants,
        beta: parse_one(beta.as_bytes())?,
    })
}

/// So many rows of one length.
fn even_rows<'a>(arrays: &'a [SmallIn<'_>], count: usize) -> PyResult<Vec<Row<'a>>> {
    let found = rows(arrays)?;
    require(found.len() == count, "values must have a row per constant")?;
    let even = found.iter().all(|row| row.len() == found[0].len());
    require(even, "rows must have one length")?;
    Ok(found)
}

/// All entries, as a vector.
#[pyfunction]
fn logup_denominators<'py>(py: Python<'py>, leaves: LeavesIn<'py>) -> PyResult<VecOut<'py>> {
    let leaves = integers(&leaves, Fq::ZERO)?;
    let out = py.detach(|| collect(&leaves));
    give(py, out)
}

/// Table of eq over an axis that is halved.
#[pyfunction]
fn vec_eq_halved<'py>(py: Python<'py>, point: &[u8], n: usize) -> PyResult<VecOut<'py>> {
    let point = parse(point)?;
    let fits = n >= 1 && (n - 1).checked_ilog2().map_or(0, |b| b as usize + 1) <= point.len();
    require(fits, "the table has more entries than the point")?;
    let out = py.detach(|| eq_halved(&point, n));
    give(py, out)
}

fn error(error: TreeError) -> PyErr {
    PyValueError::new_err(match error {
        TreeError::Blocks => "blocks must be sorted by falling size and as long as their dims",
        TreeError::Order => "a step of a tree of fractions out of turn",
        TreeError::Point => "a point must have the coordinates that are left",
        TreeError::Zero => "a factor of numerators must not be zero",
    })
}

/// `(dims, numerators or None for ones, denominators minus one)`.
type BlockIn<'py> = (Vec<usize>, Option<EntriesIn<'py>>, EntriesIn<'py>);

/// A tree of fractions, and the layer that is being proved.
#[pyclass]
struct FractionTree(Tree);

#[pymethods]
impl FractionTree {
    #[new]
    fn new(py: Python<'_>, blocks: Vec<BlockIn<'_>>) -> PyResult<Self> {
        let mut found = Vec::with_capacity(blocks.len());
        for (dims, p, d) in blocks {
            let q = d.entries(Fq::ONE)?;
            let ones = Entries::Ones(dims.iter().copied().fold(1, usize::saturating_mul));
            let p = p.map_or(Ok(ones), |p| p.entries(Fq::ZERO))?;
            found.push(Block { dims, p, q });
        }
        py.detach(|| Tree::new(found)).map(Self).map_err(error)
    }

    /// Variables of the cube of leaves.
    fn variables(&self) -> usize {
        self.0.variables()
    }

    /// The denominator of the sum.
    fn root<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        write(py, &[self.0.root()])
    }

    /// Begins the next layer.
    fn descend(&mut self, py: Python<'_>, lam: &[u8]) -> PyResult<()> {
        let lam = parse_one(lam)?;
        py.detach(|| self.0.descend(lam)).map_err(error)
    }

    /// Value at 0 and leading coefficient of a round, 64 bytes.
    fn round<'py>(&mut self, py: Python<'py>, point: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
        let point = parse(point)?;
        let out = py.detach(|| self.0.round(&point)).map_err(error)?;
        Ok(write(py, &out))
    }

    /// Coefficients of a round of two variables, 288 bytes.
    fn pair<'py>(&self, py: Python<'py>, point: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
        let point = parse(point)?;
        let out = py.detach(|| self.0.pair(&point)).map_err(error)?;
        Ok(write(py, &out))
    }

    /// Binds the next variable.
    fn bind(&mut self, py: Python<'_>, r: &[u8]) -> PyResult<()> {
        let r = parse_one(r)?;
        py.detach(|| self.0.bind(r)).map_err(error)
    }

    /// `p0, q0, p1, q1` at the end of a layer, 128 bytes.
    fn ends<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let out = self.0.ends().map_err(error)?;
        Ok(write(py, &out))
    }
}
