"""Vectors and points, and what an engine keeps of them while an argument goes on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from veracity.engine.api_words import Ints
from veracity.records import record

__all__ = ["FractionBlock", "FractionTree", "InnerProduct", "Leaves", "Points", "Vec"]


class Vec(Protocol):
    """A vector of field elements; opaque."""

    def __len__(self) -> int: ...
    def __getitem__(self, key: slice, /) -> Any: ...


class Points(Protocol):
    """A vector of group elements; opaque."""

    def __len__(self) -> int: ...
    def __getitem__(self, key: slice, /) -> Any: ...


@record
class Leaves:
    """A vector that is computed where it is read, from small integers.

    ``constants[b] - values[b, i] - beta * images[b, i]``, row-major. Only the operations that say
    so take it.

    Attributes
    ----------
    values : sequence of Ints
        An array of m entries for each row, of any of the engine's small dtypes.
    images : sequence of Ints or None
        The same numbers of rows and entries.
    constants : Vec
        One per row.
    beta : int
        Factor of the images.
    """

    values: Sequence[Ints]
    images: Sequence[Ints] | None
    constants: Vec
    beta: int

    def __len__(self) -> int:
        return sum(row.size for row in self.values)


@record
class FractionBlock:
    """An array of fractions at the leaves of a tree.

    A fraction p/q is given as ``(p, d)`` with ``q = 1 + d``.

    Attributes
    ----------
    dims : tuple of int
        Dims. Every axis is halved on its own, the first one first: variables of a point are those
        of the first axis, then of the next; see
        :meth:`veracity.engine.api.Engine.eq_halved` for the order inside.
    p : Vec, Leaves or None
        Numerators; None for all ones.
    d : Vec or Leaves
        Denominators minus one.
    """

    dims: tuple[int, ...]
    p: Vec | Leaves | None
    d: Vec | Leaves


class FractionTree(Protocol):
    """Sums of fractions in pairs, from the leaves to a root, and the way back down.

    :meth:`veracity.engine.api.Engine.fraction_tree` makes it. On the way down, each layer takes
    :meth:`descend`, then :meth:`round` and :meth:`bind` for every variable (or :meth:`pair` and
    :meth:`bind` twice), then :meth:`ends`; steps out of turn raise ``ValueError``. Absent leaves
    are 0/1.
    """

    def root(self) -> int:
        """The denominator of the sum of all fractions, unreduced."""
        ...

    def descend(self, lam: int) -> None:
        """Begin the next layer; numerators count ``lam``, which is not zero."""
        ...

    def round(self, point: Sequence[int]) -> tuple[int, int]:
        """``(h(0), leading coefficient)`` of a round's quadratic.

        ``h(X) = sum_x eq(point[1:], x) [lam (p0 q1 + p1 q0) + q0 q1](X, x)`` over the whole cube,
        where 0 and 1 are the children; ``point`` has a coordinate for each variable that is left.
        """
        ...

    def pair(self, point: Sequence[int]) -> tuple[int, ...]:
        """Nine coefficients of the next two variables' polynomial.

        That of ``X^i Y^j`` stands at ``i + 3 j`` in ``h(X, Y) = sum_x eq(point[2:], x)
        [lam (p0 q1 + p1 q0) + q0 q1](X, Y, x)``, as in :meth:`round`. It takes memory for the whole
        cube of what is left, so it is for the end of a layer.
        """
        ...

    def bind(self, r: int) -> None:
        """Bind the next variable."""
        ...

    def ends(self) -> tuple[int, int, int, int]:
        """``(p0, q0, p1, q1)`` once all variables of a layer are bound."""
        ...


class InnerProduct(Protocol):
    """``<a, G>`` and ``<a, b>`` while both vectors and the points are folded in halves.

    :meth:`veracity.engine.api.Engine.inner_product` makes it. While more than one entry is left, a
    round takes :meth:`cross` and :meth:`fold`; then :meth:`end`. Steps out of turn raise
    ``ValueError``. The lower half is a power of two, and the upper one may be shorter: what it
    lacks is zero.
    """

    def cross(self) -> Points:
        """``<a_lo, G_hi> + <a_lo, b_hi> U`` and ``<a_hi, G_lo> + <a_hi, b_lo> U``."""
        ...

    def fold(self, x: int) -> None:
        """Go on with ``a_lo + a_hi / x``, ``b_lo + x b_hi`` and ``G_lo + x G_hi``; x is not 0."""
        ...

    def end(self) -> int:
        """The only entry of ``a``."""
        ...
