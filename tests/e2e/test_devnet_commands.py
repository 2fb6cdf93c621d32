"""`python -m devnet`, as scripts and people call it: exit codes and what it says."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest

from devnet.layout import CHECKOUT
from devnet.ports import HOST
from medquorum.quorum import EngineName

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]


class Devnet:
    """The command, for networks below one folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def __call__(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "devnet", "--root", str(self.root), *arguments],
            cwd=CHECKOUT,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    def ports(self) -> list[int]:
        shown = json.loads(self("endpoints", "--json").stdout)
        return [node[kind] for node in shown["nodes"] for kind in ("p2p", "rpc", "ops")]


@pytest.fixture
def devnet(tmp_path: Path) -> Iterator[Devnet]:
    command = Devnet(tmp_path)
    yield command
    command("destroy", "-y")


def test_a_network_comes_up_is_disturbed_and_goes_down(devnet: Devnet, engine: EngineName) -> None:
    assert devnet("status").returncode == 3
    first = devnet("up", "--base-port", "0", "--engine", engine)
    assert first.returncode == 0, first.stderr
    assert "PUBLIC" in first.stderr
    assert "Try:" in first.stdout
    assert "ready in" in first.stdout
    well = devnet("status")
    assert (well.returncode, well.stdout.count("ready")) == (0, 4)
    assert re.search(rf"^{engine}: node\d leads at height 1, (round|term) \d+$", well.stdout, re.M)

    again = devnet("up")
    assert (again.returncode, again.stdout.splitlines()[0]) == (0, "already running")
    (other,) = set(get_args(EngineName)) - {engine}
    refused = devnet("up", "--engine", other)
    assert refused.returncode == 64
    assert f"the network's engine is {engine}" in refused.stderr

    killed = devnet("kill", "node3")
    assert "pid" in killed.stdout
    assert "3 of 4 validators run, 3 make a quorum" in killed.stdout
    assert devnet("status").returncode == 1
    assert "nothing commits" in devnet("pause", "node2").stdout
    seen = devnet("status", "--json")
    assert seen.returncode == 2
    assert json.loads(seen.stdout)["engine"] == engine
    states = [node["state"] for node in json.loads(seen.stdout)["nodes"]]
    assert states == ["running", "running", "paused", "died"]
    assert devnet("kill", "node3").returncode == 64
    assert devnet("resume", "node2").returncode == 0
    assert devnet("restart", "node3").returncode == 0

    load = devnet("load", "--rate", "40", "--for", "1", "--mix", "transfer=3,refused=1", "--json")
    report = json.loads(load.stdout)
    assert (load.returncode, report["lost"]) == (0, [])
    assert report["committed"] + report["rejected"] == report["accepted"] == 40
    assert report["rejected"] > 0

    assert "ready" in devnet("logs", "--grep", "ready", "node0").stdout
    assert devnet("down").returncode == 0
    assert devnet("status").returncode == 3


@pytest.mark.engines(why="about ports; one validator")
def test_a_port_that_somebody_holds_is_named(devnet: Devnet) -> None:
    assert devnet("up", "-n", "1", "--base-port", "0").returncode == 0
    ports = devnet.ports()
    assert devnet("down").returncode == 0
    with socket.socket() as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((HOST, ports[1]))
        listening.listen()
        refused = devnet("up")
    assert refused.returncode == 75
    assert f"port {ports[1]} is held by" in refused.stderr
    assert "pid" in refused.stderr


@pytest.mark.engines(why="about questions and files; one validator")
def test_what_cannot_be_undone_asks_first(devnet: Devnet) -> None:
    assert devnet("up", "-n", "1", "--base-port", "0").returncode == 0
    assert devnet("load", "--rate", "10", "--for", "1").returncode == 0
    assert devnet("reset").returncode == 64
    assert devnet("reset", "-y").returncode == 0
    assert devnet("up").returncode == 0
    seen = json.loads(devnet("status", "--json").stdout)
    assert seen["nodes"][0]["status"]["height"] == 0
    assert devnet("destroy").returncode == 64
    assert devnet("destroy", "-y").returncode == 0
    assert devnet("status").returncode == 3
