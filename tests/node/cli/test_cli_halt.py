"""A halt ends by an operator's word, said in full, at a node that does not run."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

import pytest

from consensus.messages import (
    AcceptedRecord,
    CommittedRecord,
    HaltedRecord,
    LogRecord,
    ReleasedRecord,
    decode_record,
    encode_record,
)
from consensus.pbft.engine import PbftEngine
from consensus.raft.messages import TermRecord
from node.errors import IdentityError
from node.halts import release, standing
from node.home import Home
from storage.lock import DataDirLock
from storage.wal import WriteAheadLog
from tests.support.cli import ok, run
from tests.support.engine_world import (
    CHAIN_ID,
    TestSigner,
    genesis_started,
    public_key,
    validator_set,
    verify,
)
from tests.support.engines import TIMING

BLOCK, RESULT = b"B" * 32, b"R" * 32
HALTED = HaltedRecord(9, "divergence", "height 9, another result")


def home_with(tmp_path: Path, *records: LogRecord) -> Home:
    """A home whose log holds these records."""
    home = Home(tmp_path)
    home.data.mkdir(parents=True)
    with closing(WriteAheadLog.open(home.consensus_log)) as log:
        log.append([encode_record(record) for record in records])
    return home


def recorded(home: Home) -> list[LogRecord]:
    """What the log holds now."""
    with closing(WriteAheadLog.open(home.consensus_log)) as log:
        return [decode_record(record) for record in log.records]


@pytest.mark.parametrize(
    ("records", "heights"),
    [
        ((), ()),
        ((AcceptedRecord(4, 0, BLOCK),), ()),
        ((TermRecord(4, 2, ()),), ()),
        ((HALTED,), (9,)),
        ((HALTED, ReleasedRecord(9)), ()),
        ((HALTED, ReleasedRecord(9), HALTED), (9,)),
        ((CommittedRecord(4, 0, BLOCK, RESULT),), (4,)),
        ((CommittedRecord(4, 0, BLOCK, RESULT), ReleasedRecord(4)), ()),
        ((CommittedRecord(4, 0, BLOCK, RESULT), HALTED), (9, 4)),
        ((CommittedRecord(9, 0, BLOCK, RESULT), HALTED), (9,)),
    ],
)
def test_what_binds_can_be_released_and_nothing_else(
    records: tuple[LogRecord, ...], heights: tuple[int, ...]
) -> None:
    assert standing(records).heights == heights


def test_a_release_is_durable_and_lets_the_engine_vote(tmp_path: Path) -> None:
    home = home_with(tmp_path, HALTED)

    def halted() -> str:
        engine = PbftEngine.recover(
            chain_id=CHAIN_ID,
            signer=TestSigner(public_key("v0")),
            verify=verify,
            timing=TIMING,
            started=genesis_started(validator_set(4)),
            records=tuple(recorded(home)),
        )
        return engine.status().halted

    assert halted() == "divergence"
    shown = run("halt", "show", "--home", tmp_path, "--json")
    assert shown.exit_code == 1
    assert json.loads(shown.stdout) == {
        "halted": True,
        "reason": "divergence",
        "height": 9,
        "detail": "height 9, another result",
        "releasable": [9],
    }
    ok("halt", "release", "--home", tmp_path, "--height", 9, "--cause-removed")
    assert recorded(home) == [HALTED, ReleasedRecord(9)]
    assert halted() == ""
    assert "not halted" in ok("halt", "show", "--home", tmp_path)


def test_a_release_without_the_operators_word_is_refused(tmp_path: Path) -> None:
    home = home_with(tmp_path, HALTED)
    refused = run("halt", "release", "--home", tmp_path, "--height", 9)
    assert refused.exit_code == 78
    assert "--cause-removed" in refused.output
    assert recorded(home) == [HALTED]


def test_a_release_of_another_height_is_refused_and_says_which_there_is(tmp_path: Path) -> None:
    home = home_with(tmp_path, HALTED)
    refused = run("halt", "release", "--home", tmp_path, "--height", 8, "--cause-removed")
    assert refused.exit_code == 78
    assert "could be released: 9" in refused.output
    assert recorded(home) == [HALTED]
    with closing(WriteAheadLog.open(home.consensus_log)) as log, pytest.raises(IdentityError):
        release(log, (), 9)


def test_a_node_that_runs_is_not_released(tmp_path: Path) -> None:
    home = home_with(tmp_path, HALTED)
    with DataDirLock(home.data):
        refused = run("halt", "release", "--home", tmp_path, "--height", 9, "--cause-removed")
    assert refused.exit_code == 75
    assert recorded(home) == [HALTED]


def test_a_home_that_has_never_run_is_left_alone(tmp_path: Path) -> None:
    assert run("halt", "show", "--home", tmp_path).exit_code == 78
    assert list(tmp_path.iterdir()) == []
