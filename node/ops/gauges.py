"""Gauges that are read when somebody looks at the page, not kept up to date in between."""

from __future__ import annotations

from typing import NamedTuple

from prometheus_client import generate_latest

from node.chain import Chain
from node.ledger.txtype import Traffic
from node.ops.metrics import MS_PER_SECOND, Metrics
from node.services import Services


class Kept(NamedTuple):
    """What is here of the past, as of one moment."""

    oldest_block: int
    oldest_state: int
    versions: int


def read_kept(chain: Chain) -> Kept:
    """Read it from the database: not for the event loop, which a slow disk would stop."""
    oldest = chain.state.oldest()
    return Kept(chain.blocks.oldest_block(), oldest, chain.state.height() - oldest + 1)


class Gauges:
    """One for each application: the registry refuses a second one of the same names."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        gauge = metrics.gauge
        self._height = gauge("consensus_height", "The last committed height")
        self._round = gauge("consensus_round", "The round of the height that is being decided")
        self._oldest_block = gauge("oldest_block", "From this height on blocks are whole here")
        self._oldest_state = gauge(
            "state_oldest_height", "From this height on the state can be read and proven"
        )
        self._versions = gauge("state_versions", "Heights whose state can be read and proven")
        self._last_block = gauge(
            "consensus_last_block_timestamp_seconds", "Block time of the last committed height"
        )
        self._validators = gauge("validators", "Validators of the next height")
        self._missing = gauge("missing_validators", "Validators whose daemon is not connected")
        self._ready = gauge(
            "validators_ready", "Validators that are connected, heard of and level (this one too)"
        )
        self._needed = gauge("validators_needed", "How many of them must vote to decide anything")
        self._is_validator = gauge("is_validator", "1 if this node votes")
        self._proposes = gauge(
            "consensus_is_proposer", "1 if this node proposes now: it leads, or it is its turn"
        )
        self._halted = gauge("halted", "1 if this node stopped taking part for good")
        self._pool_txs = gauge("mempool_size", "Transactions that wait for a block", "class")
        self._pool_bytes = gauge("mempool_bytes", "Their bytes")
        self._syncing = gauge("sync_syncing", "1 while blocks are fetched from peers")
        self._target = gauge("sync_target_height", "The best height that a peer claims")
        self._behind = gauge("sync_behind_blocks", "How far this node is behind that claim")
        self._speed = gauge("sync_blocks_per_second", "Blocks fetched and applied, lately")
        self._left = gauge(
            "sync_seconds_left", "Until this node is level if it goes on so; 0 if it is, or unknown"
        )
        self._disk_free = gauge("disk_free_bytes", "Free bytes of the data directory's disk")
        self._disk_level = gauge("disk_guard_state", "0 ok, 1 warn, 2 refuse, 3 stop")
        self._waiters = gauge("rpc_waiters", "Requests that wait for a commit or a height")

    def page(self, services: Services, kept: Kept) -> bytes:
        """The whole page in the text format of Prometheus."""
        self._read(services)
        self._oldest_block.set(kept.oldest_block)
        self._oldest_state.set(kept.oldest_state)
        self._versions.set(kept.versions)
        return generate_latest(self._metrics.registry)

    def _read(self, services: Services) -> None:
        tip, engine, sync = services.chain.tip, services.engine_status(), services.sync_status()
        self._height.set(tip.height)
        self._last_block.set(tip.time_ms / MS_PER_SECOND)
        self._round.set(0 if engine is None else engine.round)
        members = {v.node_key for v in tip.validators.validators}
        present = {peer.node_key for peer in services.peers() if peer.connected}
        self._validators.set(len(members))
        self._missing.set(len(members - present - {services.node_key}))
        today = services.forecast(tip.validators)
        self._ready.set(today.ready)
        self._needed.set(today.needed)
        self._is_validator.set(int(services.is_validator()))
        proposer = b"" if engine is None else engine.proposer
        self._proposes.set(int(proposer != b"" and proposer == services.validator_key))
        self._halted.set(int(services.halted() is not None))
        counts = services.pool.counts()
        for traffic in Traffic:
            self._pool_txs.labels(traffic.value).set(counts[traffic.value])
        self._pool_bytes.set(services.pool.size_bytes)
        self._syncing.set(int(sync is not None))
        self._target.set(tip.height if sync is None else sync.target)
        self._behind.set(0 if sync is None else sync.target - sync.height)
        self._speed.set(0 if sync is None else sync.blocks_per_second)
        self._left.set(0 if sync is None else sync.seconds_left or 0)
        disk = services.disk.state
        self._disk_free.set(disk.free_bytes)
        self._disk_level.set(disk.level)
        self._waiters.set(len(services.tracker))
