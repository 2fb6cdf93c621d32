"""The composition root: builds the parts of a node and joins them.

Nothing else builds parts, and no part finds another by itself. How they run and stop is run.py's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from secrets import randbits
from time import monotonic
from typing import Final

from structlog.typing import FilteringBoundLogger

from consensus.engine import Engine, EngineStatus, HeightStarted, Timer, TimerFired, Timing
from consensus.engines import engine_of
from consensus.messages import LogRecord
from medquorum import keys
from medquorum.codec import decode
from medquorum.kem import KemKey
from medquorum.keys import SigningKey
from node.blockwork import BlockWork
from node.bodies import Bodies
from node.config.schema import Config
from node.config.values import parse_actor, parse_peer
from node.driver import Driver
from node.errors import RefusedError
from node.evidence.exchange import EvidenceExchange
from node.home import Home
from node.inbox import Inbox
from node.intake import Intake
from node.leadership import Leadership
from node.limits import (
    FETCH_HEIGHTS_MAX,
    GOSSIP_RESEND_TXS,
    LINGERING_S,
    LOG_CHECKPOINT_BYTES,
    LOG_RECORDS_KEPT_BYTES,
)
from node.longwork import LongWork
from node.mempool import Mempool, PoolTx
from node.network import Network, VoteGate
from node.ops.metrics import Metrics, TransportMetrics, metric_names
from node.ports import EnginePorts
from node.preflight import Preflight
from node.probation import Probation, engine_to_start
from node.quota import Quotas
from node.reads import CONTEXT_BITS, ReadIndex
from node.receipts import raw_transactions
from node.reminder import Reminder
from node.roster import Roster
from node.snapshots.sharing import Sharing
from node.stores import Stores
from node.sync import Sync
from node.tasks import Spawner
from node.threads import Threads
from node.timers import Timers
from node.tracker import Tracker
from node.vault.gateway import Gateway
from node.vault.store import RecordStore
from node.wire import KINDS, FrameKind, TxBatch
from p2p.transport import Transport
from storage.chain import CommittedBlock

HOSTILE_CODES: Final = frozenset(
    {"bad_signature", "malformed", "non_canonical", "too_large", "wrong_chain"}
)
"""What no honest peer passes on. Everything else may be a matter of who knows what when."""


@dataclass(frozen=True, slots=True)
class NodeKeys:
    """The private keys of one node.

    An observer has no validator key, without a vault there are no gateway keys.
    """

    node: SigningKey
    validator: SigningKey | None
    gateway: SigningKey | None
    gateway_kem: KemKey | None


class Node:
    """A composed node: every part, joined. `run.py` runs it once."""

    log_bytes_max = LOG_CHECKPOINT_BYTES
    lingering_s = LINGERING_S

    def __init__(
        self,
        *,
        home: Home,
        config: Config,
        keys: NodeKeys,
        stores: Stores,
        metrics: Metrics,
        log: FilteringBoundLogger,
        software: str,
        now_ms: Callable[[], int],
    ) -> None:
        self.config = config
        self.keys = keys
        self.stores = stores
        self.metrics = metrics
        self.log = log
        self.software = software
        self.now_ms = now_ms
        self.chain = stores.chain
        self.spawn = Spawner()
        self.long_work = LongWork()
        self.threads = Threads(verifiers=config.threads.verifiers, long=self.long_work.worker)
        self.inbox = Inbox()
        self.timers = Timers(self._timer_fired)
        self.pool = Mempool(txs_max=config.mempool.txs_max, bytes_max=config.mempool.bytes_max)
        self.addresses = [parse_peer(text) for text in config.p2p.peers]
        self.roster = Roster(
            self.chain.tip.validators,
            self.chain.view(),
            configured=[peer.node_key for peer in self.addresses],
        )
        self.network = Network(keys.node.public, self.roster, metrics)
        verifiers, due = self.threads.verifiers, self.chain.recovery_transaction
        self.bodies = Bodies(self.pool, self.network, verifiers, self._stored, due)
        self.quotas = Quotas(config.rpc.quota_txs_per_second, config.rpc.quota_burst_txs, monotonic)
        self.tracker = Tracker(
            self.chain, self.pool, self.threads.readers, committed=metrics.commit_latency
        )
        self.work = self._make_work()
        parts = self.chain, self.work, self.network, self.threads
        self.sync = Sync(*parts, spawn=self.spawn, halted=self._is_halted)
        self.snapshots = self._make_snapshots(home)
        self.preflight = Preflight(
            self.chain, self.network, self.sync, node_key=keys.node.public, halted=self.halt_reason
        )
        self.intake = self._make_intake()
        self.vault = self._make_vault(home)
        self.reminder = Reminder(waiting=self.pool.local, gossip=self.network.gossip)
        self.exchange = EvidenceExchange(
            journal=stores.evidence,
            chain=self.chain,
            peers=self.network,
            threads=self.threads,
            counts=metrics,
            spawn=self.spawn,
            log=log.bind(part="evidence"),
        )
        self.reads = self._make_reads()
        self.leadership = self._make_leadership()
        engine, ports = self._make_engine(), self._make_ports()
        log_, bytes_max = stores.consensus_log, self.log_bytes_max
        self.driver = Driver(engine, log_, stores.guard, ports, log_bytes_max=bytes_max)
        self.transport = self._make_transport()
        self._voters = metric_names(self.chain.tip.validators)
        self._join()

    def halt_reason(self) -> str | None:
        """Why this node votes no more, or None."""
        return self.driver.engine.status().halted or None

    def engine_status(self) -> EngineStatus:
        """Where the engine stands."""
        return self.driver.engine.status()

    def _is_halted(self) -> bool:
        return self.halt_reason() is not None

    @property
    def _me(self) -> bytes:
        """Our validator key; empty on an observer."""
        return b"" if self.keys.validator is None else self.keys.validator.public

    def _first_context(self) -> int:
        """Another one at each start: see ReadIndex."""
        return randbits(CONTEXT_BITS)

    def _make_intake(self) -> Intake:
        return Intake(
            self.chain,
            self.pool,
            self.stores.pending,
            self.threads,
            admitted=self._admitted,
            quota=self.quotas.take,
            voted=self.work.promised.__contains__,
            preflight=self.preflight.refusal,
        )

    def _make_vault(self, home: Home) -> Gateway | None:
        """The custodian's gateway, if this node keeps records. Raises ConfigError."""
        settings, key, kem = self.config.vault, self.keys.gateway, self.keys.gateway_kem
        if not settings.enabled or key is None or kem is None:
            return None
        return Gateway(
            chain=self.chain,
            intake=self.intake,
            tracker=self.tracker,
            store=RecordStore(home.vault),
            worker=self.threads.vault,
            actor=parse_actor(settings.gateway_actor),
            key=key,
            kem=kem,
        )

    def _make_snapshots(self, home: Home) -> Sharing:
        return Sharing(
            home,
            self.config,
            stores=self.stores,
            network=self.network,
            worker=self.threads.snapshots,
            spawn=self.spawn,
            log=self.log.bind(part="snapshots"),
        )

    def _make_work(self) -> BlockWork:
        return BlockWork(
            chain=self.chain,
            pool=self.pool,
            bodies=self.bodies,
            pending=self.stores.pending,
            roster=self.roster,
            inbox=self.inbox,
            threads=self.threads,
            log=self.stores.consensus_log,
            log_bytes_max=LOG_RECORDS_KEPT_BYTES,
            halted=self._is_halted,
            block_interval_ms=self.config.consensus.block_interval_ms,
            now_ms=self.now_ms,
            spawn=self.spawn,
            step=self.metrics.step,
        )

    def _make_engine(self) -> Engine:
        """The engine, which only observes as long as it may have voted here before."""
        guard, started = self.stores.guard, self.work.height_started()
        last_vote = None if guard is None else guard.last
        engine = engine_to_start(last_vote, started, self.stores.records, self._recover)
        if isinstance(engine, Probation):
            reason = "votes_not_remembered"
            self.log.warning("observes_until", height=engine.first_height, reason=reason)
        return engine

    def _recover(self, started: HeightStarted, votes: bool, records: Sequence[LogRecord]) -> Engine:
        times = self.config.consensus
        return engine_of(self.chain.genesis.engine).recover(
            chain_id=self.chain.chain_id,
            signer=self.keys.validator if votes else None,
            verify=keys.verify,
            timing=Timing(
                round_ms=times.round_ms,
                round_ms_max=times.round_ms_max,
                resend_ms=times.resend_ms,
                block_interval_ms=times.block_interval_ms,
            ),
            started=started,
            records=records,
        )

    def _make_reads(self) -> ReadIndex:
        return ReadIndex(
            self.chain.genesis.engine,
            self.inbox.post,
            votes=lambda: self.roster.node_of(self._me) is not None,
            halted=lambda: self.halt_reason() is not None,
            first_context=self._first_context(),
            attempt_ms=self.config.consensus.round_ms,
        )

    def _make_leadership(self) -> Leadership:
        return Leadership(
            self.chain.genesis.engine,
            self._me,
            status=self.engine_status,
            ask=self.inbox.post,
            validators=lambda: self.chain.tip.validators,
            connected=self.network.connected,
        )

    def _make_ports(self) -> EnginePorts:
        return EnginePorts(
            network=self.network,
            timers=self.timers,
            work=self.work,
            sync=self.sync,
            roster=self.roster,
            metrics=self.metrics,
            evidence=self.exchange.found,
            reads=self.reads,
            log=self.log.bind(part="consensus"),
        )

    def _make_transport(self) -> Transport:
        return Transport(
            node_key=self.keys.node,
            chain_id=self.chain.chain_id,
            host=self.config.p2p.host,
            port=self.config.p2p.port,
            peers=self.addresses,
            is_member=self.roster.may_connect,
            on_frame=self.network.on_frame,
            on_peer=self._peer_changed,
            kinds=KINDS,
            observer=TransportMetrics(self.metrics, {k: v.name for k, v in KINDS.items()}),
            software=self.software,
        )

    def _join(self) -> None:
        """The edges that are no constructor argument: frames to handlers, commits to listeners."""
        gate = VoteGate(self.chain.chain_id, self.roster, self.inbox, self.network, self.metrics)
        self.network.attach(self.transport)
        self.network.handle(FrameKind.CONSENSUS, gate.on_frame)
        self.network.handle(FrameKind.TX_BATCH, self.on_tx_batch)
        self.network.handle(FrameKind.GET_TXS, self.bodies.on_get_txs)
        self.network.handle(FrameKind.TXS, self.bodies.on_txs)
        self.network.handle(FrameKind.GET_BLOCKS, self.sync.on_get_blocks)
        self.network.handle(FrameKind.BLOCKS, self.sync.on_blocks)
        self.network.handle(FrameKind.TIP, self._on_tip)
        self.network.handle(FrameKind.EVIDENCE, self.exchange.on_evidence)
        self.network.handle(FrameKind.EVIDENCE_SETTLED, self.exchange.on_settled)
        self.chain.on_commit(self._membership_changed)
        self.chain.on_commit(self.tracker.on_commit)
        self.chain.on_commit(self.sync.on_commit)
        self.chain.on_commit(self._count_commit)

    def _timer_fired(self, timer: Timer) -> None:
        self.inbox.post(TimerFired(timer))

    async def _stored(self, tx_ids: Sequence[bytes], bytes_max: int) -> list[bytes]:
        return await self.threads.readers.run(
            raw_transactions,
            self.chain.blocks,
            tx_ids,
            heights_max=FETCH_HEIGHTS_MAX,
            bytes_max=bytes_max,
        )

    def _admitted(self, pooled: Sequence[PoolTx]) -> None:
        """New in the mempool: somebody may wait for them, our peers lack ours, there is work."""
        for entry in pooled:
            self.bodies.arrived(entry.tx)
        local = [entry.tx for entry in pooled if entry.local]
        if local:
            self.tracker.submitted(tx.id for tx in local)
            self.network.gossip([tx.raw for tx in local])
        self.work.announce_work()

    async def on_tx_batch(self, peer: bytes, payload: bytes) -> None:
        """Gossip. The peer checked these before it sent them, so a bad signature is its fault."""
        batch = decode(TxBatch, payload, size_max=len(payload))
        try:
            admissions = await self.intake.submit(batch.transactions, local=False)
        except RefusedError as refused:
            # Not lost: their node keeps them, and who is asked to vote on them fetches them.
            self.metrics.dropped(f"gossip_{refused.code}")
            return
        for admission in admissions:
            refusal = admission.refusal
            if refusal is not None:
                self.metrics.dropped(f"gossip_{refusal.code}")
                if refusal.code in HOSTILE_CODES:
                    self.network.punish(peer, f"gossip_{refusal.code}")
                    return

    async def _on_tip(self, peer: bytes, payload: bytes) -> None:
        if await self.sync.on_tip(peer, payload):
            self.reminder.on_tip(peer)
            self.exchange.on_tip(peer)

    def _count_commit(self, block: CommittedBlock) -> None:
        self.metrics.committed(block, self._voters)
        self._voters = metric_names(self.chain.tip.validators)
        self.log.debug("committed", height=block.header.height, count=block.header.tx_count)

    def _membership_changed(self, _block: CommittedBlock) -> None:
        before = self.network.members()
        if self.roster.update(self.chain.tip.validators, self.chain.view()):
            self.transport.recheck_membership()
            joined = [peer for peer in self.network.members() if peer not in before]
            self.network.gossip(self.pool.local(GOSSIP_RESEND_TXS), joined)

    def _peer_changed(self, peer: bytes, connected: bool) -> None:
        self.log.info("peer_connected" if connected else "peer_lost", peer=peer)
        if connected:
            self.sync.greet(peer)
            self.snapshots.fetching.met()
            self.network.gossip(self.pool.local(GOSSIP_RESEND_TXS), [peer])
        else:
            self.sync.lost(peer)
            self.snapshots.fetching.lost(peer)
            self.reminder.lost(peer)
            self.exchange.lost(peer)
