"""Carries out the steps of a scenario, and mends everything at the end."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, assert_never

import msgspec

from devnet import api
from devnet.chaos.members import change_members, settle_members
from devnet.chaos.proxy import Path as Way
from devnet.chaos.proxy import Proxy
from devnet.chaos.scenario import (
    AnyStep,
    Backup,
    Deafen,
    Flap,
    Heal,
    Join,
    Kill,
    Mute,
    Partition,
    Pause,
    Remove,
    Replace,
    Restart,
    RestartAll,
    Restore,
    Resume,
    Scenario,
    Skew,
    Slow,
    Start,
    Who,
    Wipe,
)
from devnet.errors import DevnetError
from devnet.netfile import NodeInfo
from devnet.network import Launch, Network
from devnet.processes import RunState
from medquorum.errors import ClientError
from node.home import Home

LEADER_S: Final = 0.5
"""Patience with a node that is asked whose turn it is."""
LIAR_MODULE: Final = "devnet.chaos.byzantine"


class _Proposer(msgspec.Struct):
    proposer: str


@dataclass(slots=True)
class Faults:
    """The hand that disturbs one network. What it does to a process is slow, so that happens on a
    thread; only one step is carried out at a time.
    """

    network: Network
    proxy: Proxy
    say: Callable[[str], None]
    down: set[int] = field(default_factory=set)
    """Nodes that do not run because of us."""
    unexpected: list[str] = field(default_factory=list)
    """Nodes that ended although nobody asked them to, or could not be stopped properly."""
    unsettled: bool = False
    """Whether it is not known what became of a change of members."""
    steps: int = 0

    def prepare(self, scenario: Scenario) -> None:
        """Before the nodes are started: who is a liar."""
        for liar in scenario.liars:
            self.network.launches[liar.node] = Launch(LIAR_MODULE, (liar.lie,))

    async def carry_out(self, step: AnyStep) -> None:
        """One step, whatever the state of its node: what does not fit is skipped, and said so."""
        self.steps += 1
        match step:
            case Kill():
                await self._kill(await self._named(step.node))
            case Start():
                nodes = [node for node in self.network.nodes if node.index in step.nodes]
                await self._start(nodes or self.network.nodes)
            case Restart():
                await self._stopped(step.node)
            case RestartAll():
                await self._kill(self.network.nodes)
                await self._start(self.network.nodes)
            case Pause():
                for node in await self._named(step.node):
                    await self._signal(node, RunState.RUNNING)
            case Resume():
                for node in self.network.nodes:
                    await self._signal(node, RunState.PAUSED)
            case Partition() | Deafen() | Mute() | Flap() | Slow() | Heal():
                await self._change_weather(step)
            case Backup():
                await self._stopped(step.node, self._back_up)
            case Restore():
                await self._stopped(step.node, _put_back)
            case Wipe():
                await self._stopped(step.node, _remove)
            case Skew():
                options = ("--devnet.clock_offset_ms", str(step.ms))
                self.network.launches[step.node] = Launch(options=options)
                await self._stopped(step.node)
            case Join() | Replace() | Remove():
                await self._change_members(step)
            case _:
                assert_never(step)

    async def _change_weather(self, step: Partition | Deafen | Mute | Flap | Slow | Heal) -> None:
        weather = self.proxy.weather
        match step:
            case Partition():
                weather.separate(step.groups, step.how)
            case Deafen():
                index = await self._index(step.node)
                weather.close([(a, b) for a, b in weather.paths() if b == index], step.how)
            case Mute():
                index = await self._index(step.node)
                weather.close([(a, b) for a, b in weather.paths() if a == index], step.how)
            case Flap():
                await self._flap(weather.paths([await self._index(step.node)]), step)
            case Slow():
                weather.set_quality(weather.paths(step.nodes or None), step.quality)
            case Heal():
                weather.clear()
            case _:
                assert_never(step)

    async def mend(self) -> None:
        """Fair weather, and all nodes run."""
        self.proxy.weather.clear()
        for node in self.network.nodes:
            await self._signal(node, RunState.PAUSED)
        self.watch()
        await self._start(self.network.nodes)
        if not self.unsettled:
            return
        try:
            await settle_members(self.network)
        except (DevnetError, ClientError) as error:
            self.unexpected.append(f"nobody tells who the members are: {error}")

    def watch(self) -> None:
        """Notice nodes that ended without us."""
        for node in self.network.nodes:
            if self.network.state(node) is RunState.DIED and node.index not in self.down:
                self.unexpected.append(f"{node.name} ended by itself")
                self.down.add(node.index)

    async def _named(self, who: Who) -> list[NodeInfo]:
        """The node of this name, if it has not left."""
        node = self.network.at(await self._index(who))
        if node is None:
            self.say(f"{who} has left")
        return [] if node is None else [node]

    async def _index(self, who: Who) -> int:
        # Asking takes a moment, and the weather must not stand still meanwhile.
        return (await asyncio.to_thread(self._leader)).index if who == "leader" else who

    def _leader(self) -> NodeInfo:
        for node in self.network.nodes:
            if self.network.state(node) is not RunState.RUNNING:
                continue
            seen = api.get_as(_Proposer, node.rpc, "/v1/consensus", timeout_s=LEADER_S)
            for leader in self.network.nodes:
                if seen is not None and leader.validator_key == seen.proposer:
                    return leader
        return self.network.nodes[0]

    async def _kill(self, nodes: Sequence[NodeInfo]) -> None:
        self.watch()
        for node in nodes:
            if node.index in self.down:
                self.say(f"{node.name} is down already")
                continue
            self.down.add(node.index)
            await asyncio.to_thread(self.network.kill, node)

    async def _start(self, nodes: Sequence[NodeInfo]) -> None:
        self.watch()
        wanted = [node for node in nodes if node.index in self.down]
        if wanted:
            await asyncio.to_thread(self.network.start, wanted)
            self.down -= {node.index for node in wanted}

    async def _signal(self, node: NodeInfo, expected: RunState) -> None:
        """Pause what runs, resume what is paused."""
        if self.network.state(node) is not expected:
            return
        change = self.network.pause if expected is RunState.RUNNING else self.network.resume
        await asyncio.to_thread(change, node)

    async def _stopped(
        self, who: Who, change: Callable[[NodeInfo, Home], None] | None = None
    ) -> None:
        """Stop a node if it runs, do something to its home, and start it."""
        self.watch()
        for node in await self._named(who):
            if node.index not in self.down:
                self.down.add(node.index)
                (stopped,) = await asyncio.to_thread(self.network.stop, [node])
                if not stopped.gracefully:
                    self.unexpected.append(f"{node.name} had to be killed")
            if change is not None:
                home = self.network.directory.node(node.index)
                await asyncio.to_thread(change, node, home)
            await self._start([node])

    async def _change_members(self, step: Join | Replace | Remove) -> None:
        """What the consortium refuses, or does not get to decide in this weather, is said."""
        self.watch()
        try:
            await change_members(self.network, self.proxy, step, down=self.down)
        except (DevnetError, ClientError) as error:
            self.say(f"not done: {error}")
            self.unsettled = True

    async def _flap(self, paths: Sequence[Way], step: Flap) -> None:
        weather = self.proxy.weather
        for _ in range(step.times):
            weather.close(paths, step.how)
            await asyncio.sleep(step.down)
            weather.open(paths)
            await asyncio.sleep(step.up)

    def _back_up(self, node: NodeInfo, home: Home) -> None:
        kept = _backup_of(home)
        shutil.rmtree(kept, ignore_errors=True)
        shutil.copytree(home.data, kept)
        self.say(f"{node.name} is backed up")


def _put_back(_node: NodeInfo, home: Home) -> None:
    """As an operator does who follows the manual: never an old sign state."""
    _remove(_node, home)
    kept = shutil.ignore_patterns(*(path.name for path in _survivors(home)))
    shutil.copytree(_backup_of(home), home.data, dirs_exist_ok=True, ignore=kept)


def _remove(_node: NodeInfo, home: Home) -> None:
    for part in home.data.iterdir():
        if part in _survivors(home):
            continue
        if part.is_dir():
            shutil.rmtree(part)
        else:
            part.unlink()


def _survivors(home: Home) -> tuple[Path, ...]:
    """The sign state, and the journal of what was acknowledged here and may be nowhere else yet: no
    protocol brings that back from a disk that is gone.
    """
    return home.sign_state, home.mempool


def _backup_of(home: Home) -> Path:
    return home.root / "backup"
