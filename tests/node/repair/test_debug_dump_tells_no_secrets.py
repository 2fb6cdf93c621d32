"""A debug archive helps, and holds no key, no transaction and no record, in whatever encoding."""

from __future__ import annotations

import base64
import errno
import json
import tarfile
from contextlib import closing
from pathlib import Path

import pytest

from medquorum.codec import encode
from node.home import Home
from storage import layout
from storage.journal import MempoolJournal
from storage.kv import Batch, prefix_end
from storage.lock import DataDirLock
from storage.vault import VaultDirectory
from tests.support.canaries import encodings
from tests.support.cli import ok, run
from tests.support.stopped_home import make_stopped_home, opened

CANARY = b"Canary Patient 1979-03-01 ICD F32.2 \xc3\xa4 #4711"
SEED = bytes(range(7, 39))


def dumped(home: Home, tmp_path: Path) -> dict[str, bytes]:
    """The files of an archive, by name."""
    target = tmp_path / "debug.tar.gz"
    ok("debug", "dump", target, "--home", home.root)
    assert target.stat().st_mode & 0o777 == 0o600
    with tarfile.open(target) as archive:
        found = {}
        for member in archive.getmembers():
            stream = archive.extractfile(member)
            assert stream is not None
            found[member.name.removeprefix("medquorum-debug/")] = stream.read()
    return found


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A home with a canary in every place that holds something that must not leave it."""
    place = make_stopped_home(tmp_path)
    place.node_key.parent.mkdir()
    for key in (place.node_key, place.validator_key, place.gateway_key, place.gateway_kem):
        key.write_text(json.dumps({"seed": SEED.hex(), "b64": base64.b64encode(SEED).decode()}))
    for blob in (CANARY, SEED):
        VaultDirectory(place.vault / "blobs").put(blob)
    (place.vault / "envelopes" / CANARY.hex()).write_bytes(CANARY)
    with closing(MempoolJournal(place.mempool)) as journal:
        journal.append([CANARY, SEED])
        journal.sync()
    place.log.mkdir()
    lines: list[bytes] = [
        json.dumps({"event": "kept", "height": 7, "peer": "02" * 33}).encode(),
        json.dumps({"event": "x", "patient": CANARY.decode(), "detail": CANARY.decode()}).encode(),
        json.dumps({"event": "x", "detail": f"key {SEED.hex()}", "txid": CANARY.decode()}).encode(),
        json.dumps({"event": "x", "reason": {"deep": CANARY.decode()}}).encode(),
        b"plain " + CANARY,
        b"\xff\xfe" + SEED,
    ]
    lines += [b'{"event": "x", "detail": "' + base64.b64encode(SEED) + b'"}']
    (place.log / "node.log").write_bytes(b"\n".join(lines))
    (place.root / "passphrase").write_bytes(CANARY)
    return place


def test_no_canary_leaves_the_home_in_any_encoding(home: Home, tmp_path: Path) -> None:
    files = dumped(home, tmp_path)
    everything = b"\n".join([name.encode() + b"\n" + data for name, data in files.items()])
    for secret in (CANARY, SEED):
        for encoded in encodings(secret):
            assert encoded not in everything
            assert encoded[:24] not in everything
    with opened(home) as kv:
        for prefix in (layout.TRANSACTIONS, layout.STATE, layout.EVENTS):
            for _, value in kv.scan(prefix, prefix_end(prefix)):
                if len(value) >= 24:
                    assert value.hex().encode() not in everything
                    assert value not in everything
                    assert encode(value) not in everything


def test_what_helps_is_there(home: Home, tmp_path: Path) -> None:
    files = dumped(home, tmp_path)
    tip = json.loads(files["chain.json"])
    assert (tip["tip"], len(tip["blocks"])) == (8, 8)
    assert "governance" in tip["sub_roots"]
    assert json.loads(files["votes.json"])["consensus_log"]["records"] == {"HaltedRecord": 1}
    assert json.loads(files["config.json"])["rpc.port"]["value"] == 29651
    assert json.loads(files["data.json"])["vault"]["files"] == 6
    lines = files["log/0.jsonl"].split(b"\n")
    assert json.loads(lines[0]) == {"event": "kept", "height": 7, "peer": "02" * 33}
    # The plain line, and the three that the line breaks of the bytes make of the last one but one.
    assert json.loads(lines[-2]) == {"lines_left_out": 4}


def test_a_damaged_node_can_be_dumped_and_a_running_one_is_asked(
    home: Home, tmp_path: Path
) -> None:
    with DataDirLock(home.data):
        files = dumped(home, tmp_path)
    assert {"status.json.error", "metrics.txt.error"} <= set(files)
    (home.chain / "CURRENT").write_bytes(b"rot\n")
    home.sign_state.write_bytes(b"rot")
    home.consensus_log.write_bytes(b"rot")
    (tmp_path / "again").mkdir()
    files = dumped(home, tmp_path / "again")
    assert b"does not open" in files["chain.txt"]
    assert "DamagedSignStateError" in str(json.loads(files["votes.json"]))


def test_an_archive_that_is_there_is_not_overwritten(home: Home, tmp_path: Path) -> None:
    target = tmp_path / "there.tar.gz"
    target.write_bytes(b"mine")
    assert run("debug", "dump", target, "--home", home.root).exit_code == 78
    assert target.read_bytes() == b"mine"


def test_it_is_made_also_of_a_database_that_does_not_open(tmp_path: Path) -> None:
    home = make_stopped_home(tmp_path)
    with opened(home) as kv:
        batch = Batch()
        batch.put(layout.FORMAT, layout.pack_height(99))
        kv.write(batch, sync=True)
    assert b"FormatError" in dumped(home, tmp_path)["chain.txt"]


def test_none_is_left_that_the_disk_has_cut_short(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = make_stopped_home(tmp_path)

    def full(*_args: object) -> None:
        raise OSError(errno.ENOSPC, "no space left")

    monkeypatch.setattr(tarfile.TarFile, "addfile", full)
    result = run("debug", "dump", tmp_path / "debug.tar.gz", "--home", home.root)
    assert (result.exit_code, (tmp_path / "debug.tar.gz").exists()) == (73, False)
