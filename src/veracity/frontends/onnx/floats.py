"""A network in floats: the same few ops that programs have, with real factors and weights.

Importers lower foreign ops to these. Views are gathered in :class:`Sym`, a sum of operands that is
computed only where something other than a sum needs it, so that wiring, sums and concatenations
become operands of the next product instead of results of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from veracity.errors import UsageError
from veracity.frontends.onnx.reshaping import reshape_steps
from veracity.graph.functions import find_function
from veracity.graph.ops import MaxPool
from veracity.graph.ops.extrema import taps_of
from veracity.graph.wires import Step, Wire, apply_wire, wire_dims

__all__ = ["FloatNetwork", "FloatOp", "Hidden", "Ref", "Sym"]

Array = NDArray[Any]
Dims = tuple[int, ...]
#: Steps of a wire, and terms of a sum, beyond which a value is computed.
MOST_STEPS, MOST_TERMS = 20, 12
#: Terms beyond which a sum is computed in parts, so that fewer values wait for it.
MOST_AT_ONCE = 32
#: Most entries of a value, and of all together: what a sample takes to run.
MAX_VALUE, MAX_ENTRIES = 1 << 27, 1 << 29
#: Differences that rounding makes of float64, at most.
ROUNDED = 1e-11


@dataclass(frozen=True)
class Ref:
    """``factor * wire(x)`` of a value or a weight."""

    x: str
    of: str = "value"
    wire: Wire = ()
    factor: float = 1.0


@dataclass(frozen=True)
class Sym:
    """A sum of operands; ``merged``: it is these entries in row-major order under other dims."""

    dims: Dims
    terms: tuple[Ref, ...]
    merged: Sym | None = None
    hidden: Hidden | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Hidden:
    """A sum in which a mask puts some entries far below all others, for a softmax to leave out.

    Attributes
    ----------
    rest : Sym
        The entries without the mask.
    mask : Sym or array
        1 where an entry is left out.
    whole : callable
        Makes the sum as it stands, for any other reader.
    """

    rest: Sym
    mask: Sym | Array
    whole: Callable[[], Sym]


@dataclass(frozen=True)
class FloatOp:
    """One computed value.

    Attributes
    ----------
    kind : str
        ``linear``, ``function``, ``pool``, ``reshape`` or ``top``.
    name : str
        Of the value.
    dims : tuple of int
        Its shape.
    products : tuple
        ``(spec, a, b)`` of a linear op.
    addends : tuple of Ref
        Of a linear op; the one operand of the others.
    fn : str
        Function.
    pool : MaxPool or None
        Window of a pool.
    spare : int
        Bits of a linear op that differences of its entries need.
    rounded : bool
        Whether a linear op ends at the nearest whole numbers.
    most : float
        Greatest magnitude of its entries, whatever the input is.
    """

    kind: str
    name: str
    dims: Dims
    products: tuple[tuple[str, Ref, Ref], ...] = ()
    addends: tuple[Ref, ...] = ()
    fn: str = ""
    pool: MaxPool | None = None
    spare: int = 0
    rounded: bool = False
    most: float = float("inf")

    def reads(self) -> list[Ref]:
        """All operands."""
        return [*[r for _, a, b in self.products for r in (a, b)], *self.addends]


@dataclass
class FloatNetwork:
    """Values and weights under construction.

    Attributes
    ----------
    inputs : dict
        Dims by name.
    floors : list of (str, str)
        A weight of levels at which a mask puts entries, and the value that they lie below.
    node : str
        The node that is lowered, for messages.
    origins : dict
        The node that each value and weight comes from.
    """

    inputs: dict[str, Dims]
    floors: list[tuple[str, str]] = field(default_factory=list)
    ops: list[FloatOp] = field(default_factory=list)
    weights: dict[str, Array] = field(default_factory=dict)
    dims: dict[str, Dims] = field(default_factory=dict)
    named: int = 0
    made: dict[str, FloatOp] = field(default_factory=dict)
    read: set[str] = field(default_factory=set)
    entries: int = 0
    node: str = ""
    origins: dict[str, str] = field(default_factory=dict)

    # ---- making ------------------------------------------------------------------------------
    def input(self, name: str) -> Sym:
        """An input as it is."""
        self.dims[name] = self.inputs[name]
        return Sym(self.inputs[name], (Ref(name),))

    def add(self, op: FloatOp) -> Sym:
        """Append an op."""
        self.entries += prod(op.dims)
        if prod(op.dims) > MAX_VALUE or self.entries > MAX_ENTRIES:
            raise UsageError(
                f"a value of more than {MAX_VALUE} entries, or more than {MAX_ENTRIES} in all"
            )
        self.ops.append(op)
        self.origins[op.name] = self.node
        self.made[op.name] = op
        self.read |= {r.x for r in op.reads()}
        self.dims[op.name] = op.dims
        return Sym(op.dims, (Ref(op.name),))

    def fresh(self) -> str:
        """A name for the next value."""
        self.named += 1
        return f"v{self.named}"

    def constant(self, array: Array) -> Sym:
        """An array of weights, at most four axes of it that are longer than 1."""
        real = np.asarray(array, dtype=np.float64)
        if not np.isfinite(real).all():
            raise UsageError("a number that is not finite")
        dims = real.shape
        longer = tuple(d for d in dims if d != 1) or (1,)
        stored = longer if len(longer) <= 4 else (prod(longer),)
        name = f"w{len(self.weights)}"
        self.weights[name] = real.reshape(stored)
        self.origins[name] = self.node
        steps = [] if stored == longer else [Step("split", 0, longer)]
        if prod(dims) == 1:
            steps.append(Step("sum", 0))
        steps += [Step("repeat", axis, (1,)) for axis, d in enumerate(dims) if d == 1]
        return Sym(dims, (Ref(name, "weight", tuple(steps)),))

    def lifted(self, x: Sym | Array) -> Sym | Array:
        """A sum without a pending merge or mask; a constant as it is."""
        return self.force(x) if isinstance(x, Sym) else x

    def lower_floors(self, largest: Mapping[str, float]) -> bool:
        """Put hidden entries just below what samples show; whether there are any.

        Parameters
        ----------
        largest : mapping
            Greatest magnitude of every value.
        """
        for weight, value in self.floors:
            level = self.weights[weight].min(initial=0.0)
            if level < 0 and value in largest:
                self.weights[weight] = self.weights[weight] * ((largest[value] + 1) / -level)
        return bool(self.floors)

    def sym(self, x: Sym | Array) -> Sym:
        """A sum, of a constant if need be."""
        return x if isinstance(x, Sym) else self.constant(x)

    def force(self, x: Sym) -> Sym:
        """Without a pending merge or mask."""
        if x.hidden is not None:
            return self.force(x.hidden.whole())
        if x.merged is None:
            return x
        source = Ref(self.value(x.merged))
        return self.add(FloatOp("reshape", self.fresh(), x.dims, addends=(source,)))

    def value(self, x: Sym) -> str:
        """The name of a value that is this sum and nothing else."""
        x = self.force(x)
        if len(x.terms) == 1 and x.terms[0] == Ref(x.terms[0].x):
            return x.terms[0].x
        return self._computed(x).terms[0].x

    def unread(self, ref: Ref) -> FloatOp | None:
        """The product that an operand is, as long as nothing else reads it."""
        op = self.made.get(ref.x)
        plain = ref == Ref(ref.x) and ref.x not in self.read
        return op if op is not None and plain and op.products and not op.rounded else None

    def _computed(self, x: Sym) -> Sym:
        """A sum as one value: products that only it reads are rescaled with it, once."""
        products: list[tuple[str, Ref, Ref]] = []
        addends: list[Ref] = []
        for term in x.terms:
            op = self.unread(term)
            if op is None or op.dims != x.dims:
                addends.append(term)
            else:
                products += op.products
                addends += op.addends
        if len(products) + len(addends) > MOST_TERMS:
            return self.linear((), x.terms, x.dims)
        return self.linear(products, addends, x.dims)

    def ref(self, x: Sym) -> Ref:
        """One operand for a product."""
        return self.settled(x).terms[0]

    def settled(self, x: Sym) -> Sym:
        """The same as one operand: computed where it is a sum."""
        x = self.force(x)
        return x if len(x.terms) == 1 else self._computed(x)

    def spared(self, x: Sym) -> Sym:
        """A copy of which differences are exact: with one bit more of headroom."""
        found = self.linear((), self.force(x).terms, x.dims)
        self._changed(spare=1)
        return found

    def rounded(self, x: Sym) -> Sym:
        """The nearest whole numbers, which the rescale of a sum finds by itself."""
        found = self._computed(self.force(x))
        self._changed(rounded=True)
        return found

    def chosen(self, product: tuple[str, Ref, Ref], dims: Dims) -> Sym:
        """A product with rows of zeros and a one: no result is larger than what is chosen from.

        Parameters
        ----------
        product : (spec, a, b)
            Rows, and what they choose from.
        dims : tuple of int
            Of the result.
        """
        found, table = self.linear([product], (), dims), product[2]
        if table.of == "weight":
            most = np.abs(self.weights[table.x] * table.factor).max(initial=0.0)
            self._changed(most=float(most))
        return found

    def _changed(self, **facts: Any) -> None:
        """The last op with other facts."""
        self.ops[-1] = replace(self.ops[-1], **facts)
        self.made[self.ops[-1].name] = self.ops[-1]

    def linear(
        self, products: Sequence[tuple[str, Ref, Ref]], addends: Sequence[Ref], dims: Dims
    ) -> Sym:
        """A computed sum of products and operands.

        Parameters
        ----------
        products : sequence of (spec, a, b)
            Products.
        addends : sequence of Ref
            Operands.
        dims : tuple of int
            Dims of all of them.
        """
        for spec, a, b in products:
            self._check(spec, a, b)
        if dims:
            made = FloatOp("linear", self.fresh(), dims, tuple(products), tuple(addends))
            return self.add(made)
        # A number alone is computed as an axis of length 1.
        one = Step("repeat", 0, (1,))
        wider = [replace(r, wire=(*r.wire, one)) for r in addends]
        paired = [("q" + spec + "q", replace(a, wire=(*a.wire, one)), b) for spec, a, b in products]
        return self.view(self.linear(paired, wider, (1,)), Step("sum", 0))

    def _check(self, spec: str, a: Ref, b: Ref) -> None:
        """Raise UsageError where the operands of a product do not fit."""
        left, right = spec.partition("->")[0].split(",")
        sizes: dict[str, int] = {}
        for letters, ref in ((left, a), (right, b)):
            source = self.dims[ref.x] if ref.of == "value" else self.weights[ref.x].shape
            dims = wire_dims(ref.wire, source)
            if len(dims) != len(letters):
                raise UsageError("operands of other ranks")
            for letter, n in zip(letters, dims, strict=True):
                if sizes.setdefault(letter, int(n)) != n:
                    raise UsageError("operands that do not fit each other")

    def function(self, fn: str, x: Sym) -> Sym:
        """A function of every entry."""
        source = self.value(x)
        dims = self.dims[source]
        op = FloatOp("function", self.fresh(), dims, addends=(Ref(source),), fn=fn)
        return self.add(op) if x.dims else self.view(self.add(op), Step("sum", 0))

    def pool(self, x: Sym, axis: int, numbers: Sequence[int]) -> Sym:
        """A maximum along an axis; ``numbers``: size, stride, dilation, low, high.

        Parameters
        ----------
        x : Sym
            What is pooled.
        axis : int
            Along which axis.
        numbers : sequence of int
            The window.
        """
        source, name = self.value(x), self.fresh()
        size, stride, dilation, low, high = numbers
        pool = MaxPool(
            name=name, x=source, axis=axis, size=size, stride=stride, dilation=dilation,
            low=low, high=high,
        )  # fmt: skip
        places = len(taps_of(pool, x.dims[axis])[0].numbers)
        dims = (*x.dims[:axis], places, *x.dims[axis + 1 :])
        return self.add(FloatOp("pool", name, dims, addends=(Ref(source),), pool=pool))

    # ---- views -------------------------------------------------------------------------------
    def view(self, x: Sym, *steps: Step) -> Sym:
        """Steps behind every operand."""
        x = self.force(x)
        if not steps:
            return x
        if max(len(t.wire) for t in x.terms) + len(steps) > MOST_STEPS:
            x = self._computed(x)
        dims = wire_dims(steps, x.dims)
        terms = tuple(replace(t, wire=(*t.wire, *steps)) for t in x.terms)
        return Sym(tuple(int(d) for d in dims), terms)

    def scale(self, x: Sym, factor: float) -> Sym:
        """Times a real number."""
        x = self.force(x)
        if factor == 0 or not np.isfinite(factor):
            raise UsageError("a factor that is zero or not finite")
        return replace(x, terms=tuple(replace(t, factor=t.factor * factor) for t in x.terms))

    def sum(self, *parts: Sym) -> Sym:
        """Of equal dims."""
        forced = [self.force(p) for p in parts]
        terms, dims = [t for p in forced for t in p.terms], forced[0].dims
        while len(terms) > MOST_AT_ONCE:
            parts_of = [terms[i : i + MOST_TERMS] for i in range(0, len(terms), MOST_TERMS)]
            terms = [self._computed(Sym(dims, tuple(few))).terms[0] for few in parts_of]
        found = Sym(dims, tuple(terms))
        return self._computed(found) if len(terms) > MOST_TERMS else found

    def broadcast(self, x: Sym, dims: Dims) -> Sym:
        """Repeat along axes of length 1 and missing leading ones."""
        x = self.force(x)
        steps: list[Step] = []
        lead = len(dims) - len(x.dims)
        for axis, (n, wanted) in enumerate(zip(x.dims, dims[lead:], strict=True)):
            if n != wanted:
                if n != 1:
                    raise UsageError(f"dims {x.dims} do not broadcast to {dims}")
                steps += [Step("sum", axis), Step("repeat", axis, (wanted,))]
        steps += [Step("repeat", axis, (dims[axis],)) for axis in range(lead)]
        return self.view(x, *steps)

    def reshape(self, x: Sym, dims: Dims) -> Sym:
        """Other dims: splits where they suffice, else a merge that waits for its reader."""
        source = x.merged or (self.force(x) if x.hidden is not None else x)
        if source.dims == dims:
            return source
        steps = reshape_steps(source.dims, dims)
        if steps is not None:
            return self.view(source, *steps)
        return Sym(dims, source.terms, source)

    # ---- running -----------------------------------------------------------------------------
    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """All values for one sample, in float64."""
        values: dict[str, Array] = {n: np.asarray(x, np.float64) for n, x in inputs.items()}

        def read(r: Ref) -> Array:
            source = values[r.x] if r.of == "value" else self.weights[r.x]
            return apply_wire(r.wire, source) * r.factor

        for op in self.ops:
            if op.kind == "linear":
                total: Array = np.zeros(op.dims)
                for r in op.addends:
                    total = total + read(r)
                for spec, a, b in op.products:
                    total = total + np.einsum(spec, read(a), read(b), optimize=True)
                values[op.name] = np.floor(total + 0.5) if op.rounded else total
                continue
            x = values[op.addends[0].x]
            if op.fn in ("zero", "step"):  # what differs by rounding of floats is equal
                x = np.where(np.abs(x) <= ROUNDED * max(1.0, np.abs(x).max()), 0.0, x)
            if op.kind == "function":
                values[op.name] = np.asarray(find_function(op.fn)[0](x), dtype=np.float64)
            elif op.kind == "reshape":
                values[op.name] = x.reshape(op.dims)
            elif op.kind == "top":
                values[op.name] = x.argmax(axis=1).astype(np.float64)
            elif op.pool is not None:
                taps = taps_of(op.pool, x.shape[op.pool.axis])
                values[op.name] = np.max([apply_wire((t,), x) for t in taps], axis=0)
        return values
