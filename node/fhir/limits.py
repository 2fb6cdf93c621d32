"""The limits of an import. What a record may be stands in medquorum.limits."""

from __future__ import annotations

from typing import Final

from medquorum.limits import RESOURCE_BYTES_MAX

CHUNK_BYTES: Final = 1024 * 1024
"""How much of a file is read at once."""
ENTRY_BYTES_MAX: Final = RESOURCE_BYTES_MAX + 64 * 1024
"""One entry of a bundle, or one line: the resource and what is wrapped around it."""
MEMBER_BYTES_MAX: Final = 64 * 1024
"""A member of a bundle other than its entries that is looked at; a longer one is skipped over."""
KEY_BYTES_MAX: Final = 1024
"""A name in a bundle or in an entry."""
NESTING_MAX: Final = 1000
"""Open brackets at any place of a file."""
REFERENCES_MAX: Final = 4096
"""References of one resource that are followed to find its patient."""
REFERENCE_CHARS_MAX: Final = 2048
FILES_MAX: Final = 1_000_000

RECORDS_PER_BATCH: Final = 100
"""Anchors of one transaction."""
PLANNED_AT_ONCE: Final = 64
"""Resources that are read and planned before the next turn of the event loop."""
QUEUE_RECORDS_MAX: Final = 2 * RECORDS_PER_BATCH
"""Planned records that wait for one hospital's lane."""
QUEUE_BYTES_MAX: Final = 64 * 1024 * 1024
"""Their texts, all lanes together. One larger than this still passes, alone."""
UPLOADS_AT_ONCE: Final = 8
"""Records on their way into one vault."""
HOSPITALS_MAX: Final = 64
PROGRESS_SECONDS: Final = 1.0
"""Between two lines of progress where there is no terminal."""
