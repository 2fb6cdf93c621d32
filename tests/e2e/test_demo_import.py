"""The importer against four real nodes: killed in the middle and run again, each record is on the
chain once, and in the vault of its hospital.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from devnet.layout import CHECKOUT
from devnet.network import Network
from devnet.people import enrol
from medquorum import genesis as genesis_file
from medquorum.client import Client
from medquorum.keyfile import save_devnet_key
from medquorum.quorum import EngineName
from node.fhir.journal import Journal
from tests.support.network import running_network

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

SAMPLE = CHECKOUT / "devnet" / "sample" / "fhir"


def hospitals_file(network: Network, folder: Path) -> Path:
    """The description of the hospitals, with their keys."""
    (folder / "genesis.json").write_bytes(genesis_file.dump(network.genesis))
    text = 'genesis = "genesis.json"\n'
    for node in network.nodes:
        for actor in ("gateway", "registrar"):
            key = network.keys.actor(node.org, actor)
            save_devnet_key(folder / f"{node.org}-{actor}.json", key, purpose="actor")
        text += (
            f'[[hospital]]\nname = "{node.org}"\norg = "{network.keys.org_id(node.org).hex()}"\n'
            f'rpc = "{node.url}"\nkey = "{node.org}-gateway.json"\n'
            f'registrar_key = "{node.org}-registrar.json"\n'
        )
    (folder / "hospitals.toml").write_text(text)
    return folder / "hospitals.toml"


def start_import(file: Path) -> subprocess.Popen[str]:
    """The command; its progress can be read."""
    return subprocess.Popen(
        [sys.executable, "-m", "node.cli.main", "import", "fhir", SAMPLE, "--hospitals", file],
        cwd=CHECKOUT,
        env=os.environ | {"PYTHONPATH": f"{CHECKOUT}:{CHECKOUT / 'sdk' / 'python'}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


async def _enrolled(network: Network) -> None:
    async with Client(network.nodes[0].url, genesis=network.genesis) as client:
        await enrol(network, client)
        tip = (await client.status()).height
    for node in network.nodes:
        async with Client(node.url, genesis=network.genesis) as client:
            await client.state("records", bytes(33), min_height=tip)


async def _on_chain(network: Network, pids: set[bytes]) -> dict[bytes, bytes]:
    """The records of these pseudonyms and their commitments' hashes, by one node."""
    found: dict[bytes, bytes] = {}
    async with Client(network.nodes[3].url, genesis=network.genesis) as client:
        for pid in pids:
            cursor = ""
            while True:
                page = (await client.query("rec.of_patient", pid=pid, cursor=cursor)).result
                assert isinstance(page, dict)
                for item in page["items"]:
                    found[bytes.fromhex(item["rec_id"])] = bytes.fromhex(item["head"]["ct_hash"])
                cursor = page["next_cursor"]
                if not cursor:
                    break
    return found


def test_killed_in_the_middle_each_record_is_on_the_chain_once(
    tmp_path: Path, engine: EngineName
) -> None:
    with running_network(tmp_path, engine=engine) as network:
        asyncio.run(_enrolled(network))
        file = hospitals_file(network, tmp_path)
        killed = start_import(file)
        assert killed.stderr is not None
        for line in killed.stderr:
            if "records" in line and " 0 records" not in line:
                break
        killed.send_signal(signal.SIGKILL)
        killed.communicate()
        resumed = start_import(file)
        output, errors = resumed.communicate(timeout=120)
        assert resumed.returncode == 0, errors
        assert "refused" not in output
        again = start_import(file)
        output, errors = again.communicate(timeout=120)
        assert (again.returncode, output.split(" in ")[0]) == (0, "0 records"), errors

        journal = Journal(tmp_path / "hospitals.journal", network.genesis.chain_id())
        rows = [row for row, _, height in journal.records() if height is not None]
        journal.close()
        on_chain = asyncio.run(_on_chain(network, {row.pid for row in rows}))
        assert len(rows) == 806
        assert {row.rec_id for row in rows} == set(on_chain)
        for node in network.nodes:
            org = network.keys.org_id(node.org)
            held = {path.name for path in network.directory.node(node.index).vault.rglob("*")}
            own = {on_chain[row.rec_id].hex() for row in rows if row.hospital == org}
            assert len(own) > 0
            assert all(any(ct_hash in name for name in held) for ct_hash in own)
