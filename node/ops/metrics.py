"""What is measured, in a registry of its own. Base units, `_total` for counters, and no label that
grows with transactions, patients or paths (reference: the table in docs/operations.md).

Counters and histograms are fed as things happen; gauges are read when somebody looks (gauges.py).
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from medquorum.block import ValidatorSet
from medquorum.certificate import unpack_signers
from storage.chain import CommittedBlock

NAMESPACE: Final = "medquorum"
PROTOCOL: Final = "1"
REASONS_MAX: Final = 256
"""Names of reasons that are told apart; all beyond it are counted as `other`."""
MS_PER_SECOND: Final = 1000
FAST: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Buckets from a millisecond, about what one fsync costs, to ten seconds, where people give up."""
SIZES: Final = (1, 10, 50, 100, 250, 500, 1_000, 2_500, 5_000)


@dataclass(slots=True)
class Measured:
    """A request that is being answered."""

    status: int = 500


class Metrics:
    """Safe to feed from any thread; `inflight` is read on the event loop."""

    def __init__(self, *, version: str) -> None:
        self.registry: Final = CollectorRegistry()
        self.inflight = 0
        self._last_commit: float | None = None
        self._reasons: set[str] = set()
        self._requests = self._histogram(
            "rpc_request_duration_seconds", "From the first header to the answer", "route", "code"
        )
        self._gauge("rpc_inflight", "Requests being answered").set_function(lambda: self.inflight)
        self._streams = self._gauge("rpc_event_streams", "Open event streams")
        self._stream_ends = self._counter("rpc_event_streams_closed", "Ended streams", "reason")
        self._rejected = self._counter("mempool_rejected", "Refused submissions", "reason")
        self._commit_latency = self._histogram(
            "tx_commit_latency_seconds", "From submission here to the commit"
        )
        self._dropped = self._counter("dropped", "Input that the node ignored", "reason")
        self._evidence = self._counter("evidence", "Proofs of misbehaviour", "kind")
        self._rounds = self._counter("consensus_view_changes", "Rounds that did not decide")
        self._interval = self._histogram("block_interval_seconds", "Between two commits")
        self._block_txs = self._histogram(
            "block_transactions", "Transactions in a block", buckets=SIZES
        )
        self._block_bytes = self._counter("block_bytes", "Bytes of committed transactions")
        self._outcomes = self._counter("transactions", "Executed transactions", "outcome")
        self._signed = self._gauge(
            "validator_last_signed_height", "Last certificate with its vote", "validator"
        )
        self._steps = self._histogram(
            "consensus_step_duration_seconds", "What a height's work takes, step by step", "step"
        )
        self._fsync = self._histogram("storage_fsync_seconds", "Until the device has it")
        self._pruned = self._counter("pruning_heights_pruned", "Heights whose blocks were given up")
        self._freed = self._counter("pruning_bytes_freed", "Bytes of the disk that this made free")
        self._parts = self._gauge("storage_bytes", "What parts of the database take", "part")
        self._state_pruned = self._counter(
            "state_entries_pruned", "Entries of the state given up that only older versions needed"
        )
        self._lag = self._gauge("eventloop_lag_seconds", "How late the event loop woke up last")
        self._gauge("build_info", "This build", "version", "protocol").labels(
            version, PROTOCOL
        ).set(1)

    # The API.

    @contextmanager
    def request(self, route: str) -> Iterator[Measured]:
        """Measure one request. `route` is the pattern of the path."""
        measured, started = Measured(), time.monotonic()
        self.inflight += 1
        try:
            yield measured
        finally:
            self.inflight -= 1
            self._requests.labels(route, str(measured.status)).observe(time.monotonic() - started)

    def rejected(self, code: str) -> None:
        """A submission was refused with this code of the catalogue."""
        self._rejected.labels(self._known(code)).inc()

    def streams(self, count: int) -> None:
        """How many event streams are open."""
        self._streams.set(count)

    def stream_closed(self, reason: str) -> None:
        """An event stream ended."""
        self._stream_ends.labels(self._known(reason)).inc()

    # The chain.

    def committed(self, block: CommittedBlock, validators: Mapping[int, str]) -> None:
        """A block was committed. `validators` are the names of those who vote at its height, by
        position.
        """
        now = time.monotonic()
        if self._last_commit is not None:
            self._interval.observe(now - self._last_commit)
        self._last_commit = now
        self._block_txs.observe(len(block.transactions))
        self._block_bytes.inc(sum(map(len, block.transactions)))
        succeeded = sum(outcome.code == "ok" for outcome in block.outcomes)
        self._outcomes.labels("ok").inc(succeeded)
        self._outcomes.labels("rejected").inc(len(block.outcomes) - succeeded)
        self._rounds.inc(block.certificate.round)
        for position in unpack_signers(block.certificate.signers, len(validators)):
            self._signed.labels(validators[position]).set(block.header.height)

    def commit_latency(self, seconds: float) -> None:
        """A transaction that was submitted here was committed."""
        self._commit_latency.observe(seconds)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Measure one step of a height: build, validate, execute, commit."""
        with self._steps.labels(name).time():
            yield

    def fsync(self, seconds: float) -> None:
        """Something was made durable."""
        self._fsync.observe(seconds)

    def dropped(self, reason: str) -> None:
        """The node ignored input of a peer or of the engine."""
        self._dropped.labels(self._known(reason)).inc()

    def evidence(self, kind: str) -> None:
        """A validator's misbehaviour is proven."""
        self._evidence.labels(kind).inc()

    def pruned(self, heights: int) -> None:
        """So many heights were given up."""
        self._pruned.inc(heights)

    def freed(self, size: int) -> None:
        """So many bytes of the disk are free again."""
        self._freed.inc(size)

    def room(self, parts: Mapping[str, int]) -> None:
        """What the parts of the database take."""
        for part, size in parts.items():
            self._parts.labels(part).set(size)

    def state_pruned(self, entries: int) -> None:
        """So many entries that only versions of the state needed which are no longer kept."""
        self._state_pruned.inc(entries)

    def loop_lag(self, seconds: float) -> None:
        """The event loop woke up this much too late."""
        self._lag.set(seconds)

    # How metrics are made.

    def gauge(self, name: str, summary: str, *labels: str) -> Gauge:
        """A further gauge of this registry."""
        return self._gauge(name, summary, *labels)

    def counter(self, name: str, summary: str, *labels: str) -> Counter:
        """A further counter of this registry."""
        return self._counter(name, summary, *labels)

    def _known(self, reason: str) -> str:
        if reason not in self._reasons:
            if len(self._reasons) >= REASONS_MAX:
                return "other"
            self._reasons.add(reason)
        return reason

    def _gauge(self, name: str, summary: str, *labels: str) -> Gauge:
        return Gauge(name, summary, labels, namespace=NAMESPACE, registry=self.registry)

    def _counter(self, name: str, summary: str, *labels: str) -> Counter:
        return Counter(name, summary, labels, namespace=NAMESPACE, registry=self.registry)

    def _histogram(
        self, name: str, summary: str, *labels: str, buckets: tuple[float, ...] = FAST
    ) -> Histogram:
        return Histogram(
            name, summary, labels, namespace=NAMESPACE, registry=self.registry, buckets=buckets
        )


def metric_names(validators: ValidatorSet) -> dict[int, str]:
    """Validators by their place, as metrics call them."""
    return {place: v.key.hex()[:16] for place, v in enumerate(validators.validators)}


class _ByKind(dict[int, Counter]):
    """The children of a counter, by kind of frame; one for all kinds that have no name."""

    def __init__(self, counter: Counter, kinds: Mapping[int, str]) -> None:
        super().__init__({kind: counter.labels(name) for kind, name in kinds.items()})
        self._other = counter.labels("other")

    def __missing__(self, kind: int) -> Counter:
        return self._other


class TransportMetrics:
    """Counts what the transport does: a p2p.model.Observer. `kinds` names the kinds of frames."""

    def __init__(self, metrics: Metrics, kinds: Mapping[int, str]) -> None:
        # Of each frame: to look a child up costs more than to count.
        self._sent = _ByKind(
            metrics.counter("p2p_message_send_bytes", "Payload sent", "type"), kinds
        )
        self._received = _ByKind(
            metrics.counter("p2p_message_receive_bytes", "Payload received", "type"), kinds
        )
        self._dropped = metrics.counter(
            "p2p_dropped", "Frames and connections that came to nothing", "reason"
        )
        self._peers = metrics.gauge("p2p_peers", "Members' daemons with both lanes up")
        self._connected: set[bytes] = set()

    def sent(self, kind: int, size: int) -> None:
        """`size` bytes were handed to a connection."""
        self._sent[kind].inc(size)

    def received(self, kind: int, size: int) -> None:
        """`size` bytes passed every check."""
        self._received[kind].inc(size)

    def dropped(self, reason: str) -> None:
        """One of p2p.reasons, a closed list."""
        self._dropped.labels(reason).inc()

    def peer_changed(self, peer: bytes, connected: bool) -> None:
        """Both lanes of `peer` stand now, or no longer do."""
        if connected:
            self._connected.add(peer)
        else:
            self._connected.discard(peer)
        self._peers.set(len(self._connected))
