"""What both engines are made of, around their rules: keys, effects, and what outlives a height."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from consensus.engine import CatchUp, Execute, Halt, PeerFault, Send, Timing, Validate
from consensus.held import Block, HeldBlocks
from consensus.limits import DETAIL_CHARS_MAX, SAID_ROUNDS_MAX
from consensus.messages import BlockRecord, DecidedMessage, HaltedRecord, LogRecord, Message
from consensus.outbox import Outbox
from consensus.replies import ReplyBudget
from consensus.signing import Verify, VoteSigner
from medquorum.invariants import require


class Voters(Protocol):
    """Who votes on a height."""

    @property
    def position(self) -> Mapping[bytes, int]:
        """The place of each in their set, by key."""
        ...


class Deciding(Protocol):
    """The height that is being decided, as far as both engines have the same."""

    said: dict[tuple[int, int], tuple[bytes | int, ...]]
    last_said: tuple[int, int]

    @property
    def height(self) -> int:
        """Which one it is."""
        ...

    @property
    def members(self) -> Voters:
        """Who votes on it."""
        ...

    @property
    def blocks(self) -> HeldBlocks:
        """What we have seen of it."""
        ...


H = TypeVar("H", bound=Deciding)


@dataclass(slots=True)
class Shell(Generic[H]):
    """An engine's memory. `state` is the height that is being decided; the rest outlives it."""

    chain_id: bytes
    signer: VoteSigner | None
    verify: Verify
    timing: Timing
    state: H
    out: Outbox = field(default_factory=Outbox)
    replies: ReplyBudget = field(default_factory=ReplyBudget)
    last_decided: DecidedMessage | None = None
    """What was decided last, for a peer that is one height behind."""

    halted: str = ""
    """Why we stopped for good; empty while we have not."""

    @property
    def me(self) -> bytes:
        """Our validator key; empty if we only observe."""
        return b"" if self.signer is None else self.signer.public

    @property
    def votes(self) -> bool:
        """Whether we vote on this height."""
        return self.halted == "" and self.me in self.state.members.position

    def sign(self, message: bytes) -> bytes:
        """Our signature. Only what is recorded in this step, or was before, is ever signed."""
        require(self.signer is not None, "an observer signs nothing")
        require(self.halted == "", "a halted engine signs nothing")
        return b"" if self.signer is None else self.signer.sign(message)

    def record(self, record: LogRecord) -> None:
        """Have something on the disk before anything that is said from now on."""
        self.out.persist.append(record)

    def log_block(self, block: Block) -> None:
        """Have a block in the log before a record names it."""
        if block.hash not in self.state.blocks.logged:
            self.state.blocks.logged.add(block.hash)
            self.record(BlockRecord(self.state.height, block.header, block.body))

    def know_said(self, position: tuple[int, int], payload: tuple[bytes | int, ...]) -> None:
        """Know a vote for our own, by its round (or term) and phase."""
        state = self.state
        state.last_said = max(state.last_said, position)
        state.said[position] = payload
        while len(state.said) > 4 * SAID_ROUNDS_MAX:
            del state.said[min(state.said)]

    def send(self, to: bytes | None, message: Message) -> None:
        """Say something that is no vote."""
        self.out.send.append(Send(to, message))

    def reply(self, peer: bytes, message: Message) -> None:
        """Answer a peer, unless it got enough answers of this kind lately (rule H4)."""
        if self.replies.take(peer, type(message).__name__):
            self.send(peer, message)

    def catch_up(self, peer: bytes, height: int) -> None:
        """Have the blocks up to `height` fetched, unless that was asked for lately (rule H3)."""
        if self.replies.take(peer, CatchUp.__name__):
            self.out.requests.append(CatchUp(peer, height))

    def drop(self, reason: str) -> None:
        """Count input that has no effect."""
        self.out.dropped.append(reason)

    def blame(self, peer: bytes, reason: str) -> None:
        """Report input that no correct validator sends."""
        self.out.dropped.append(reason)
        self.out.faults.append(PeerFault(peer, reason))

    def halt(self, reason: str, detail: str) -> None:
        """Stop voting, for good (section 8)."""
        detail = detail[:DETAIL_CHARS_MAX]
        self.halted = reason
        self.record(HaltedRecord(self.state.height, reason, detail))
        self.out.halt = Halt(reason, detail)

    def ask(self, request: Validate | Execute) -> None:
        """Ask the world about a block."""
        self.out.requests.append(request)
