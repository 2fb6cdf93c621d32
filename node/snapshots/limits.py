"""Every limit of snapshots and state sync, in one place."""

from __future__ import annotations

from typing import Final

KIB: Final = 1024
MIB: Final = 1024 * KIB

CHUNK_BYTES_MAX: Final = MIB
CHUNK_BYTES_MIN: Final = 256 * KIB
"""A chunk of the state ends behind this at the first key whose checksum says so: one in CHUNK_CUT.
So a change moves the ends of few chunks, and most of a later snapshot is here already.
"""
CHUNK_CUT: Final = 1_024
CHUNKS_MAX: Final = 65_536
"""Of one snapshot: 16 GiB of state at least."""
HEAD_BYTES_MAX: Final = 16 * MIB
"""The manifest, the certified header and the history of the validators."""

STEP_ENTRIES: Final = 200
"""Read for a snapshot in one go: a millisecond in which commits may wait for the interpreter."""
STEP_REST_S: Final = 0.004
"""Between two such goes. A snapshot may take its time."""

OFFERS_MAX: Final = 8
"""Snapshots that a peer may offer at a time."""
OFFER_WAIT_S: Final = 2.0
"""How long the offers of the connected peers are waited for."""
ANSWER_WAIT_S: Final = 5.0
"""For offers or a head, once asked for."""
PEER_CHUNKS_MAX: Final = 2
"""Chunks asked of one peer at a time: one on its way while the other is being written."""
CHUNKS_IN_FLIGHT_MAX: Final = 12
"""Asked of all peers together: that many chunks are in memory at most."""
RATE_BYTES_MIN: Final = 128 * KIB
"""A second. If all peers together bring less, blocks are worth a try; they are asked for at a like
rate, 512 KiB in 5 s.
"""
PATIENCE_S: Final = 60.0
"""For how long less than RATE_BYTES_MIN may come, in all, before a fetch is given up."""
SLOW_FETCHES_MAX: Final = 5
"""Fetches that were given up for that. Then blocks are fetched instead."""
CHUNK_LATE_S: Final = 5.0
"""After so long the last chunks are asked of a second peer too."""
CHUNK_WAIT_S: Final = 30.0
"""Whoever owes a chunk and gives none for so long is asked no more. A link that carries all that
may be under way within this time, 12 MiB, costs nobody his place.
"""
SLOW_WINDOW_S: Final = 20.0
SLOW_FACTOR: Final = 8
"""Whoever delivers so many times less than another one, in such a window, is asked no more."""
SEARCHES_MAX: Final = 5
"""Times that offers are asked for again because those chosen came to nothing. Then blocks are
fetched instead.
"""
UNFINISHED_MAX: Final = 64
"""Snapshots that were begun and came to nothing, in all: of one true head a peer can make any
number of snapshots, and hand out one chunk of each.
"""
REFUTED_MAX: Final = 64
"""False snapshots that are remembered, so that nobody offers one twice. More are not looked at."""
AHEAD_MIN: Final = 16
"""A snapshot must be so many heights ahead to be worth it."""
PROGRESS_CHUNKS: Final = 64
"""Chunks between two lines of the log."""
