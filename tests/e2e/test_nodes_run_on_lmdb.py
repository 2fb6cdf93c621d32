"""A network whose nodes keep their chains in LMDB: blocks, a kill, the tools of a stopped node, and
a way from one kind of database to the other, over real processes.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from devnet.network import Network
from node.home import Home
from storage.backends import backend_of
from tests.support.cli import ok, run
from tests.support.network import (
    WAIT_S,
    assert_agreement,
    cheap_transaction,
    client_of,
    height_of,
    running_network,
)

pytest.importorskip("lmdb", reason="LMDB is an extra")
pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

CONFIG: dict[str, object] = {"storage.backend": "lmdb", "storage.keep_versions": 5}


def commit(network: Network, count: int) -> list[bytes]:
    """Have so many transactions committed, one after the other; their ids."""
    ids: list[bytes] = []
    with client_of(network, 0) as client:
        for number in range(count):
            at = height_of(network.nodes[0])
            tx = cheap_transaction(network, height=at, org=number % len(network.nodes))
            assert client.submit(tx, wait="committed", timeout_s=WAIT_S).code == "ok"
            ids.append(tx.id)
    return ids


def set_backend(home: Home, backend: str) -> None:
    text = home.config_file.read_text()
    home.config_file.write_text(text.replace('backend = "lmdb"', f'backend = "{backend}"'))


@pytest.mark.engines("pbft", why="the database knows no engine")
def test_a_network_on_lmdb_loses_nothing_and_its_tools_work(tmp_path: Path) -> None:
    backups = tmp_path / "backups"
    backups.mkdir()
    with running_network(tmp_path, config=CONFIG | {"backup.directory": str(backups)}) as network:
        last = network.nodes[-1]
        home = network.directory.node(last.index)
        kept = commit(network, 6)
        network.kill(last)
        kept += commit(network, 6)
        network.start([last])
        network.wait_ready([last])
        assert_agreement(network)
        with client_of(network, last.index) as client:
            for tx_id in kept:
                assert client.receipt(tx_id).tx_id == tx_id
        ok("backup", "--ops", last.ops_url)
        network.stop([last])
        assert backend_of(home.chain) == "lmdb"
        ok("verify", "--deep", "--home", home.root)
        ok("migrate", "--check", "--home", home.root)
        shown = json.loads(ok("compact", "--json", "--home", home.root))
        assert shown["bytes_after"] <= shown["bytes_before"]

        set_backend(home, "leveldb")
        refused = run("verify", "--home", home.root)
        assert (refused.exit_code, "of the kind lmdb" in refused.stderr) == (78, True)
        assert backend_of(home.chain) == "lmdb"
        home.chain.rename(tmp_path / "moved")
        ok("restore", backups, "--home", home.root)
        assert backend_of(home.chain) == "leveldb"
        network.start([last])
        network.wait_ready([last])
        assert_agreement(network)
