"""What others need to help with a node, in one archive: never keys, never what the ledger, the pool
or the vault hold.

The archive is made of what is listed here and of nothing else. Files of the home are never copied:
what goes in is counted, summed up, or picked field by field from a list.
"""

from __future__ import annotations

import io
import os
import platform
import re
import tarfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from consensus.messages import decode_record
from medquorum.errors import DecodeError
from node.config.load import Loaded
from node.home import Home
from node.logs import ALLOWED
from node.repair.limits import DUMP_HEIGHTS, DUMP_LOG_BYTES_MAX, DUMP_LOG_VALUE_CHARS_MAX
from node.version import VERSION
from storage.chain import ChainStore
from storage.errors import StorageError
from storage.files import DiskFiles
from storage.kv import KV
from storage.signstate import SignState
from storage.state import head_at, oldest_state
from storage.wal import read_log

REDACTED: Final = "(redacted)"
_SECRET: Final = re.compile(r"secret|passw|passphrase|token|credential|pin$|private|seed")
_TOKEN: Final = re.compile(r"[A-Za-z0-9_.:\-/ +,()%']*")
_LONG_TOKEN: Final = re.compile(r"[A-Za-z0-9+/_=\-]{33,}")
_ID: Final = re.compile(r"[0-9a-f]{0,66}")
_ID_FIELDS: Final = frozenset({"txid", "peer", "validator", "digest", "chain_id", "trace_id"})

Files = dict[str, bytes]


def about() -> Files:
    """The software and the machine."""
    shown = {
        "medquorum": VERSION,
        "python": platform.python_version(),
        "system": platform.platform(),
    }
    return {"about.json": _json(shown)}


def configuration(loaded: Loaded) -> Files:
    """Every key with its value and where it came from. What sounds like a secret is not shown."""
    shown: dict[str, object] = {}
    for path in sorted(loaded.sources):
        section, name = path.split(".", 1)
        value = getattr(getattr(loaded.config, section), name)
        shown[path] = {
            "value": REDACTED if _SECRET.search(name) else value,
            "source": loaded.sources[path],
        }
    return {"config.json": _json(shown)}


def rooms(home: Home) -> Files:
    """How many files each directory of the data has, and how many bytes. No name of any file."""
    shown: dict[str, object] = {}
    for path in sorted(home.data.iterdir()) if home.data.exists() else ():
        files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
        shown[path.name] = {"files": len(files), "bytes": sum(_size(file) for file in files)}
    return {"data.json": _json(shown)}


def votes(home: Home) -> Files:
    """How far the sign state is, and what kinds of records the logs hold: no digest, no block."""
    shown: dict[str, object] = {}
    try:
        if SignState.exists(home.sign_state):
            state = SignState.open(home.sign_state)
            shown["sign_state"] = {"chain_id": state.chain_id.hex(), "last": state.last}
        else:
            shown["sign_state"] = None
    except StorageError as error:
        shown["sign_state"] = {"error": type(error).__name__}
    shown["consensus_log"] = _log_summary(home.consensus_log)
    return {"votes.json": _json(shown)}


def chain(kv: KV) -> Files:
    """The tip, the last headers, and the roots of the ledger's modules. For a stopped node."""
    blocks = ChainStore(kv)
    tip = blocks.tip()
    shown: dict[str, object] = {
        "tip": tip,
        "oldest_block": blocks.oldest_block(),
        "oldest_state": oldest_state(kv),
    }
    try:
        shown["sub_roots"] = {s.namespace: s.root.hex() for s in head_at(kv, tip).sub_roots}
        shown["blocks"] = [
            _block(blocks, h) for h in range(max(1, tip - DUMP_HEIGHTS + 1), tip + 1)
        ]
    except StorageError as error:
        shown["error"] = type(error).__name__
    return {"chain.json": _json(shown)}


def logs(home: Home) -> Files:
    """The end of each log in the home, line by line, with the fields that a log of ours has."""
    return {
        f"log/{number}.jsonl": _tail(path)
        for number, path in enumerate(sorted(home.log.glob("*.log*")) if home.log.exists() else ())
    }


def write(output: Path, files: Mapping[str, bytes]) -> None:
    """The archive, readable by its owner alone, whole or not there. Raises FileExistsError,
    OSError.
    """
    descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with (
            os.fdopen(descriptor, "wb") as stream,
            tarfile.open(fileobj=stream, mode="w:gz") as archive,
        ):
            for name in sorted(files):
                entry = tarfile.TarInfo(f"medquorum-debug/{name}")
                entry.size = len(files[name])
                entry.mode = 0o600
                archive.addfile(entry, io.BytesIO(files[name]))
    except BaseException:
        output.unlink(missing_ok=True)
        raise


def _tail(path: Path) -> bytes:
    """Lines that are no JSON object are left out and counted: nobody knows what they say."""
    with path.open("rb") as stream:
        stream.seek(max(0, _size(path) - DUMP_LOG_BYTES_MAX))
        lines = stream.read(DUMP_LOG_BYTES_MAX).splitlines()
    kept: list[bytes] = []
    for line in lines:
        try:
            fields = msgspec.json.decode(line, type=dict[str, object])
        except (msgspec.DecodeError, UnicodeDecodeError):
            continue
        kept.append(msgspec.json.encode({k: _shown(k, fields[k]) for k in fields if k in ALLOWED}))
    kept.append(msgspec.json.encode({"lines_left_out": len(lines) - len(kept)}))
    return b"\n".join(kept) + b"\n"


def _shown(name: str, value: object) -> object:
    """A field as the log wrote it, unless it is longer or stranger than what we log."""
    match value:
        case bool() | int() | float() | None:
            return value
        case str() if len(value) > DUMP_LOG_VALUE_CHARS_MAX or _TOKEN.fullmatch(value) is None:
            return REDACTED
        case str() if name in _ID_FIELDS:
            return value if _ID.fullmatch(value) else REDACTED
        case str() if _LONG_TOKEN.search(value):
            return REDACTED
        case str():
            return value
        case _:
            return REDACTED


def _log_summary(path: Path) -> object:
    if not path.exists():
        return None
    counts: Counter[str] = Counter()
    heights: set[int] = set()
    try:
        for data in read_log(path):
            record = decode_record(data)
            counts[type(record).__name__] += 1
            heights.add(record.height)
    except (DecodeError, StorageError) as error:
        return {"error": type(error).__name__, "bytes": _size(path)}
    return {"bytes": _size(path), "records": dict(counts), "heights": sorted(heights)}


def _block(blocks: ChainStore, height: int) -> dict[str, object]:
    header, result = blocks.header(height), blocks.result(height)
    certificate = blocks.certificate(height)
    return {
        "height": height,
        "hash": None if header is None else header.hash().hex(),
        "time_ms": None if header is None else header.time_ms,
        "tx_count": None if header is None else header.tx_count,
        "result": None if result is None else result.hash().hex(),
        "state_root": None if result is None else result.state_root.hex(),
        "round": None if certificate is None else certificate.round,
    }


def _size(path: Path) -> int:
    return DiskFiles().size(path) or 0


def _json(value: object) -> bytes:
    return msgspec.json.format(msgspec.json.encode(value), indent=2)
