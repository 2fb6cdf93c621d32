"""Tells the service manager how the daemon is doing (sd_notify of systemd).

READY once every port is bound, STATUS for people, STOPPING at the end. WATCHDOG only while the
daemon answers on its operations port: so a hung event loop is restarted, which a timer of our own
could not notice. Without NOTIFY_SOCKET nothing is sent.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Mapping
from http.client import HTTPConnection, HTTPException
from typing import Final

import msgspec

PROBE_SECONDS: Final = 5.0
"""How long the daemon has to answer."""
REFRESH_SECONDS: Final = 10.0
"""How often STATUS is refreshed where no watchdog is asked for."""
_ANSWER_BYTES_MAX: Final = 64 * 1024
_MICROSECONDS: Final = 1_000_000


class _Check(msgspec.Struct, frozen=True):
    component: str
    reason: str


class _Readiness(msgspec.Struct, frozen=True):
    failed_checks: list[_Check]


def notify(environment: Mapping[str, str], **state: str) -> bool:
    """Send READY="1" and the like. False if nobody listens; never raises."""
    address = environment.get("NOTIFY_SOCKET", "")
    if address == "":
        return False
    message = "\n".join(f"{name}={value}" for name, value in state.items()).encode()
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
            # A leading @ stands for the NUL of the abstract name space.
            sender.connect("\0" + address[1:] if address.startswith("@") else address)
            sender.sendall(message)
    except OSError:
        return False
    return True


def interval_s(environment: Mapping[str, str]) -> float:
    """A third of the time after which the service manager gives us up."""
    given = environment.get("WATCHDOG_USEC", "")
    asked = int(given) if given.isdecimal() else 0
    return asked / _MICROSECONDS / 3 if asked > 0 else REFRESH_SECONDS


def ask_readiness(host: str, port: int) -> str | None:
    """One line about the daemon from its /readyz, or None if it does not answer."""
    connection = HTTPConnection(host, port, timeout=PROBE_SECONDS)
    try:
        connection.request("GET", "/readyz")
        body = connection.getresponse().read(_ANSWER_BYTES_MAX)
        failed = msgspec.json.decode(body, type=_Readiness).failed_checks
    except (OSError, HTTPException, msgspec.DecodeError, UnicodeDecodeError):
        return None
    finally:
        connection.close()
    reasons = [f"{check.component}: {check.reason}" for check in failed]
    return "not ready: " + "; ".join(reasons) if reasons else "ready"


class Watchdog:
    """A thread that asks the daemon how it is, and passes it on for as long as it answers."""

    def __init__(self, environment: Mapping[str, str], ask: Callable[[], str | None]) -> None:
        self._environment = environment
        self._ask = ask
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)

    def ready(self) -> None:
        """Say that the daemon is up, and keep an eye on it from now on."""
        if notify(self._environment, READY="1", STATUS="started"):
            self._thread.start()

    def stop(self) -> None:
        """Say that the daemon ends. Harmless if it was never ready."""
        self._ended.set()
        notify(self._environment, STOPPING="1", STATUS="stopping")
        if self._thread.is_alive():
            self._thread.join(timeout=PROBE_SECONDS)

    def _run(self) -> None:
        pause = interval_s(self._environment)
        while not self._ended.wait(pause):
            status = self._ask()
            if status is not None:
                notify(self._environment, WATCHDOG="1", STATUS=status)
