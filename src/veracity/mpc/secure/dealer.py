"""The dealer's role: runs every operation on masks alone and writes the parties' material."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from veracity.mpc.material import Writer
from veracity.mpc.party import Array
from veracity.mpc.secure.products import apply
from veracity.mpc.secure.role import Local, Masked, Opening, Role, Secret, Shape, Use, shape_only

__all__ = ["Dealer"]


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
    """

    owner: Writer
    user: Writer
    weights: Mapping[str, Array]

    async def open(self, items: Sequence[Opening]) -> list[Masked]:
        """Masks: the sum of a draw of the owner and one of the user."""
        shapes = [item.secret.shape for item in items]
        size = sum(map(prod, shapes))
        masks = self.owner.draw(size) + self.user.draw(size)
        found, at = [], 0
        for item, shape in zip(items, shapes, strict=True):
            mask = masks[at : at + prod(shape)].reshape(shape)
            known = None if item.shift else shape_only(shape)
            found.append(Masked(mask >> np.uint64(item.shift), known))
            at += mask.size
        return found

    def share_mask(self, mask: Array) -> Array:
        """Share it."""
        self.split(mask)
        return shape_only(mask.shape)

    def share_of(self, x: Masked) -> Secret:
        """Nothing to do."""
        return Secret(shape_only(x.shape))

    def plus(self, x: Masked, constant: Array) -> Masked:
        """The mask stays."""
        return x

    def compute(self, operation: Local) -> Secret:
        """Write its material."""
        operation.deal(self)
        return Secret(shape_only(operation.shape))

    def multiply(self, x: Masked, uses: Sequence[Use], shapes: Sequence[Shape]) -> list[Secret]:
        """``r - V`` to the owner, shares of ``U V``.

        Parameters
        ----------
        x : Masked
            (rows, k).
        uses : sequence of (name, kind)
            Weights.
        shapes : sequence of tuple
            Of the results.
        """
        mask = self.user.draw(x.shape)
        self.owner.put(x.value - mask)
        return self._share_products(mask, uses, shapes)

    async def multiply_secret(
        self, x: Secret, uses: Sequence[Use], shapes: Sequence[Shape]
    ) -> list[Secret]:
        """Shares of ``U V``.

        Parameters
        ----------
        x : Secret
            (rows, k).
        uses : sequence of (name, kind)
            Weights.
        shapes : sequence of tuple
            Of the results.
        """
        return self._share_products(self.user.draw(x.shape), uses, shapes)

    def _share_products(
        self, mask: Array, uses: Sequence[Use], shapes: Sequence[Shape]
    ) -> list[Secret]:
        for name, kind in uses:
            self.split(apply(self.engine.ring, mask, self.weights[name], kind))
        return [Secret(shape_only(shape)) for shape in shapes]

    def from_owner(self, shape: Shape, value: Callable[[], Array]) -> Secret:
        """Nothing to do."""
        return Secret(shape_only(shape))

    def from_user(self, shape: Shape, value: Callable[[], Array]) -> Secret:
        """Nothing to do."""
        return Secret(shape_only(shape))

    async def disclose(self, word: Secret, bits: int) -> int | None:
        """Nothing to do."""
        return None

    # What operations write.

    def split(self, value: Array) -> None:
        """Share a value: a draw to the owner, the difference to the user."""
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
        seed = secrets.token_bytes(32)
        pair = self.fss.dcf_keys(seed, bits, alpha, np.ascontiguousarray(payload))
        self.owner.put(pair[0])
        self.user.put(pair[1])

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
        seed = secrets.token_bytes(32)
        pair = self.fss.dpf_keys(seed, bits, alpha, np.ascontiguousarray(payload))
        self.owner.put(pair[0])
        self.user.put(pair[1])
