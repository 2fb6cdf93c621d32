"""The engine: each event to its rule, then every rule whose time has come.

Built like the Byzantine one (consensus/pbft/engine.py): handlers take in what an event says, and
after each event the rules in `RULES` are tried, in order, until none of them fires.
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
from consensus.messages import LogRecord
from consensus.outbox import Outbox
from consensus.raft import (
    blocks,
    checkpoint,
    deciding,
    elections,
    following,
    leading,
    reads,
    receiving,
    recovery,
    replying,
    terms,
    timers,
)
from consensus.raft.core import Core
from consensus.raft.members import Members
from consensus.raft.state import HeightState, Role
from consensus.signing import Verify, VoteSigner
from consensus.wishes import ReadAnswered, ReadAsked, TransferAsked
from medquorum.invariants import require

Rule = Callable[[Core], bool]
"""Does one thing if its time has come, and says whether it had."""

RULES: Final[tuple[Rule, ...]] = (
    deciding.finish,
    leading.propose,
    following.ack,
    leading.certify,
    reads.answer,
    blocks.validate,
    blocks.execute,
)


class RaftEngine:
    """The engine of docs/spec/raft.md. Implements consensus.engine.Engine."""

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
        state = _new_height(started)
        core = Core(chain_id, signer, verify, timing, state)
        if signer is not None:
            recovery.restore(core, records)
        return cls(core)

    def start(self) -> Effects:
        """The effects of recovery (rules F4, F6).

        With an entry under way, the leader of term 0 leads on. Otherwise leadership needs an
        election: what was said to a leader before its crash must not count for it after.
        """
        core = self._core
        core.out = Outbox()
        timers.arm_resend(core)
        if core.halted == "":
            if core.votes:
                core.tell_guard()
            _resume_role(core)
            self._follow_rules()
        return core.out.effects()

    def step(self, event: Event) -> Effects:
        """Apply one event. Hostile input is dropped by name; only our own bugs raise."""
        core = self._core
        core.out = Outbox()
        match event:
            case Received():
                receiving.receive(core, event.peer, event.message)
            case HeightStarted():
                self._start_height(event)
            case TimerFired():
                self._timer(event.timer)
            case ReadAsked() if core.halted != "":
                core.out.reads.append(ReadAnswered(event.context, None))
            case _ if core.halted != "":
                core.drop("halted")
            case WorkAvailable():
                core.state.own_work = True
                timers.note_work(core)
            case BlockBuilt():
                leading.on_block_built(core, event)
            case Validated():
                blocks.on_validated(core, event.block_hash, event.reason)
            case Executed():
                blocks.on_executed(core, event.block_hash, event.result)
            case ReadAsked():
                reads.on_read(core, event.context)
            case TransferAsked():
                leading.on_transfer(core, event.to)
            case _:
                assert_never(event)
        self._follow_rules()
        return core.out.effects()

    def status(self) -> EngineStatus:
        """A snapshot for operators. Who acknowledged what, only the leader knows."""
        core = self._core
        state = core.state
        lead = state.leading
        holders = () if lead is None else tuple(sorted(lead.holders))
        acks = () if lead is None else tuple(sorted(lead.acks))
        return EngineStatus(
            height=state.height,
            round=state.term,
            phase=_phase(core),
            proposer=state.leader,
            round_timeout_ms=core.timing.round_ms,
            prepared_by=holders,
            committed_by=acks,
            round_change_by=tuple(sorted(state.grants.keys() | state.supporters)),
            divergent=lead is not None and leading.is_divergent(core, lead),
            halted=core.halted,
            followed_by=() if lead is None else tuple(sorted(lead.echoes.keys() | lead.acks)),
            transferring_to=core.transfer_to,
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
            if core.halted != "" or not any(rule(core) for rule in RULES):
                return
        require(False, "the rules do not come to rest")

    def _start_height(self, started: HeightStarted) -> None:
        core, old = self._core, self._core.state
        if started.height <= old.height:
            core.drop("height_not_new")
            return
        follows = started.height == old.height + 1
        core.last_decided = deciding.decided_message(core) if follows else None
        led = follows and old.role is Role.LEADER
        core.state = _new_height(started)
        core.replies.refill()
        timers.arm_resend(core)
        if core.halted == "":
            _take_role(core)
            if led and core.votes and core.state.role is not Role.LEADER:
                # The chain names whoever made the block; we are the one who is there (rule L7).
                elections.seek_votes(core)
        for peer, message in core.early.take(started.height):
            receiving.receive(core, peer, message)

    def _timer(self, timer: Timer) -> None:
        core, state = self._core, self._core.state
        if timer.height != state.height:
            core.drop("timer_outdated")
            return
        match timer.kind:
            case TimerKind.RESEND:
                replying.on_resend_timer(core)
            case TimerKind.ROUND:
                core.drop("timer_of_another_engine")
            case _ if core.halted != "":
                core.drop("halted")
            case TimerKind.ELECTION:
                elections.on_election_timer(core, timer)
            case TimerKind.HEARTBEAT if timer.round != state.term or state.role is Role.FOLLOWER:
                core.drop("timer_outdated")
            case TimerKind.HEARTBEAT if state.leading is not None:
                leading.on_tick(core, state.leading)
            case TimerKind.HEARTBEAT:
                elections.on_tick(core)
            case _:
                assert_never(timer.kind)


def _new_height(started: HeightStarted) -> HeightState:
    """A height about which nothing is known yet."""
    state = HeightState(started=started, members=Members.of(started.validators))
    state.leader = state.first_leader
    return state


def _take_role(core: Core) -> None:
    """Lead term 0 if the chain names us, else wait for a leader (rule T0)."""
    state = core.state
    if core.votes and state.term == 0 and state.first_leader == core.me:
        terms.lead(core)
        leading.begin_transfer(core)
    else:
        core.transfer_to = b""
        timers.arm_election(core)
    reads.move_on(core)


def _resume_role(core: Core) -> None:
    """The role to start in, after a crash or for the first time."""
    state = core.state
    if core.votes and state.term == 0 and state.append is not None:
        terms.lead(core, resumed=True)
        leading.resume(core)
    elif core.votes and state.term == 0 and state.first_leader == core.me:
        elections.seek_votes(core)
    else:
        timers.arm_election(core)


def _phase(core: Core) -> str:
    state = core.state
    if core.halted != "":
        return "halted"
    if state.finished:
        return "decided"
    if state.decision is not None:
        return "catching_up_execution"
    if not core.votes:
        return "observing"
    if state.append is not None and state.role in (Role.LEADER, Role.FOLLOWER):
        done = state.acked is not None and state.acked.term == state.term
        return "acknowledged" if done else "executing"
    return state.role.value
