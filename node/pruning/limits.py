"""The limits of pruning."""

from __future__ import annotations

from typing import Final

BATCH_HEIGHTS_MAX: Final = 4_096
"""Heights whose bodies are removed in one batch on a stopped node."""
STEP_HEIGHTS: Final = 256
"""The same on a running one, on the thread for which commits wait: about a millisecond."""
STEP_REST_S: Final = 0.01
"""Between two such batches."""
READ_REST_S: Final = 0.002
"""Between two heights that are archived and proven: pruning may take its time."""
INTERVAL_S: Final = 5.0
"""Between two looks at whether there is something to give up."""
MEASURE_S: Final = 60.0
"""Between two looks at what the parts of the database take."""
ARCHIVE_RETRY_S: Final = 300.0
"""After an archive that could not be made or proven, which is work that nobody gets anything of."""
PEER_HELD_HEIGHTS_MAX: Final = 10_000
"""More blocks than these are not kept for a validator that is behind: it may lie, and one that is
really so far behind gets them from others, or a snapshot.
"""
COMPACT_BYTES: Final = 64 * 1024 * 1024
"""Compacted in one go: the database compacts nothing else meanwhile, and a node that stops waits
for its end.
"""
COMPACT_REST_S: Final = 0.25
"""Between two such goes."""
