//! Numerators and denominators of a block, stored or computed.

use super::kernels;
use super::leaves::Leaves;
use super::stack::{Piece, Stack};
use crate::buffers::{recycle, take};
use crate::field::Fq;
use crate::parallel::CHUNK;
use crate::rows::Source;
use crate::small::Small;
use crate::vector::mul_into;
use rayon::prelude::*;
use std::ops::{Deref, DerefMut, Range};
use std::sync::{Arc, OnceLock};

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

/// Memory of a vector.
enum Memory {
    /// On the stack of a tree.
    Stack(Piece),
    /// Used again where it is large.
    Own(Vec<Fq>),
}

/// A vector of which only the first elements may be left.
pub(super) struct Buffer {
    memory: Memory,
    length: usize,
}

impl Buffer {
    /// A vector for the caller to overwrite.
    pub(super) fn take(stack: &Stack, length: usize) -> Self {
        match stack.take(length) {
            Some(piece) => Self {
                memory: Memory::Stack(piece),
                length,
            },
            None => take(length).into(),
        }
    }

    /// Forgets all elements but the first `length`; their memory stays.
    pub(super) fn shorten(&mut self, length: usize) {
        self.length = self.length.min(length);
    }
}

impl From<Vec<Fq>> for Buffer {
    fn from(vector: Vec<Fq>) -> Self {
        let length = vector.len();
        Self {
            memory: Memory::Own(vector),
            length,
        }
    }
}

impl Default for Buffer {
    fn default() -> Self {
        Vec::new().into()
    }
}

impl Deref for Buffer {
    type Target = [Fq];

    fn deref(&self) -> &[Fq] {
        match &self.memory {
            Memory::Stack(piece) => &piece[..self.length],
            Memory::Own(vector) => &vector[..self.length],
        }
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [Fq] {
        match &mut self.memory {
            Memory::Stack(piece) => &mut piece[..self.length],
            Memory::Own(vector) => &mut vector[..self.length],
        }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if let Memory::Own(vector) = &mut self.memory {
            recycle(std::mem::take(vector));
        }
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

/// Entries of one row, as somebody else keeps them.
pub enum Row<'a> {
    /// Eight bits.
    I8(&'a [i8]),
    /// Sixteen bits.
    I16(&'a [i16]),
    /// Sixteen bits, unsigned.
    U16(&'a [u16]),
    /// Thirty-two bits.
    I32(&'a [i32]),
    /// Sixty-four bits.
    I64(&'a [i64]),
}

macro_rules! with_row {
    ($row:expr, |$x:ident| $body:expr) => {
        match $row {
            Row::I8($x) => $body,
            Row::I16($x) => $body,
            Row::U16($x) => $body,
            Row::I32($x) => $body,
            Row::I64($x) => $body,
        }
    };
}
pub(crate) use with_row;

impl Row<'_> {
    /// Number of entries.
    #[must_use]
    pub fn len(&self) -> usize {
        with_row!(self, |x| x.len())
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The least and the greatest of the entries and zero.
    fn bounds(&self) -> [i64; 2] {
        with_row!(self, |x| x.iter().fold([0, 0], |[least, most], x| {
            [least.min(x.to_i64()), most.max(x.to_i64())]
        }))
    }
}

/// All rows, one after the other, as integers of one type.
fn cast<T: Copy + Default + Send>(rows: &[Row<'_>], to: impl Fn(i64) -> T + Sync) -> Vec<T> {
    let width = rows.first().map_or(0, Row::len);
    let mut out = vec![T::default(); width * rows.len()];
    let parts = out.par_chunks_mut(width.max(1)).zip(rows);
    parts.for_each(|(out, row)| {
        with_row!(row, |x| for (out, x) in out.iter_mut().zip(*x) {
            *out = to(x.to_i64());
        });
    });
    out
}

impl SmallArray {
    /// A copy of rows of one length, in 16 bits if these are enough.
    #[must_use]
    pub fn gathered(rows: &[Row<'_>]) -> Self {
        if rows.iter().all(|row| matches!(row, Row::I8(_))) {
            return Self::I8(cast(rows, |x| x as i8));
        }
        let signed = |row: &Row<'_>| matches!(row, Row::I8(_) | Row::I16(_));
        let [least, most] = if rows.iter().all(signed) {
            [i16::MIN, i16::MAX].map(i64::from)
        } else if rows.iter().all(|row| matches!(row, Row::U16(_))) {
            [u16::MIN, u16::MAX].map(i64::from)
        } else {
            let wider = |a: [i64; 2], b: [i64; 2]| [a[0].min(b[0]), a[1].max(b[1])];
            rows.par_iter().map(Row::bounds).reduce(|| [0, 0], wider)
        };
        if i16::try_from(least).is_ok() && i16::try_from(most).is_ok() {
            Self::I16(cast(rows, |x| x as i16))
        } else if least == 0 && u16::try_from(most).is_ok() {
            Self::U16(cast(rows, |x| x as u16))
        } else if i32::try_from(least).is_ok() && i32::try_from(most).is_ok() {
            Self::I32(cast(rows, |x| x as i32))
        } else {
            Self::I64(cast(rows, |x| x))
        }
    }

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
    fn fill(&self, range: Range<usize>, out: &mut [Fq]) {
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
                .fill(range, out);
            }
            Some(images) => with_array!(images, |y| {
                let images = Some(&y[..]);
                Leaves {
                    values: &x[..],
                    images,
                    constants,
                    beta,
                }
                .fill(range, out);
            }),
        });
    }
}

impl Source for Integers {
    fn len(&self) -> usize {
        self.values.len()
    }

    fn elements<'a>(&'a self, range: Range<usize>, scratch: &'a mut Vec<Fq>) -> &'a [Fq] {
        scratch.resize(range.len(), Fq::ZERO);
        self.fill(range, scratch);
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

/// What stands above the two halves of the first axis of denominators with numerators 1.
#[derive(Copy, Clone)]
pub(super) enum Above {
    Numerators,
    Denominators,
}

/// [`Entries`] whose memory is used again, or the level above them where it is not stored.
pub(super) enum Values {
    Ones(usize),
    Integers(Arc<Integers>),
    Vector(Buffer),
    /// Of denominators with numerators 1, of which `half` are in the lower half.
    Joined {
        kind: Above,
        below: Arc<Integers>,
        half: usize,
    },
}

impl From<Entries> for Values {
    fn from(entries: Entries) -> Self {
        match entries {
            Entries::Ones(n) => Self::Ones(n),
            Entries::Integers(x) => Self::Integers(Arc::new(x)),
            Entries::Vector(x) => Self::Vector(x.into()),
        }
    }
}

impl From<Buffer> for Values {
    fn from(x: Buffer) -> Self {
        Self::Vector(x)
    }
}

impl Source for Values {
    fn len(&self) -> usize {
        match self {
            Self::Ones(n) => *n,
            Self::Integers(x) => x.len(),
            Self::Vector(x) => x.len(),
            Self::Joined { half, .. } => *half,
        }
    }

    /// At most [`CHUNK`] of them.
    fn elements<'a>(&'a self, range: Range<usize>, scratch: &'a mut Vec<Fq>) -> &'a [Fq] {
        match self {
            Self::Ones(_) => &ONES[..range.len()],
            Self::Integers(x) => x.elements(range, scratch),
            Self::Vector(x) => &x[range],
            Self::Joined { kind, below, half } => joined(*kind, below, *half, range, scratch),
        }
    }
}

/// Parts of numerators and denominators of one level.
pub(super) fn both<'a>(
    [p, q]: [&'a Values; 2],
    range: Range<usize>,
    [for_p, for_q]: [&'a mut Vec<Fq>; 2],
) -> [&'a [Fq]; 2] {
    let (Values::Joined { .. }, Values::Joined { below, half, .. }) = (p, q) else {
        return [p.elements(range.clone(), for_p), q.elements(range, for_q)];
    };
    let n = range.len();
    for_p.resize(n, Fq::ZERO);
    for_q.resize(n, Fq::ZERO);
    let high = range.start + half;
    if below.short_join([for_p, for_q], &range, high).is_some() {
        return [for_p, for_q];
    }
    let (out_q, [low, high]) = halves_below(below, *half, range, for_q);
    let (p_now, p_alone) = for_p.split_at_mut(high.len());
    let (q_now, q_alone) = out_q.split_at_mut(high.len());
    kernels::join([p_now, q_now], None, [&low[..high.len()], high]);
    p_alone.fill(Fq::ONE);
    q_alone.copy_from_slice(&low[high.len()..]);
    [for_p, out_q]
}

/// Room for a part of a level that is not stored, and the two halves that it is made of.
fn halves_below<'a>(
    below: &Integers,
    half: usize,
    range: Range<usize>,
    scratch: &'a mut Vec<Fq>,
) -> (&'a mut [Fq], [&'a [Fq]; 2]) {
    let n = range.len();
    // An upper half may be shorter.
    let both = (below.values.len() - half).clamp(range.start, range.end) - range.start;
    scratch.resize(2 * n + both, Fq::ZERO);
    let (out, rest) = scratch.split_at_mut(n);
    let (low, high) = rest.split_at_mut(n);
    let upper = range.start + half;
    below.fill(range, low);
    below.fill(upper..upper + both, high);
    (out, [low, high])
}

/// Part of a level that is not stored.
fn joined<'a>(
    kind: Above,
    below: &Integers,
    half: usize,
    range: Range<usize>,
    scratch: &'a mut Vec<Fq>,
) -> &'a [Fq] {
    let (out, [low, high]) = halves_below(below, half, range, scratch);
    let (now, alone) = out.split_at_mut(high.len());
    match kind {
        Above::Numerators => {
            for ((out, a), b) in now.iter_mut().zip(low).zip(high) {
                *out = *a + *b;
            }
            alone.fill(Fq::ONE);
        }
        Above::Denominators => {
            mul_into(now, &low[..high.len()], high);
            alone.copy_from_slice(&low[high.len()..]);
        }
    }
    out
}

impl Values {
    /// The entry at a position.
    pub(super) fn one(&self, at: usize) -> Fq {
        self.elements(at..at + 1, &mut Vec::new())[0]
    }
}
