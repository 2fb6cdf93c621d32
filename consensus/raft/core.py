"""What the rules of the engine work on: the state of the height, and the effects of the step."""

from __future__ import annotations

from dataclasses import dataclass, field

from consensus.engine import Send
from consensus.raft.future import EarlyMessages
from consensus.raft.messages import RaftVote, raft_payload, raft_phase
from consensus.raft.state import HeightState
from consensus.shell import Shell


@dataclass(slots=True)
class Read:
    """A read that a leader was asked for, by a peer or (empty) by ourselves."""

    asker: bytes
    context: int
    beat: int
    """Answers to this heartbeat, or a later one, were given after the read was asked for."""

    covered: bool = False
    """The entry of this term was first sent after the read was asked for: so were its acks."""


@dataclass(slots=True)
class Core(Shell[HeightState]):
    """The memory of an engine, and how it speaks."""

    early: EarlyMessages = field(default_factory=EarlyMessages)
    transfer_to: bytes = b""
    """Whom an operator wants to lead instead of us; empty if nobody."""

    reads: dict[tuple[bytes, int], Read] = field(default_factory=dict)
    """By (asker, context): what waits for our leadership to be confirmed."""

    forwarded: dict[int, int] = field(default_factory=dict)
    """Context to the ticks it has waited: our own reads that a leader was asked for."""

    def say(self, vote: RaftVote, to: bytes | None) -> None:
        """Say a vote for the first time. What announces it was recorded in this step."""
        self.remember(vote)
        self.out.send.append(Send(to, vote))

    def remember(self, vote: RaftVote) -> None:
        """Keep what we said: to say it again, and to know our own votes."""
        state = self.state
        self.know_said((vote.term, raft_phase(vote)), raft_payload(vote))
        state.own = [*(known for known in state.own if known.term == vote.term), vote]

    def tell_guard(self) -> None:
        """Say what was recovered to ourselves: that reaches nobody but the guard (rule F6)."""
        for vote in self.state.own:
            self.say_again(vote, self.me)

    def say_again(self, vote: RaftVote, to: bytes | None) -> None:
        """Say a vote once more, in the same bytes."""
        again = (vote.term, raft_phase(vote)) < self.state.last_said
        self.out.send.append(Send(to, vote, again))
