"""From a program to the steps of a pass.

Linear layers, tables, gains and attention become steps of their own; every run of other ops between
two of them becomes one group, which the user evaluates (:mod:`.group`). The bits of every value
come from the program alone: an accumulator of a layer needs its result's bits plus its shift, and
one bit more so that values just out of range are noticed; the rings that truncations leave must
hold what follows.
"""

from __future__ import annotations

from dataclasses import dataclass

from veracity.errors import UnsupportedModelError
from veracity.graph.ops import (
    Add,
    Attention,
    Embed,
    Function,
    Gain,
    Head,
    Linear,
    Mul,
    Norm,
    Op,
    Positions,
    Rescale,
    Rope,
)
from veracity.graph.program import Program
from veracity.mpc.cost import Cost
from veracity.mpc.decoder import vocabulary_of
from veracity.mpc.shuffled.attention import Attend
from veracity.mpc.shuffled.group import Group, Input, Result
from veracity.mpc.shuffled.head import Choose
from veracity.mpc.shuffled.linear import Embedding, Matrix, Scale, Table
from veracity.mpc.shuffled.steps import TAGS_PER_STEP, Shape, Step

__all__ = ["Plan", "compile_plan"]

_POINTWISE = (Add, Rescale, Mul, Function, Norm)
#: Bits of queries and keys that a ring too small for the scores may cost, of 16.
_DROPPED = 4
_REMEDY = "calibrate with fewer bits, or use the secure mode"


@dataclass(frozen=True)
class Plan:
    """What both parties and the dealer run for every pass.

    Attributes
    ----------
    program : Program
        Where it comes from.
    steps : tuple of Step
        In order.
    """

    program: Program
    steps: tuple[Step, ...]

    @property
    def tags(self) -> int:
        """Tags that one pass may use."""
        return len(self.steps) * TAGS_PER_STEP

    def cost(self, shape: Shape) -> Cost:
        """What a pass declares."""
        total = Cost()
        for step in self.steps:
            total += step.cost(shape)
        return total

    @property
    def round_trips_per_layer(self) -> float:
        """Most round trips between the norms of two attention layers."""
        counts, messages = [], 0
        for step in self.steps:
            if isinstance(step, Attend):
                counts.append(messages)
                messages = 0
            messages += len(step.messages(Shape(1, 1)))
        return max(counts[1:], default=0) / 2


class _Compiler:
    """The state of :func:`compile_plan`."""

    def __init__(self, program: Program, homomorphic: bool) -> None:
        self.program = program
        self.homomorphic = homomorphic
        self.steps: list[Step] = []
        self.made: dict[str, Op] = {}
        self.pending: list[Op] = []
        self.widths: dict[str, int] = {}
        self.rings: dict[str, int] = {}  # of values that steps leave in shares
        self.last_row: set[str] = set()
        self.readers: dict[str, list[Op]] = {}
        for op in program.ops:
            for name in op.inputs():
                self.readers.setdefault(name, []).append(op)

    def compile(self) -> Plan:
        for op in self.program.ops:
            self.made[op.name] = op
            if isinstance(op, _POINTWISE):
                self.widths[op.name] = self.widths[op.inputs()[0]]
                self.pending.append(op)
            else:
                if not isinstance(op, Embed | Positions):
                    self._flush()
                self._step(op)
        return Plan(self.program, tuple(self.steps))

    # Bits.

    def _value_bits(self, name: str) -> int:
        """Bits of a signed value of the program."""
        op = self.made[name]
        bounds = [r.x_bits + 1 for r in self.readers.get(name, ()) if isinstance(r, Norm)]
        if isinstance(op, Embed | Positions):
            bounds.append(self.program.weights[op.table].bits)
        elif isinstance(op, Function):
            bounds.append(16)
        elif isinstance(op, Add):
            a, b = self._value_bits(op.a) + op.shift_a, self._value_bits(op.b) + op.shift_b
            bounds.append(max(a, b) + 1)
        else:
            bounds.append(int(getattr(op, "bits", 64)))
        return min(bounds)

    def _needed(self, op: Linear | Head) -> int:
        """Bits of an accumulator: its range, and one more to notice what leaves it."""
        return op.shift + (16 if isinstance(op, Head) else op.bits) + 1

    def _layer_ring(self, op: Linear | Head) -> int:
        """Bits of a layer's accumulators that its reader uses."""
        for reader in self.readers.get(op.name, ()):
            if isinstance(reader, Attention | Rope):
                return 64
        return self._needed(op)

    def _result_bits(self, name: str) -> int:
        """Bits that the readers of a group's result need."""
        bits = 0
        for reader in self.readers[name]:
            if isinstance(reader, Linear | Head):
                bits = max(bits, self._layer_ring(reader))
            elif isinstance(reader, _POINTWISE):
                bits = max(bits, self._value_bits(name))
            elif isinstance(reader, Gain):
                bits = 64
            else:
                raise _unsupported(reader, f"of {name}, which no linear layer makes,")
        return bits

    # Steps.

    def _flush(self) -> None:
        """Make one group of what is pending."""
        if not self.pending:
            return
        ops, self.pending = tuple(self.pending), []
        inside = {op.name for op in ops}
        names = dict.fromkeys(n for op in ops for n in op.inputs() if n not in inside)
        inputs = tuple(self._input(name) for name in names)
        outside = [
            op.name
            for op in ops
            if any(r.name not in inside for r in self.readers.get(op.name, ()))
        ]
        after = [r for n in outside for r in self.readers[n] if r.name not in inside]
        tail = all(isinstance(r, Head | Gain) for r in after)
        self.last_row.update(outside if tail else ())
        width = self.widths[ops[0].name]
        if any(self.widths[n] != width for n in (*names, *inside)):
            raise _unsupported(ops[0], "of values of different widths")
        self.steps.append(
            Group(
                index=len(self.steps),
                ops=ops,
                inputs=inputs,
                results=tuple(Result(n, self._result_bits(n)) for n in outside),
                width=width,
                by_rows=any(isinstance(op, Norm) for op in ops),
                tail=tail,
            )
        )
        for name in outside:
            self.rings[name] = 64

    def _input(self, name: str) -> Input:
        op = self.made[name]
        if isinstance(op, Linear):
            bits = self._needed(op)
            if self.rings[name] < bits:
                raise _unsupported(op, f"with {bits} bits in a ring of {self.rings[name]}")
            return Input(name, bits, op)
        if name not in self.rings:
            raise _unsupported(op, "outside of its place in a decoder")
        return Input(name, self._value_bits(name), None)

    def _step(self, op: Op) -> None:
        if isinstance(op, Embed):
            self._embed(op)
        elif isinstance(op, Positions):
            self._positions(op)
        elif isinstance(op, Linear):
            self._matrix(op)
        elif isinstance(op, Rope):
            if not isinstance(self.made[op.x], Linear):
                raise _unsupported(op, "of anything but a linear layer")
            self.widths[op.name] = self.widths[op.x]
        elif isinstance(op, Attention):
            self._attend(op)
        elif isinstance(op, Gain):
            self._gain(op)
        elif isinstance(op, Head):
            self._head(op)
        else:
            raise _unsupported(op, "")

    def _embed(self, op: Embed) -> None:
        vocab, width = self.program.weights[op.table].shape
        bits = self._value_bits(op.name)
        self.steps.append(Embedding(len(self.steps), op.name, op.table, vocab, width, bits))
        self.widths[op.name], self.rings[op.name] = width, bits

    def _positions(self, op: Positions) -> None:
        width = self.program.weights[op.table].shape[1]
        self.steps.append(Table(len(self.steps), op.name, op.table, width))
        self.widths[op.name], self.rings[op.name] = width, 64

    def _input_ring(self, op: Op, name: str) -> int:
        """The ring in which a layer's input is shared with a mask the dealer knows."""
        if name not in self.rings or isinstance(self.made[name], Linear | Embed | Positions):
            raise _unsupported(op, f"of {name}, which has not been rescaled,")
        return self.rings[name]

    def _matrix(self, op: Linear) -> None:
        ring, used = self._input_ring(op, op.x), self._layer_ring(op)
        if used > ring:
            raise _unsupported(op, f"that needs {used} bits in a ring of {ring}")
        count = self.program.weights[op.weight].shape[0]
        self.steps.append(
            Matrix(len(self.steps), op.name, op.x, op.weight, op.bias, count, used, tail=False)
        )
        self.widths[op.name], self.rings[op.name] = count, used

    def _attend(self, op: Attention) -> None:
        layers: list[Linear] = []
        ropes: list[Rope | None] = []
        for name in (op.q, op.k, op.v):
            source = self.made[name]
            rope = source if isinstance(source, Rope) else None
            layer = self.made[rope.x] if rope else source
            if not isinstance(layer, Linear) or self.rings[layer.name] < 64:
                raise _unsupported(op, f"of {name}, which no linear layer makes,")
            layers.append(layer)
            ropes.append(rope)
        if ropes[2] is not None:
            raise _unsupported(op, "with rotated values")
        q, k = (a.shift + (r.frac if r else 0) for a, r in zip(layers[:2], ropes[:2], strict=True))
        # A row's scores span less than 2^16 and its greatest has 16 bits: 18 bits after rescaling.
        bits, ring = op.score_shift + 18, 64 - max(q, k)
        dropped = max(0, bits - ring)
        if dropped > _DROPPED or 2 * dropped > op.score_shift:
            raise _unsupported(op, f"with scores of {bits} bits in a ring of {ring}")
        shift = layers[2].shift + op.mix_shift
        self.steps.append(
            Attend(
                index=len(self.steps),
                op=op,
                sources=(layers[0].name, layers[1].name, layers[2].name),
                ropes=(ropes[0], ropes[1]),
                shifts=(q + dropped, k + dropped, shift),
                score_bits=bits - 2 * dropped,
                dropped=dropped,
            )
        )
        self.widths[op.name], self.rings[op.name] = self.widths[op.q], 64 - shift

    def _gain(self, op: Gain) -> None:
        self._input_ring(op, op.x)
        if op.x not in self.last_row or not all(
            isinstance(r, Head) for r in self.readers.get(op.name, ())
        ):
            raise _unsupported(op, "anywhere but before the head")
        width = self.widths[op.x]
        self.steps.append(
            Scale(len(self.steps), op.name, op.x, op.weight, op.bias, width, op.shift)
        )
        self.widths[op.name], self.rings[op.name] = width, 64 - op.shift
        self.last_row.add(op.name)

    def _head(self, op: Head) -> None:
        ring, bits = self._input_ring(op, op.x), self._needed(op)
        if bits > ring:
            raise _unsupported(op, f"that needs {bits} bits in a ring of {ring}")
        vocab, acc = vocabulary_of(self.program), f"{op.name}.acc"
        self.steps.append(
            Matrix(len(self.steps), acc, op.x, op.weight, None, vocab, bits, tail=True)
        )
        self.steps.append(Choose(len(self.steps), op, acc, vocab, bits, self.homomorphic))


def _unsupported(op: Op, how: str) -> UnsupportedModelError:
    return UnsupportedModelError(op.name, f"{type(op).__name__} {how}".strip(), _REMEDY)


def compile_plan(program: Program, *, homomorphic: bool = False) -> Plan:
    """The steps of a pass of ``program``.

    Parameters
    ----------
    homomorphic : bool
        Whether tokens are chosen by BFV instead of by the dealer's pads.

    Raises
    ------
    UnsupportedModelError
        Where an op stands where a decoder has none, or a value does not fit its ring.
    """
    return _Compiler(program, homomorphic).compile()
