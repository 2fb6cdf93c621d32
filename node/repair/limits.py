"""The limits of the repair tools."""

from __future__ import annotations

from typing import Final

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
ENTRY_SHOWN_BYTES: Final = 64
"""Of the key of an entry that is wrong."""
