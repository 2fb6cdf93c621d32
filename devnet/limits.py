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

# Load.
BATCH_TXS: Final = 500
"""Most transactions that load sends in one request."""
TICK_S: Final = 0.005
"""Least time between two looks at what is due, so that a high rate is sent in batches."""
REQUESTS_MAX: Final = 256
"""Requests of load under way at once. What is due beyond them waits, and its waiting counts."""
SIGN_AHEAD_S: Final = 1.0
"""How much of the load is signed before it is due."""
SIGN_CHUNKS: Final = 4
SUBMIT_S: Final = 5.0
"""Patience with a node that takes a batch; then the batch goes to the next node."""
FOLLOW_S: Final = 2.0
"""How long a node is asked to hold the request for the next block."""
LOOK_S: Final = 1.0
"""How often load looks whether what is left waits for a node that is down."""
DRAIN_S: Final = 60.0
"""Within this time after the last one was sent, everything must be final."""
