//! One region of memory for all vectors of a tree.
//!
//! Levels are made from the leaves up and given up from the root down, and what a layer binds is
//! given up before the next layer begins: vectors come and go as on a stack. So a tree touches no
//! more memory than it needs at once; the first touch of a page takes as long as the arithmetic on
//! it.

use crate::buffers;
use crate::field::Fq;
use crate::mapping::Mapping;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, PoisonError};

/// Elements of a vector are a multiple of this many: 64 bytes.
pub(super) const ALIGNED: usize = 2;

/// Where vectors of a tree come from.
#[derive(Clone)]
pub(super) struct Stack(Arc<Region>);

struct Region {
    /// None where the system has none; vectors in it do not overlap.
    memory: Option<Mapping>,
    /// Ends of the vectors in use, in order, and whether they have been given up.
    ends: Mutex<Vec<(usize, bool)>>,
}

impl Region {
    fn length(&self) -> usize {
        self.memory.as_ref().map_or(0, Mapping::length)
    }
}

/// A vector on a stack.
pub(super) struct Piece {
    region: Arc<Region>,
    start: usize,
    length: usize,
}

impl Piece {
    fn first(&self) -> *mut Fq {
        // Pieces are only made where there is memory.
        let base = self
            .region
            .memory
            .as_ref()
            .map_or(std::ptr::null_mut(), Mapping::base);
        base.wrapping_add(self.start).cast()
    }
}

impl Stack {
    /// Room for so many elements.
    pub(super) fn new(length: usize) -> Self {
        let (memory, ends) = (Mapping::new(length), Mutex::default());
        Self(Arc::new(Region { memory, ends }))
    }

    /// A vector for the caller to overwrite, if there is room.
    pub(super) fn take(&self, length: usize) -> Option<Piece> {
        let region = &self.0;
        let mut ends = region.ends.lock().unwrap_or_else(PoisonError::into_inner);
        let start = ends.last().map_or(0, |&(end, _)| end);
        let end = length
            .checked_next_multiple_of(ALIGNED)
            .and_then(|length| start.checked_add(length))
            .filter(|&end| start < end && end <= region.length())?;
        ends.push((end, false));
        drop(ends);
        if let Some(memory) = &region.memory {
            memory.back(start..end);
        }
        let region = region.clone();
        Some(Piece {
            region,
            start,
            length,
        })
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        let mut ends = self
            .region
            .ends
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let own = ends.partition_point(|&(end, _)| end <= self.start);
        if let Some((_, free)) = ends.get_mut(own) {
            *free = true;
        }
        while ends.pop_if(|&mut (_, free)| free).is_some() {}
    }
}

impl Deref for Piece {
    type Target = [Fq];

    fn deref(&self) -> &[Fq] {
        // SAFETY: these elements lie in the region, which is initialised and lives as long as this,
        // and belong to this vector alone.
        unsafe { std::slice::from_raw_parts(self.first(), self.length) }
    }
}

impl DerefMut for Piece {
    fn deref_mut(&mut self) -> &mut [Fq] {
        // SAFETY: see above.
        unsafe { std::slice::from_raw_parts_mut(self.first(), self.length) }
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        if let Some(memory) = self.memory.take() {
            memory.recycle(buffers::tree_limit());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_come_and_go() {
        let stack = Stack::new(100);
        assert!(stack.take(0).is_none());
        let mut a = stack.take(31).expect("32 of 100");
        let b = stack.take(60).expect("92 of 100");
        assert!(stack.take(9).is_none());
        a.fill(Fq::ONE);
        assert!(b.iter().all(|x| *x != Fq::ONE));
        drop(a);
        assert!(stack.take(9).is_none(), "what lies below others stays");
        drop(b);
        let mut whole = stack.take(100).expect("all of it");
        assert_eq!(whole[..31], [Fq::ONE; 31]);
        whole.fill(Fq::ZERO);
        drop(stack);
        assert_eq!(whole.len(), 100);
    }
}
