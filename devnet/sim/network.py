"""The links between machines: delays, losses, repetitions, partitions, and who is connected."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Final, Generic, Protocol, TypeVar

from consensus.messages import decode_message
from devnet.sim.world import US_PER_MS, World
from medquorum.errors import DecodeError
from medquorum.keys import SigningKey
from node.wire import KINDS, FrameKind
from p2p.model import Lane

CONNECT_MS: Final = (1.0, 30.0)
"""How long two machines that may talk take to find each other."""


@dataclass(slots=True)
class Weather:
    """What happens to frames. Probabilities are per frame."""

    delay_ms: tuple[float, float] = (0.5, 3.0)
    tail: float = 0.0
    """Of a delay up to fifty times as long."""
    loss: float = 0.0
    duplication: float = 0.0
    reordering: float = 0.0
    """Of overtaking the frames before it on its link."""
    in_flight_max: int = 2_000


Lose = Callable[[int, int, int, bytes], bool]
"""Whether a frame (sender, receiver, kind, payload) is lost: somebody aims at such frames."""


class Station(Protocol):
    """What a link ends at: a machine, as the network needs it."""

    @property
    def name(self) -> str:
        """For people."""
        ...

    @property
    def place(self) -> int:
        """Its number in the network."""
        ...

    @property
    def node_key(self) -> SigningKey:
        """By which others know it."""
        ...

    @property
    def is_up(self) -> bool:
        """Whether its node runs."""
        ...

    def admits(self, node_key: bytes) -> bool:
        """Whether it lets this peer connect."""
        ...

    def receive(self, peer: bytes, lane: Lane, kind: int, payload: bytes) -> None:
        """A frame arrives."""
        ...

    def peer_changed(self, peer: bytes, connected: bool) -> None:
        """A connection was made or has broken."""
        ...


StationT = TypeVar("StationT", bound=Station)
SenderT_contra = TypeVar("SenderT_contra", bound=Station, contravariant=True)


class Tap(Protocol[SenderT_contra]):
    """Sees every frame before the weather does, and may change what is sent."""

    def outgoing(
        self, sender: SenderT_contra, key: bytes, kind: int, payload: bytes
    ) -> list[tuple[bytes, int, bytes]] | None:
        """(receiver's node key, kind, payload) to send instead; None to leave it as it is."""
        ...


@dataclass(slots=True)
class Net(Generic[StationT]):
    """All links of a run. Machines are known by their place in `machines`."""

    world: World
    weather: Weather = field(default_factory=Weather)
    machines: list[StationT] = field(default_factory=list)
    blocked: set[tuple[int, int]] = field(default_factory=set)
    """Directed pairs between which nothing passes."""
    slow: dict[tuple[int, int], float] = field(default_factory=dict)
    """Directed pairs whose delays are so many times as long."""
    lose: Lose | None = None
    tap: Tap[StationT] | None = None
    ban_ms: float = 2_000.0
    """How long a peer that was dropped for its behaviour is kept away."""
    frames: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    _linked: set[tuple[int, int]] = field(default_factory=set)
    """Pairs that are connected, each in both directions."""
    _banned: dict[tuple[int, int], int] = field(default_factory=dict)
    _last_us: dict[tuple[int, int, int], int] = field(default_factory=dict)
    _in_flight: Counter[tuple[int, int, int]] = field(default_factory=Counter)
    _by_key: dict[bytes, list[StationT]] = field(default_factory=dict)

    def add(self, machine: StationT) -> None:
        """A machine is plugged in."""
        self.machines.append(machine)
        self._by_key.setdefault(machine.node_key.public, []).append(machine)

    def at_key(self, key: bytes) -> list[StationT]:
        """The machines that present this node key: more than one if it is a twin's."""
        return self._by_key.get(key, [])

    def connected(self, machine: StationT) -> tuple[bytes, ...]:
        """The node keys of those it is connected to."""
        keys = {
            other.node_key.public: None
            for other in self.machines
            if self.is_linked(machine.place, other.place)
        }
        return tuple(keys)

    def is_linked(self, a: int, b: int) -> bool:
        """Whether there is a connection between two machines."""
        return (a, b) in self._linked

    def recheck(self) -> None:
        """Make and break connections as they have become possible or impossible."""
        joined = {place for pair in self._linked for place in pair}
        concerned = [m for m in self.machines if m.is_up or m.place in joined]
        for number, a in enumerate(concerned):
            for b in concerned[number + 1 :]:
                pair = (a.place, b.place)
                may = self._may_link(a, b)
                if may and pair not in self._linked:
                    self.world.later_ms(
                        self.world.rng.uniform(*CONNECT_MS), partial(self._link, a, b)
                    )
                elif pair in self._linked and not self._may_stay(a, b):
                    self._unlink(a, b)

    def cut(self, pairs: set[tuple[int, int]]) -> None:
        """Block these directed pairs and no others. Connections break when somebody notices."""
        self.blocked = pairs
        self.world.note(f"network: {len(pairs)} directions blocked")
        self.world.later_ms(self.world.rng.uniform(50, 3_000), self._notice_cut)
        self.recheck()

    @property
    def backlog_us(self) -> int:
        """How long it takes until everything that is under way on a link has arrived: what is sent
        behind it arrives no sooner.
        """
        return max(0, max(self._last_us.values(), default=0) - self.world.now_us)

    def ban(self, by: StationT, peer: bytes, reason: str) -> None:
        """A node drops a peer for its behaviour."""
        for other in self.at_key(peer):
            pair = (min(by.place, other.place), max(by.place, other.place))
            self._banned[pair] = self.world.now_us + int(self.ban_ms * US_PER_MS)
            self.world.note(f"{by.name} drops {other.name}: {reason}")
            self._unlink(by, other)
        self.world.later_ms(self.ban_ms + 1, self.recheck)

    def send(self, sender: StationT, key: bytes, lane: Lane, kind: int, payload: bytes) -> bool:
        """Put a frame on its way to whoever has this node key."""
        changed = None if self.tap is None else self.tap.outgoing(sender, key, kind, payload)
        if changed is None:
            return self.transmit(sender, key, lane, kind, payload)
        for other_key, other_kind, other in changed:
            self.transmit(sender, other_key, KINDS[other_kind].lane, other_kind, other)
        return True

    def transmit(self, sender: StationT, key: bytes, lane: Lane, kind: int, payload: bytes) -> bool:
        """The same without the tap."""
        taken = False
        for receiver in self.at_key(key):
            if receiver is not sender and self.is_linked(sender.place, receiver.place):
                taken = self._transmit(sender, receiver, lane, kind, payload) or taken
        return taken

    def _transmit(
        self, sender: StationT, receiver: StationT, lane: Lane, kind: int, payload: bytes
    ) -> bool:
        weather, rng, world = self.weather, self.world.rng, self.world
        a, b = sender.place, receiver.place
        path = (a, b, int(lane))
        if self._in_flight[path] >= weather.in_flight_max or len(payload) > KINDS[kind].bytes_max:
            self.dropped["queue_full"] += 1
            return False
        self.frames += 1
        if world.is_shown:
            world.tell(f"{sender.name} > {receiver.name}  {describe(kind, payload)}")
        if (a, b) in self.blocked or (rng.chance(weather.loss)):
            return True
        if self.lose is not None and self.lose(a, b, kind, payload):
            return True
        twice = rng.chance(weather.duplication)
        for _ in range(2 if twice else 1):
            delay = rng.uniform(*weather.delay_ms) * self.slow.get((a, b), 1.0)
            if rng.chance(weather.tail):
                delay *= 50 * rng.random()
            due = world.now_us + int(delay * US_PER_MS)
            if not (rng.chance(weather.reordering)):
                due = self._last_us[path] = max(due, self._last_us.get(path, 0))
            self._in_flight[path] += 1
            world.at(due, lambda: self._deliver(path, sender, receiver, kind, payload))
        return True

    def _deliver(
        self,
        path: tuple[int, int, int],
        sender: StationT,
        receiver: StationT,
        kind: int,
        payload: bytes,
    ) -> None:
        self._in_flight[path] -= 1
        if self.is_linked(sender.place, receiver.place):
            receiver.receive(sender.node_key.public, Lane(path[2]), kind, payload)

    def _may_stay(self, a: StationT, b: StationT) -> bool:
        if not (a.is_up and b.is_up):
            return False
        if self._banned.get((a.place, b.place), 0) > self.world.now_us:
            return False
        return a.admits(b.node_key.public) and b.admits(a.node_key.public)

    def _may_link(self, a: StationT, b: StationT) -> bool:
        if (a.place, b.place) in self.blocked or (b.place, a.place) in self.blocked:
            return False
        return a.node_key.public != b.node_key.public and self._may_stay(a, b)

    def _notice_cut(self) -> None:
        for a, b in sorted(self.blocked):
            self._unlink(self.machines[a], self.machines[b])

    def _link(self, a: StationT, b: StationT) -> None:
        pair = (a.place, b.place)
        if pair not in self._linked and self._may_link(a, b):
            self._linked |= {pair, pair[::-1]}
            a.peer_changed(b.node_key.public, True)
            b.peer_changed(a.node_key.public, True)

    def _unlink(self, a: StationT, b: StationT) -> None:
        pair = (a.place, b.place)
        if pair in self._linked:
            self._linked -= {pair, pair[::-1]}
            a.peer_changed(b.node_key.public, False)
            b.peer_changed(a.node_key.public, False)


def describe(kind: int, payload: bytes) -> str:
    """A frame for a reader of the trace."""
    if kind != FrameKind.CONSENSUS:
        return f"{FrameKind(kind).name.lower()}, {len(payload)} bytes"
    try:
        message = decode_message(payload)
    except DecodeError:
        return f"garbage, {len(payload)} bytes"
    said = [type(message).__name__.lower(), f"height {message.height}"]
    for name in ("round", "block_hash", "result_hash"):
        value = getattr(message, name, None)
        if value is not None:
            said.append(f"{name} {value.hex()[:8] if isinstance(value, bytes) else value}")
    return " ".join(said)
