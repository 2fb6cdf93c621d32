"""The contract between an engine and the world: events in, effects out.

An engine is a state machine without I/O, clock or randomness. The driver feeds it one event at a
time and obeys the effects of each step in the order of the fields of `Effects`. A block is known
here by its header; its body (which transactions, in which order) is opaque bytes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, Protocol, Self

from consensus.messages import LogRecord, Message
from consensus.results import ResultGroup
from consensus.signing import Verify, VoteSigner
from consensus.wishes import ReadAnswered, ReadAsked, TransferAsked
from medquorum.block import Header, Result, ValidatorSet
from medquorum.certificate import CommitCertificate

BODY_MISMATCH: Final = "body_mismatch"
"""The reason of Validated for a body that does not belong to its header."""


class TimerKind(IntEnum):
    """What a timer is for."""

    ROUND = 1
    RESEND = 2
    ELECTION = 3
    HEARTBEAT = 4


@dataclass(frozen=True, slots=True)
class Timer:
    """Names a timer.

    A fired timer of an older height or round is ignored, so none is ever cancelled.
    """

    kind: TimerKind
    height: int
    round: int


@dataclass(frozen=True, slots=True)
class HeightStarted:
    """Everything up to `height - 1` is durable; voting on `height` may begin.

    Also ends a catch-up: the height may jump.
    """

    height: int
    validators: ValidatorSet
    parent_hash: bytes
    parent_result_hash: bytes
    parent_time_ms: int
    parent_round: int
    parent_proposer: bytes = b""
    """Whom the header of `height - 1` names; empty at the first height."""

    recent_proposers: tuple[bytes, ...] = ()
    """Whom the headers before `height` name, the last one last.

    Twice as many as a rota is long, or back to where `validators` began to vote, whichever is
    less. More do no harm.
    """

    rota_cycles: int = 0
    """How many turns each validator has in a rota (PBFT, rule W2); 0: nobody is passed over."""


@dataclass(frozen=True, slots=True)
class Received:
    """A message whose signature the driver has verified against `message.signer`.

    `peer` is the validator key that sent it.
    """

    peer: bytes
    message: Message


@dataclass(frozen=True, slots=True)
class TimerFired:
    """The time of a SetTimer is over."""

    timer: Timer


@dataclass(frozen=True, slots=True)
class WorkAvailable:
    """The mempool has something to propose (or the interval for empty blocks is over).

    It counts for the height that is under way; after HeightStarted, and after a start, it has to be
    said again.
    """


@dataclass(frozen=True, slots=True)
class BlockBuilt:
    """The answer to Build. The clock was read by the builder, never here."""

    height: int
    round: int
    header: Header
    body: bytes


@dataclass(frozen=True, slots=True)
class Validated:
    """The answer to Validate.

    `reason` is empty for a valid block, whose transactions are then here, checked and durable. It
    is BODY_MISMATCH if the body is not the one that the header was made for: that says nothing of
    the block, only of who sent that body.
    """

    block_hash: bytes
    reason: str


@dataclass(frozen=True, slots=True)
class Executed:
    """The answer to Execute: the result of the block on top of the last durable height."""

    block_hash: bytes
    result: Result


Event = (
    HeightStarted
    | Received
    | TimerFired
    | WorkAvailable
    | BlockBuilt
    | Validated
    | Executed
    | ReadAsked
    | TransferAsked
)


@dataclass(frozen=True, slots=True)
class Send:
    """A message to one validator, or to all others if `to` is None. May be lost.

    A vote to ourselves goes nowhere, but the guard of the sign state sees it like any other.
    `again`: a vote that was said before, in the same bytes, and behind which a later vote has been
    said since. The guard has let it pass once already and need not see it. Every other vote stands
    at the position of the vote before it, with the same digest, or higher (messages.vote_position).
    `passed_on`: somebody else's vote, with its signature; the guard must not take it for ours.
    """

    to: bytes | None
    message: Message
    again: bool = False
    passed_on: bool = False


@dataclass(frozen=True, slots=True)
class SetTimer:
    """Fire `timer` after `delay_ms`. Setting the same timer again replaces it."""

    timer: Timer
    delay_ms: int


@dataclass(frozen=True, slots=True)
class Build:
    """Make a block for (height, round) from the mempool and answer with BlockBuilt.

    Its time is not before `not_before_ms`. The engine asks Validate for it like for any other.
    """

    height: int
    round: int
    proposer: bytes
    parent_hash: bytes
    parent_result_hash: bytes
    validators_hash: bytes
    not_before_ms: int


@dataclass(frozen=True, slots=True)
class Validate:
    """Get the transactions of a block, check them, make them durable, answer with Validated.

    Missing ones are asked of `holders`, validator keys. `certified`: a quorum has decided or
    prepared it, so rules that compare with our clock do not apply. The same block asked for again
    replaces the earlier request: the holders, or `certified`, have changed.
    """

    header: Header
    body: bytes
    holders: tuple[bytes, ...]
    certified: bool


@dataclass(frozen=True, slots=True)
class Execute:
    """Execute a validated block and answer with Executed. Replaces an execution that still runs."""

    header: Header
    body: bytes


@dataclass(frozen=True, slots=True)
class CatchUp:
    """`peer` is ahead: it knows a certificate for `height`.

    Fetch certified blocks; HeightStarted reports the progress.
    """

    peer: bytes
    height: int


Request = Build | Validate | Execute | CatchUp


@dataclass(frozen=True, slots=True)
class Decided:
    """A block and its result are final, and our own execution agrees.

    Make them durable, then send HeightStarted.
    """

    header: Header
    body: bytes
    result: Result
    certificate: CommitCertificate


@dataclass(frozen=True, slots=True)
class Evidence:
    """Two signed votes of one validator that contradict each other.

    In bytewise order of their encodings. A proposal is here without body and justification, which
    its signature does not cover.
    """

    validator: bytes
    kind: str
    first: bytes
    second: bytes


@dataclass(frozen=True, slots=True)
class PeerFault:
    """A peer sent something that no correct validator sends.

    `reason` is a stable snake_case name.
    """

    peer: bytes
    reason: str


@dataclass(frozen=True, slots=True)
class Halt:
    """Stop voting for good: going on could fork.

    Restarting does not help; an operator must decide. The record of it, which `persist` of the same
    step has, must outlive every compaction of the log until a ReleasedRecord follows it.
    """

    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class Effects:
    """What one step asks of the world, to be obeyed in the order of the fields.

    `persist` is durable BEFORE anything in `send` leaves, and before any later effect: a vote that
    peers saw and we forgot in a crash is an equivocation. Only work (Build, Validate, Execute) may
    be begun earlier, as its answer is stepped through later. `dropped` names why input was ignored,
    for counting.
    """

    persist: tuple[LogRecord, ...] = ()
    send: tuple[Send, ...] = ()
    timers: tuple[SetTimer, ...] = ()
    requests: tuple[Request, ...] = ()
    decided: Decided | None = None
    evidence: tuple[Evidence, ...] = ()
    faults: tuple[PeerFault, ...] = ()
    dropped: tuple[str, ...] = ()
    halt: Halt | None = None
    reads: tuple[ReadAnswered, ...] = ()
    diverging: tuple[bytes, ...] = ()
    """Validators that signed another result of the decided block: no lie, but a fault of theirs."""


@dataclass(frozen=True, slots=True)
class Timing:
    """The named times of an engine, in milliseconds."""

    round_ms: int = 1_000
    round_ms_max: int = 30_000
    resend_ms: int = 500
    block_interval_ms: int = 0


@dataclass(frozen=True, slots=True)
class EngineStatus:
    """What operators are shown: where the engine stands and whom it waits for."""

    height: int
    round: int
    phase: str
    proposer: bytes
    round_timeout_ms: int
    prepared_by: tuple[bytes, ...]
    committed_by: tuple[bytes, ...]
    round_change_by: tuple[bytes, ...]
    divergent: bool
    halted: str
    followed_by: tuple[bytes, ...] = ()
    """Whoever answered us as its leader at this height; an engine without leaders has none."""

    transferring_to: bytes = b""
    """Whom we lead no longer for, as soon as it takes over; empty if nobody is wanted."""

    passed_over: tuple[bytes, ...] = ()
    """Validators that missed a turn to propose, and have none first for now (PBFT, rule W3)."""

    results: tuple[ResultGroup, ...] = ()
    """Of a divergent height: who computed what, as far as COMMITs have come (PBFT, rule C7)."""


class Engine(Protocol):
    """One validator's (or observer's) part in the agreement."""

    def step(self, event: Event) -> Effects:
        """Apply one event.

        Total: hostile input yields effects that drop or report it, it never raises.
        """
        ...

    def start(self) -> Effects:
        """The effects of recovery, once, before the first step.

        Says again what was said and goes on with what was begun.
        """
        ...

    def status(self) -> EngineStatus:
        """A snapshot for operators."""
        ...

    def check_invariants(self) -> None:
        """Raise InvariantBroken if the engine's own state contradicts itself."""
        ...

    def checkpoint(self) -> tuple[LogRecord, ...] | None:
        """Records that may replace all of the log, once every effect so far is obeyed; None: none.

        From them, as from the log itself, an engine is recovered that has said the same. From now
        on this engine counts on it that they do replace the log.
        """
        ...


class RecoverableEngine(Engine, Protocol):
    """An engine that is made from what is durable: how every engine starts, the first time too."""

    @classmethod
    def recover(
        cls,
        *,
        chain_id: bytes,
        signer: VoteSigner | None,
        verify: Verify,
        timing: Timing,
        started: HeightStarted,
        records: Iterable[LogRecord],
    ) -> Self:
        """The engine as of the last durable height and the log.

        Records of older heights are ignored. No signer: an observer.
        """
        ...
