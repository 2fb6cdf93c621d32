"""Free ports of this machine, for tests beside which other tests run."""

from __future__ import annotations

import fcntl
import os
import random
import tempfile
from functools import cache
from pathlib import Path
from typing import Final

from devnet.ports import fixed_ports, is_free

_TRIES: Final = 200
_given: set[int] = set()


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on just now, all different, and that no other test is given.

    Between the moment a test learns a port and the moment its daemon listens there, seconds may
    pass. So a port is claimed until this process ends, and is none that the kernel would take for
    a connection going out or for somebody who asked for any port.
    """
    return [_claimed_port() for _ in range(count)]


def _claimed_port() -> int:
    draw = random.SystemRandom()
    for _ in range(_TRIES):
        port = draw.choice(fixed_ports())
        if port not in _given and claim(port) and is_free(port):
            _given.add(port)
            return port
    raise AssertionError(f"none of {_TRIES} ports of this machine was free")


def claim(port: int) -> bool:
    """Take the lock on byte `port` of a file that all test processes of this user share."""
    claims = _claims()
    try:
        fcntl.lockf(claims, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
    except BlockingIOError:
        return False
    return True


@cache
def _claims() -> int:
    path = Path(tempfile.gettempdir()) / f"medquorum-test-ports-{os.getuid()}"
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
