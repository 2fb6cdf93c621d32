"""Re-checks what stands beside the database: sign state, logs, and the vault.

The logs are only read: what their opening does to a torn tail is for the node to do.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from consensus.messages import decode_record
from medquorum.errors import DecodeError
from node.checking.findings import Finding, Part, Report
from node.home import Home
from node.vault.copying import VaultFiles
from storage.chain import ChainStore
from storage.errors import (
    DamagedBlobError,
    DamagedError,
    DamagedStoreError,
    DiskError,
    FormatError,
)
from storage.reached import NAME as REACHED
from storage.reached import read_reached, require_reached
from storage.signstate import SignState
from storage.wal import read_log


def check_sign_state(home: Home, chain_id: bytes, report: Report) -> None:
    """Whether the sign state is whole and belongs to this chain. An observer has none."""
    if not SignState.exists(home.sign_state):
        return
    try:
        if SignState.open(home.sign_state).chain_id != chain_id:
            report.add(Finding("sign_state", 0, home.sign_state.name, "it is of another chain"))
    except (DamagedError, FormatError) as error:
        report.add(Finding("sign_state", 0, home.sign_state.name, str(error)))
    report.looked_at("sign state")


def check_reached(home: Home, blocks: ChainStore, report: Report) -> None:
    """Whether the database is as high as it is known to have been."""
    tip = blocks.tip()
    try:
        require_reached(tip, read_reached(home.chain))
    except DamagedStoreError as error:
        report.add(Finding("chain", tip, REACHED, error.detail))


def check_logs(home: Home, report: Report) -> None:
    """Whether the consensus log and the log of evidence can be read to their ends."""
    for path, check in ((home.consensus_log, decode_record), (home.evidence, None)):
        if path.exists():
            _check_log(path, check, report)


def _check_log(path: Path, check: Callable[[bytes], object] | None, report: Report) -> None:
    try:
        for record in read_log(path):
            report.looked_at("log records")
            if check is not None:
                check(record)
    except (DamagedError, DecodeError, FormatError) as error:
        report.add(Finding("log", 0, path.name, str(error)))


def check_vault(home: Home, report: Report) -> None:
    """Whether every blob hashes to its name, and every envelope is what was written. Reads all."""
    try:
        vault = VaultFiles(home.vault)
    except (DamagedError, FormatError) as error:
        report.add(Finding("blob", 0, home.vault.name, str(error)))
        return
    for blob_id in vault.ids():
        _check_part("blob", vault.ciphertext, blob_id, report)
        _check_part("envelope", vault.envelope, blob_id, report)


def _check_part(
    part: Part, read: Callable[[bytes], bytes | None], blob_id: bytes, report: Report
) -> None:
    """One half of a record; that the other one is alone is what a crash may leave."""
    try:
        if read(blob_id) is not None:
            report.looked_at(f"{part}s")
    except (DamagedBlobError, DiskError) as error:
        report.add(Finding(part, 0, blob_id.hex(), str(error)))
