"""One machine: a disk, a clock, and now and then a running node.

The node is node.app.Node with all its parts; only the transport, the threads and the devices below
them are the simulator's.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Coroutine
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

from consensus.engine import Effects, Event
from devnet.sim.disk import Backup, SimDisk, SimFiles, SimKV
from devnet.sim.loop import Crew, PowerCutError, SimLoop
from devnet.sim.network import Net
from devnet.sim.simnode import QuietMetrics, SimNode, quiet_log
from devnet.sim.world import US_PER_MS, World
from medquorum.genesis import Genesis
from medquorum.keys import SigningKey
from node.app import NodeKeys
from node.config.schema import Config
from node.consensus_loop import run_consensus
from node.errors import NodeError
from node.home import Home
from node.ledger.registry import Registry
from node.run import follow_recovery, ledger_parts, take_back_pending
from node.stores import open_stores_on
from p2p.model import Frame, Lane
from storage.chain import CommittedBlock
from storage.errors import StorageError
from storage.signstate import SignState

BULK_FRAMES_MAX: Final = 2_000
"""Frames of one peer that wait for the reader of its bulk lane."""


@dataclass(slots=True)
class Pace:
    """How long the work of a machine takes, in milliseconds, and how often it dies."""

    sync_ms: tuple[float, float] = (0.1, 1.0)
    execute_ms: tuple[float, float] = (0.1, 1.0)
    execute_tail: float = 0.0
    """Probability of an execution that takes up to thirty times as long."""
    crash: float = 0.0
    """Probability at each boundary between two effects."""
    crash_after: int | None = None
    """Or: after so many boundaries, once."""


class Observer(Protocol):
    """Who judges what a machine does. Never raises: it tells the world."""

    def sent(self, machine: Machine, kind: int, payload: bytes) -> None:
        """A frame leaves; once for each receiver."""
        ...

    def received(self, machine: Machine, peer: bytes, kind: int, payload: bytes) -> None:
        """A frame arrives at a node that runs."""
        ...

    def stepped(self, machine: Machine, event: Event, effects: Effects) -> None:
        """The engine made a step."""
        ...

    def committed(self, machine: Machine, block: CommittedBlock) -> None:
        """A height is durable."""
        ...

    def booted(self, machine: Machine) -> None:
        """The node came up from its disk."""
        ...

    def stopped(self, machine: Machine, error: BaseException) -> None:
        """The node ended by itself."""
        ...


@dataclass(slots=True)
class Reader:
    """The reader of one peer's bulk lane."""

    frames: deque[Frame] = field(default_factory=deque)
    busy: bool = False


class Machine:
    """`place` is its number in the network. `validator` is its vote key, None for an observer."""

    def __init__(
        self,
        *,
        world: World,
        net: Net[Machine],
        observer: Observer,
        name: str,
        node_key: SigningKey,
        validator: SigningKey | None,
        genesis: Genesis,
        registry: Registry,
        config: Config,
        disk: SimDisk,
    ) -> None:
        self.world, self.net, self.observer = world, net, observer
        self.name, self.node_key, self.validator = name, node_key, validator
        self.genesis, self.registry, self.config, self.disk = genesis, registry, config, disk
        self.place = len(net.machines)
        self.home = Home(Path("/sim"))
        self.pace = Pace()
        self.rate = 1.0
        self.skew_ms = 0
        self.epoch = 0
        self.node: SimNode | None = None
        self.durable = 0
        self.remembers = False  # what was pending when it last ran
        """What the last node had made durable when it ended (docs/spec/recovery.md, V8)."""
        self.loop: SimLoop | None = None
        self.restart_ms: tuple[float, float] | None = (20.0, 400.0)
        """How long it stays down after a crash; None until somebody boots it."""
        self.planned = False
        """Whether it will be started again by itself."""
        self.refused = ""
        """Why it did not come up, if it did not."""
        self.power_on_crash: bool | None = None
        """Whether a crash at a boundary is a power cut; None draws it."""
        self.repairs = 0
        self.ended_by = ""
        """The name of the error by which its node ended last."""
        self.amnesiac = False
        """Whether what was durable was taken away: the tip may go back."""
        self.memory = 0
        """How often it lost what was durable."""
        self.retired = False
        """Whether it is no longer a member, or soon will not be."""
        self._crew: Crew | None = None
        self._files: SimFiles | None = None
        self._kv: SimKV | None = None
        self._readers: dict[bytes, Reader] = {}
        net.add(self)
        self.provision()

    def provision(self) -> None:
        """What an operator does before a key votes for the first time."""
        if self.validator is not None:
            files = self.disk.mount(lambda _what: None)
            path, chain_id = self.home.sign_state, self.genesis.chain_id()
            SignState.create(path, chain_id, self.validator.public, files=files)

    @property
    def is_up(self) -> bool:
        """Whether its node runs."""
        return self.node is not None

    def now_ms(self) -> int:
        """Its wall clock."""
        return self.genesis.time_ms + self.skew_ms + self.world.now_us // US_PER_MS

    # The life of its node.

    def boot(self) -> None:
        """Start the node from what is on the disk."""
        if self.is_up:
            return
        self.epoch += 1
        epoch, self.refused, self.planned = self.epoch, "", False
        loop = self.loop = SimLoop(
            self.world,
            rate=self.rate,
            work_us=self._work_us,
            boundary=lambda _what: self._boundary(epoch),
            failed=lambda error, message: self._failed(epoch, error, message),
        )
        try:
            with loop.running():
                self._start(loop, epoch)
        except PowerCutError:
            return
        except (StorageError, NodeError) as error:
            self._let_go()
            self.refused = f"{type(error).__name__}: {error}"
            self.world.note(f"{self.name} does not start: {self.refused}")
            self.observer.stopped(self, error)

    def crash(self, *, power: bool, why: str = "crash") -> None:
        """End the node in mid-air; with `power`, what was not synced is lost too."""
        if self.loop is None:
            return
        self.world.note(f"{self.name}: {why}{' (power cut)' if power else ''}")
        self._let_go()
        if power:
            self.disk.power_cut()
        self.net.recheck()
        if self.restart_ms is not None:
            self.planned = True
            self.world.later_ms(self.world.rng.uniform(*self.restart_ms), self.boot)

    def replace_disk(self, backup: Backup) -> None:
        """Put in a disk with an older content, or none. The record of votes is carried over."""
        self.disk.restore(backup, self.home.sign_state)
        self.amnesiac = True
        self.memory += 1

    def unplug(self) -> None:
        """Switch it off for good."""
        self.restart_ms = None
        self._let_go()
        self.net.recheck()

    def pause(self, duration_ms: float) -> None:
        """Stop the process and let it go on later."""
        if self.loop is not None:
            self.world.note(f"{self.name}: paused for {duration_ms:.0f} ms")
            self.loop.pause(self.world.now_us + int(duration_ms * US_PER_MS))

    def begin(self, work: Callable[[SimNode], Coroutine[object, object, None]]) -> bool:
        """Start a task inside the node; False if it does not run. A failure in it ends the node."""
        if self.node is None or self._crew is None:
            return False
        self._crew.create_task(work(self.node))
        return True

    # What the network asks.

    def admits(self, node_key: bytes) -> bool:
        """Whether it lets this peer connect."""
        return self.node is not None and self.node.roster.may_connect(node_key)

    def connected(self) -> tuple[bytes, ...]:
        """The node keys of those it is connected to."""
        return self.net.connected(self)

    def ban(self, peer: bytes, reason: str) -> None:
        """Keep a peer away for a while."""
        self.net.ban(self, peer, reason)

    def recheck(self) -> None:
        """Who may connect has changed."""
        self.net.recheck()

    def send(self, peer: bytes, lane: Lane, kind: int, payload: bytes) -> bool:
        """Send a frame for the node. It may die here, having said it to some and not to others."""
        self._boundary(self.epoch)
        self.observer.sent(self, kind, payload)
        return self.net.send(self, peer, lane, kind, payload)

    def receive(self, peer: bytes, lane: Lane, kind: int, payload: bytes) -> None:
        """A frame has come."""
        if self.loop is not None and self.is_up:
            self.observer.received(self, peer, kind, payload)
            frame = Frame(peer, lane, kind, payload)
            take = self._take_vote if lane is Lane.CONSENSUS else self._take_bulk
            self.loop.call_soon(take, frame)

    def peer_changed(self, peer: bytes, connected: bool) -> None:
        """A connection was made or has broken."""
        if self.loop is not None and self.node is not None:
            self.loop.call_soon(self.node._peer_changed, peer, connected)

    def engine_stepped(self, event: Event, effects: Effects) -> None:
        """The engine made a step."""
        self.observer.stepped(self, event, effects)

    # Inside.

    def _start(self, loop: SimLoop, epoch: int) -> None:
        boundary: Callable[[str], None] = lambda _what: self._boundary(epoch)  # noqa: E731
        self._files, self._kv = self.disk.mount(boundary), self.disk.open_store(boundary)
        stores = open_stores_on(
            self._kv,
            self._files,
            ExitStack(),
            home=self.home,
            config=self.config,
            genesis=self.genesis,
            registry=self.registry,
            validator=None if self.validator is None else self.validator.public,
        )
        node = SimNode(
            self,
            home=self.home,
            config=self.config,
            keys=NodeKeys(self.node_key, self.validator, None, None),
            stores=stores,
            metrics=QuietMetrics(lambda reason: self.net.dropped.update((reason,))),
            log=quiet_log(self.world, self.name),
            software="sim",
            now_ms=self.now_ms,
        )
        node.chain.on_commit(lambda block: self.observer.committed(self, block))
        self.node = node
        self._readers = {}
        self._crew = Crew(loop, lambda task: self._task_failed(epoch, task))
        node.spawn.open(self._crew)
        for part in ledger_parts(node):
            self._crew.create_task(part)
        self._crew.create_task(self._take_part(node, self._crew))
        self.world.note(f"{self.name}: up at height {node.chain.tip.height}")
        self.observer.booted(self)
        self.net.recheck()

    async def _take_part(self, node: SimNode, crew: Crew) -> None:
        await take_back_pending(node)
        self.remembers = True
        await follow_recovery(node)
        loop = run_consensus(
            node.driver,
            node.inbox,
            node.threads.writer,
            durable=node.metrics.fsync,
            stepped=node.leadership.changed,
        )
        crew.create_task(loop)
        node.work.announce_work()

    def _let_go(self) -> None:
        """The process is gone: nothing of it may touch the world again."""
        if self.loop is not None:
            self.loop.kill()
        if self._files is not None:
            self._files.gone = True
        if self._kv is not None:
            self._kv.gone = True
        if self.node is not None:
            self.durable = self.node.work.durable
            self.node.threads.close()
        self.node = self.loop = self._crew = None
        self.remembers = False

    def _boundary(self, epoch: int) -> None:
        if epoch != self.epoch or self.loop is None:
            raise PowerCutError
        pace = self.pace
        if pace.crash_after is None and pace.crash == 0.0:
            return
        if self._is_due() or self.world.rng.chance(pace.crash):
            drawn = self.world.rng.chance(0.5)
            self.crash(power=drawn if self.power_on_crash is None else self.power_on_crash)
            raise PowerCutError

    def _is_due(self) -> bool:
        left = self.pace.crash_after
        if left is None:
            return False
        self.pace.crash_after = left - 1 if left > 0 else None
        return left == 0

    def _work_us(self, pool: str) -> int:
        rng, pace = self.world.rng, self.pace
        low, high = pace.sync_ms if pool == "writer" else pace.execute_ms
        duration = rng.uniform(low, high)
        if pool == "ledger" and rng.chance(pace.execute_tail):
            duration *= 30 * rng.random()
        return int(duration * US_PER_MS)

    def _task_failed(self, epoch: int, task: Any) -> None:
        error: BaseException | None = task.exception()
        self._failed(epoch, error, "a task failed")

    def _failed(self, epoch: int, error: BaseException | None, message: str) -> None:
        if epoch != self.epoch or isinstance(error, PowerCutError):
            return
        failure = RuntimeError(message) if error is None else error
        self.ended_by = type(failure).__name__
        self.world.note(f"{self.name}: stops: {self.ended_by}: {failure}")
        self._let_go()
        self.net.recheck()
        self.observer.stopped(self, failure)

    def _take_vote(self, frame: Frame) -> None:
        """Votes are handled without waiting, so no task is needed."""
        if self.node is None:
            return
        step = self.node.network.on_frame(frame).__await__()
        try:
            next(step)
        except StopIteration:
            return
        self._failed(self.epoch, None, "the handler of votes waits for something")

    def _take_bulk(self, frame: Frame) -> None:
        if self.node is None or self._crew is None:
            return
        reader = self._readers.setdefault(frame.peer, Reader())
        if len(reader.frames) >= BULK_FRAMES_MAX:
            self.net.dropped["bulk_full"] += 1
            return
        reader.frames.append(frame)
        if not reader.busy:
            reader.busy = True
            self._crew.create_task(self._read(self.node, reader))

    async def _read(self, node: SimNode, reader: Reader) -> None:
        while reader.frames:
            await node.network.on_frame(reader.frames.popleft())
        reader.busy = False
