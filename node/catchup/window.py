"""Which heights are asked of whom, and which answers wait for their turn.

The window is a row of parts, each a few heights, from the next height to commit on. A part is asked
of one peer; if it is the first and takes long, of another one too. So a peer that is slow or silent
delays its own part by little, and no other.

No I/O, no clock, no chance: whoever calls tells the time in seconds and does what `plan` says.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Generic, TypeVar

from medquorum.invariants import require
from node.catchup.peers import Source
from node.limits import (
    SYNC_BLOCKS_PER_REQUEST,
    SYNC_BYTES_AHEAD_MAX,
    SYNC_BYTES_PER_RESPONSE,
    SYNC_HEDGE_S,
    SYNC_PARTS_MAX,
    SYNC_REQUESTS_PER_PEER,
    SYNC_TIMEOUT_MS,
)

B = TypeVar("B")
TIMEOUT_S = SYNC_TIMEOUT_MS / 1000


@dataclass(frozen=True, slots=True)
class Ask:
    """Ask this peer for `count` blocks from `first` on."""

    peer: bytes
    first: int
    count: int


@dataclass(frozen=True, slots=True)
class Answer(Generic[B]):
    """What a peer gave when it was asked from `first` on: consecutive blocks, unchecked, perhaps
    without those that were needed no more. `size` is their bytes on the wire.
    """

    peer: bytes
    first: int
    blocks: tuple[B, ...]
    size: int


@dataclass(slots=True)
class Part(Generic[B]):
    """Some heights. `asked` are the peers that owe an answer, and since when."""

    first: int
    count: int
    asked: dict[bytes, float] = field(default_factory=dict)
    answer: Answer[B] | None = None


class Window(Generic[B]):
    """From `next_height` on. `B` is whatever the blocks are."""

    def __init__(self, next_height: int) -> None:
        self._next = next_height
        self._parts: list[Part[B]] = []
        # Answers that are owed still and needed no more: (peer, first height) -> since when.
        self._debts: dict[tuple[bytes, int], float] = {}
        self._count = SYNC_BLOCKS_PER_REQUEST
        self._largest = SYNC_BYTES_PER_RESPONSE

    @property
    def head(self) -> Part[B] | None:
        """The part whose turn it is."""
        return self._parts[0] if self._parts else None

    @property
    def parts(self) -> Sequence[Part[B]]:
        """All of them, in order. Not to be changed."""
        return self._parts

    @property
    def is_waiting(self) -> bool:
        """Whether any peer owes an answer."""
        return any(part.asked for part in self._parts)

    def clear(self) -> None:
        """Nobody is left to ask: forget what is missing, but not who owes an answer."""
        for part in self._parts:
            self._owe(part)
        self._parts.clear()
        self._count, self._largest = SYNC_BLOCKS_PER_REQUEST, SYNC_BYTES_PER_RESPONSE

    def owed(self, peer: bytes) -> int:
        """How many answers the peer owes."""
        owing = sum(peer in part.asked for part in self._parts)
        return owing + sum(debtor == peer for debtor, _ in self._debts)

    def deadline(self, now_s: float) -> float | None:
        """When it is worth while to look again though nothing has happened."""
        times = [at + TIMEOUT_S for part in self._parts for at in part.asked.values()]
        head = self.head
        if head is not None and head.answer is None and len(head.asked) == 1:
            hedges = [at + SYNC_HEDGE_S for at in head.asked.values()]
            # Once it is over and nobody else could be asked, only an event can change that.
            times.extend(at for at in hedges if at > now_s)
        return min(times, default=None)

    def plan(self, sources: Sequence[Source], now_s: float) -> list[Ask]:
        """Whom to ask for what now; it counts as asked. `sources` are in the order of preference.

        A part that nobody was asked for goes first, then the first part once more if it takes long,
        then new parts, as long as there is room for their answers.
        """
        asks = [
            ask
            for part in self._parts
            if part.answer is None and not part.asked
            for ask in self._ask(part, sources, now_s)
        ]
        head = self.head
        if head is not None and head.answer is None and self._is_late(head, now_s):
            asks.extend(self._ask(head, sources, now_s, anybody=True))
        while self._has_room():
            part = Part[B](self._end(), self._count)
            asked = self._ask(part, sources, now_s)
            if not asked:
                break
            part.count = asked[0].count
            self._parts.append(part)
            asks.extend(asked)
        return asks

    def answered(self, answer: Answer[B], now_s: float) -> float | None:
        """An answer has come: the seconds it took, or None if this was not asked of this peer.

        What is missing at its end will be asked for again. If another peer was quicker, its answer
        stays.
        """
        asked_at = self._debts.pop((answer.peer, answer.first), None)
        if asked_at is not None:
            return now_s - asked_at
        for position, part in enumerate(self._parts):
            if part.first == answer.first and answer.peer in part.asked:
                took_s = now_s - part.asked.pop(answer.peer)
                self._take(position, part, answer)
                return took_s
        return None

    def expire(self, now_s: float) -> list[bytes]:
        """Who has left a question open for too long; each counts as not asked. Smaller questions
        follow: perhaps it is the link that is slow, and not the peer.
        """
        late = [key for key, at in self._debts.items() if now_s >= at + TIMEOUT_S]
        for key in late:
            del self._debts[key]
        peers = [peer for peer, _ in late]
        for part in self._parts:
            for peer in [p for p, at in part.asked.items() if now_s >= at + TIMEOUT_S]:
                del part.asked[peer]
                peers.append(peer)
        if peers:
            self._count = max(1, self._count // 2)
        return list(dict.fromkeys(peers))

    def lost(self, peer: bytes) -> None:
        """The peer will not answer any more. What it has given stays."""
        for part in self._parts:
            part.asked.pop(peer, None)
        for key in [key for key in self._debts if key[0] == peer]:
            del self._debts[key]

    def discard(self, peer: bytes) -> None:
        """Nothing that the peer gave or may give counts."""
        self.lost(peer)
        for part in self._parts:
            if part.answer is not None and part.answer.peer == peer:
                part.answer = None

    def reached(self, height: int) -> None:
        """Everything up to `height` is committed, by whatever way it came."""
        require(height + 1 >= self._next, f"height {height} after {self._next - 1}")
        self._next = height + 1
        while self._parts and self._parts[0].first + self._parts[0].count <= self._next:
            self._owe(self._parts.pop(0))
        if not self._parts or self._parts[0].first >= self._next:
            return
        head = self._parts[0]
        done = self._next - head.first
        self._owe(head)
        given = head.answer
        if given is not None:
            given = replace(given, blocks=given.blocks[done:])
        self._parts[0] = Part(self._next, head.count - done, answer=given)

    def check_invariants(self) -> None:
        """Raise InvariantBroken unless the window is a row of parts within its bounds."""
        at = self._next
        for part in self._parts:
            require(part.first == at and part.count >= 1, f"a part at {part.first} and not {at}")
            require(
                part.answer is None or len(part.answer.blocks) == part.count,
                "an answer of another length",
            )
            at += part.count

    def _end(self) -> int:
        return self._parts[-1].first + self._parts[-1].count if self._parts else self._next

    def _has_room(self) -> bool:
        """Whether one more answer could be held, beside those that are here or under way."""
        if not self._parts:
            return True
        held = sum(part.answer.size for part in self._parts if part.answer is not None)
        coming = sum(part.answer is None for part in self._parts) + 1
        return (
            len(self._parts) < SYNC_PARTS_MAX
            and held + coming * self._largest <= SYNC_BYTES_AHEAD_MAX
        )

    def _is_late(self, part: Part[B], now_s: float) -> bool:
        return len(part.asked) == 1 and all(
            now_s >= at + SYNC_HEDGE_S for at in part.asked.values()
        )

    def _owe(self, part: Part[B]) -> None:
        """The part is not needed any more; whoever has not answered owes it still."""
        for peer, at in part.asked.items():
            self._debts[peer, part.first] = at

    def _take(self, position: int, part: Part[B], answer: Answer[B]) -> None:
        """Keep an answer, and ask for what it lacks later."""
        self._largest = max(self._largest, answer.size)
        self._count = min(self._count * 2, SYNC_BLOCKS_PER_REQUEST)
        got = min(len(answer.blocks), part.count)
        if got == 0 or part.answer is not None:
            return
        part.answer = replace(answer, blocks=answer.blocks[:got])
        if got < part.count:
            self._parts.insert(position + 1, Part(part.first + got, part.count - got))
            part.count = got

    def _ask(
        self, part: Part[B], sources: Sequence[Source], now_s: float, *, anybody: bool = False
    ) -> list[Ask]:
        """Ask the peer that owes least, of those that claim to have the part's first block: a slow
        one only if no other one has it, or if `anybody` will do.
        """
        having = [source for source in sources if source.oldest <= part.first <= source.height]
        if not anybody and not all(source.slow for source in having):
            having = [source for source in having if not source.slow]
        able = [
            source
            for source in having
            if source.peer not in part.asked and self.owed(source.peer) < SYNC_REQUESTS_PER_PEER
        ]
        if not able:
            return []
        chosen = min(able, key=lambda source: self.owed(source.peer))
        part.asked[chosen.peer] = now_s
        return [Ask(chosen.peer, part.first, min(part.count, chosen.height - part.first + 1))]
