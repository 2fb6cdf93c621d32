"""What an engine knows while it decides one height.

Everything that changes it is a rule of docs/spec/pbft.md, in the modules beside this one.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from consensus.engine import HeightStarted
from consensus.held import HeldBlocks
from consensus.messages import (
    NO_JUSTIFICATION,
    Justification,
    Prepare,
    PreparedCertificate,
    Proposal,
    RoundChange,
    RoundProof,
    Vote,
)
from consensus.pbft.members import Members
from consensus.pbft.proofs import CertificateBook
from consensus.pbft.tally import CommitTally
from consensus.pbft.turns import Turns
from medquorum.certificate import CommitCertificate, VoteTag
from medquorum.invariants import require


@dataclass(slots=True)
class Blocks(HeldBlocks):
    """The blocks of one height, some of which quorums have prepared."""

    refused: set[bytes] = field(default_factory=set)
    """A quorum prepared them and we find them invalid: not asked for again."""

    sought: int = 0
    """How often missing blocks were asked for, to ask another holder each time."""


@dataclass(slots=True)
class HeightState:
    """One height. What is marked durable is in the log before anything said depends on it."""

    started: HeightStarted
    members: Members
    turns: Turns
    """Who proposes in which round."""

    book: CertificateBook
    base_ms: int
    """How long round 0 lasts (rule T3)."""

    round: int = 0
    """The round that we are in. Durable."""

    wanted: int = 0
    """The highest round that we wished for or entered; above `round`, we are fenced. Durable."""

    justification: Justification = NO_JUSTIFICATION
    """Why we are in `round`. Durable."""

    candidate: Proposal | None = None
    """The proposal of `round` that we look at."""

    accepted: bytes = b""
    """The block that we sent PREPARE for in `round`; empty if none yet. Durable."""

    prepared: PreparedCertificate | None = None
    """The last quorum of PREPAREs that we saw while we were in its round. Durable."""

    committed: bytes = b""
    """The result that we sent COMMIT with in `round`; empty if none yet. Durable."""

    signed_results: dict[bytes, bytes] = field(default_factory=dict)
    """Block to the one result that we ever sign for it (rule C6). Durable."""

    own: dict[VoteTag, Vote] = field(default_factory=dict)
    """What we say again until it has had its effect: of `round`, and the wish for `wanted`."""

    said: dict[tuple[int, int], tuple[bytes | int, ...]] = field(default_factory=dict)
    """(round, phase) to the payload of our vote there, to recognise a twin of ourselves."""

    last_said: tuple[int, int] = (-1, 0)
    """(round, phase) of our highest vote."""

    blocks: Blocks = field(default_factory=Blocks)
    prepares: dict[int, dict[bytes, Prepare]] = field(default_factory=dict)
    """By round, then signer; of `round` and the one after it."""

    commits: CommitTally = field(default_factory=CommitTally)
    round_changes: dict[bytes, RoundChange] = field(default_factory=dict)
    """By signer: the newest."""

    proposals_seen: dict[int, Proposal] = field(default_factory=dict)
    """By round: the first, to recognise a second one."""

    pending_proof: RoundProof | None = None
    """A proof that holds, of a round that we enter once we have the block it names."""

    diverging: set[bytes] = field(default_factory=set)
    """Who signed another result of the decided block than the certified one, and was named."""

    decision: CommitCertificate | None = None
    finished: bool = False
    """The decision was handed out; HeightStarted is the next thing to happen."""

    work: bool = False
    """Somebody has something to decide: the timer of round 0 runs."""

    own_work: bool = False
    """We have something to propose, or know since a tick that somebody else has (rule P1)."""

    building: bool = False
    validations: int = 0
    """Of uncertified blocks, asked for in this round."""

    convicted: dict[tuple[bytes, str], int] = field(default_factory=dict)
    """(validator, kind of contradiction) to how often it was reported."""

    behind_streak: int = 0
    """Ticks of the RESEND timer in a row during which a peer was seen one height ahead."""

    ahead: bytes = b""
    """A peer seen one height ahead since the last tick."""

    @property
    def height(self) -> int:
        """Which height this is."""
        return self.started.height

    @property
    def fenced(self) -> bool:
        """Whether we gave up `round`: then we say nothing new in it (rule R6)."""
        return self.wanted > self.round

    @property
    def lacks_block(self) -> bool:
        """Whether we do not know yet, or know but do not hold, what this height is decided to."""
        return self.decision is None or self.decision.block_hash not in self.blocks.valid

    def check_invariants(self) -> None:
        """Raise InvariantBroken unless the fields fit together."""
        require(self.wanted >= self.round, f"wanted {self.wanted} below round {self.round}")
        require(
            len(self.committed) == 0 or len(self.accepted) > 0,
            "a result is committed though no block is accepted",
        )
        require(self.blocks.valid <= self.blocks.seen.keys(), "a valid block was forgotten")
        if self.prepared is not None:
            require(self.prepared.round <= self.round, "prepared in a round not yet entered")
            require(self.prepared.block_hash in self.blocks.valid, "prepared without the block")
        if len(self.committed) > 0:
            require(
                self.prepared is not None and self.prepared.round == self.round,
                "committed in a round in which nothing is prepared",
            )
        require(len(self.commits.of(b"")) == 0, "a vote of nobody is counted")
        require(
            all(round_ >= self.round for round_ in self.prepares),
            "PREPAREs of a round that is over are kept",
        )
