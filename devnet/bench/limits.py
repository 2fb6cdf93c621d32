"""What single steps cost on one core of this machine, in microseconds. All other figures depend on
it, so they are only worth something beside these.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from statistics import median
from typing import Final

import msgspec

from devnet.bench.linkcost import http_us, tls_frame_us
from devnet.signing import Kind, Recipe, make
from medquorum.codec import encode
from medquorum.keys import SigningKey, verify
from medquorum.transaction import Transaction, signing_bytes
from storage.kv import Batch
from storage.leveldb import LevelDB

ROUNDS: Final = 9
"""Each figure is the median of so many rounds, for other programs disturb single ones."""
CALLS: Final = 400
SYNCS: Final = 40
RECORD_BYTES: Final = 4096
BATCH_KEYS: Final = 1_000
BATCHES: Final = 20
VALUE_BYTES: Final = 120


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Microseconds of one core for one step."""

    verify_us: float
    sign_us: float
    hash_us: float
    decode_us: float
    """A transaction: decode, encode again and compare, id."""
    encode_us: float
    """Its body, canonically."""
    fsync_us: float
    """Appending 4 KiB to a file and waiting until it is on the disk."""
    leveldb_key_us: float
    """Processor time of a key of 40 bytes with a value of 120, in synced batches of a thousand."""
    leveldb_batch_us: float
    """Such a batch, by the clock."""
    tls_frame_us: float
    """16 KiB through TLS on the loopback, both ends."""
    http_us: float
    """A small request and its answer, both ends."""
    tx_bytes: int
    cores: int


def measure(folder: Path | None = None) -> Limits:
    """Measure here and now; the disk is the one of `folder`."""
    key = SigningKey(sha256(b"bench").digest())
    clerk = ("hospital-a", "billing")
    recipe = Recipe("bench", bytes(32), (clerk,), 16, ((Kind.TRANSFER, 1),))
    raw = make(recipe, 1, 1_000)[0].raw
    message = signing_bytes(Transaction.decode(raw).body_bytes)
    signature = key.sign(message)
    body = Transaction.decode(raw).body
    leveldb_key_us, leveldb_batch_us = _leveldb_us(folder)
    return Limits(
        verify_us=_cost_us(lambda: verify(key.public, message, signature)),
        sign_us=_cost_us(lambda: key.sign(message)),
        hash_us=_cost_us(lambda: sha256(message).digest()),
        decode_us=_cost_us(lambda: Transaction.decode(raw)),
        encode_us=_cost_us(lambda: encode(body)),
        fsync_us=_fsync_us(folder),
        leveldb_key_us=leveldb_key_us,
        leveldb_batch_us=leveldb_batch_us,
        tls_frame_us=asyncio.run(tls_frame_us()),
        http_us=asyncio.run(http_us()),
        tx_bytes=len(raw),
        cores=len(os.sched_getaffinity(0)),
    )


def signature_bound(limits: Limits, validators: int) -> float:
    """Transactions a second if checking each signature once on every validator were all the work
    there is, and all cores of this machine did nothing else.
    """
    return limits.cores * 1e6 / (validators * limits.verify_us)


def _cost_us(call: Callable[[], object]) -> float:
    """CPU time of one call. CPU time, not wall time: others use this machine, too."""
    rounds = []
    for _ in range(ROUNDS):
        began = time.thread_time_ns()
        for _ in range(CALLS):
            call()
        rounds.append((time.thread_time_ns() - began) / CALLS / 1000)
    return round(median(rounds), 2)


def _fsync_us(folder: Path | None) -> float:
    record = bytes(RECORD_BYTES)
    times = []
    with tempfile.TemporaryFile(dir=folder) as stream:
        for _ in range(SYNCS):
            began = time.perf_counter_ns()
            stream.write(record)
            stream.flush()
            os.fsync(stream.fileno())
            times.append((time.perf_counter_ns() - began) / 1000)
    return round(median(times), 1)


def _leveldb_us(folder: Path | None) -> tuple[float, float]:
    """Processor time of one key, and wall time of one batch."""
    cpu, wall = [], []
    with tempfile.TemporaryDirectory(dir=folder, prefix="bench-") as place:
        kv = LevelDB(Path(place) / "kv")
        for number in range(BATCHES):
            batch = Batch()
            for index in range(BATCH_KEYS):
                name = sha256(b"%d %d" % (number, index)).digest()
                batch.put(b"bench..." + name, name * (VALUE_BYTES // 32) + bytes(24))
            began, clock = time.process_time_ns(), time.perf_counter_ns()
            kv.write(batch, sync=True)
            cpu.append((time.process_time_ns() - began) / BATCH_KEYS / 1000)
            wall.append((time.perf_counter_ns() - clock) / 1000)
        kv.close()
    return round(median(cpu), 2), round(median(wall), 1)
