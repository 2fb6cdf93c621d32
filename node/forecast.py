"""Whether a set of validators could decide: who of it is there to vote, as one node sees it.

Pure arithmetic over what the node knows; node/preflight.py gathers that.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from medquorum.block import Validator
from medquorum.quorum import EngineName, quorum

KEY_CHARS_SHOWN: Final = 16
"""Of a key in hexadecimal, for people: as metrics and logs call a validator."""


class Standing(StrEnum):
    """Whether a validator is there to vote."""

    READY = "ready"
    BEHIND = "behind"
    SILENT = "silent"
    """Connected, but it has said nothing for a while: it hangs, or is too busy to vote."""
    OFFLINE = "offline"
    NEVER_SEEN = "never_seen"
    """Not connected, and never was since this node started."""
    HALTED = "halted"
    """This node itself, which votes no more."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """What this node knows of a daemon. `behind` counts the heights that it lacks."""

    standing: Standing
    behind: int = 0


@dataclass(frozen=True, slots=True)
class Seat:
    """A validator of the set in question. A newcomer does not vote today."""

    validator: Validator
    newcomer: bool
    sighting: Sighting

    @property
    def is_ready(self) -> bool:
        """Whether it is there to vote."""
        return self.sighting.standing is Standing.READY

    def describe(self) -> str:
        """For a person, e.g. `9f3c... (behind by 812)`."""
        shown = (self.validator.key or self.validator.node_key).hex()[:KEY_CHARS_SHOWN]
        standing = str(self.sighting.standing).replace("_", " ")
        if self.sighting.standing is Standing.BEHIND:
            standing += f" by {self.sighting.behind}"
        return f"{shown} ({'new, ' if self.newcomer else ''}{standing})"


@dataclass(frozen=True, slots=True)
class Forecast:
    """The set, and how many of it must vote to decide anything."""

    seats: tuple[Seat, ...]
    needed: int

    @property
    def ready(self) -> int:
        """How many are there."""
        return sum(seat.is_ready for seat in self.seats)

    @property
    def missing(self) -> tuple[Seat, ...]:
        """Those who are not."""
        return tuple(seat for seat in self.seats if not seat.is_ready)

    @property
    def safe(self) -> bool:
        """Whether a quorum is there, and so is everybody who is new to the set.

        A newcomer counts for itself because it changes what a quorum is: it has to show, as an
        observer, that it can follow before others wait for its vote.
        """
        return self.ready >= self.needed and all(
            seat.is_ready for seat in self.seats if seat.newcomer
        )

    def complaint(self) -> str:
        """Why it is not safe, and what would make it so, for a person."""
        short = self.needed - self.ready
        if short > 0:
            what = (
                f"{self.ready} of {len(self.seats)} validators are there, {self.needed} must vote"
            )
            way = f"{short} more must be connected and level"
        else:
            what = "a new validator does not follow the chain yet"
            way = "let it follow as an observer first"
        absent = ", ".join(seat.describe() for seat in self.missing)
        return f"after this change {what}; missing: {absent}; {way}, or answer with gov.override"


def forecast(
    engine: EngineName,
    before: Sequence[Validator],
    after: Sequence[Validator],
    sight: Callable[[Validator], Sighting],
) -> Forecast:
    """What `after` could do if it took over from `before` now."""
    known = {validator.key for validator in before}
    return Forecast(
        tuple(Seat(v, v.key not in known, sight(v)) for v in after),
        quorum(engine, len(after)),
    )
