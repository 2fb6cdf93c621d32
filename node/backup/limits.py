"""Every limit of backups, in one place."""

from __future__ import annotations

from typing import Final

KIB: Final = 1024
MIB: Final = 1024 * KIB

CHUNK_BYTES_MIN: Final = 256 * KIB
"""A chunk ends behind this at the first key whose checksum says so: one in CHUNK_CUT, and as many
more as its entry has of these bytes, so that chunks of large entries end as soon as others. What
was cut off the front by pruning so moves the ends of few chunks, and a later backup finds most of
its own; at the end of what only grows it writes one chunk anew.
"""
CHUNK_CUT: Final = 64
CHUNK_BYTES_TARGET_MAX: Final = 2 * MIB
"""A chunk is larger only if it holds a single entry."""
CHUNK_FRAME_BYTES: Final = 6
"""What a chunk takes beside its entries: two array heads."""
CHUNKS_MAX: Final = 400_000
"""Of one backup: 100 GiB at least."""
MANIFEST_BYTES_MAX: Final = 32 * MIB
SOFTWARE_CHARS_MAX: Final = 64

STEP_ENTRIES: Final = 500
"""Read for a backup in one go: a millisecond or two in which commits may wait."""
STEP_REST_S: Final = 0.002
"""Between two such goes."""
ROOM_LOOK_STEPS: Final = 64
"""After so many goes the room of the disk is looked at again."""
SCHEDULE_LOOK_S: Final = 60.0
"""How often a schedule looks at the clock, which may be set meanwhile."""
SCHEDULE_RETRY_S: Final = 600.0
"""After a backup that was refused."""
FILL_ENTRIES: Final = 4_096
FILL_BYTES: Final = 16 * MIB
"""Restored in one batch, whichever is reached first."""
