//! Which nodes of a tree lead to some points.

use super::key::Shape;
use std::ops::Range;

/// Nodes that are taken together at most: ranges of nodes begin and end at multiples.
const TOGETHER: usize = 8;

/// Nodes that are taken together.
pub(super) fn together(shape: &Shape) -> usize {
    TOGETHER.min(1 << shape.levels())
}

/// The nodes above the leaves of `count` points, the first of them `first`, which may go round the
/// end: two ranges without a node in common, each may be empty.
pub(super) fn nodes(shape: &Shape, first: usize, count: usize) -> [Range<usize>; 2] {
    let (all, align) = (1usize << shape.levels(), together(shape));
    let node = |point: usize| (point >> shape.low) / align * align;
    if count == 0 {
        return [0..0, 0..0];
    }
    let (lowest, highest) = (node(first), node(first + count - 1) + align);
    if highest <= all {
        [lowest..highest, 0..0]
    } else if highest - all > lowest {
        [0..all, 0..0]
    } else {
        [lowest..all, 0..highest - all]
    }
}

/// The nodes of a level, of so many, that lead to a range of those of the last level.
pub(crate) fn above(range: &Range<usize>, levels: usize, level: usize) -> Range<usize> {
    let down = levels - level;
    range.start >> down..((range.end - 1) >> down) + 1
}
