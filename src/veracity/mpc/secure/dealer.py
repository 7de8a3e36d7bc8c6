"""The dealer's role: runs every operation on masks alone and writes the parties' material."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from veracity.mpc.material import Writer
from veracity.mpc.party import Array, Role, hollow

__all__ = ["Dealer", "Use"]

#: A weight by name, as a matrix (n, k) or as one factor for every feature.
Use = tuple[str, Literal["matrix", "gain"]]

Keys = NDArray[np.uint8]


@dataclass(eq=False)
class Dealer(Role):
    """The dealer during a pass.

    Parameters
    ----------
    engine : Engine
        What computes.
    owner, user : Writer
        Material of the parties.
    weights : mapping
        Masks U of the weights.
    dry : bool
        Count only: no randomness, no keys, no products.

    Attributes
    ----------
    wraps : float
        Expected number of masks that wrap around where they must not.
    prepare : list
        ``(label, shape, uses)`` of every mask V of a linear layer's input.
    """

    owner: Writer
    user: Writer
    weights: Mapping[str, Array]
    dry: bool = False
    wraps: float = 0.0
    prepare: list[tuple[int, tuple[int, ...], tuple[Use, ...]]] = field(default_factory=list)

    def both(self, shape: tuple[int, ...]) -> Array:
        """A mask: the sum of a draw of the owner and one of the user."""
        return self.draw(self.owner, shape) + self.draw(self.user, shape)

    def draw(self, writer: Writer, shape: tuple[int, ...]) -> Array:
        """What a party draws."""
        if self.dry:
            writer.skip()
            return hollow(shape)
        return writer.draw(shape)

    def split(self, value: Array) -> None:
        """Share a value: a draw to the owner, the difference to the user."""
        if self.dry:
            self.owner.skip()
            self.user.count(value.size * 8)
        else:
            self.user.put(value - self.owner.draw(value.shape))

    def comparison_keys(self, bits: int, alpha: Array, payload: Array) -> None:
        """Keys of ``payload [x < alpha]`` for both parties.

        Parameters
        ----------
        bits : int
            Bits of the domain.
        alpha : uint64 array
            (n,).
        payload : uint64 array
            (n, words).
        """
        self._keys(self.engine.fss.dcf_keys, self.engine.fss.dcf_key_bytes, bits, alpha, payload)

    def point_keys(self, bits: int, alpha: Array, payload: Array) -> None:
        """Keys of ``payload [x = alpha]`` for both parties.

        Parameters
        ----------
        bits : int
            Bits of the domain.
        alpha : uint64 array
            (n,).
        payload : uint64 array
            (n, words).
        """
        self._keys(self.engine.fss.dpf_keys, self.engine.fss.dpf_key_bytes, bits, alpha, payload)

    def _keys(
        self,
        make: Callable[[bytes, int, Array, Array], tuple[Keys, Keys]],
        size: Callable[[int, int], int],
        bits: int,
        alpha: Array,
        payload: Array,
    ) -> None:
        if self.dry:
            for writer in (self.owner, self.user):
                writer.count(len(alpha) * size(bits, payload.shape[1]))
            return
        made = make(secrets.token_bytes(32), bits, alpha, np.ascontiguousarray(payload))
        self.owner.put(made[0])
        self.user.put(made[1])
