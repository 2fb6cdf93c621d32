"""The node of a machine: node.app.Node on the simulator's transport, watched."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Protocol, cast

import structlog
from structlog.typing import FilteringBoundLogger
from typing_extensions import override

from consensus.engine import Effects, Engine, EngineStatus, Event
from consensus.messages import LogRecord
from devnet.sim.dice import Dice
from devnet.sim.world import World
from node.app import Node
from node.ops.metrics import Metrics
from node.reads import CONTEXT_BITS
from p2p.model import Lane
from p2p.transport import Transport
from storage.chain import CommittedBlock

CHECKPOINTS: Final = 0.25
"""Probability that the machines of a run compact their logs within heights."""
CHECKPOINT_BYTES: Final = 300
"""A block and its first vote: every height gets there, and a later round reaches it again."""
LINGERERS: Final = 0.25
"""Probability that they write down what lingers after LINGERING_S, and not after seconds: most runs
are shorter than that.
"""
LINGERING_S: Final = 0.05
"""About as long as a height takes: what waits is written, and committed meanwhile."""


class Host(Protocol):
    """The machine that a node runs on, as the node's parts here need it."""

    @property
    def world(self) -> World:
        """Time and chance."""
        ...

    @property
    def name(self) -> str:
        """For people."""
        ...

    @property
    def epoch(self) -> int:
        """Which start of its node this is."""
        ...

    @property
    def is_up(self) -> bool:
        """Whether its node runs."""
        ...

    def send(self, peer: bytes, lane: Lane, kind: int, payload: bytes) -> bool:
        """Send a frame for the node."""
        ...

    def connected(self) -> tuple[bytes, ...]:
        """The node keys of those it is connected to."""
        ...

    def ban(self, peer: bytes, reason: str) -> None:
        """Keep a peer away for a while."""
        ...

    def recheck(self) -> None:
        """Who may connect has changed."""
        ...

    def engine_stepped(self, event: Event, effects: Effects) -> None:
        """The engine made a step."""
        ...


class WatchedEngine:
    """An engine whose invariants are checked, and whose effects are seen, at every step."""

    def __init__(self, engine: Engine, seen: Callable[[Event, Effects], None]) -> None:
        self._engine = engine
        self._seen = seen

    def start(self) -> Effects:
        """See Engine.start."""
        return self._engine.start()

    def step(self, event: Event) -> Effects:
        """See Engine.step."""
        effects = self._engine.step(event)
        self._engine.check_invariants()
        self._seen(event, effects)
        return effects

    def status(self) -> EngineStatus:
        """See Engine.status."""
        return self._engine.status()

    def check_invariants(self) -> None:
        """See Engine.check_invariants."""
        self._engine.check_invariants()

    def checkpoint(self) -> tuple[LogRecord, ...] | None:
        """See Engine.checkpoint."""
        return self._engine.checkpoint()


class QuietMetrics(Metrics):
    """Metrics that cost nothing and count the reasons of what was dropped."""

    def __init__(self, count: Callable[[str], None]) -> None:
        super().__init__(version="sim")
        self._count = count

    @override
    def dropped(self, reason: str) -> None:
        self._count(reason)

    @override
    def committed(self, block: CommittedBlock, validators: object) -> None:
        """Not measured."""

    @override
    def commit_latency(self, seconds: float) -> None:
        """Not measured."""


class SimNode(Node):
    """The node of a machine."""

    def __init__(self, machine: Host, **parts: Any) -> None:
        self._machine = machine
        # Drawn apart, so that what else a seed means does not depend on it.
        if Dice(f"checkpoints {machine.world.seed}").chance(CHECKPOINTS):
            self.log_bytes_max = CHECKPOINT_BYTES
        if Dice(f"lingering {machine.world.seed}").chance(LINGERERS):
            self.lingering_s = LINGERING_S
        super().__init__(**parts)

    @override
    def _make_transport(self) -> Transport:
        return cast(Transport, Links(self._machine))

    @override
    def _first_context(self) -> int:
        """Drawn apart, so that what else a seed means does not depend on it."""
        machine = self._machine
        dice = Dice(f"context {machine.world.seed} {machine.name} {machine.epoch}")
        return dice.randrange(1 << CONTEXT_BITS)

    @override
    def _make_engine(self) -> Engine:
        machine = self._machine
        return WatchedEngine(super()._make_engine(), machine.engine_stepped)


class Links:
    """What a node sees of the network: the part of the transport that it uses."""

    def __init__(self, machine: Host) -> None:
        self._machine = machine
        self._epoch = machine.epoch

    @property
    def _is_current(self) -> bool:
        return self._machine.is_up and self._machine.epoch == self._epoch

    def send(self, peer: bytes, lane: Lane, kind: int, payload: bytes) -> bool:
        """See node.network.Links."""
        if not self._is_current:
            return False
        return self._machine.send(peer, lane, kind, payload)

    def connected(self) -> tuple[bytes, ...]:
        """See node.network.Links."""
        return self._machine.connected() if self._is_current else ()

    def disconnect(self, peer: bytes, reason: str) -> None:
        """See node.network.Links."""
        if self._is_current:
            self._machine.ban(peer, reason)

    def recheck_membership(self) -> None:
        """The members have changed."""
        self._machine.world.later(0, self._machine.recheck)


class _Lines:
    """Takes log lines of a node into the trace."""

    def __init__(self, world: World, name: str) -> None:
        self._world = world
        self._name = name

    def msg(self, message: str) -> None:
        """One line."""
        self._world.note(f"{self._name}: {message}")

    warning = error = info = debug = critical = msg


def quiet_log(world: World, name: str) -> FilteringBoundLogger:
    """A node's logger that writes warnings and errors into the trace."""

    def render(_logger: object, _method: str, fields: Any) -> str:
        return " ".join(
            value.hex()[:16] if isinstance(value, bytes) else str(value)
            for value in fields.values()
        )

    logger: FilteringBoundLogger = structlog.wrap_logger(
        _Lines(world, name),
        wrapper_class=structlog.make_filtering_bound_logger(30),
        processors=[render],
    )
    return logger
