"""What a step of a pass is, and what each party carries from step to step.

A pass feeds ``rows`` new tokens behind ``start`` earlier ones. It has three phases: the dealer
makes pieces for both parties (:meth:`Step.deal`), the user computes all of its shares that do not
depend on any input and sends them masked (:meth:`Step.prepare`, one message for the whole pass),
and both run the steps in order (:meth:`Step.owner`, :meth:`Step.user`).

Throughout, ``x = x0 + x1`` modulo 2^64, ``x0`` at the owner and ``x1`` at the user. Every ``x1`` of
a value between steps is known to the user before the prompt is.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from veracity.engine.api import Ring
from veracity.errors import FormatError, PeerError, RangeError, UsageError, VeracityError
from veracity.mpc.cost import Cost
from veracity.mpc.permutation import Order
from veracity.mpc.shuffled.packing import Array, Size, Stream, join, split, total
from veracity.mpc.token_selection.homomorphic import Holder, Taker
from veracity.mpc.token_selection.pick import Pick
from veracity.net import Channel

__all__ = ["Dealer", "Online", "Owner", "Shape", "Step", "User"]

Message = tuple[Size, ...]
#: Messages of a step have tags ``TAGS_PER_STEP * index + k``.
TAGS_PER_STEP = 16


@dataclass(frozen=True)
class Shape:
    """How many tokens a pass feeds, how many were fed before, and how many tokens it obtains."""

    rows: int
    start: int
    choices: int = 1

    @property
    def sources(self) -> int:
        """Positions that the last row can see."""
        return self.start + self.rows


@dataclass
class Dealer:
    """The dealer during one pass.

    Attributes
    ----------
    masks : dict
        U of every masked weight, uint64 (n, k).
    memory : dict
        Masks of earlier positions' keys and values.
    known : dict
        The user's shares that the dealer knows, too: the masks V of inputs of linear layers.
    """

    shape: Shape
    owner: Stream
    user: Stream
    masks: Mapping[str, Array]
    memory: dict[str, Array]
    known: dict[str, Array] = field(default_factory=dict)
    to_owner: list[tuple[Array, int]] = field(default_factory=list)
    to_user: list[tuple[Array, int]] = field(default_factory=list)

    @property
    def ring(self) -> Ring:
        """What computes."""
        return self.user.ring


@dataclass(frozen=True)
class Online:
    """The other party during a pass: messages of known sizes.

    Parameters
    ----------
    ring : Ring
        What packs words.
    channel : Channel
        Where it is.
    first : int
        Tag of the pass's first message.
    """

    ring: Ring
    channel: Channel
    first: int = 0

    async def send(self, step: int, part: int, *arrays: tuple[Array, int]) -> None:
        """Send arrays with their bits as one message.

        Parameters
        ----------
        step, part : int
            Which message it is.
        *arrays : tuple of (array, int)
            Elements with the bits of each that matter.
        """
        await self.channel.send(self.tag(step, part), join(self.ring, arrays))

    async def receive(self, step: int, part: int, sizes: Message) -> list[Array]:
        """Receive one message of these sizes.

        Parameters
        ----------
        step, part : int
            Which message it is.
        sizes : Message
            Elements and bits of each array.

        Raises
        ------
        PeerError
        """
        data = await self.channel.receive(self.tag(step, part), total(sizes))
        try:
            return split(self.ring, data, sizes)
        except FormatError as error:
            raise PeerError(str(error)) from error

    def tag(self, step: int, part: int) -> int:
        """Tag of one message of a step."""
        return self.first + TAGS_PER_STEP * step + part


@dataclass
class Owner:
    """The owner during one pass.

    Attributes
    ----------
    weights : dict
        W by name, small integers, and transposed tables.
    pieces, ahead : dict
        What the dealer gave and what the user sent ahead, by step.
    memory : dict
        What is kept of earlier positions' keys and values.
    shares : dict
        ``x0`` by value, uint64 (rows, width).
    orders : dict
        Orders that have been drawn, by step.
    """

    shape: Shape
    stream: Stream
    weights: Mapping[str, NDArray[np.integer]]
    pieces: Mapping[int, list[Array]]
    ahead: Mapping[int, list[Array]]
    memory: dict[str, Array]
    peer: Online
    holder: Holder | None = None
    shares: dict[str, Array] = field(default_factory=dict)
    orders: dict[int, Order] = field(default_factory=dict)

    @property
    def ring(self) -> Ring:
        """What computes."""
        return self.stream.ring

    def order_of(self, step: Step) -> Order:
        """The order that the step's values get; drawn already where :meth:`early` was called."""
        found = self.orders.pop(step.index, None)
        found = step.order(self.stream, self.shape) if found is None else found
        if found is None:
            raise UsageError("this step permutes nothing")
        return found

    def early(self, steps: Sequence[Step]) -> None:
        """Draw all orders before the pass: it costs time later, or memory now."""
        for step in steps:
            order = step.order(self.stream, self.shape)
            if order is not None:
                self.orders[step.index] = order


@dataclass
class User:
    """The user during one pass.

    Attributes
    ----------
    masked : dict
        W - U of every masked weight, uint64 (n, k).
    pieces : dict
        What the dealer gave, by step.
    memory : dict
        What is kept of earlier positions' keys and values.
    shares : dict
        ``x1`` by value, uint64 (rows, width).
    kept : dict
        What a step's preparation leaves for the step.
    ahead : list
        What goes to the owner before the prompt exists.
    pick : callable
        Chooses places among rescaled logits, int64 (V,), all equally good.
    tokens : int64 array, shape (rows,)
        What is fed.
    answer : int
        The token, once the pass has ended.
    fault : VeracityError or None
        Why the token means nothing: a value has left its range, say.
    """

    shape: Shape
    stream: Stream
    masked: Mapping[str, Array]
    pieces: Mapping[int, list[Array]]
    memory: dict[str, Array]
    pick: Pick
    taker: Taker | None = None
    shares: dict[str, Array] = field(default_factory=dict)
    kept: dict[tuple[int, str], Array] = field(default_factory=dict)
    ahead: list[tuple[Array, int]] = field(default_factory=list)
    tokens: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    answer: int = -1
    fault: VeracityError | None = None

    @property
    def ring(self) -> Ring:
        """What computes."""
        return self.stream.ring

    def within(
        self, compute: Callable[[], NDArray[np.int64]], shape: tuple[int, ...]
    ) -> NDArray[np.int64]:
        """A result, or zeros where a value leaves its range.

        The pass goes on, since its end would tell the owner, who chose the ranges, about the
        prompt; :attr:`fault` tells the user.

        Parameters
        ----------
        compute : callable
            Gives the result, or raises :class:`RangeError`.
        shape : tuple of int
            Of the result.
        """
        try:
            return compute()
        except RangeError as fault:
            self.fault = self.fault or fault
            return np.zeros(shape, dtype=np.int64)


@dataclass(frozen=True)
class Step(ABC):
    """One step of a pass.

    Parameters
    ----------
    index : int
        Its place in the plan: where its randomness and its tags begin.
    """

    index: int

    def order(self, stream: Stream, shape: Shape) -> Order | None:
        """The order that the owner and the dealer draw, where there is one."""
        return None

    def owner_pieces(self, shape: Shape) -> Message:
        """What the dealer gives the owner explicitly."""
        return ()

    def user_pieces(self, shape: Shape) -> Message:
        """What the dealer gives the user explicitly."""
        return ()

    def sent_ahead(self, shape: Shape) -> Message:
        """What the user sends the owner before the prompt exists."""
        return ()

    def messages(self, shape: Shape) -> tuple[tuple[int, int], ...]:
        """Online messages in order: ``(receiver, bytes)``, 0 the owner and 1 the user."""
        return ()

    def cost(self, shape: Shape) -> Cost:
        """What the step declares, offline and online."""
        messages = self.messages(shape)
        return Cost(
            one_way=len(messages),
            bytes_to_owner=sum(size for receiver, size in messages if receiver == 0),
            bytes_to_user=sum(size for receiver, size in messages if receiver == 1),
            offline_bytes_owner=total(self.owner_pieces(shape)) + total(self.sent_ahead(shape)),
            offline_bytes_user=total(self.user_pieces(shape)),
        )

    @abstractmethod
    def deal(self, dealer: Dealer) -> None:
        """Make both parties' pieces, in the order of the sizes declared."""

    @abstractmethod
    def prepare(self, user: User) -> None:
        """Compute the user's shares and what is sent ahead."""

    @abstractmethod
    async def owner(self, owner: Owner) -> None:
        """Run the owner's side."""

    @abstractmethod
    async def user(self, user: User, peer: Online) -> None:
        """Run the user's side."""
