"""What an engine knows while one height is being decided.

Everything that changes it is a rule of docs/spec/raft.md, in the modules beside this one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from consensus.engine import HeightStarted
from consensus.held import HeldBlocks
from consensus.raft.members import Members
from consensus.raft.messages import Ack, AckedRecord, Append, Grant, RaftVote, VoteRequest
from medquorum.certificate import CommitCertificate
from medquorum.invariants import require


class Role(Enum):
    """What we are in this term."""

    FOLLOWER = "following"
    PRE_CANDIDATE = "pre_vote"
    CANDIDATE = "candidate"
    LEADER = "leading"


@dataclass(slots=True)
class Leading:
    """What a leader knows of its followers in its term. All of it is lost when it steps down."""

    reads_wait: bool
    """No read is answered at this height.

    Its entry is of an older term and may be decided already; or it leads this term a second time,
    after a crash, and cannot tell answers to its heartbeats from those to the ones before.
    """

    acks: dict[bytes, Ack] = field(default_factory=dict)
    """Of this term, by signer."""

    holders: set[bytes] = field(default_factory=set)
    """Who has the entry of this term, acknowledged or not."""

    active: set[bytes] = field(default_factory=set)
    """Who answered since the last check of the quorum."""

    echoes: dict[bytes, int] = field(default_factory=dict)
    """The highest beat that each follower has answered."""

    beat: int = 0
    ticks: int = 0
    incomplete_ticks: int = 0
    """For how many ticks in a row we have lacked transactions of our own entry."""

    fresh: bool = False
    """The entry was sent since the last tick: too early to send it again."""

    transfer_ticks: int = 0
    """How many more ticks the leadership is offered to `Core.transfer_to`; 0: not now."""


@dataclass(slots=True)
class HeightState:
    """One height. What is marked durable is in the log before anything said depends on it."""

    started: HeightStarted
    members: Members

    term: int = 0
    """The highest term that we know of. Durable."""

    ballot: bytes = b""
    """Whom we voted for in `term`; empty if nobody yet. Durable."""

    acked: AckedRecord | None = None
    """The last entry that we acknowledged, with its term. Durable."""

    appended: int = -1
    """The last term in which we sent an entry as its leader. Durable."""

    signed_results: dict[bytes, bytes] = field(default_factory=dict)
    """Block to the one result that we ever sign for it (rule A4). Durable."""

    role: Role = Role.FOLLOWER
    leader: bytes = b""
    """Who leads `term`, as far as we know."""

    lease: bool = False
    """We heard from the leader within an election timeout: nobody else gets our vote."""

    refused: bool = False
    """We find the entry of `term` invalid: its leader is none to us (rule A5)."""

    append: Append | None = None
    """The leader's entry of `term`."""

    validations: int = 0
    """Validations of that entry asked for in `term`."""

    attempts: int = 0
    """How often we asked for pre-votes: makes each election timeout another one."""

    supporters: set[bytes] = field(default_factory=set)
    """Who would vote for us in the term after `term`."""

    campaigning: bool = False
    """We asked for votes in `term`, since we last started, and have not won it yet."""

    grants: dict[bytes, Grant] = field(default_factory=dict)
    """Who voted for us in `term`, others than ourselves."""

    leading: Leading | None = None
    """Not None exactly while we lead."""

    own: list[RaftVote] = field(default_factory=list)
    """What we signed in `term`, to say it again."""

    said: dict[tuple[int, int], tuple[bytes | int, ...]] = field(default_factory=dict)
    """(term, phase) to the payload of our vote there, to recognise a twin of ourselves."""

    last_said: tuple[int, int] = (-1, 0)
    """(term, phase) of our highest vote."""

    blocks: HeldBlocks = field(default_factory=HeldBlocks)
    heard: dict[bytes, Ack] = field(default_factory=dict)
    """The newest ack of each signer, whatever its term, to notice two results of one block."""

    ballots: dict[bytes, VoteRequest | Grant] = field(default_factory=dict)
    """The ballot of the highest term of each signer, to notice two in one term."""

    convicted: dict[tuple[bytes, str], int] = field(default_factory=dict)
    """(validator, kind of contradiction) to how often it was reported."""

    decision: CommitCertificate | None = None
    finished: bool = False
    """The decision was handed out; HeightStarted is the next thing to happen."""

    work: bool = False
    """There is something to decide."""

    own_work: bool = False
    """We have something to propose."""

    building: bool = False
    ahead: bytes = b""
    """A peer seen one height ahead since the last tick."""

    behind_streak: int = 0
    """Ticks of the RESEND timer in a row during which a peer was seen one height ahead."""

    sought: int = 0
    """How often a decided block that we lack was asked for, to ask another holder each time."""

    @property
    def height(self) -> int:
        """Which height this is."""
        return self.started.height

    @property
    def entry(self) -> bytes:
        """The hash of the leader's entry of this term; empty if there is none yet."""
        return b"" if self.append is None else self.append.header.hash()

    @property
    def lacks_block(self) -> bool:
        """Whether we do not know yet, or know but do not hold, what this height is decided to."""
        return self.decision is None or self.decision.block_hash not in self.blocks.seen

    @property
    def first_leader(self) -> bytes:
        """Who leads term 0."""
        return self.members.first_leader(self.height, self.started.parent_proposer)

    def check_invariants(self) -> None:
        """Raise InvariantBroken unless the fields fit together."""
        require((self.leading is not None) == (self.role is Role.LEADER), "a leader by half")
        require(self.blocks.valid <= self.blocks.seen.keys(), "a valid block was forgotten")
        require(self.appended <= self.term, "sent an entry in a term above ours")
        if self.acked is not None:
            require(self.acked.term <= self.term, "acknowledged in a term above ours")
            require(self.acked.block_hash in self.blocks.valid, "acknowledged without the block")
        if self.append is not None:
            require(self.append.term == self.term, "the entry of another term is kept")
        if self.leading is not None:
            terms = {ack.term for ack in self.leading.acks.values()}
            require(terms <= {self.term}, "an ack of another term is counted")
        require(len(self.own) <= 1 + len(Role), "more votes of one term than there are kinds")
