"""Which chunks are asked of whom, and who delivers too little to be asked on (P8, P13).

A peer is held against the others and never against a clock alone, as long as another one offers the
same: behind a narrow link all of them are slow, and none of them is to blame. Together they are
held against a least rate, for there is another way to a chain: its blocks.

No I/O, no clock, no chance: whoever calls tells the time in seconds and does what `plan` says.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from medquorum.invariants import require
from node.snapshots.format import ChunkRef
from node.snapshots.limits import (
    CHUNK_LATE_S,
    CHUNK_WAIT_S,
    CHUNKS_IN_FLIGHT_MAX,
    PEER_CHUNKS_MAX,
    SLOW_FACTOR,
    SLOW_WINDOW_S,
)
from node.snapshots.patience import Patience


@dataclass(frozen=True, slots=True)
class Ask:
    """Ask this peer for this chunk."""

    peer: bytes
    ref: ChunkRef


@dataclass(slots=True)
class _Supplier:
    """A peer that is asked. What counts is of the window that runs."""

    open: dict[ChunkRef, float] = field(default_factory=dict)
    """The questions that it has not answered, and since when."""
    silent_s: float = 0.0
    """Since when it owes something and has given nothing."""
    writing: int = 0
    """Chunks that it gave and that are not on the disk yet."""
    pace_s: float = 0.0
    """For a byte of the last answer; 0 before the first."""
    given: int = 0
    """Bytes."""
    owed_s: float = 0.0
    """How long it owed anything."""

    def owes(self) -> int:
        """The bytes that it was asked for and has not given."""
        return sum(ref.size for ref in self.open)

    def rate(self) -> float:
        """Bytes a second while it owed, as if all that it owes came now: a chunk cannot be seen
        before it is whole.
        """
        return (self.given + self.owes()) / self.owed_s


class Supply:
    """The chunks of one snapshot that are missing, and the peers that offer it."""

    def __init__(
        self,
        missing: Iterable[ChunkRef],
        offering: Sequence[bytes],
        patience: Patience,
        now_s: float,
    ) -> None:
        self._todo = deque(missing)
        self._missing = set(self._todo)
        self._writing: set[ChunkRef] = set()
        self._suppliers = {peer: _Supplier() for peer in offering}
        self._patience = patience
        self._at_s = self._window_s = now_s

    @property
    def is_done(self) -> bool:
        """Whether all chunks are here."""
        return not self._missing

    @property
    def goes_on(self) -> bool:
        """Whether something is missing, somebody is left to ask, and they are not too slow."""
        return bool(self._missing and self._suppliers) and not self._patience.is_over

    @property
    def suppliers(self) -> tuple[bytes, ...]:
        """Who is asked still."""
        return tuple(self._suppliers)

    def plan(self, now_s: float) -> list[Ask]:
        """Whom to ask for what now; it counts as asked.

        Who has least to do is asked first, of equals those not tried yet, then the quickest. Once
        no chunk is left to begin, one that is late is asked of a second peer too.
        """
        self._pass(now_s)
        asks: list[Ask] = []
        while self._todo and (peer := self._idlest(())) is not None:
            asks.append(self._ask(peer, self._todo.popleft(), now_s))
        if self._todo:
            return asks
        for ref, asked in self._asked().items():
            late = len(asked) == 1 and now_s >= max(asked.values()) + CHUNK_LATE_S
            peer = self._idlest(asked) if late else None
            if peer is not None:
                asks.append(self._ask(peer, ref, now_s))
        return asks

    def answered(self, ask: Ask, now_s: float) -> bool:
        """A peer has given a chunk, and it is the right one. Whether to keep it: then `written` is
        called once that is done.
        """
        self._pass(now_s)
        supplier = self._suppliers.get(ask.peer)
        if supplier is None or ask.ref not in supplier.open:
            return False
        asked_s = supplier.open.pop(ask.ref)
        supplier.silent_s = now_s
        supplier.given += ask.ref.size
        supplier.pace_s = (now_s - asked_s) / ask.ref.size
        self._patience.came(ask.ref.size)
        if ask.ref not in self._missing or ask.ref in self._writing:
            return False
        self._writing.add(ask.ref)
        supplier.writing += 1
        return True

    def written(self, ask: Ask) -> None:
        """A chunk is on the disk."""
        require(ask.ref in self._writing, "a chunk was written that nobody gave")
        self._writing.discard(ask.ref)
        self._missing.discard(ask.ref)
        supplier = self._suppliers.get(ask.peer)
        if supplier is not None:
            supplier.writing -= 1

    def withdraw(self, peer: bytes, now_s: float) -> bool:
        """Nothing more is expected of a peer: what it owes is asked of others, and next. Whether
        something was.
        """
        self._pass(now_s)
        supplier = self._suppliers.pop(peer, None)
        if supplier is None:
            return False
        asked = self._asked()
        self._todo.extendleft(
            ref
            for ref in supplier.open
            if ref in self._missing and ref not in self._writing and ref not in asked
        )
        return True

    def give_up(self, now_s: float) -> list[tuple[bytes, str]]:
        """Who was withdrawn now, and why: who owes something and gave nothing for a long time
        (`snapshot_stalled`), and who delivers far less than another one while there is still
        something to begin (`snapshot_slow`).
        """
        self._pass(now_s)
        given_up = [
            (peer, "snapshot_stalled")
            for peer, supplier in self._suppliers.items()
            if supplier.open and now_s >= supplier.silent_s + CHUNK_WAIT_S
        ]
        if now_s >= self._window_s + SLOW_WINDOW_S:
            known = {peer for peer, _ in given_up}
            given_up += [(peer, "snapshot_slow") for peer in self._slow(now_s) if peer not in known]
            self._window_s = now_s
            for supplier in self._suppliers.values():
                supplier.given, supplier.owed_s = 0, 0.0
        for peer, _ in given_up:
            self.withdraw(peer, now_s)
        return given_up

    def deadline(self, now_s: float) -> float | None:
        """When to look again though nothing has happened; None while nobody owes anything."""
        owing = [supplier for supplier in self._suppliers.values() if supplier.open]
        if not owing:
            return None
        times = [now_s + self._patience.left_s]
        times += [supplier.silent_s + CHUNK_WAIT_S for supplier in owing]
        if self._todo and len(self._suppliers) > 1:
            times.append(self._window_s + SLOW_WINDOW_S)
        # Once it is late and nobody else could be asked, only an event can change that.
        lates = [at + CHUNK_LATE_S for supplier in owing for at in supplier.open.values()]
        times += [late_s for late_s in lates if now_s < late_s]
        return min(times)

    def check_invariants(self) -> None:
        """Raise InvariantBroken unless every missing chunk is to be asked for, asked, or here, and
        the bounds hold.
        """
        asked = self._asked()
        require(len(set(self._todo)) == len(self._todo), "a chunk is to be asked for twice")
        require(not asked.keys() & set(self._todo), "a chunk is asked for and to be asked for")
        require(
            self._missing <= set(self._todo) | asked.keys() | self._writing, "a chunk is forgotten"
        )
        require(self._in_flight() <= CHUNKS_IN_FLIGHT_MAX, "too many chunks are under way")
        for supplier in self._suppliers.values():
            require(
                len(supplier.open) + supplier.writing <= PEER_CHUNKS_MAX, "one is asked too much"
            )

    def _slow(self, now_s: float) -> list[bytes]:
        """Who delivered far less in this window than the best one, by its own time: who was asked
        for nothing did nothing wrong.
        """
        if not self._todo:
            return []
        window_s = now_s - self._window_s
        best = max((s.given for s in self._suppliers.values()), default=0) / window_s
        return [
            peer
            for peer, supplier in self._suppliers.items()
            if supplier.owed_s >= window_s / 2 and supplier.rate() * SLOW_FACTOR < best
        ]

    def _pass(self, now_s: float) -> None:
        """Time has passed. It counts for nobody while our own disk is what is waited for."""
        passed_s = now_s - self._at_s
        self._at_s = now_s
        owing = [supplier for supplier in self._suppliers.values() if supplier.open]
        for supplier in owing:
            supplier.owed_s += passed_s
        if owing:
            self._patience.waited(passed_s)

    def _asked(self) -> dict[ChunkRef, dict[bytes, float]]:
        """The chunks that are owed and of use, by whom, and since when."""
        asked: dict[ChunkRef, dict[bytes, float]] = {}
        for peer, supplier in self._suppliers.items():
            for ref, at in supplier.open.items():
                if ref in self._missing and ref not in self._writing:
                    asked.setdefault(ref, {})[peer] = at
        return asked

    def _in_flight(self) -> int:
        return sum(len(s.open) for s in self._suppliers.values()) + len(self._writing)

    def _idlest(self, but: Iterable[bytes]) -> bytes | None:
        """Whom to ask for a chunk; None if there is no room for one more question."""
        if self._in_flight() >= CHUNKS_IN_FLIGHT_MAX:
            return None
        able = [
            (len(supplier.open) + supplier.writing, supplier.pace_s, peer)
            for peer, supplier in self._suppliers.items()
            if peer not in but and len(supplier.open) + supplier.writing < PEER_CHUNKS_MAX
        ]
        return min(able, key=lambda found: found[:2])[2] if able else None

    def _ask(self, peer: bytes, ref: ChunkRef, now_s: float) -> Ask:
        supplier = self._suppliers[peer]
        if not supplier.open:
            supplier.silent_s = now_s
        supplier.open[ref] = now_s
        return Ask(peer, ref)
