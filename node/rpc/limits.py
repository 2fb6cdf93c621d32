"""The limits of the HTTP side, beside those that the whole daemon shares (node/limits.py)."""

from __future__ import annotations

from typing import Final

REQUESTS_MAX: Final = 2_000
"""Requests that are being answered at once, waiting ones included. Streams have a limit of their
own."""
REQUEST_SECONDS_MAX: Final = 15.0
"""From the first header to the answer, waits that the client asked for not counted."""
HEADER_BYTES_MAX: Final = 8 * 1024
PARAMS_MAX: Final = 32
HOSTS_KEPT: Final = 64
"""Host headers of which it is remembered whether they name this node."""
BODY_BYTES_OVERHEAD: Final = 64
"""JSON around a transaction, or MessagePack around two byte strings."""
BODY_BYTES_MAX: Final = 64 * 1024
"""A body for which nothing else is said."""

EVENT_SCAN_BLOCKS: Final = 500
"""Blocks that one page of events looks through. A page may be empty and still move the cursor."""
HEARTBEAT_SECONDS: Final = 15.0
STREAM_WRITE_SECONDS: Final = 10.0
"""A client that takes no bytes for this long is closed: it resumes from its last cursor."""
STREAM_CLOSE_SECONDS: Final = 5.0

LARGE_BODY_BYTES: Final = 1024 * 1024
LARGE_BODIES_MAX: Final = 16
"""Bodies beyond LARGE_BODY_BYTES that are held in memory at once."""
