"""The private modes by name."""

from __future__ import annotations

from veracity.errors import UsageError
from veracity.mpc.mode import Mode
from veracity.mpc.secure.mode import Secure
from veracity.mpc.shuffled.mode import Shuffled

__all__ = ["MODES", "find_mode"]

#: ``secure`` shows nothing but the answer, ``shuffled`` hidden values in random order to the user;
#: there the user obtains its token by the dealer's pads, or without the dealer by BFV.
MODES: dict[str, Mode] = {
    mode.name: mode
    for mode in (
        Secure(),
        Shuffled("shuffled", choices=2, homomorphic=False),
        Shuffled("shuffled-bfv", choices=1, homomorphic=True),
    )
}


def find_mode(name: str) -> Mode:
    """The mode of this name.

    Raises
    ------
    UsageError
    """
    if name not in MODES:
        raise UsageError(f"no mode {name!r}; choose from {', '.join(MODES)}")
    return MODES[name]
