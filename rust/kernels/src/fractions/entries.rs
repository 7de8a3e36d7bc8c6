//! Numerators and denominators of a block, stored or computed.

use super::leaves::Leaves;
use crate::buffers::recycle;
use crate::field::Fq;
use crate::parallel::CHUNK;
use crate::rows::Source;
use std::ops::{Deref, Range};
use std::sync::OnceLock;

/// As many ones and zeros as a part needs.
pub(super) static ONES: [Fq; CHUNK] = [Fq::ONE; CHUNK];
pub(super) static ZEROS: [Fq; CHUNK] = [Fq::ZERO; CHUNK];

/// The same of 1 / 2.
pub(super) fn halves() -> &'static [Fq; CHUNK] {
    static HALVES: OnceLock<[Fq; CHUNK]> = OnceLock::new();
    HALVES.get_or_init(|| [half(); CHUNK])
}

/// 1 / 2.
pub(super) fn half() -> Fq {
    // 2 has an inverse.
    Fq::ONE.double().invert_vartime().unwrap_or(Fq::ZERO)
}

/// A vector whose memory is used again.
pub(super) struct Pooled(pub(super) Vec<Fq>);

impl Deref for Pooled {
    type Target = [Fq];

    fn deref(&self) -> &[Fq] {
        &self.0
    }
}

impl Drop for Pooled {
    fn drop(&mut self) {
        recycle(std::mem::take(&mut self.0));
    }
}

/// Small integers of one of the types that the engine takes.
pub enum SmallArray {
    /// Eight bits.
    I8(Vec<i8>),
    /// Sixteen bits.
    I16(Vec<i16>),
    /// Sixteen bits, unsigned.
    U16(Vec<u16>),
    /// Thirty-two bits.
    I32(Vec<i32>),
    /// Sixty-four bits.
    I64(Vec<i64>),
}

macro_rules! with_array {
    ($array:expr, |$x:ident| $body:expr) => {
        match $array {
            SmallArray::I8($x) => $body,
            SmallArray::I16($x) => $body,
            SmallArray::U16($x) => $body,
            SmallArray::I32($x) => $body,
            SmallArray::I64($x) => $body,
        }
    };
}

impl SmallArray {
    /// Number of entries.
    pub fn len(&self) -> usize {
        with_array!(self, |x| x.len())
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// `constants[b] - values[b, i] - beta images[b, i]`.
pub struct Integers {
    /// Values, (rows, width).
    pub values: SmallArray,
    /// Images of the same shape.
    pub images: Option<SmallArray>,
    /// One per row.
    pub constants: Vec<Fq>,
    /// Factor of images.
    pub beta: Fq,
}

impl Integers {
    fn elements<'a>(&'a self, range: Range<usize>, scratch: &'a mut Vec<Fq>) -> &'a [Fq] {
        scratch.resize(range.len(), Fq::ZERO);
        let (constants, beta) = (&self.constants[..], self.beta);
        with_array!(&self.values, |x| match &self.images {
            None => {
                let images = None::<&[i8]>;
                Leaves {
                    values: &x[..],
                    images,
                    constants,
                    beta,
                }
                .fill(range, scratch);
            }
            Some(images) => with_array!(images, |y| {
                let images = Some(&y[..]);
                Leaves {
                    values: &x[..],
                    images,
                    constants,
                    beta,
                }
                .fill(range, scratch);
            }),
        });
        scratch
    }
}

/// Entries of a block.
pub enum Entries {
    /// Nothing but ones, so many.
    Ones(usize),
    /// Computed from integers.
    Integers(Integers),
    /// Stored.
    Vector(Vec<Fq>),
}

/// [`Entries`] whose memory is used again.
pub(super) enum Values {
    Ones(usize),
    Integers(Integers),
    Vector(Pooled),
}

impl From<Entries> for Values {
    fn from(entries: Entries) -> Self {
        match entries {
            Entries::Ones(n) => Self::Ones(n),
            Entries::Integers(x) => Self::Integers(x),
            Entries::Vector(x) => Self::Vector(Pooled(x)),
        }
    }
}

impl From<Vec<Fq>> for Values {
    fn from(x: Vec<Fq>) -> Self {
        Self::Vector(Pooled(x))
    }
}

impl Source for Values {
    fn len(&self) -> usize {
        match self {
            Self::Ones(n) => *n,
            Self::Integers(x) => x.values.len(),
            Self::Vector(x) => x.0.len(),
        }
    }

    /// At most [`CHUNK`] of them.
    fn elements<'a>(&'a self, range: Range<usize>, scratch: &'a mut Vec<Fq>) -> &'a [Fq] {
        match self {
            Self::Ones(_) => &ONES[..range.len()],
            Self::Integers(x) => x.elements(range, scratch),
            Self::Vector(x) => &x.0[range],
        }
    }
}

impl Values {
    /// The entry at a position.
    pub(super) fn one(&self, at: usize) -> Fq {
        self.elements(at..at + 1, &mut Vec::new())[0]
    }
}
