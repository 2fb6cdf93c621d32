"""Schedules that chance alone would hardly find, for the rules of Raft: figure 8 and its relatives.

A trap looks at the frames of a run and lets an election happen at the worst moment: an entry is on
the disks of just enough validators, or of just too few, or nobody hears that it is decided; and
then its leader is gone. What it loses and whom it strikes, a network and a power supply could too.
"""

from __future__ import annotations

from typing import Final

from consensus.messages import DecidedMessage, Message, decode_message
from consensus.raft.messages import (
    Ack,
    Append,
    Decision,
    Grant,
    PreVoteReply,
    TimeoutNow,
)
from consensus.wishes import TransferAsked
from devnet.sim.cluster import Cluster
from devnet.sim.machine import Machine
from devnet.sim.trapnames import ALONE, LATE_ACKS, MINORITY, SPLIT, TAKEOVER
from node.wire import FrameKind
from p2p.model import Lane

NOBODY: Final = -1


class Trap:
    """Implements network.Lose for one term of one height, then lets everything pass."""

    def __init__(self, cluster: Cluster, aim: str) -> None:
        self._cluster, self._aim = cluster, aim
        self._rng = cluster.world.rng
        self._keeps_acks = self._rng.chance(0.5)
        self._hears, self._is_heard = self._rng.choice(
            ((False, False), (True, False), (False, True))
        )
        self._over = False
        self._struck = False
        self._lonely = NOBODY
        self._place: tuple[int, int] | None = None
        self._leader = NOBODY
        self._chosen: frozenset[int] = frozenset()
        """Who gets the entry."""
        self._acked: set[int] = set()
        self._order: tuple[int, bytes, bytes] | None = None
        """The order to take over that is held back: from whom, to which node key, its bytes."""
        self._heir = NOBODY
        self._asked = False

    def __call__(self, sender: int, receiver: int, kind: int, payload: bytes) -> bool:
        """Whether a frame is lost."""
        if self._lonely == sender and not self._is_heard:
            return True
        if self._lonely == receiver and not self._hears:
            return True
        if kind != FrameKind.CONSENSUS or self._over:
            return False
        message = decode_message(payload)
        if self._aim == SPLIT:
            return self._splits(sender, message)
        if self._aim == LATE_ACKS:
            return self._delays(sender, message)
        if self._aim == ALONE:
            return self._isolates(sender, message)
        if isinstance(message, TimeoutNow) and self._aim == TAKEOVER:
            return self._holds(sender, receiver, payload)
        return self._catches(sender, receiver, message)

    def _splits(self, sender: int, message: Message) -> bool:
        """Now and then the leader goes, and then votes get lost."""
        if isinstance(message, Append) and not self._struck and self._rng.chance(0.05):
            self._strike_soon(sender)
        return isinstance(message, Grant | PreVoteReply) and self._rng.chance(0.5)

    def _delays(self, sender: int, message: Message) -> bool:
        """The links to the leader become slow, by an election timeout and more."""
        net, round_ms = self._cluster.net, self._cluster.options.round_ms
        if isinstance(message, Append):
            self._over = True
            for machine in net.machines:
                factor = self._rng.uniform(0.5, 3.0) * round_ms / self._cluster.options.delay_ms
                net.slow[machine.place, sender] = factor
            self._cluster.world.later_ms(self._rng.uniform(1, 3) * round_ms, net.slow.clear)
            self._cluster.world.note(f"trap: answers to {net.machines[sender].name} are late")
        return False

    def _isolates(self, sender: int, message: Message) -> bool:
        if isinstance(message, Append):
            self._over = True
            self._leave_alone(sender)
        return False

    def _holds(self, sender: int, receiver: int, payload: bytes) -> bool:
        """The order is late."""
        heir = self._cluster.net.machines[receiver]
        if self._order is None:
            self._heir, self._order = receiver, (sender, heir.node_key.public, payload)
            self._cluster.world.note(f"trap: {heir.name} will hear late that it shall lead")
        return True

    def _catches(self, sender: int, receiver: int, message: Message) -> bool:
        match message:
            case Append():
                place = (message.height, message.term)
                if self._place is None and self._may_begin(sender):
                    self._begin(sender, place)
                # Whoever was chosen hears nothing further of this leader: no next entry either.
                mine = self._place is not None and sender == self._leader
                return mine and (place != self._place or receiver not in self._chosen)
            case Ack() if (message.height, message.term) == self._place:
                self._acked.add(sender)
                if self._chosen <= self._acked:
                    self._spring()
                return not self._keeps_acks
            case Decision() | DecidedMessage():
                return self._place is not None and message.height >= self._place[0]
            case _:
                return False

    def _may_begin(self, sender: int) -> bool:
        """For a late takeover, only once the leader that was to go has gone on instead."""
        if self._aim != TAKEOVER:
            return True
        if not self._asked:
            self._asked = True
            self._ask_for_transfer(sender)
        return self._order is not None and sender == self._order[0]

    def _begin(self, sender: int, place: tuple[int, int]) -> None:
        self._place, self._leader = place, sender
        others = [m.place for m in self._voters() if m.place not in (sender, self._heir)]
        needed = (len(others) + 1 + (self._heir != NOBODY)) // 2
        if self._aim == MINORITY:
            needed = self._rng.randint(0, max(0, needed - 1))
        self._chosen = frozenset(self._rng.sample(others, min(needed, len(others))))
        names = [self._cluster.net.machines[place].name for place in sorted(self._chosen)]
        self._cluster.world.note(f"trap: the entry of {place} reaches {names} only")
        if len(self._chosen) == 0:
            self._spring()

    def _voters(self) -> list[Machine]:
        machines = self._cluster.net.machines
        return [m for m in machines if m.is_up and m.validator is not None and not m.retired]

    def _spring(self) -> None:
        """It is where it should be: now the leader goes, and the order to take over arrives."""
        if self._struck:
            return
        self._strike_soon(self._leader)
        if self._order is not None:
            sender, key, payload = self._order
            machine = self._cluster.net.machines[sender]
            self._cluster.net.transmit(machine, key, Lane.CONSENSUS, FrameKind.CONSENSUS, payload)

    def _strike_soon(self, place: int) -> None:
        self._struck = True
        self._cluster.world.later_ms(self._rng.uniform(0.0, 5.0), lambda: self._strike(place))

    def _strike(self, place: int) -> None:
        """The leader dies, or nobody hears it any more, for a few election timeouts."""
        self._sprung = self._aim != SPLIT
        machine, round_ms = self._cluster.net.machines[place], self._cluster.options.round_ms
        self._lonely = -1
        if self._rng.chance(0.3):
            self._leave_alone(place)
        elif machine.is_up and machine.restart_ms is not None:
            usual, machine.restart_ms = machine.restart_ms, (0.2 * round_ms, 5.0 * round_ms)
            machine.crash(power=self._rng.chance(0.5), why="the leader goes")
            machine.restart_ms = usual

    def _leave_alone(self, place: int) -> None:
        machine, round_ms = self._cluster.net.machines[place], self._cluster.options.round_ms
        self._lonely = place
        self._cluster.world.note(
            f"trap: {machine.name} is alone, hears {self._hears}, is heard {self._is_heard}"
        )
        self._cluster.world.later_ms(self._rng.uniform(1.0, 5.0) * round_ms, self._rejoin)

    def _rejoin(self) -> None:
        self._lonely = NOBODY

    def _ask_for_transfer(self, leader: int) -> None:
        """As an operator would: the next heights begin with a transfer."""
        machine = self._cluster.net.machines[leader]
        others = [m for m in self._voters() if m is not machine]
        if machine.node is not None and len(others) > 0:
            heir = self._rng.choice(others).validator
            if heir is not None:
                machine.node.inbox.post(TransferAsked(heir.public))
