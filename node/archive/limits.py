"""The limits of archives."""

from __future__ import annotations

from typing import Final

ARCHIVE_HEAD_BYTES_MAX: Final = 64 * 1024 * 1024
"""Of the head of an archive, whose size is the history of the validators."""
ARCHIVE_ENTRY_BYTES_MAX: Final = 64 * 1024 * 1024
"""Of one height in an archive, before and after it was compressed: a block's transactions, their
outcomes and events.
"""
ARCHIVE_HEIGHTS_MAX: Final = 10_000_000
"""Of one archive: where each height stands is in memory while it is put back."""
