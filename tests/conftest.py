"""What holds for every test: it talks to this machine only, and tests of networks take turns."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterator

import pytest
from blockbuster import BlockBuster, blockbuster_ctx


def _is_local(address: object) -> bool:
    match address:
        case str() | bytes():
            return True  # a Unix socket
        case (str(host), *_):
            return host == "localhost" or ipaddress.ip_address(host).is_loopback
        case _:
            return False


@pytest.fixture(autouse=True, scope="session")
def loopback_only() -> Iterator[None]:
    """Refuse connections that leave the machine. Holds in this process, not in those it starts."""
    connect, connect_ex = socket.socket.connect, socket.socket.connect_ex

    def guarded_connect(self: socket.socket, address: object) -> None:
        if not _is_local(address):
            raise PermissionError(f"a test may not connect to {address!r}")
        connect(self, address)  # type: ignore[arg-type]  # any address, as it came

    def guarded_connect_ex(self: socket.socket, address: object) -> int:
        if not _is_local(address):
            raise PermissionError(f"a test may not connect to {address!r}")
        return connect_ex(self, address)  # type: ignore[arg-type]  # any address, as it came

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", guarded_connect)
        patch.setattr(socket.socket, "connect_ex", guarded_connect_ex)
        yield


@pytest.fixture
def no_blocking() -> Iterator[BlockBuster]:
    """Make a call of ours, or of the test, that blocks the event loop raise BlockingError."""
    rooms = ["medquorum", "consensus", "storage", "p2p", "node", "tests"]
    with blockbuster_ctx(rooms) as blockbuster:
        yield blockbuster


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests that start networks on one worker: side by side they starve each other."""
    for item in items:
        if item.get_closest_marker("e2e"):
            item.add_marker(pytest.mark.xdist_group("e2e"))
