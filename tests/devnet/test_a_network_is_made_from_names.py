"""Manifests, keys, ports and processes: what a development network is made from."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from devnet import api
from devnet.errors import BusyError, ManifestError, NoNetworkError, PortsBusyError, StateError
from devnet.health import (
    Health,
    NetworkHealth,
    NodeHealth,
    arithmetic,
    leadership,
    tolerance,
)
from devnet.keys import DevnetKeys
from devnet.layout import NetworkDir
from devnet.loadbook import percentile
from devnet.manifest import DEFAULT_FILE, load_manifest
from devnet.netfile import NodeInfo
from devnet.network import Network
from devnet.ports import HOST, Ports, free_block, require_free
from devnet.processes import ProcessId, RunState, recall, remember
from devnet.signing import Kind, parse_mix
from medquorum.quorum import EngineName, quorum
from tests.support.ports import claim


def test_the_same_names_give_the_same_keys_and_other_names_others() -> None:
    ours, again, other = DevnetKeys("one"), DevnetKeys("one"), DevnetKeys("two")
    assert ours.node(0).public == again.node(0).public
    made = [
        ours.node(0).public,
        ours.node(1).public,
        ours.validator(0).public,
        ours.org("hospital-a").public,
        ours.actor("hospital-a", "clinician").public,
        other.node(0).public,
    ]
    assert len(set(made)) == len(made)


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ('kind = "hospital"', 'kind = "clinic"', "clinic"),
        ("validators = 4", "validatrs = 4", "validatrs"),
        ('name = "hospital-b"', 'name = "hospital-a"', "twice"),
        ('roles = ["mint_authority"]', 'roles = ["clinician"]', "cannot make anybody"),
        ("base_port = 29650", "base_port = 65530", "ports"),
        ('engine = "pbft"', 'engine = "paxos"', "paxos"),
        ('name = "default"', 'name = "../up"', "name"),
    ],
)
def test_a_wrong_manifest_is_refused_by_name(
    tmp_path: Path, old: str, new: str, complaint: str
) -> None:
    text = DEFAULT_FILE.read_text("utf-8")
    assert old in text
    file = tmp_path / "wrong.toml"
    file.write_text(text.replace(old, new), "utf-8")
    with pytest.raises(ManifestError, match=complaint):
        load_manifest(file)


def test_a_network_is_made_once_and_opened_as_it_was_made(tmp_path: Path) -> None:
    directory = NetworkDir(tmp_path / "net")
    with pytest.raises(NoNetworkError):
        Network.open(directory)
    made = Network.create(directory, load_manifest(DEFAULT_FILE, base_port=0), now_ms=1)
    opened = Network.open(directory)
    assert (opened.nodes, opened.chain_id) == (made.nodes, made.chain_id)
    assert opened.genesis.chain_id().hex() == made.chain_id
    assert opened.genesis.chain_name.startswith("devnet-")
    with pytest.raises(StateError, match="already"):
        Network.create(directory, opened.manifest, now_ms=1)
    for node in opened.nodes:
        key = directory.node(node.index).validator_key
        assert key.stat().st_mode & 0o777 == 0o600


def test_a_key_that_no_node_knows_makes_no_network(tmp_path: Path) -> None:
    manifest = load_manifest(DEFAULT_FILE, base_port=0)
    directory = NetworkDir(tmp_path / "net")
    for wrong in (
        msgspec.structs.replace(manifest, params={"tx.no_such_parameter": 1}),
        msgspec.structs.replace(manifest, config={"p2p.prt": 1}),
        msgspec.structs.replace(manifest, config={"consensus.round_ms": -1}),
    ):
        with pytest.raises(ManifestError):
            Network.create(directory, wrong, now_ms=1)
        with pytest.raises(NoNetworkError):
            Network.open(directory)


def test_a_busy_port_is_named_with_its_holder() -> None:
    with socket.socket() as listening:
        listening.bind((HOST, 0))
        listening.listen()
        port = listening.getsockname()[1]
        with pytest.raises(PortsBusyError, match=rf"port {port} is held by .*pid \d+"):
            require_free([port])


def test_a_free_block_is_free_as_a_whole() -> None:
    base = free_block(4)
    require_free(port for index in range(4) for port in Ports.of(base, index).all())


def test_a_port_that_one_test_was_given_is_given_to_no_test_of_another_process() -> None:
    other = "from tests.support.ports import free_ports; print(*free_ports(2), flush=True); input()"
    command = [sys.executable, "-P", "-c", other]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, text=True
    ) as child:
        assert child.stdout is not None
        ports = [int(port) for port in child.stdout.readline().split()]
        assert len(ports) == 2
        require_free(ports)
        assert not any(claim(port) for port in ports)
        child.communicate("")
    assert all(claim(port) for port in ports)


def test_a_recycled_pid_is_never_signalled(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        real = ProcessId.of(child.pid)
        assert real is not None
        for stranger in (
            msgspec.structs.replace(real, started_ticks=real.started_ticks - 1),
            msgspec.structs.replace(real, boot="another boot"),
        ):
            remember(tmp_path / "pid.json", stranger)
            remembered = recall(tmp_path / "pid.json")
            assert remembered is not None
            assert remembered.state() is RunState.DIED
            assert not remembered.signal(signal.SIGKILL)
        assert real.state() is RunState.RUNNING
        assert child.poll() is None
        assert real.signal(signal.SIGKILL)
    assert not real.alive


def test_a_damaged_pid_file_names_nobody(tmp_path: Path) -> None:
    file = tmp_path / "pid.json"
    file.write_text("{")
    assert recall(file) is None


def test_a_network_is_changed_by_one_command_at_a_time(tmp_path: Path) -> None:
    directory = NetworkDir(tmp_path / "net")
    with directory.locked(), pytest.raises(BusyError, match="changing"), directory.locked():
        pytest.fail("two commands held the lock")
    with directory.locked():
        assert directory.path.is_dir()


@given(engine=st.sampled_from(get_args(EngineName)), total=st.integers(1, 100), data=st.data())
def test_the_arithmetic_says_what_the_quorum_says(
    engine: EngineName, total: int, data: st.DataObject
) -> None:
    voting = data.draw(st.integers(0, total))
    commits = "transactions commit" in arithmetic(engine, voting, total)
    assert commits == (voting >= quorum(engine, total))


def test_only_one_of_the_engines_is_said_to_withstand_lies() -> None:
    assert "3 make a quorum; 1 of them may fail in any way, even lie" in tolerance("pbft", 4)
    assert "3 make a quorum; 1 of them may crash, and none may lie" in tolerance("raft", 4)
    assert "2 make a quorum; 1 of them may crash, and none may lie" in tolerance("raft", 3)


def test_the_foremost_node_tells_who_leads_and_whether_that_one_runs() -> None:
    def seen(views: list[api.ConsensusView | None], state: RunState) -> NetworkHealth:
        nodes = [
            NodeHealth(
                NodeInfo(index, "org", 1, 2, 3, f"n{index}", f"v{index}", vault=False),
                state if index == 2 else RunState.RUNNING,
                None,
                None,
                view,
                ready=True,
                problem="",
            )
            for index, view in enumerate(views)
        ]
        return NetworkHealth("raft", tuple(nodes), Health.HEALTHY)

    old, new = api.ConsensusView(5, 0, "idle", "v0"), api.ConsensusView(5, 1, "idle", "v2")
    nobody = api.ConsensusView(5, 1, "candidate", "")
    views = [old, None, nobody, new]
    assert leadership(seen(views, RunState.RUNNING)) == "raft: node2 leads at height 5, term 1"
    assert leadership(seen(views, RunState.PAUSED)).endswith("term 1, but does not run (paused)")
    assert leadership(seen([old, nobody], RunState.RUNNING)).startswith("raft: nobody leads")
    assert "no node tells" in leadership(seen([None], RunState.RUNNING))


@pytest.mark.parametrize("engine", get_args(EngineName))
def test_the_engine_of_a_manifest_is_that_of_the_chain(tmp_path: Path, engine: EngineName) -> None:
    directory = NetworkDir(tmp_path / "net")
    manifest = load_manifest(DEFAULT_FILE, base_port=0, engine=engine)
    made = Network.create(directory, manifest, now_ms=1)
    assert (made.engine, made.genesis.engine) == (engine, engine)
    assert Network.open(directory).engine == engine


@given(st.lists(st.floats(0, 1e6), min_size=1), st.floats(0.1, 100))
def test_a_percentile_has_its_share_at_or_below_it(sample: list[float], percent: float) -> None:
    ordered = [round(value, 2) for value in sorted(sample)]
    found = percentile(ordered, percent)
    assert found in ordered
    assert sum(value <= found for value in ordered) >= percent / 100 * len(ordered) - 1e-6


def test_a_mix_is_read_or_refused() -> None:
    assert parse_mix("transfer=8, account=2") == {Kind.TRANSFER: 8, Kind.ACCOUNT: 2}
    for wrong in ("", "transfer", "transfer=x", "nothing=1", "transfer=0"):
        with pytest.raises(ValueError, match=r"\w"):
            parse_mix(wrong)
