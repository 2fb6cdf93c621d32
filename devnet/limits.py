"""The named limits of development networks."""

from __future__ import annotations

from typing import Final

PORTS_PER_NODE: Final = 10
"""Distance between the first ports of two nodes; three are used, the rest is for what may come."""
PORT_TRIES_MAX: Final = 8
"""New blocks of free ports that are tried when somebody takes one between looking and binding."""
READY_S: Final = 30.0
"""Within this time all nodes that were started must be ready."""
STOP_S: Final = 10.0
"""Within this time a node that got SIGTERM must have ended; then it is killed, with a warning."""
GONE_S: Final = 5.0
"""Within this time the kernel must have ended a process that got SIGKILL."""
POLL_S: Final = 0.05
"""Pause between two looks at something that cannot tell us by itself."""
REQUEST_S: Final = 2.0
"""Patience with one small request to a node on this machine."""
TAIL_LINES: Final = 15
"""Lines of a log that are shown when a node does not start."""
