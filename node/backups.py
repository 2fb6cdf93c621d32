"""Puts together what backs a node up, of its configuration and its parts."""

from __future__ import annotations

from pathlib import Path

from node.app import Node
from node.backup.making import BackupMaker
from node.backup.schedule import Backups, Surroundings, last_made_ms
from node.ops.backupmetrics import BackupMetrics
from node.ops.diskguard import DiskLevel, Lines, measure


def make_backups(node: Node, lines: Lines, *, software: str) -> Backups | None:
    """What makes backups, or None if the configuration wants none. `lines` are those of the disk
    guard: a backup that would cross the one at which new work is refused is refused, and its disk
    stops no node.
    """
    settings = node.config.backup
    if not settings.directory:
        return None
    directory = Path(settings.directory)
    worker = node.threads.backup

    def short_of_room() -> str | None:
        state = measure(directory, lines)
        if state.level < DiskLevel.REFUSE:
            return None
        return f"{directory}: {state.free_bytes} bytes ({state.free_percent:.1f} %) are free"

    maker = BackupMaker(
        node.stores.kv,
        directory,
        chain_id=node.chain.chain_id,
        keep=settings.keep,
        software=software,
        worker=worker,
        spawn=node.spawn,
        log=node.log.bind(part="backup"),
        short_of_room=short_of_room,
    )
    around = Surroundings(
        now_ms=node.now_ms,
        height=lambda: node.chain.tip.height,
        last_made_ms=lambda: worker.run(last_made_ms, directory),
    )
    return Backups(
        maker.make,
        every_hours=settings.every_hours,
        around=around,
        watcher=BackupMetrics(node.metrics),
    )
