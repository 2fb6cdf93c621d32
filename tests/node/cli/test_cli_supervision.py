"""A service manager and a person learn how the daemon is, and a hung daemon does not look alive."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from msgspec.structs import replace
from typing_extensions import override

from node.cli.sdnotify import REFRESH_SECONDS, Watchdog, ask_readiness, interval_s, notify
from node.cli.status import Fetching, NodeStatus, Peer, Syncing, complaints_about
from tests.support.cli import run
from tests.support.ports import free_ports

READY = b'{"ready": true, "failed_checks": [], "warnings": []}'
UNREADY = b'{"ready": false, "failed_checks": [{"component": "sync", "reason": "9 behind"}]}'
WELL = NodeStatus(
    node="01",
    chain_id="02",
    chain_name="c",
    height=5,
    time_ms=1,
    round=0,
    phase="idle",
    role="validator",
    version="0",
)


@contextmanager
def manager(path: Path) -> Iterator[socket.socket]:
    """A service manager's socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(path))
        listening.settimeout(10)
        yield listening


@contextmanager
def answering(status: int, body: bytes) -> Iterator[int]:
    """A server that answers everything alike; its port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        @override
        def log_message(self, format: str, *args: object) -> None:
            """Nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


def test_what_is_said_arrives_as_lines(tmp_path: Path) -> None:
    with manager(tmp_path / "notify") as listening:
        environment = {"NOTIFY_SOCKET": str(tmp_path / "notify")}
        assert notify(environment, READY="1", STATUS="height 5")
        assert listening.recv(1000) == b"READY=1\nSTATUS=height 5"


def test_an_abstract_socket_is_found() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind("")
        name = listening.getsockname()
        assert notify({"NOTIFY_SOCKET": "@" + name[1:].decode()}, READY="1")
        listening.settimeout(10)
        assert listening.recv(1000) == b"READY=1"


@pytest.mark.parametrize("environment", [{}, {"NOTIFY_SOCKET": "/nowhere/at/all"}])
def test_without_a_service_manager_nothing_happens(environment: dict[str, str]) -> None:
    assert not notify(environment, READY="1")


def test_the_watchdog_is_fed_three_times_as_often_as_needed() -> None:
    assert interval_s({"WATCHDOG_USEC": "30000000"}) == pytest.approx(10)
    assert interval_s({}) == REFRESH_SECONDS
    assert interval_s({"WATCHDOG_USEC": "soon"}) == REFRESH_SECONDS


def test_a_daemon_that_answers_is_alive_also_while_it_is_not_ready() -> None:
    with answering(200, READY) as port:
        assert ask_readiness("127.0.0.1", port) == "ready"
    with answering(503, UNREADY) as port:
        assert ask_readiness("127.0.0.1", port) == "not ready: sync: 9 behind"


@pytest.mark.parametrize("body", [b"", b"<html>", b"[1]", b'{"failed_checks": [4]}', b'"ready"'])
def test_what_is_no_answer_of_ours_is_none(body: bytes) -> None:
    with answering(200, body) as port:
        assert ask_readiness("127.0.0.1", port) is None


def test_a_daemon_that_does_not_answer_is_not_alive() -> None:
    (port,) = free_ports(1)
    assert ask_readiness("127.0.0.1", port) is None


def test_the_watchdog_goes_on_only_while_the_daemon_answers(tmp_path: Path) -> None:
    answers: list[str | None] = ["ready", None, "ready again"]
    asked = threading.Event()

    def ask() -> str | None:
        if not answers:
            asked.set()
            return None
        return answers.pop(0)

    with manager(tmp_path / "notify") as listening:
        environment = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "3000"}
        watchdog = Watchdog(environment, ask)
        watchdog.ready()
        assert asked.wait(10)
        watchdog.stop()
        said = [listening.recv(1000) for _ in range(4)]
        assert said == [
            b"READY=1\nSTATUS=started",
            b"WATCHDOG=1\nSTATUS=ready",
            b"WATCHDOG=1\nSTATUS=ready again",
            b"STOPPING=1\nSTATUS=stopping",
        ]


def test_a_node_that_follows_is_well() -> None:
    peers = (Peer("01", connected=True), Peer("02"))
    assert complaints_about(replace(WELL, peers=peers)) == []
    assert complaints_about(WELL) == []


@pytest.mark.parametrize(
    ("found", "complaint"),
    [
        (replace(WELL, halted="diverged"), "halted: diverged"),
        (replace(WELL, syncing=Syncing(120, 900)), "syncing 120/900 (780 behind) 13 %"),
        (
            replace(WELL, syncing=Syncing(120, 900, 12.0, 65.0, ("ab" * 33,))),
            (
                "syncing 120/900 (780 behind) 13 %, 12 blocks/s, 0:01:05 left,"
                " without abababababababab, who did not answer"
            ),
        ),
        (
            replace(WELL, snapshot=Fetching(800, 38, 12)),
            "fetching the snapshot of height 800: 12 of 38 chunks",
        ),
        (replace(WELL, peers=(Peer("01"), Peer("02"))), "none of 2 peers is connected"),
    ],
)
def test_what_is_wrong_with_a_node_is_said(found: NodeStatus, complaint: str) -> None:
    assert complaints_about(found) == [complaint]


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [(200, b"<html>", 2), (200, b"{}", 2), (503, b"", 2), (404, b'{"code": "not_found"}', 2)],
)
def test_something_else_on_the_port_is_no_node(status: int, body: bytes, code: int) -> None:
    with answering(status, body) as port:
        assert run("status", "--rpc", f"http://127.0.0.1:{port}").exit_code == code


def test_no_answer_is_exit_code_2() -> None:
    (port,) = free_ports(1)
    assert run("status", "--rpc", f"http://127.0.0.1:{port}").exit_code == 2


def test_an_address_of_another_kind_is_a_usage_error() -> None:
    assert run("status", "--rpc", "file:///etc/passwd").exit_code == 64
