//! All levels, from the leaves to the root.

use super::block::{Fractions, Half, Shared};
use super::entries::{Entries, Values, half};
use super::eq::bits;
use super::joint::{joined, strip};
use super::layer::Layer;
use super::stack::Stack;
use super::tail::Tail;
use crate::field::Fq;
use crate::rows::Source;
use std::sync::Arc;

/// A block of leaves.
pub struct Block {
    /// Dims; every axis is halved on its own.
    pub dims: Vec<usize>,
    /// Numerators.
    pub p: Entries,
    /// Denominators.
    pub q: Entries,
}

/// Why a tree does not do what it is asked for.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum TreeError {
    /// Blocks that are empty, not of the lengths of their dims, or not sorted by falling size.
    Blocks,
    /// A step out of turn.
    Order,
    /// A point of another number of coordinates.
    Point,
    /// A factor that is zero.
    Zero,
}

struct Level {
    blocks: Vec<Fractions>,
    tail: Tail,
}

impl Level {
    /// Moves blocks with one entry to the tail.
    fn gathered(mut blocks: Vec<Fractions>, mut tail: Tail) -> Self {
        let first = blocks
            .iter()
            .position(|b| b.dims.is_empty())
            .unwrap_or(blocks.len());
        let single = blocks.split_off(first);
        if let Some(block) = single.first() {
            let entries = single.iter().map(|b| [b.p.one(0), b.q.one(0)]).collect();
            tail.prepend(block.position, entries);
        }
        Self { blocks, tail }
    }

    fn above(&self, stack: &Stack) -> Self {
        let blocks = self.blocks.iter().map(|below| joined(below, stack));
        Self::gathered(blocks.collect(), self.tail.joined())
    }
}

/// The tree; levels are given up on the way down.
pub struct Tree {
    /// From the leaves on.
    levels: Vec<Level>,
    layer: Option<(Layer, Fq)>,
    root: Fq,
    variables: usize,
    /// Of all levels and layers.
    stack: Stack,
}

impl Tree {
    /// Blocks by falling padded size; each begins where the one before ends.
    ///
    /// # Errors
    ///
    /// [`TreeError::Blocks`].
    pub fn new(blocks: Vec<Block>) -> Result<Self, TreeError> {
        let (mut at, mut last) = (0usize, usize::MAX);
        let mut leaves = Vec::new();
        for block in blocks {
            let (p, q): (Values, Values) = (block.p.into(), block.q.into());
            let size = block.dims.iter().map(|&n| bits(n)).sum::<usize>();
            let count = block.dims.iter().try_fold(1usize, |a, &n| a.checked_mul(n));
            let fits = count.is_some_and(|n| n > 0 && n == q.len() && n == p.len());
            if !fits || size > last || size > 40 {
                return Err(TreeError::Blocks);
            }
            let dims = strip(&block.dims);
            leaves.push(Fractions {
                dims,
                position: at,
                p: Arc::new(p),
                q: Arc::new(q),
            });
            (at, last) = (at + (1 << size), size);
        }
        if leaves.is_empty() {
            return Err(TreeError::Blocks);
        }
        let variables = bits(at);
        let stack = Stack::new(leaves.iter().map(Fractions::elements_above).sum());
        let mut levels = vec![Level::gathered(leaves, Tail::default())];
        for k in 0..variables {
            levels.push(levels[k].above(&stack));
        }
        let root = levels[variables]
            .tail
            .entries
            .first()
            .map_or(Fq::ONE, |[_, q]| *q);
        Ok(Self {
            levels,
            layer: None,
            root,
            variables,
            stack,
        })
    }

    /// Variables of the cube of leaves.
    pub fn variables(&self) -> usize {
        self.variables
    }

    /// The denominator of the sum of all fractions.
    pub fn root(&self) -> Fq {
        self.root
    }

    /// Begins the next layer, with a factor of the numerators.
    ///
    /// # Errors
    ///
    /// [`TreeError::Order`] below the leaves, and [`TreeError::Zero`].
    pub fn descend(&mut self, lam: Fq) -> Result<(), TreeError> {
        let (inverse, half) = (lam.invert_vartime().ok_or(TreeError::Zero)?, half());
        if self.levels.len() < 2 || self.layer.as_ref().is_some_and(|(l, _)| l.variables() > 0) {
            return Err(TreeError::Order);
        }
        let (shared, above) = (Shared { lam, half }, self.levels.pop());
        let (Some(above), Some(below)) = (above, self.levels.last()) else {
            return Err(TreeError::Order);
        };
        let mut sums = above.blocks.into_iter().map(|b| [b.p, b.q]);
        let blocks = below.blocks.iter().map(|b| {
            let own = Fractions {
                dims: b.dims.clone(),
                position: b.position,
                p: b.p.clone(),
                q: b.q.clone(),
            };
            // Blocks of two entries have no sums above; they go to the tail at once.
            Half::new(
                own,
                sums.next().unwrap_or_else(|| [b.p.clone(), b.q.clone()]),
            )
        });
        let tail = below.tail.halves(shared);
        let variables = self.variables - self.levels.len();
        self.layer = Some((
            Layer::new(shared, blocks.collect(), tail, variables),
            inverse,
        ));
        Ok(())
    }

    fn layer(&mut self) -> Result<&mut Layer, TreeError> {
        self.layer
            .as_mut()
            .map(|(layer, _)| layer)
            .ok_or(TreeError::Order)
    }

    /// Value at 0 and leading coefficient of a round, at the coordinates that are left.
    ///
    /// # Errors
    ///
    /// [`TreeError::Order`] where no layer has begun or all is bound, and [`TreeError::Point`].
    pub fn round(&mut self, point: &[Fq]) -> Result<[Fq; 2], TreeError> {
        let layer = self.layer()?;
        match layer.variables() {
            0 => Err(TreeError::Order),
            n if n != point.len() => Err(TreeError::Point),
            _ => Ok(layer.round(point)),
        }
    }

    /// Coefficients of a round of the next two variables, at the coordinates that are left; that of
    /// `X^i Y^j` stands at `i + 3 j`.
    ///
    /// # Errors
    ///
    /// [`TreeError::Order`] where fewer are left, and [`TreeError::Point`].
    pub fn pair(&self, point: &[Fq]) -> Result<[Fq; 9], TreeError> {
        let (layer, _) = self.layer.as_ref().ok_or(TreeError::Order)?;
        match layer.variables() {
            0 | 1 => Err(TreeError::Order),
            n if n != point.len() => Err(TreeError::Point),
            _ => Ok(layer.pair(point)),
        }
    }

    /// Binds the next variable.
    ///
    /// # Errors
    ///
    /// [`TreeError::Order`].
    pub fn bind(&mut self, r: Fq) -> Result<(), TreeError> {
        let (layer, _) = self.layer.as_mut().ok_or(TreeError::Order)?;
        if layer.variables() == 0 {
            return Err(TreeError::Order);
        }
        layer.bind(r, &self.stack);
        Ok(())
    }

    /// `(p0, q0, p1, q1)` at the end of a layer.
    ///
    /// # Errors
    ///
    /// [`TreeError::Order`] before its end.
    pub fn ends(&self) -> Result<[Fq; 4], TreeError> {
        let (layer, inverse) = self.layer.as_ref().ok_or(TreeError::Order)?;
        layer.ends(*inverse).ok_or(TreeError::Order)
    }
}
