"""Raft: validators that crash and come back, none that lies."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Final

from typing_extensions import override

from consensus.engine import TimerKind
from consensus.messages import Message
from consensus.raft.messages import Append, Grant, PreVoteReply, VoteRequest
from consensus.raft.state import HeightState
from devnet.model.automaton import TIMERS, Automaton, Local, Parcel, Setting, core_of
from devnet.model.scope import Scope
from devnet.model.world import key_of

N: Final = 3


@dataclass(slots=True)
class RaftScope(Scope):
    """One height of three validators. Validator 1 leads term 0.

    Heartbeats and their answers are left out: they carry leases, which keep elections away, and
    here an election may come at any time. For the same reason everybody may get a pre-vote of
    everybody whenever it asks, whether it was given or not.
    """

    _offers: int = 0

    @property
    @override
    def needed(self) -> int:
        """A majority."""
        return len(self.automaton.setting.keys) // 2 + 1

    @property
    @override
    def timer(self) -> int:
        """The election timer: it ends a lease, or seeks votes."""
        return TIMERS[TimerKind.ELECTION]

    @override
    def group(self, message: Message) -> str:
        """Acks change nothing but the decision, which `explore` looks at apart."""
        match message:
            case Append() | Grant() | PreVoteReply() | VoteRequest():
                return type(message).__name__
            case _:
                return ""

    @override
    def offers(self, said: int) -> int:
        """Pre-votes, of everybody for every term."""
        del said
        if self._offers == 0:
            for term in range(1, self.rounds):
                for sender in self.players:
                    parcel = Parcel(sender, None, PreVoteReply(1, term, 1))
                    self._offers |= 1 << self.automaton.number_of(parcel)
        return self._offers

    @override
    def may_fire(self, local: Local) -> bool:
        """V1, up to the last term of the scope."""
        state = core_of(local).state
        if not isinstance(state, HeightState):
            return False
        return state.lease or state.term < self.rounds - 1

    @override
    def is_kept(self, message: Message) -> bool:
        """Pre-votes are on offer anyway."""
        return not isinstance(message, PreVoteReply) and self.group(message) != ""

    @override
    def outline(self, local: Local) -> Hashable:
        """What a validator has said, and what it says next depends on."""
        state = core_of(local).state
        if not isinstance(state, HeightState):
            return ()
        return (
            frozenset(local.ledger.said.items()),
            *(state.term, state.ballot, state.role, state.leader, state.lease, state.refused),
            *(state.acked, state.appended, state.entry, state.campaigning, state.building),
            frozenset(known.header.hash() for known in local.running),
            frozenset(state.blocks.results),
            TimerKind.ELECTION in local.timers,
            local.crashes,
            local.log,
        )

    @override
    def forget(self, local: Local) -> None:
        """What is acknowledged, sent and said stays."""
        state = core_of(local).state
        if isinstance(state, HeightState):
            state.supporters.clear()
            state.grants.clear()
            state.heard.clear()
            state.ballots.clear()


def raft_scope(
    *, terms: int = 2, n: int = N, crashes: int = 1, slow_execution: bool = False
) -> RaftScope:
    """The search with so many terms and crashes."""
    setting = Setting(
        engine="raft",
        keys=tuple(key_of(number) for number in range(n)),
        slow_execution=slow_execution,
        endless_replies=True,
        with_log=True,
    )
    speed = ", slow execution" if slow_execution else ""
    name = f"raft, {n} validators, {terms} terms, {crashes} crash{speed}"
    return RaftScope(name, Automaton(setting), terms, crashes)
