"""The effects of a step while it is under way."""

from __future__ import annotations

from dataclasses import dataclass, field

from consensus.engine import (
    Decided,
    Effects,
    Evidence,
    Halt,
    PeerFault,
    Request,
    Send,
    SetTimer,
)
from consensus.messages import LogRecord
from consensus.wishes import ReadAnswered


@dataclass(slots=True)
class Outbox:
    """The effects of the step that is under way, in the order in which they came up."""

    persist: list[LogRecord] = field(default_factory=list)
    send: list[Send] = field(default_factory=list)
    timers: list[SetTimer] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    decided: Decided | None = None
    evidence: list[Evidence] = field(default_factory=list)
    faults: list[PeerFault] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    halt: Halt | None = None
    reads: list[ReadAnswered] = field(default_factory=list)
    diverging: list[bytes] = field(default_factory=list)

    def effects(self) -> Effects:
        """What the world is asked for."""
        return Effects(
            persist=tuple(self.persist),
            send=tuple(self.send),
            timers=tuple(self.timers),
            requests=tuple(self.requests),
            decided=self.decided,
            evidence=tuple(self.evidence),
            faults=tuple(self.faults),
            dropped=tuple(self.dropped),
            halt=self.halt,
            reads=tuple(self.reads),
            diverging=tuple(self.diverging),
        )
