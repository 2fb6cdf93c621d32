"""How backups are doing, for the page of metrics."""

from __future__ import annotations

from node.backup.making import BackupMade
from node.ops.metrics import MS_PER_SECOND, Metrics


class BackupMetrics:
    """A Watcher of node.backup.schedule. One for each registry, and only where backups are made:
    the absence of these series is not an alarm, an old time is.
    """

    def __init__(self, metrics: Metrics) -> None:
        self._success = metrics.gauge(
            "backup_last_success_timestamp_seconds", "When the last backup was made; 0: never"
        )
        self._size = metrics.gauge("backup_last_size_bytes", "All chunks of the last backup")
        self._new = metrics.gauge("backup_last_new_bytes", "Those that were not there before")
        self._duration = metrics.gauge("backup_last_duration_seconds", "How long it took")
        self._height = metrics.gauge("backup_last_height", "The height of the last backup")
        self._failures = metrics.counter("backup_failures", "Backups that were refused", "reason")

    def made(self, made: BackupMade, at_ms: int) -> None:
        """A backup is there."""
        self._success.set(at_ms / MS_PER_SECOND)
        self._size.set(made.bytes)
        self._new.set(made.bytes_new)
        self._duration.set(made.seconds)
        self._height.set(made.height)

    def failed(self, code: str) -> None:
        """There is none, for a reason of the catalogue."""
        self._failures.labels(code).inc()

    def found(self, at_ms: int) -> None:
        """The last backup was made at this time, before this start."""
        self._success.set(at_ms / MS_PER_SECOND)
