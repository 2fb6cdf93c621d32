"""Schedules that chance alone would hardly find, for the rules of Raft: figure 8 and its relatives.

A trap looks at the frames of a run and lets an election happen at the worst moment: an entry is on
the disks of just enough validators, or of just too few, or nobody hears that it is decided; and
then its leader is gone. What it loses and whom it strikes, a network and a power supply could too.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Final

from typing_extensions import override

from consensus.messages import DecidedMessage, Message, decode_message
from consensus.raft.messages import (
    Ack,
    Append,
    Decision,
    Grant,
    HeartbeatReply,
    PreVoteReply,
    PreVoteRequest,
    TimeoutNow,
)
from consensus.wishes import TransferAsked
from devnet.sim.cluster import Cluster
from devnet.sim.machine import Machine
from devnet.sim.trapnames import ALONE, FOLLOWERS, LATE_ACKS, MAJORITY, MINORITY, SPLIT, TAKEOVER
from devnet.sim.world import US_PER_MS
from node.wire import FrameKind
from p2p.model import Lane

NOBODY: Final = -1
STRIKES_PER_APPEND: Final = 0.05
LATE_MAX: Final = 8.0
"""After so many election timeouts a trap in which nobody was caught lets everything pass."""


class Trap(ABC):
    """Implements network.Lose until it has struck; then everything passes."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster, self.world, self.rng = cluster, cluster.world, cluster.world.rng
        self.machines, self.round_ms = cluster.net.machines, cluster.options.round_ms
        self.over = False
        self.struck = False
        self.busy_until_us = 0
        """It is about to catch somebody, and not to be replaced before."""
        self._lonely = NOBODY
        self._hears, self._is_heard = self.rng.choice(
            ((False, False), (True, False), (False, True))
        )

    def __call__(self, sender: int, receiver: int, kind: int, payload: bytes) -> bool:
        """Whether a frame is lost."""
        if self._lonely == sender and not self._is_heard:
            return True
        if self._lonely == receiver and not self._hears:
            return True
        if kind != FrameKind.CONSENSUS or self.over:
            return False
        return self.loses(sender, receiver, decode_message(payload), payload)

    @abstractmethod
    def loses(self, sender: int, receiver: int, message: Message, payload: bytes) -> bool:
        """The same for what engines say, until the trap is over."""

    def voters(self) -> list[Machine]:
        """Those that may be caught."""
        return [m for m in self.machines if m.is_up and m.validator is not None and not m.retired]

    def say_late(self, sender: int, receiver: int, payload: bytes) -> None:
        """Let through what was held back."""
        key = self.machines[receiver].node_key.public
        machine = self.machines[sender]
        self.cluster.net.transmit(machine, key, Lane.CONSENSUS, FrameKind.CONSENSUS, payload)

    def strike_soon(self, place: int, after_ms: float = 0.0) -> None:
        """The leader dies, or nobody hears it any more, for a few election timeouts."""
        self.struck = True
        self.world.later_ms(after_ms + self.rng.uniform(0.0, 5.0), lambda: self._strike(place))

    def leave_alone(self, place: int) -> None:
        """Cut a machine off for a while."""
        self._lonely = place
        name = self.machines[place].name
        self.world.note(f"trap: {name} is alone, hears {self._hears}, is heard {self._is_heard}")
        self.world.later_ms(self.rng.uniform(1.0, 5.0) * self.round_ms, self._rejoin)

    def _strike(self, place: int) -> None:
        machine = self.machines[place]
        self.over, self.struck = not self.stays, False
        if self.rng.chance(0.3):
            self.leave_alone(place)
        else:
            self._crash(machine, 5.0)

    def _crash(self, machine: Machine, timeouts_max: float) -> None:
        if machine.is_up and machine.restart_ms is not None:
            usual, down = machine.restart_ms, (0.2 * self.round_ms, timeouts_max * self.round_ms)
            machine.restart_ms = down
            machine.crash(power=self.rng.chance(0.5), why="caught in a trap")
            machine.restart_ms = usual

    @property
    def stays(self) -> bool:
        """Whether it goes on after it has struck."""
        return False

    def _rejoin(self) -> None:
        self._lonely = NOBODY


class SplitVotes(Trap):
    """Now and then the leader goes, and half of the votes get lost: many terms for a height."""

    @override
    def loses(self, sender: int, receiver: int, message: Message, payload: bytes) -> bool:
        """See Trap."""
        entry = isinstance(message, Append) and not self.struck
        if entry and self.rng.chance(STRIKES_PER_APPEND):
            self.strike_soon(sender)
        return isinstance(message, Grant | PreVoteReply) and self.rng.chance(0.5)

    @property
    @override
    def stays(self) -> bool:
        """See Trap."""
        return True


class LeaderAlone(Trap):
    """The leader is cut off as soon as it has sent an entry to somebody."""

    @override
    def loses(self, sender: int, receiver: int, message: Message, payload: bytes) -> bool:
        """See Trap."""
        if isinstance(message, Append):
            self.over = True
            self.leave_alone(sender)
        return False


class FollowersGone(Trap):
    """Followers die after saying that they hold the entry, and before they acknowledge it."""

    def __init__(self, cluster: Cluster) -> None:
        super().__init__(cluster)
        self._gone: set[int] = set()
        self._acked: set[int] = set()

    @override
    def loses(self, sender: int, receiver: int, message: Message, payload: bytes) -> bool:
        """See Trap."""
        if isinstance(message, Ack):
            self._acked.add(sender)
        elif (
            isinstance(message, HeartbeatReply)
            and message.entry != ()
            and sender not in self._gone | self._acked
        ):
            self._gone.add(sender)
            self.world.later_ms(0.0, lambda: self._crash(self.machines[sender], 1.0))
        return False


class LateAcks(Trap):
    """The acks of one term arrive when their leader leads another one, with the same entry.

    Nobody answers it, so it stops leading; nobody else gets to campaign, so it leads again; and
    then the acks of the first term come before those of the second.
    """

    def __init__(self, cluster: Cluster) -> None:
        super().__init__(cluster)
        self._place: tuple[int, int] | None = None
        self._leader = NOBODY
        self._held: dict[int, bytes] = {}
        """The ack of the first term, by its sender."""
        self._again = False

    @override
    def loses(self, sender: int, receiver: int, message: Message, payload: bytes) -> bool:
        """See Trap."""
        match message:
            case Append():
                self._append(sender, (message.height, message.term))
                return False
            case Ack() if receiver == self._leader:
                if (message.height, message.term) == self._place:
                    self._held.setdefault(sender, payload)
                return True
            case HeartbeatReply() if receiver == self._leader:
                return (message.height, message.term) == self._place
            case PreVoteRequest():
                return self._place is not None and sender != self._leader
            case _:
                return False

    def _append(self, sender: int, place: tuple[int, int]) -> None:
        if self._place is None:
            self._place, self._leader = place, sender
            self.world.note(f"trap: the acks of {place} will be late")
            self.world.later_ms(LATE_MAX * self.round_ms, self._release)
            self.busy_until_us = self.world.now_us + int(LATE_MAX * self.round_ms * US_PER_MS)
        elif sender == self._leader and place > self._place and not self._again:
            self._again = True
            self.world.later_ms(self.rng.uniform(0.0, 1.0) * self.round_ms, self._release)
        elif sender != self._leader and place > self._place:
            self._release()

    def _release(self) -> None:
        if not self.over:
            self.over, self.busy_until_us = True, 0
            for sender, payload in self._held.items():
                self.say_late(sender, self._leader, payload)


class LeaderGone(Trap):
    """The leader goes once a majority has its entry, or (`few`) some have it and no majority.

    Nobody hears that the entry is decided. Whether the leader itself learns it is chance.
    """

    def __init__(self, cluster: Cluster, *, few: bool) -> None:
        super().__init__(cluster)
        self._few = few
        self._keeps_acks = self.rng.chance(0.5)
        self._place: tuple[int, int] | None = None
        self._leader = NOBODY
        self._chosen: frozenset[int] = frozenset()
        """Who gets the entry."""
        self._acked: set[int] = set()
        self.spared = NOBODY
        """Who does not get the entry in any case."""

    @override
    def loses(self, sender: int, receiver: int, message: Message, payload: bytes) -> bool:
        """See Trap."""
        match message:
            case Append():
                place = (message.height, message.term)
                if self._place is None and self.may_begin(sender):
                    self._begin(sender, place)
                # Nobody hears anything further of this leader: no next entry either.
                mine = self._place is not None and sender == self._leader
                return mine and (place != self._place or receiver not in self._chosen)
            case Ack() if (message.height, message.term) == self._place:
                self._acked.add(sender)
                if self._chosen <= self._acked and not self.struck:
                    self.spring(self._leader)
                return not self._keeps_acks
            case Decision() | DecidedMessage():
                return self._place is not None and message.height >= self._place[0]
            case _:
                return False

    def may_begin(self, sender: int) -> bool:
        """Whether this leader's next entry is the one."""
        del sender
        return True

    def spring(self, leader: int) -> None:
        """The entry is where it should be."""
        self.strike_soon(leader)

    def _begin(self, sender: int, place: tuple[int, int]) -> None:
        self._place, self._leader = place, sender
        others = [m.place for m in self.voters() if m.place not in (sender, self.spared)]
        needed = (len(others) + 1 + (self.spared != NOBODY)) // 2
        if self._few:
            needed = self.rng.randint(0, max(0, needed - 1))
        self._chosen = frozenset(self.rng.sample(others, min(needed, len(others))))
        names = [self.machines[one].name for one in sorted(self._chosen)]
        self.world.note(f"trap: the entry of {place} reaches {names} only")
        if len(self._chosen) == 0:
            self.spring(sender)


class LateTakeover(LeaderGone):
    """The order to take over arrives after the leader has given up the wish, at one who lacks its
    next entry. A majority has it by then.
    """

    def __init__(self, cluster: Cluster) -> None:
        super().__init__(cluster, few=False)
        self._asked = False
        self._order: tuple[int, bytes] | None = None
        """From whom the order is, and its bytes."""

    @override
    def loses(self, sender: int, receiver: int, message: Message, payload: bytes) -> bool:
        """See Trap."""
        if not isinstance(message, TimeoutNow):
            return super().loses(sender, receiver, message, payload)
        if self._order is None:
            self.spared, self._order = receiver, (sender, payload)
            name = self.machines[receiver].name
            self.world.note(f"trap: {name} will hear late that it shall lead")
        return not self.struck

    @override
    def may_begin(self, sender: int) -> bool:
        """Once the leader that was to go has gone on instead."""
        if not self._asked:
            self._asked = True
            self._ask_for_transfer(self.machines[sender])
        return self._order is not None and sender == self._order[0]

    @override
    def spring(self, leader: int) -> None:
        """The leader goes when the order has arrived: its connections end with it."""
        self.strike_soon(leader, after_ms=self.cluster.options.delay_ms)
        if self._order is not None:
            self.say_late(self._order[0], self.spared, self._order[1])

    def _ask_for_transfer(self, leader: Machine) -> None:
        """As an operator would."""
        others = [m for m in self.voters() if m is not leader]
        if leader.node is not None and len(others) > 0:
            heir = self.rng.choice(others).validator
            if heir is not None:
                leader.node.inbox.post(TransferAsked(heir.public))


def trap_of(cluster: Cluster, aim: str) -> Trap:
    """A trap of this name."""
    makers: dict[str, Callable[[Cluster], Trap]] = {
        SPLIT: SplitVotes,
        ALONE: LeaderAlone,
        FOLLOWERS: FollowersGone,
        LATE_ACKS: LateAcks,
        TAKEOVER: LateTakeover,
        MAJORITY: lambda known: LeaderGone(known, few=False),
        MINORITY: lambda known: LeaderGone(known, few=True),
    }
    return makers[aim](cluster)
