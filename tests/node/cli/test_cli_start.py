"""The daemon refuses to start where it must, says what to do, and stops when it is asked."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from typing import get_args

import pytest

from medquorum.genesis import dump
from medquorum.quorum import EngineName
from node.home import Home
from tests.support.chain import genesis_of
from tests.support.cli import Consortium, found_alone, ok, process, run, started

pytestmark = pytest.mark.e2e


@pytest.fixture
def alone(tmp_path: Path) -> Consortium:
    """A home that could start."""
    return found_alone(tmp_path)


def refused(alone: Consortium, code: int, *complaints: str, flags: tuple[str, ...] = ()) -> None:
    """`start` ends with the code, and says all of this."""
    done = process("start", "--home", alone.home, *flags)
    said = done.stdout + done.stderr
    assert done.returncode == code, said
    for complaint in complaints:
        assert complaint in said
    assert "Traceback" not in said


@pytest.mark.parametrize("engine", get_args(EngineName))
def test_it_starts_tells_its_status_and_stops_at_sigterm(
    tmp_path: Path, engine: EngineName
) -> None:
    alone = found_alone(tmp_path, engine=engine)
    with started(alone.home) as daemon:
        shown = json.loads(ok("status", "--rpc", alone.rpc, "--json"))
        assert (shown["chain_name"], shown["role"]) == ("devnet-alone", "validator")
        assert shown["complaints"] == []
        assert "well" in ok("status", "--rpc", alone.rpc)
        assert daemon.stop() == 0


def test_a_busy_port_is_named_with_the_process_that_holds_it(alone: Consortium) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = str(holder.getsockname()[1])
        mine = f"pid {os.getpid()}"
        refused(alone, 75, f"port {port}", "rpc.port", mine, flags=("--rpc.port", port))


def test_a_home_in_use_names_the_process_that_uses_it(alone: Consortium) -> None:
    with started(alone.home) as daemon:
        pid = f"process {daemon.child.pid}"
        refused(alone, 75, pid, flags=("--rpc.port", "0", "--ops.port", "0"))


def test_a_wrong_value_is_a_fault_of_the_configuration(alone: Consortium) -> None:
    refused(alone, 78, "p2p.port", "flag", flags=("--p2p.port", "many"))
    file = Home(alone.home).config_file
    file.write_text(file.read_text().replace("port = 0", "prot = 0", 1))
    refused(alone, 78, "unknown key p2p.prot", "did you mean p2p.port?")


def test_a_home_that_does_not_exist_names_init(tmp_path: Path) -> None:
    done = process("start", "--home", tmp_path / "none")
    assert done.returncode == 78
    assert "medquorum init" in done.stderr


def test_a_key_file_that_others_can_read_is_refused(alone: Consortium) -> None:
    Home(alone.home).validator_key.chmod(0o640)
    refused(alone, 78, "validator_key.json", "mode 0640", "chmod 600")


def test_a_missing_key_is_named(alone: Consortium) -> None:
    Home(alone.home).node_key.unlink()
    refused(alone, 78, "node_key.json")


def test_plain_keys_open_on_a_development_network_only(tmp_path: Path) -> None:
    refused(found_alone(tmp_path, chain_name="earnest"), 78, "not encrypted")


def test_a_genesis_that_is_none_is_refused(alone: Consortium) -> None:
    genesis = Home(alone.home).genesis_file
    genesis.write_text("{}")
    refused(alone, 78, str(genesis))
    genesis.unlink()
    refused(alone, 78, str(genesis))


def test_the_data_of_another_chain_is_refused(alone: Consortium) -> None:
    with started(alone.home) as daemon:
        assert daemon.stop() == 0
    Home(alone.home).genesis_file.write_bytes(dump(genesis_of(["a", "b", "c", "d"])))
    refused(alone, 78)


def test_a_validator_without_its_sign_state_is_told_what_to_do(alone: Consortium) -> None:
    Home(alone.home).sign_state.unlink()
    refused(alone, 78, "sign_state", "medquorum keys new-sign-state")


def test_a_damaged_sign_state_is_corruption(alone: Consortium) -> None:
    sign_state = Home(alone.home).sign_state
    data = bytearray(sign_state.read_bytes())
    data[-1] ^= 1
    sign_state.write_bytes(data)
    refused(alone, 65, str(sign_state))


def test_below_the_stop_line_of_the_disk_nothing_starts(alone: Consortium) -> None:
    refused(alone, 73, "free", flags=("--disk.stop_bytes", str(10**18)))


def test_the_service_manager_hears_of_it(alone: Consortium, tmp_path: Path) -> None:
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(path))
        manager.settimeout(60)
        environment = {"NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": "300000"}
        with started(alone.home, environment=environment) as daemon:
            assert manager.recv(1000) == b"READY=1\nSTATUS=started"
            assert manager.recv(1000) == b"WATCHDOG=1\nSTATUS=ready"
            assert daemon.stop() == 0
        last = b""
        while not last.startswith(b"STOPPING=1"):
            last = manager.recv(1000)


def account(alone: Consortium) -> str:
    """The fields of an account that the hospital may open."""
    return json.dumps(
        {
            "acct": "0a" * 32,
            "kind": "hospital",
            "org": alone.org,
            "holder": [],
            "kyc_hash": [],
            "daily_limit": 0,
        }
    )


def test_a_transaction_signed_without_a_network_is_committed_and_proven(
    alone: Consortium, tmp_path: Path
) -> None:
    built, signed, receipt = tmp_path / "built", tmp_path / "signed", tmp_path / "receipt"
    api = ("--rpc", alone.rpc)
    with started(alone.home) as daemon:
        trusted = ("--genesis", alone.genesis)
        fields = ("pay.acct.open", account(alone), "--signer", alone.root_key)
        ok("tx", "build", *fields, *api, *trusted, "-o", built)
        ok("tx", "sign", built, "--key", alone.root_key, "--yes", "-o", signed)
        sent = json.loads(ok("tx", "submit", signed, *api, "--json"))
        assert (sent["state"], sent["code"]) == ("committed", "ok")
        tx_id = sent["txid"]
        again = json.loads(ok("tx", "submit", signed, *api, "--json"))
        assert again["txid"] == tx_id and again["state"] == "committed"
        assert json.loads(ok("tx", "wait", tx_id, *api, "--json"))["height"] == sent["height"]
        ok("receipt", tx_id, *api, *trusted, "-o", receipt)
        events = ok("events", *api, "--json", "--type", "pay.account_opened").splitlines()
        assert [json.loads(line)["txid"] for line in events] == [tx_id]
        followed = ok("events", *api, "--follow", "--limit", 1, "--after", "0-0-0")
        assert followed.startswith(json.loads(events[0])["cursor"])
        absent = json.loads(ok("state", "get", "payments", "ff", *api, *trusted, "--json"))
        assert absent["value"] is None
        assert "pay.acct.open" in ok("schema", *api)
        assert json.loads(ok("schema", "pay.acct.open", *api))["fields"][0] == "acct"
        assert "gov." in ok("query", *api)
        assert daemon.stop() == 0
    assert "took effect" in ok("verify-receipt", receipt, *trusted)


def test_a_rejected_transaction_is_exit_code_1_and_its_receipt_says_why(
    alone: Consortium, tmp_path: Path
) -> None:
    api, trusted = ("--rpc", alone.rpc), ("--genesis", alone.genesis)
    with started(alone.home):
        for name, code in (("first", 0), ("second", 1)):
            built, signed = tmp_path / f"{name}.built", tmp_path / f"{name}.signed"
            fields = ("pay.acct.open", account(alone), "--signer", alone.root_key)
            ok("tx", "build", *fields, *api, *trusted, "-o", built)
            ok("tx", "sign", built, "--key", alone.root_key, "--yes", "-o", signed)
            result = run("tx", "submit", signed, *api, "--json")
            assert result.exit_code == code
        status = json.loads(result.stdout)
        assert (status["state"], status["code"]) == ("rejected", "E_DUP")
        receipt = tmp_path / "receipt"
        ok("receipt", status["txid"], *api, *trusted, "-o", receipt)
    assert "changed nothing" in ok("verify-receipt", receipt, *trusted)


def test_a_node_of_another_chain_is_not_believed(alone: Consortium, tmp_path: Path) -> None:
    other = tmp_path / "other.json"
    other.write_bytes(dump(genesis_of(["a", "b", "c", "d"])))
    api, trusted = ("--rpc", alone.rpc), ("--genesis", other)
    with started(alone.home):
        fields = ("pay.acct.open", account(alone), "--signer", alone.root_key)
        built = run("tx", "build", *fields, *api, *trusted)
        assert (built.exit_code, built.stdout) == (65, "")
        read = run("state", "get", "payments", "ff", *api, *trusted)
        assert (read.exit_code, read.stdout) == (65, "")
        refused = run("query", "no.such", *api)
        assert refused.exit_code == 1


def test_an_unreachable_node_is_temporary(alone: Consortium) -> None:
    result = run("query", "id.org", "org=00", "--rpc", alone.rpc, "--timeout", "0.2")
    assert result.exit_code == 75
