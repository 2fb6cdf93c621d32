"""How long to wait, and for what (docs/spec/raft.md, rules T1 to T4)."""

from __future__ import annotations

from hashlib import sha256

from consensus.engine import SetTimer, Timer, TimerKind, Timing
from consensus.limits import IDLE_RESEND_FACTOR
from consensus.raft.core import Core


def heartbeat_ms(timing: Timing) -> int:
    """Time between two heartbeats: four or more fit into an election timeout."""
    return max(1, min(timing.resend_ms, timing.round_ms // 4))


def ticks_per_timeout(timing: Timing) -> int:
    """Heartbeats in an election timeout, rounded up."""
    return -(-timing.round_ms // heartbeat_ms(timing))


def jitter_ms(key: bytes, height: int, term: int, attempt: int, range_ms: int) -> int:
    """What one validator waits longer than another: a hash, because there is no chance here."""
    seed = b"%d/%d/%d/" % (height, term, attempt) + key
    return int.from_bytes(sha256(seed).digest()[:8], "big") % max(1, range_ms)


def _jitter(core: Core) -> int:
    state = core.state
    return jitter_ms(core.me, state.height, state.term, state.attempts, core.timing.round_ms)


def arm_election(core: Core) -> None:
    """Wait for a leader: an election timeout, and something of our own (rule T1)."""
    core.state.lease = False
    _set(core, TimerKind.ELECTION, core.timing.round_ms + _jitter(core))


def renew_lease(core: Core) -> None:
    """We heard from the leader: for an election timeout, nobody else gets our vote (rule T2)."""
    core.state.lease = True
    _set(core, TimerKind.ELECTION, core.timing.round_ms)


def end_lease(core: Core) -> None:
    """The leader is silent: wait for our part of the jitter before we ask for votes (rule T2)."""
    core.state.lease = False
    _set(core, TimerKind.ELECTION, 1 + _jitter(core))


def arm_heartbeat(core: Core) -> None:
    """Start the timer of leaders and candidates (rule T3)."""
    _set(core, TimerKind.HEARTBEAT, heartbeat_ms(core.timing))


def arm_resend(core: Core) -> None:
    """Start the timer of the answers; slower while there is nothing to decide (rule T4)."""
    factor = 1 if core.state.work else IDLE_RESEND_FACTOR
    timer = Timer(TimerKind.RESEND, core.state.height, 0)
    core.out.timers.append(SetTimer(timer, core.timing.resend_ms * factor))


def note_work(core: Core) -> None:
    """Somebody has something to decide."""
    if not core.state.work:
        core.state.work = True
        arm_resend(core)


def _set(core: Core, kind: TimerKind, delay_ms: int) -> None:
    """Only voters lead or elect."""
    if core.votes:
        timer = Timer(kind, core.state.height, core.state.term)
        core.out.timers.append(SetTimer(timer, delay_ms))
