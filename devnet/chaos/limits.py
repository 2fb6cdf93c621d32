"""The named limits of histories."""

from __future__ import annotations

from typing import Final

# The proxy.
CHUNK_BYTES: Final = 64 * 1024
"""Most bytes that one read of the proxy takes."""
CHUNKS_HELD: Final = 64
"""Chunks that the proxy holds for one direction of one connection. Beyond them it reads no more, so
that the sender's own buffers fill, as they do on a path that delivers nothing.
"""
CONNECTIONS_MAX: Final = 64
"""Connections of one ordered pair of nodes; the node under test may not use the proxy up."""
CONNECT_S: Final = 2.0
"""Patience with the node that a connection leads to."""
RETRANSMIT_MS: Final = 200.0
"""Least retransmission timeout of Linux' TCP; it doubles with every loss in a row (RFC 6298)."""
RETRANSMITS_MAX: Final = 6

# Scenarios.
NODES_MAX: Final = 16
SECONDS_MAX: Final = 3_600.0
STEPS_MAX: Final = 1_000
TIMES_MAX: Final = 1_000
DELAY_MS_MAX: Final = 60_000.0
LOSS_MAX: Final = 0.9
RATE_MAX: Final = 5_000.0
SKEW_MS_MAX: Final = 24 * 60 * 60 * 1_000

# Clients of registers.
REGISTERS_MAX: Final = 64
CLIENTS_MAX: Final = 64
AMOUNT_MAX: Final = 50
"""Most that one movement puts on a register or takes from it."""
HOLD_S: Final = 2.0
"""How long a node is asked to hold a request until a transaction is final."""
ANSWER_S: Final = 4.0
"""Patience with one request of a client; then it asks the next node for the same thing."""

# Stages.
RECOVER_S: Final = 90.0
"""Within this time after everything was healed all honest nodes must have committed something new.
Dialling backs off to at most 15 s and rounds to 30 s, and several nodes may have to meet.
"""
SETTLE_S: Final = 60.0
"""Within this time after that every transaction must be final, and all nodes at one height."""
CATCH_UP_S: Final = 30.0
"""Patience with a node that is to get to the height of the others before its chain is read."""
PAGE_HEADERS: Final = 100
RECEIPTS_MAX: Final = 300
"""Receipts that are verified of one history, spread over all of it."""
PROBLEMS_SHOWN: Final = 20
LOOK_S: Final = 0.1
"""How often the height of a node is looked at; recovery times are that coarse."""

# Series of kills.
KILL_BATCH_TXS: Final = 4
"""Transactions in one request of the load, which comes through every node at once."""
KILL_READY_S: Final = 120.0
"""Patience with nodes that start: a series runs for long, and machines have other things to do."""
KILL_SETTLE_S: Final = 60.0
"""Within this time after all nodes are ready again, all that was accepted must stand in blocks."""
KILL_RECEIPTS: Final = 40
"""Receipts that are verified in a round."""
