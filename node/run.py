"""Runs a composed node: starts everything in one task group, stops it in order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Final

from aiohttp import web

from node.app import Node
from node.consensus_loop import run_consensus
from node.errors import StopNode
from node.limits import HTTP_IDLE_SECONDS, INTAKE_CHUNK_TXS, PRUNE_ENTRIES, PRUNE_INTERVAL_S
from node.lingering import Lingering
from node.ops.app import make_ops
from node.ops.looplag import watch_loop
from node.rpc.app import make_rpc
from node.services import Services
from node.site import BoundedSite, connections_max, counting_logger

SHUTDOWN_GRACE_S: Final = 3.0
"""How long requests that are being answered may take once the node stops."""


@dataclass(frozen=True, slots=True)
class Endpoints:
    """The ports that are really bound."""

    p2p: int
    rpc: int
    ops: int


async def run_node(
    node: Node, services: Services, *, stop: asyncio.Event, ready: Callable[[Endpoints], None]
) -> None:
    """Run until `stop` is set, or until something fails that a node must not survive.

    `ready` is called once all ports are bound and pending transactions of the last run are back.
    Work in files that does not end is left after a while (`node.long_work`). Raises what failed, in
    an ExceptionGroup. The stores and threads are closed by the caller.
    """
    servers = Servers(services, connections_max=connections_max())
    try:
        async with asyncio.TaskGroup() as group:
            node.spawn.open(group)
            bound = asyncio.Event()
            running = [
                group.create_task(node.transport.run(bound)),
                *(group.create_task(part) for part in ledger_parts(node)),
                group.create_task(node.long_work.watch()),
                group.create_task(services.disk.run()),
                group.create_task(watch_loop(node.metrics)),
            ]
            if services.pruner is not None:
                running.append(group.create_task(services.pruner.run()))
            await bound.wait()
            await remember_recent(node)
            await take_back_pending(node)
            await follow_recovery(node)
            running.append(
                group.create_task(
                    run_consensus(
                        node.driver,
                        node.inbox,
                        node.threads.writer,
                        durable=node.metrics.fsync,
                        stepped=node.leadership.changed,
                    )
                )
            )
            node.work.announce_work()
            rpc, ops = await servers.start(node)
            ready(Endpoints(node.transport.port, rpc, ops))
            if services.backups is not None:
                running.append(group.create_task(services.backups.run()))
            await stop.wait()
            await node.leadership.hand_over()
            await servers.stop()
            node.timers.cancel_all()
            raise StopNode
    except* StopNode:
        pass
    finally:
        await servers.stop()
        await node.long_work.finish()


def ledger_parts(node: Node) -> tuple[Coroutine[object, object, None], ...]:
    """What runs beside the transport and the consensus loop, to be started as one task each."""
    return (
        node.intake.run(),
        node.intake.run(),
        _linger(node),
        catch_up(node),
        node.sync.announce(),
        _prune(node),
        _look_for_due_work(node),
    )


class Servers:
    """The API and the ops endpoints."""

    def __init__(
        self,
        services: Services,
        *,
        connections_max: int,
        idle_seconds: float = HTTP_IDLE_SECONDS,
    ) -> None:
        self._services = services
        self._connections_max = connections_max
        self._idle_seconds = idle_seconds
        self._runners: list[web.AppRunner] = []

    async def start(self, node: Node) -> tuple[int, int]:
        """Bind both; the ports in use. Raises OSError."""
        config = node.config
        rpc = await self._serve(
            make_rpc(self._services, node.log.bind(part="rpc")), config.rpc.host, config.rpc.port
        )
        ops = await self._serve(make_ops(self._services), config.ops.host, config.ops.port)
        return rpc, ops

    async def stop(self) -> None:
        """Answer no more; streams are closed with their last cursor."""
        runners, self._runners = self._runners, []
        for runner in runners:
            await runner.cleanup()

    async def _serve(self, app: web.Application, host: str, port: int) -> int:
        runner = web.AppRunner(
            app,
            access_log=None,
            shutdown_timeout=SHUTDOWN_GRACE_S,
            keepalive_timeout=self._idle_seconds,
            logger=counting_logger(self._services.metrics.dropped),
        )
        self._runners.append(runner)
        await runner.setup()
        await BoundedSite(runner, host, port, connections_max=self._connections_max).start()
        address: tuple[str, int] = runner.addresses[0]
        return address[1]


async def remember_recent(node: Node) -> None:
    """Know what could be replayed, before anything is admitted."""
    node.chain.remember(await node.threads.readers.run(node.chain.replayable))


async def take_back_pending(node: Node) -> None:
    """What was pending when the node last ran is pending again, unless it is final by now.

    It was acknowledged, and its quota paid, before the restart: what finds no room now stays in the
    journal, for the next start.
    """
    pending = node.stores.pending
    raws = await node.threads.writer.run(pending.recover)
    left = 0
    for start in range(0, len(raws), INTAKE_CHUNK_TXS):
        chunk = raws[start : start + INTAKE_CHUNK_TXS]
        admissions = await node.intake.submit(chunk, local=True, recovered=True)
        left += sum(admission.may_succeed_later for admission in admissions)
        final = [
            admission.tx_id
            for admission in admissions
            if not admission.may_succeed_later and admission.tx_id not in node.pool
        ]
        await node.threads.writer.run(pending.release, final)
    if raws:
        node.log.info("pending_recovered", count=len(raws), left=left)


async def follow_recovery(node: Node) -> None:
    """See to it that an adopted recovery gets recorded, now or once its height is reached."""
    await _hand_in_recovery(node)
    node.chain.on_commit(lambda _: _recovery_reached(node))


async def _hand_in_recovery(node: Node) -> None:
    """If the next block must record a recovery: offer its transaction to our peers. If the mempool
    has no room for it, those who vote on that block have it all the same.
    """
    first = node.chain.recovery_transaction()
    if first is None:
        return
    node.log.warning("recovery_adopted", height=node.chain.tip.height)
    for admission in await node.intake.submit([first.raw], local=True, recovered=True):
        if admission.refusal is not None:
            code, detail = admission.refusal.code, str(admission.refusal)
            node.log.warning("recovery_not_offered", code=code, detail=detail)


def _recovery_reached(node: Node) -> None:
    if node.chain.recovery_transaction() is not None:
        node.spawn(_hand_in_recovery(node))


async def catch_up(node: Node) -> None:
    """Begin with a snapshot if this node has nothing and its peers have one; else, and from then
    on, with blocks. Raises ChainReplaced, DivergenceError.
    """
    await node.snapshots.fetching.run()
    await node.sync.run()


async def _linger(node: Node) -> None:
    """Write down what peers passed on and no block has taken in for long."""
    pending, writer = node.stores.pending, node.threads.writer
    await Lingering(node.pool, pending, writer, every_s=node.lingering_s).run()


async def _prune(node: Node) -> None:
    """Give up versions of the state that policy no longer keeps, a little at a time."""
    while True:
        await asyncio.sleep(PRUNE_INTERVAL_S)
        more = True
        while more:
            count = await node.threads.writer.run(node.chain.state.prune, PRUNE_ENTRIES)
            node.metrics.state_pruned(count)
            more = count > 0


async def _look_for_due_work(node: Node) -> None:
    """A chain at rest makes a block when a deadline falls due."""
    while True:
        await asyncio.sleep(1)
        node.work.announce_work()
