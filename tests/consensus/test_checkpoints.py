"""A checkpoint may replace the log at any time: who starts from it has said and knows the same."""

from __future__ import annotations

import pytest

from consensus.checkpoints import ResultRecord, SaidRecord
from consensus.engine import Engine
from consensus.messages import (
    BlockRecord,
    LogRecord,
    Prepare,
    ReleasedRecord,
    decode_record,
    encode_record,
)
from consensus.pbft.core import Core as PbftCore
from consensus.pbft.engine import PbftEngine
from consensus.raft.engine import RaftEngine
from medquorum.quorum import EngineName
from tests.support import engine_campaign, raft_campaign
from tests.support.engine_host import Host
from tests.support.engines import TIMING, Cluster, Network

RUNS = {"pbft": engine_campaign.run_campaign, "raft": raft_campaign.run_campaign}


def remembered(engine: Engine) -> dict[str, object]:
    """All that an engine must know after a crash."""
    if isinstance(engine, PbftEngine):
        state = engine._core.state
        known: dict[str, object] = {
            "round": state.round,
            "wanted": state.wanted,
            "justification": state.justification,
            "accepted": state.accepted,
            "prepared": state.prepared,
            "committed": state.committed,
            "own": state.own,
            "needed": [state.blocks.seen.get(block) for block in named(engine._core)],
            "said": state.said,
            "results": state.signed_results,
        }
        return known | {"last_said": state.last_said, "halted": engine._core.halted}
    assert isinstance(engine, RaftEngine)
    core = engine._core
    entry = None if core.state.acked is None else core.state.acked.block_hash
    return {
        "term": core.state.term,
        "ballot": core.state.ballot,
        "acked": core.state.acked,
        "appended": core.state.appended == core.state.term,
        "own": [vote for vote in core.state.own if not hasattr(vote, "forced")],
        "asked": any(hasattr(vote, "forced") for vote in core.state.own),
        "entry": None if entry is None else core.state.blocks.seen[entry],
        "append": core.state.append,
        "said": core.state.said,
        "results": core.state.signed_results,
        "last_said": core.state.last_said,
        "halted": core.halted,
    }


def named(core: PbftCore) -> list[bytes]:
    """Blocks that a correct engine cannot do without."""
    prepared = core.state.prepared
    certified = [known.block_hash for known in core.state.justification.certificate]
    return [core.state.accepted, *certified, *([] if prepared is None else [prepared.block_hash])]


class Compared:
    """Sees to it that every checkpoint stands for the log that it replaces."""

    def __init__(self, every: float) -> None:
        self._every = every
        self.count = 0

    def watch(self, cluster: Cluster) -> None:
        """Have the logs of these hosts replaced all the time."""
        for host in cluster.hosts:
            host.compacts = self._every
            host.compacted = self.compare

    def compare(self, host: Host, records: tuple[LogRecord, ...]) -> None:
        """Starting from either is the same, and a checkpoint of a checkpoint is itself."""
        records = tuple(decode_record(encode_record(record)) for record in records)
        engine, old = host.recovered(records), host.recovered(host.log)
        assert remembered(engine) == remembered(old)
        assert engine.checkpoint() == records
        self.count += 1


@pytest.mark.parametrize("engine", ["pbft", "raft"])
@pytest.mark.parametrize("n", [1, 3, 4, 5, 7])
def test_a_checkpoint_stands_for_the_log_whatever_happens(engine: EngineName, n: int) -> None:
    """Rule L5 of pbft.md, and rule F5 of raft.md."""
    compared = Compared(0.2)
    for seed in range(8):
        RUNS[engine](seed + 100 * n, n, prepare=compared.watch)
    assert compared.count > 60


def blocks_in(log: list[LogRecord]) -> int:
    """What makes a log large."""
    return sum(isinstance(record, BlockRecord) for record in log)


def undecided(*, compacts: float) -> list[Host]:
    """Hosts that are asked to vote on another block every round, and never see a quorum of them."""
    cluster = Cluster(3, 4, network=Network(delay_ms=(1.0, 2.0)))
    cluster.network.lose = lambda _from, _to, message: isinstance(message, Prepare)
    for host in cluster.hosts:
        host.compacts = compacts
    cluster.boot()
    cluster.run(
        lambda: all(host.engine and host.engine.status().round > 40 for host in cluster.hosts),
        limit_ms=60 * TIMING.round_ms_max,
    )
    assert cluster.heights() == [0] * 4
    return cluster.hosts


def test_a_height_that_stays_undecided_does_not_fill_the_log() -> None:
    grown, compacted = undecided(compacts=0.0), undecided(compacts=0.05)
    for host in grown:
        assert blocks_in(host.log) > 30
    for host in compacted:
        engine = host.engine
        assert engine is not None
        records = engine.checkpoint()
        assert records is not None
        assert blocks_in(list(records)) <= 2
        # Votes of earlier rounds are kept: they are small, and tell us from a twin.
        assert sum(isinstance(record, SaidRecord) for record in records) > 40


@pytest.mark.parametrize("engine", ["pbft", "raft"])
def test_what_an_operator_released_is_released_in_the_checkpoint_too(engine: EngineName) -> None:
    seen: list[Host] = []

    def release(cluster: Cluster) -> None:
        for host in cluster.hosts:
            host.compacts, host.compacted = 0.05, compare

    def compare(host: Host, records: tuple[LogRecord, ...]) -> None:
        released = [*host.log, ReleasedRecord(host.started().height)]
        after = host.recovered(released)
        again = after.checkpoint()
        assert again is not None
        assert remembered(host.recovered(again)) == remembered(host.recovered(released))
        assert not any(isinstance(record, ResultRecord) for record in again)
        seen.extend([host] * any(isinstance(record, ResultRecord) for record in records))

    for seed in range(3):
        RUNS[engine](seed, 4, prepare=release)
    assert len(seen) > 10
