"""What is known of values while a plan is made: their readers, widths, bits and rings.

The bits of every value come from the program alone: an accumulator of a layer needs its result's
bits plus its shift, and one bit more so that values just out of range are noticed; the rings that
truncations leave must hold what follows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from veracity.errors import UnsupportedModelError
from veracity.graph.ops import Op
from veracity.graph.ops.base import Unsupported
from veracity.graph.program import Program
from veracity.mpc.shuffled.functions import Group, Input, Result
from veracity.mpc.shuffled.role import Step

__all__ = ["Rule", "Values", "unsupported"]

_REMEDY = "calibrate with fewer bits, or use the secure mode"


def unsupported(op: Op, how: str) -> UnsupportedModelError:
    """What to raise for an op where the mode has no place for it."""
    return UnsupportedModelError(op.name, f"{type(op).__name__} {how}".strip(), _REMEDY)


def _own_bits(_values: Values, op: Any) -> int:
    return int(getattr(op, "bits", 64))


def _not_of_a_group(_values: Values, op: Op, name: str) -> int:
    raise unsupported(op, f"of {name}, which no linear layer makes,")


@dataclass(frozen=True)
class Rule:
    """How the mode evaluates an op.

    Attributes
    ----------
    add : callable, optional
        ``(values, op)``: adds the op's steps; without it the user evaluates the op in a group.
    bits : callable
        ``(values, op)``: bits of its signed result.
    reads : callable
        ``(values, op, name)``: bits that it needs of what a group leaves; raises where it cannot
        read that.
    limit : callable, optional
        ``op``: most bits of what it reads, where it has a bound of its own.
    accumulates : bool
        Its result is a layer's accumulators.
    masked : bool
        Its result is shared with a mask that the dealer knows.
    whole_ring : bool
        It reads accumulators in all 64 bits.
    by_rows : bool
        It needs whole rows.
    last_row : bool
        It reads the last row alone.
    """

    add: Callable[[Values, Any], None] | None = None
    bits: Callable[[Values, Any], int] = _own_bits
    reads: Callable[[Values, Any, str], int] = _not_of_a_group
    limit: Callable[[Any], int] | None = None
    accumulates: bool = False
    masked: bool = False
    whole_ring: bool = False
    by_rows: bool = False
    last_row: bool = False


class Values:
    """The state of :func:`veracity.mpc.shuffled.plan.compile_plan`.

    Parameters
    ----------
    program : Program
        What is compiled.
    rules : mapping
        A rule for every op, or the reason why there is none.
    homomorphic : bool
        Whether tokens are chosen by BFV.
    """

    def __init__(
        self, program: Program, rules: Mapping[type[Op], Rule | Unsupported], homomorphic: bool
    ) -> None:
        self.program = program
        self.homomorphic = homomorphic
        self.steps: list[Step] = []
        self.made: dict[str, Op] = {}
        self.widths: dict[str, int] = {}
        self.rings: dict[str, int] = {}  # of values that steps leave in shares
        self.last_row: set[str] = set()
        self.readers: dict[str, list[Op]] = {}
        self._rules = rules
        self._pending: list[Op] = []
        for op in program.ops:
            for name in op.inputs():
                self.readers.setdefault(name, []).append(op)

    def compile(self) -> tuple[Step, ...]:
        """All steps."""
        for op in self.program.ops:
            self.made[op.name] = op
            rule = self.rule(op)
            if rule.add is None:
                self.widths[op.name] = self.widths[op.inputs()[0]]
                self._pending.append(op)
                continue
            if any(name in self.made for name in op.inputs()):
                self._flush()
            rule.add(self, op)
        return tuple(self.steps)

    def rule(self, op: Op) -> Rule:
        """How the mode evaluates an op.

        Raises
        ------
        UnsupportedModelError
        """
        rule = self._rules[type(op)]
        if isinstance(rule, Unsupported):
            raise unsupported(op, f"({rule.reason})")
        return rule

    def value_bits(self, name: str) -> int:
        """Bits of a signed value of the program."""
        op = self.made[name]
        bounds = [self.rule(op).bits(self, op)]
        for reader in self.readers.get(name, ()):
            limit = self.rule(reader).limit
            if limit is not None:
                bounds.append(limit(reader))
        return min(bounds)

    def needed(self, op: Any) -> int:
        """Bits of an accumulator: its range, and one more to notice what leaves it."""
        return int(op.shift) + int(getattr(op, "bits", 16)) + 1

    def layer_ring(self, op: Op) -> int:
        """Bits of a layer's accumulators that its reader uses."""
        whole = any(self.rule(r).whole_ring for r in self.readers.get(op.name, ()))
        return 64 if whole else self.needed(op)

    def input_ring(self, op: Op, name: str) -> int:
        """The ring in which a layer's input is shared with a mask the dealer knows."""
        if name not in self.rings or not self.rule(self.made[name]).masked:
            raise unsupported(op, f"of {name}, which has not been rescaled,")
        return self.rings[name]

    def _flush(self) -> None:
        """Make one group of what is pending."""
        if not self._pending:
            return
        ops, self._pending = tuple(self._pending), []
        inside = {op.name for op in ops}
        names = dict.fromkeys(n for op in ops for n in op.inputs() if n not in inside)
        inputs = tuple(self._input(name) for name in names)
        readers = {
            op.name: [r for r in self.readers.get(op.name, ()) if r.name not in inside]
            for op in ops
        }
        outside = [name for name, after in readers.items() if after]
        tail = all(self.rule(r).last_row for name in outside for r in readers[name])
        self.last_row.update(outside if tail else ())
        width = self.widths[ops[0].name]
        if any(self.widths[n] != width for n in (*names, *inside)):
            raise unsupported(ops[0], "of values of different widths")
        self.steps.append(
            Group(
                index=len(self.steps),
                ops=ops,
                inputs=inputs,
                results=tuple(Result(n, self._result_bits(n)) for n in outside),
                width=width,
                by_rows=any(self.rule(op).by_rows for op in ops),
                tail=tail,
            )
        )
        for name in outside:
            self.rings[name] = 64

    def _input(self, name: str) -> Input:
        op = self.made[name]
        if self.rule(op).accumulates:
            bits = self.needed(op)
            if self.rings[name] < bits:
                raise unsupported(op, f"with {bits} bits in a ring of {self.rings[name]}")
            return Input(name, bits, op)
        if name not in self.rings:
            raise unsupported(op, "outside of its place in a decoder")
        return Input(name, self.value_bits(name), None)

    def _result_bits(self, name: str) -> int:
        """Bits that the readers of a group's result need."""
        return max(self.rule(r).reads(self, r, name) for r in self.readers[name])
