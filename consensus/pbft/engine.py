"""The engine: each event to its rule, then every rule whose time has come.

The handlers take in what an event says. What follows from it is not theirs: after each event, the
rules in `RULES` are tried, in order, until none of them fires. So no rule has to know which event
made it true, and the order of events cannot make one be missed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, Self, assert_never

from consensus.engine import (
    BlockBuilt,
    Effects,
    EngineStatus,
    Event,
    Executed,
    HeightStarted,
    Received,
    Timer,
    TimerFired,
    TimerKind,
    Timing,
    Validated,
    WorkAvailable,
)
from consensus.limits import RULE_STEPS_MAX
from consensus.messages import (
    BlockRequest,
    BlockResponse,
    Commit,
    DecidedMessage,
    LogRecord,
    Message,
    PbftMessage,
    Prepare,
    Proposal,
    RoundChange,
    RoundProof,
    Status,
    Vote,
)
from consensus.outbox import Outbox
from consensus.pbft import (
    blocks,
    checkpoint,
    deciding,
    proposing,
    recovery,
    replying,
    rounds,
    timers,
    twin,
    voting,
)
from consensus.pbft.core import Core
from consensus.pbft.members import Members
from consensus.pbft.proofs import CertificateBook
from consensus.pbft.state import HeightState
from consensus.pbft.turns import turns_of
from consensus.signing import Verify, VoteSigner
from consensus.wishes import ReadAnswered, ReadAsked, TransferAsked
from medquorum.invariants import require

Rule = Callable[[Core], bool]
"""Does one thing if its time has come, and says whether it had."""

RULES: Final[tuple[Rule, ...]] = (
    deciding.finish,
    rounds.skip,
    rounds.enter_by_quorum,
    rounds.enter_by_proof,
    proposing.propose,
    proposing.accept,
    voting.prepare_quorum,
    voting.commit,
    blocks.validate_certified,
    blocks.execute,
)


def new_height(
    chain_id: bytes, verify: Verify, timing: Timing, started: HeightStarted, base_ms: int
) -> HeightState:
    """A height about which nothing is known yet."""
    members = Members.of(started.validators)
    book = CertificateBook(chain_id, started.height, members, verify)
    base_ms = timers.base_after(timing, base_ms, started.parent_round)
    turns = turns_of(started)
    return HeightState(started=started, members=members, turns=turns, book=book, base_ms=base_ms)


class PbftEngine:
    """The engine of docs/spec/pbft.md. Implements consensus.engine.Engine."""

    __slots__ = ("_core",)

    def __init__(self, core: Core) -> None:
        self._core = core

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
        """The engine as of the last durable height and the log (section 6).

        Raises LogContradictionError if no engine can have written these records.
        """
        state = new_height(chain_id, verify, timing, started, timing.round_ms)
        core = Core(chain_id, signer, verify, timing, state)
        if signer is not None:
            recovery.restore(core, records)
            recovery.count_own(core)
        return cls(core)

    def start(self) -> Effects:
        """The effects of recovery: timers, what was said, what was begun (rules L4, L6)."""
        core = self._core
        core.out = Outbox()
        timers.arm_resend(core)
        if core.halted == "":
            if core.state.round > 0 or core.state.work:
                timers.arm_round(core)
            recovery.tell_guard(core)
            timers.say_again(core)
            self._follow_rules()
        return core.out.effects()

    def step(self, event: Event) -> Effects:
        """Apply one event. Hostile input is dropped by name; only our own bugs raise."""
        core = self._core
        core.out = Outbox()
        match event:
            case Received():
                self._receive(event.peer, event.message)
            case HeightStarted():
                self._start_height(event)
            case TimerFired():
                self._timer(event.timer)
            case ReadAsked():
                core.out.reads.append(ReadAnswered(event.context, None))
            case TransferAsked():
                core.drop("no_leader_to_replace")
            case _ if core.halted != "":
                core.drop("halted")
            case WorkAvailable():
                core.state.own_work = True
                timers.note_work(core)
            case BlockBuilt():
                proposing.on_block_built(core, event)
            case Validated():
                blocks.on_validated(core, event.block_hash, event.reason)
            case Executed():
                blocks.on_executed(core, event.block_hash, event.result)
            case _:
                assert_never(event)
        self._follow_rules()
        return core.out.effects()

    def status(self) -> EngineStatus:
        """A snapshot for operators."""
        core = self._core
        state = core.state
        votes = [vote for known in state.members.keys for vote in state.commits.of(known)]
        divergent = state.commits.splits(state.members.n, state.members.quorum)
        prepares = state.prepares.get(state.round, {})
        return EngineStatus(
            height=state.height,
            round=state.round,
            phase=_phase(core),
            proposer=state.turns.proposer(state.round),
            round_timeout_ms=timers.round_ms(core.timing, state.base_ms, state.round),
            prepared_by=tuple(sorted(prepares)),
            committed_by=tuple(
                sorted({vote.signer for vote in votes if vote.round == state.round})
            ),
            round_change_by=tuple(
                sorted(
                    wish.signer for wish in state.round_changes.values() if wish.round > state.round
                )
            ),
            divergent=divergent,
            halted=core.halted,
            passed_over=state.turns.passed_over,
            results=state.commits.groups() if divergent else (),
        )

    def check_invariants(self) -> None:
        """Raise InvariantBroken if the engine's own state contradicts itself."""
        self._core.state.check_invariants()

    def checkpoint(self) -> tuple[LogRecord, ...] | None:
        """Records that may replace the log, as Engine.checkpoint says."""
        return checkpoint.checkpoint(self._core)

    def _follow_rules(self) -> None:
        core = self._core
        for _ in range(RULE_STEPS_MAX):
            if core.halted != "":
                return
            for rule in RULES:
                if rule(core):
                    break
            else:
                return
        require(False, "the rules do not come to rest")

    def _start_height(self, started: HeightStarted) -> None:
        core, old = self._core, self._core.state
        if started.height <= old.height:
            core.drop("height_not_new")
            return
        follows = started.height == old.height + 1
        core.last_decided = deciding.decided_message(core) if follows else None
        base_ms = old.base_ms if follows else core.timing.round_ms
        core.state = new_height(core.chain_id, core.verify, core.timing, started, base_ms)
        core.replies.refill()
        timers.arm_resend(core)
        for vote in core.future.take(started.height):
            self._receive(vote.signer, vote)

    def _timer(self, timer: Timer) -> None:
        core = self._core
        if timer.height != core.state.height:
            core.drop("timer_outdated")
            return
        match timer.kind:
            case TimerKind.ROUND if core.halted != "":
                core.drop("halted")
            case TimerKind.ROUND:
                rounds.on_round_timer(core, timer.round)
            case TimerKind.RESEND:
                timers.on_resend_timer(core)
            case TimerKind.ELECTION | TimerKind.HEARTBEAT:
                core.drop("timer_of_another_engine")
            case _:
                assert_never(timer.kind)

    def _receive(self, peer: bytes, message: Message) -> None:
        core, state = self._core, self._core.state
        if not isinstance(message, PbftMessage):
            core.blame(peer, "message_of_another_engine")
        elif message.height < state.height:
            replying.on_lower_height(core, peer, message)
        elif message.height > state.height:
            replying.on_higher_height(core, peer, message)
        elif isinstance(message, Vote) and message.signer not in state.members.position:
            core.blame(peer, "not_a_validator")
        elif isinstance(message, Vote) and message.signer == core.me:
            twin.check_vote(core, message)
        elif core.halted != "" and state.decision is None:
            core.drop("halted")
        elif core.halted != "":
            replying.on_decided_height(core, peer, message)
        elif isinstance(message, BlockResponse):
            blocks.on_block_response(core, peer, message)
        elif isinstance(message, DecidedMessage):
            deciding.on_decided(core, peer, message)
        elif state.decision is not None:
            replying.on_decided_height(core, peer, message)
        else:
            self._vote(peer, message)

    def _vote(self, peer: bytes, message: Vote | RoundProof | Status | BlockRequest) -> None:
        core = self._core
        match message:
            case Proposal():
                proposing.on_proposal(core, peer, message)
            case Prepare():
                voting.on_prepare(core, peer, message)
            case Commit():
                voting.on_commit(core, message)
            case RoundChange():
                rounds.on_round_change(core, peer, message)
            case RoundProof():
                rounds.on_round_proof(core, peer, message)
            case Status():
                replying.on_status(core, peer, message)
            case BlockRequest():
                blocks.on_block_request(core, peer, message)
            case _:
                assert_never(message)


def _phase(core: Core) -> str:
    state = core.state
    if core.halted != "":
        return "halted"
    if state.finished:
        return "decided"
    if state.decision is not None:
        return "catching_up_execution"
    if state.fenced:
        return "round_change"
    if len(state.committed) > 0:
        return "commit"
    if voting.is_prepared(state):
        return "executing"
    if len(state.accepted) > 0:
        return "prepare"
    if state.candidate is not None:
        return "validating"
    return "proposal" if state.work else "idle"
