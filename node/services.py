"""Everything that the handlers of the HTTP side may use, in one place that only app.py fills.

Handlers get this and the request, and nothing else: no globals, no look-ups. What is a callable
here answers at once, on the event loop, and never raises.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from node.receipts import ReceiptBlocks, SignedHeights

if TYPE_CHECKING:
    # The types only: a handler's test need not load the consensus side of the daemon.
    from consensus.engine import EngineStatus
    from medquorum.block import ValidatorSet
    from node.backup.making import BackupMade
    from node.chain import Chain
    from node.evidence.book import EvidenceBook
    from node.forecast import Forecast
    from node.intake import Admission
    from node.leadership import Handed
    from node.mempool import Mempool
    from node.ops.diskguard import DiskGuard
    from node.ops.metrics import Metrics
    from node.pruning.background import PruningStatus
    from node.snapshots.fetching import Fetching
    from node.sync import SyncStatus
    from node.threads import Readers
    from node.tracker import Tracker
    from node.vault.model import Release
    from p2p.model import PeerInfo


class Submitter(Protocol):
    """The intake, as handlers need it."""

    async def submit(self, raws: Sequence[bytes], *, local: bool) -> list[Admission]:
        """Check and admit, in order. Raises RefusedError if too many wait already."""
        ...


class Leaders(Protocol):
    """Who leads, as handlers need it. Engines whose proposers take turns have no leader."""

    @property
    def leads(self) -> bool:
        """Whether this node leads now, as far as it knows."""
        ...

    async def transfer(self, to: bytes, timeout_s: float) -> Handed:
        """Have a validator lead whose key begins with `to`. Raises RefusedError."""
        ...


class Backups(Protocol):
    """What makes backups, as handlers need it."""

    async def make(self) -> BackupMade:
        """Back the last height up, and return when it is durable. Raises RefusedError."""
        ...

    async def run(self) -> None:
        """Make them by the clock, if they are to be."""
        ...


class Pruning(Protocol):
    """What gives old blocks up, as handlers and whoever runs it need it."""

    @property
    def status(self) -> PruningStatus | None:
        """What came of it so far; None if all blocks are kept."""
        ...

    async def run(self) -> None:
        """Keep to the policy until cancelled."""
        ...


class Vault(Protocol):
    """The custodian's gateway, as handlers need it. `caller` is the public key that signed the
    request, verified.
    """

    @property
    def kem_public(self) -> bytes:
        """The key for which records handed in are wrapped."""
        ...

    async def keep(
        self, caller: bytes, rec_id: bytes, version: int, ciphertext: bytes, envelope: bytes
    ) -> bytes:
        """Keep a version of a record durably; its blob id. Raises RefusedError."""
        ...

    async def release(self, caller: bytes, req_id: bytes, rec_ids: Sequence[bytes]) -> Release:
        """Log the access on the ledger, then hand the records out. Raises RefusedError."""
        ...


@dataclass(frozen=True, slots=True)
class Services:
    """What handlers may use. `readers` is a thread pool of their own for reads that touch much
    data: never the ledger's or the writer's thread, for which consensus waits.

    `allowed_hosts` are the names by which clients may call this node, as in the configuration
    (rpc.allowed_hosts). `read_height` waits for so many seconds at most for a height above which
    nothing was decided when it was called; it raises RefusedError. `halted` is why the node stopped
    voting for good, or None. `fetching` is the snapshot with which this node is about to begin, or
    None. `vault` is None if this node keeps no records, `backups` if it makes none, `pruner` in
    tests and of a node that does not run. `receipts` and `signed` save work for more receipts of
    one block and more proofs of one height. `now_ms` is the wall clock.
    """

    chain: Chain
    pool: Mempool
    intake: Submitter
    tracker: Tracker
    readers: Readers
    metrics: Metrics
    disk: DiskGuard
    vault: Vault | None
    evidence: EvidenceBook
    allowed_hosts: tuple[str, ...]
    node_key: bytes
    validator_key: bytes | None
    version: str
    now_ms: Callable[[], int]
    read_height: Callable[[float], Awaitable[int]]
    leadership: Leaders
    forecast: Callable[[ValidatorSet], Forecast]
    sync_status: Callable[[], SyncStatus | None]
    engine_status: Callable[[], EngineStatus | None]
    peers: Callable[[], tuple[PeerInfo, ...]]
    halted: Callable[[], str | None]
    fetching: Callable[[], Fetching | None] = lambda: None
    backups: Backups | None = None
    pruner: Pruning | None = None
    receipts: ReceiptBlocks = field(default_factory=ReceiptBlocks)
    signed: SignedHeights = field(default_factory=SignedHeights)

    def is_validator(self) -> bool:
        """Whether this node votes on the next height."""
        members = self.chain.tip.validators.validators
        return any(member.key == self.validator_key for member in members)
