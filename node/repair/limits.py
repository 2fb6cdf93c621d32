"""The limits of the repair tools."""

from __future__ import annotations

from typing import Final

FINDINGS_MAX: Final = 100
"""More damage than this is counted, not told one by one."""
JOB_HEIGHTS_MAX: Final = 64
JOB_BYTES_MAX: Final = 1024 * 1024
"""A process is given this much to check at once."""
JOBS_WAITING_MAX: Final = 8
"""So many answers may be under way: bounds what is in memory."""
POOL_HEIGHTS_MIN: Final = 256
"""Fewer heights are checked faster than other processes are started."""
BATCH_KEYS_MAX: Final = 4096
"""An index is rebuilt in batches of so many entries."""
PAGES_HELD_MAX: Final = 4096
"""Pages of the state tree that are kept while every key is looked up: 5 MiB at most."""
PRUNE_EACH_HEIGHTS: Final = 16
"""How often the scratch state of an execution is relieved of what is not needed any more."""
DUMP_HEIGHTS: Final = 20
"""How many of the last headers go into a debug archive."""
DUMP_LOG_BYTES_MAX: Final = 1024 * 1024
"""The end of each log goes into a debug archive."""
DUMP_LOG_VALUE_CHARS_MAX: Final = 512
"""What is longer in a log is not shown."""
ARCHIVE_HEAD_BYTES_MAX: Final = 64 * 1024 * 1024
"""Of the head of an archive, whose size is the history of the validators."""
ARCHIVE_ENTRY_BYTES_MAX: Final = 64 * 1024 * 1024
"""Of one height in an archive, before and after it was compressed: a block's transactions, their
outcomes and events.
"""
ARCHIVE_HEIGHTS_MAX: Final = 10_000_000
"""Of one archive: where each height stands is in memory while it is put back."""
