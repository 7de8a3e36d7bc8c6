"""What the tests of single operations on shares have in common."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.support.secure_parties import Done
from veracity.mpc.secure.opening import Opening, open_values
from veracity.mpc.secure.role import Masked, Role, Secret

RNG = np.random.default_rng(11)


def results(done: Done, at: int | None = None) -> tuple[Any, Any, Any]:
    """The three roles' results, or one item of each."""
    found = done.dealer, done.owner, done.user
    return found if at is None else tuple(f[at] for f in found)  # type: ignore[return-value]


def checked(done: Done) -> Done:
    """What was declared is what was measured, offline and online."""
    assert done.measured == done.roles[0].cost
    return done


async def opens(role: Role, x: Secret, shift: int, bits: int) -> Masked:
    (found,) = await open_values(role, [Opening(x, shift, bits)])
    return found
