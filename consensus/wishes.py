"""What the people around a validator may ask of its engine: to read, and to let another one lead.

Not every engine grants them. One that does not says so at once, in the same effects.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ReadAsked:
    """Up to which height must a read see everything decided? Answered in `Effects.reads`.

    `context` tells reads that wait apart; below 2^32. None may come twice while an answer to the
    first can still be under way, restarts included.
    """

    context: int


@dataclass(frozen=True, slots=True)
class TransferAsked:
    """An operator wants another validator to lead; an empty `to` takes the wish back.

    A wish: nothing if we do not lead. EngineStatus.transferring_to says whether it is still tried.
    """

    to: bytes


@dataclass(frozen=True, slots=True)
class ReadAnswered:
    """Everything decided when the read was asked for is at or below `height`; None: ask again."""

    context: int
    height: int | None
