"""What the rules of the engine work on: the state of the height, and the effects of the step."""

from __future__ import annotations

from dataclasses import dataclass, field

from consensus.engine import Send
from consensus.messages import LogRecord, Message, Vote, vote_payload, vote_phase, vote_tag
from consensus.pbft.future import FutureVotes
from consensus.pbft.state import HeightState
from consensus.shell import Shell


@dataclass(slots=True)
class Core(Shell[HeightState]):
    """The memory of an engine, and how it speaks."""

    future: FutureVotes = field(default_factory=FutureVotes)
    heard: set[tuple[bytes, int]] = field(default_factory=set)
    """(signer, phase) of the votes we had or saw since, of the height decided last (rule H1)."""

    def say(self, vote: Vote, *records: LogRecord) -> None:
        """Say a vote to everybody for the first time, once `records` are durable."""
        self.out.persist.extend(records)
        self.remember(vote)
        self.out.send.append(Send(None, vote))

    def remember(self, vote: Vote) -> None:
        """Keep what we said: to say it again, and to know our own votes."""
        self.know_said((vote.round, vote_phase(vote)), vote_payload(vote))
        self.state.own[vote_tag(vote)] = vote

    def say_again(self, vote: Vote, to: bytes | None = None) -> None:
        """Say a vote once more, in the same bytes."""
        again = (vote.round, vote_phase(vote)) < self.state.last_said
        self.out.send.append(Send(to, vote, again))

    def broadcast(self, message: Message) -> None:
        """Tell all others something that is no vote."""
        self.send(None, message)
