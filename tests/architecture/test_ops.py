"""Every op has an entry in every table: an implementation, or the reason why there is none."""

from __future__ import annotations

from tests.support.programs import small_model
from tests.support.toy_programs import toys
from veracity.graph.ops import OPS, RULES
from veracity.graph.ops.base import Op, OpRule, Unsupported
from veracity.mpc.secure import ops as secure
from veracity.mpc.shuffled import ops as shuffled
from veracity.zkml.ops.table import RULES as ARGUMENTS

EVERY = set(OPS.values())


def test_the_tables_hold_exactly_the_ops() -> None:
    """What is missing is named: write the op's rule, its argument, or Unsupported(reason)."""
    tables = {"graph": RULES, "zkml": ARGUMENTS, "secure": secure.RULES, "shuffled": shuffled.RULES}
    for name, table in tables.items():
        missing = {op.__name__ for op in EVERY - set(table)}
        foreign = {op.__name__ for op in set(table) - EVERY}
        assert not missing, f"{name} has no entry for {missing}"
        assert not foreign, f"{name} has entries for {foreign}, which are no ops"


def test_every_op_class_is_registered() -> None:
    waiting, found = [Op], set()
    while waiting:
        for kind in waiting.pop().__subclasses__():
            found.add(kind)
            waiting.append(kind)
    assert {k for k in found if k.__module__.startswith("veracity")} == EVERY


def test_entries_are_whole() -> None:
    assert all(isinstance(rule, OpRule) for rule in RULES.values())
    for entry in ARGUMENTS.values():
        assert callable(entry) or (isinstance(entry, Unsupported) and entry.reason)
    for table in (secure.RULES, shuffled.RULES):
        assert all(e.reason for e in table.values() if isinstance(e, Unsupported))


def test_both_private_modes_have_every_op_of_a_decoder() -> None:
    """What a mode refuses, it refuses with a reason; text decoders it evaluates."""
    for style in ("llama", "gpt2"):
        for op in small_model(style).program.ops:
            assert not isinstance(secure.RULES[type(op)], Unsupported)
            assert not isinstance(shuffled.RULES[type(op)], Unsupported)


def test_every_op_is_tried_by_the_malicious_prover() -> None:
    """The programs that the soundness tests cheat on hold every op there is."""
    programs = [small_model(style).program for style in ("llama", "gpt2", "adjusted")]
    programs += [toy.program for toy in toys()]
    assert {type(op) for program in programs for op in program.ops} == EVERY
