"""The API over the data of a node that does not run: reads are answered as the node would, and
whatever would change something is refused.

Nothing else of a node is there: no consensus, no links, no intake, no vault. The store refuses
every write, so that no handler can change the data by mistake.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from aiohttp import web
from structlog.typing import FilteringBoundLogger

from medquorum.block import Validator, ValidatorSet
from medquorum.genesis import Genesis
from medquorum.invariants import InvariantBroken
from node.chain import Chain
from node.config.schema import Config
from node.errors import RefusedError
from node.evidence.book import EvidenceBook
from node.forecast import Forecast, Sighting, Standing, forecast
from node.home import Home
from node.intake import Admission
from node.leadership import Handed
from node.ledger.registry import Registry
from node.limits import HTTP_IDLE_SECONDS
from node.mempool import Mempool
from node.ops.diskguard import DiskGuard, Line, Lines
from node.ops.metrics import Metrics
from node.rpc.app import make_rpc
from node.rpc.middleware import Handler
from node.services import Services
from node.site import BoundedSite, connections_max, counting_logger
from node.threads import Readers
from node.tracker import Tracker
from node.version import VERSION
from storage.kv import KV, Batch, Snapshot
from storage.wal import read_log

_READS = frozenset({"GET", "HEAD"})
_NS_PER_MS = 1_000_000
_NO_LINE = Line(0, 0.0)
_GRACE_S = 1.0


class ReadOnly:
    """A KV that is only read. Writing to it is a broken invariant."""

    def __init__(self, kv: KV) -> None:
        self._kv = kv
        self.get: Callable[[bytes], bytes | None] = kv.get

    def scan(
        self, start: bytes, stop: bytes, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        """See Reader.scan."""
        return self._kv.scan(start, stop, reverse=reverse)

    def write(self, batch: Batch, *, sync: bool) -> None:
        """Raises InvariantBroken."""
        raise InvariantBroken(f"{len(batch)} writes (sync: {sync}) to data that is inspected")

    def snapshot(self) -> Snapshot:
        """See KV.snapshot."""
        return self._kv.snapshot()

    def close(self) -> None:
        """See KV.close."""
        self._kv.close()

    def bytes_on_disk(self) -> int:
        """See KV.bytes_on_disk."""
        return self._kv.bytes_on_disk()


@dataclass(frozen=True, slots=True)
class Inspected:
    """The data of a stopped node. The lock of its directory is held."""

    home: Home
    config: Config
    genesis: Genesis
    registry: Registry
    kv: KV


async def serve(
    data: Inspected,
    log: FilteringBoundLogger,
    *,
    port: int,
    stop: asyncio.Event,
    ready: Callable[[int], None],
) -> None:
    """Answer on the loopback interface until `stop` is set. `ready` is told the port.

    Raises OSError if the port is taken, IdentityError, DamagedStoreError.
    """
    readers = Readers()
    services = _services(data, readers, log)
    app = make_rpc(services, log)
    app.middlewares.append(_only_reads)
    runner = web.AppRunner(
        app,
        access_log=None,
        shutdown_timeout=_GRACE_S,
        keepalive_timeout=HTTP_IDLE_SECONDS,
        logger=counting_logger(services.metrics.dropped),
    )
    try:
        await runner.setup()
        await BoundedSite(runner, "127.0.0.1", port, connections_max=connections_max()).start()
        bound: tuple[str, int] = runner.addresses[0]
        ready(bound[1])
        await stop.wait()
    finally:
        await runner.cleanup()
        readers.close()


@web.middleware
async def _only_reads(request: web.Request, handler: Handler) -> web.StreamResponse:
    if request.method not in _READS:
        raise _refusal()
    return await handler(request)


def _refusal() -> RefusedError:
    return RefusedError("policy_denied", "this node is stopped: its data can only be read")


class _NoIntake:
    async def submit(self, raws: Sequence[bytes], *, local: bool) -> list[Admission]:
        """Refuses. The middleware lets nothing come so far."""
        del raws, local
        raise _refusal()


class _NoLeader:
    leads = False

    async def transfer(self, to: bytes, timeout_s: float) -> Handed:
        """Refuses."""
        del to, timeout_s
        raise _refusal()


def _services(data: Inspected, readers: Readers, log: FilteringBoundLogger) -> Services:
    chain = Chain(
        ReadOnly(data.kv),
        data.genesis,
        data.registry,
        keep_versions=data.config.storage.keep_versions,
    )
    pool = Mempool()
    records = read_log(data.home.evidence) if data.home.evidence.exists() else ()

    async def read_height(_seconds: float) -> int:
        raise RefusedError("not_ready", "a stopped node cannot know what the others decided")

    def sight(_validator: Validator) -> Sighting:
        return Sighting(Standing.NEVER_SEEN)

    def seen(validators: ValidatorSet) -> Forecast:
        today = chain.tip.validators.validators
        return forecast(data.genesis.engine, today, validators.validators, sight)

    return Services(
        chain=chain,
        pool=pool,
        intake=_NoIntake(),
        tracker=Tracker(chain, pool, readers),
        readers=readers,
        metrics=Metrics(version=VERSION),
        disk=DiskGuard(
            data.home.data, Lines(_NO_LINE, _NO_LINE, _NO_LINE), check_seconds=1, log=log
        ),
        vault=None,
        evidence=EvidenceBook(records, chain.chain_id, data.genesis.engine),
        allowed_hosts=(),
        node_key=b"",
        validator_key=None,
        version=VERSION,
        now_ms=lambda: time.time_ns() // _NS_PER_MS,
        read_height=read_height,
        leadership=_NoLeader(),
        forecast=seen,
        sync_status=lambda: None,
        engine_status=lambda: None,
        peers=tuple,
        halted=lambda: None,
    )
