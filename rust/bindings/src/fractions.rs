//! Sums of fractions.

use crate::arrays::{
    SmallIn, VecIn, VecOut, elements, give, parse, parse_one, require, with_small, write,
};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use veracity_kernels::field::Fq;
use veracity_kernels::fractions::{
    Block, Entries, Integers, Leaves, SmallArray, Tree, TreeError, collect, eq_halved,
};

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(logup_denominators, module)?)?;
    module.add_function(wrap_pyfunction!(vec_eq_halved, module)?)?;
    module.add_class::<FractionTree>()
}

/// `(values, images, constants, beta)`: entries that are computed.
type LeavesIn<'py> = (
    SmallIn<'py>,
    Option<SmallIn<'py>>,
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
        let (values, images, constants, beta) = match self {
            Self::Vector(vector) => {
                let moved = elements(vector)?.iter().map(|x| *x + plus);
                return Ok(Entries::Vector(moved.collect()));
            }
            Self::Leaves((values, images, constants, beta)) => (values, images, constants, beta),
        };
        let integers = Integers {
            values: copied(values)?,
            images: images.as_ref().map(copied).transpose()?,
            constants: elements(constants)?.iter().map(|x| *x + plus).collect(),
            beta: parse_one(beta.as_bytes())?,
        };
        let n = integers.values.len();
        whole(n, integers.constants.len())?;
        let fits = integers.images.as_ref().is_none_or(|y| y.len() == n);
        require(fits, "values and images must have one shape")?;
        Ok(Entries::Integers(integers))
    }
}

fn whole(n: usize, rows: usize) -> PyResult<()> {
    let whole = n.checked_rem(rows).map_or(n == 0, |rest| rest == 0);
    require(whole, "values must have a row per constant")
}

fn copied(array: &SmallIn<'_>) -> PyResult<SmallArray> {
    use crate::arrays::contiguous;
    Ok(match array {
        SmallIn::I8(x) => SmallArray::I8(contiguous(x)?.to_vec()),
        SmallIn::I16(x) => SmallArray::I16(contiguous(x)?.to_vec()),
        SmallIn::I32(x) => {
            let x = contiguous(x)?;
            SmallArray::narrowed(x).unwrap_or_else(|| SmallArray::I32(x.to_vec()))
        }
        SmallIn::I64(x) => {
            let x = contiguous(x)?;
            SmallArray::narrowed(x).unwrap_or_else(|| SmallArray::I64(x.to_vec()))
        }
        SmallIn::U16(x) => SmallArray::U16(contiguous(x)?.to_vec()),
    })
}

/// All entries, as a vector.
#[pyfunction]
fn logup_denominators<'py>(py: Python<'py>, leaves: LeavesIn<'py>) -> PyResult<VecOut<'py>> {
    let (values, images, constants, beta) = &leaves;
    let (constants, beta) = (elements(constants)?, parse_one(beta.as_bytes())?);
    let out = with_small!(values, |values| {
        whole(values.len(), constants.len())?;
        match images {
            None => Ok(py.detach(|| {
                let images = None::<&[i8]>;
                collect(&Leaves {
                    values,
                    images,
                    constants,
                    beta,
                })
            })),
            Some(images) => with_small!(images, |y| {
                require(
                    values.len() == y.len(),
                    "values and images must have one shape",
                )?;
                let images = Some(y);
                Ok(py.detach(|| {
                    collect(&Leaves {
                        values,
                        images,
                        constants,
                        beta,
                    })
                }))
            }),
        }
    })?;
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
