"""A process that commits heights until it is killed, and says on its standard output which are
durable.

    python -m tests.support.crash_child DIRECTORY

Each height has a log record, a vault blob, a block and a state change that can be told from the
height alone.
"""

from __future__ import annotations

import sys
from pathlib import Path

from storage.chain import ChainStore
from storage.kv import KV, Batch
from storage.leveldb import LevelDB
from storage.signstate import SignState
from storage.state import StateStore
from storage.vault import VaultDirectory
from storage.wal import WriteAheadLog
from tests.support.chain_builder import CHAIN_ID, next_block, stage_genesis, validator_set

KEY = b"\x01" + bytes(32)
TXS = 20


def changes_of(height: int) -> dict[str, dict[bytes, bytes | None]]:
    """What a height does to the state: 30 keys written, one of them deleted at the next height."""
    pairs: dict[bytes, bytes | None] = {
        b"key%d" % ((height * 7 + i) % 200): b"%d" % height for i in range(30)
    }
    pairs[b"once%d" % height] = b"here"
    pairs[b"once%d" % (height - 1)] = None
    return {"records": pairs, "drugs": {b"height": b"%d" % height}}


def open_stores(directory: Path) -> tuple[KV, ChainStore, StateStore]:
    """The database in `directory`, with a write buffer so small that files are written all the
    time.
    """
    kv = LevelDB(directory / "db", write_buffer_bytes=64 * 1024)
    return kv, ChainStore(kv), StateStore(kv, keep_versions=3)


def commit_height(kv: KV, chain: ChainStore, state: StateStore) -> int:
    """Commit the next height, the genesis first, in one synced batch."""
    batch = Batch()
    if chain.genesis() is None:
        height = 0
        update = state.prepare(0, changes_of(0))
        stage_genesis(chain, batch, validator_set(1, 2))
    else:
        height = chain.tip() + 1
        update = state.prepare(height, changes_of(height))
        chain.stage(batch, next_block(chain, TXS, state_root=update.root))
    update.stage(batch)
    kv.write(batch, sync=True)
    state.committed(update)
    state.prune(100)
    return height


def run(directory: Path) -> None:
    """Commit until killed."""
    kv, chain, state = open_stores(directory)
    log = WriteAheadLog.open(directory / "wal")
    path = directory / "sign"
    guard = (
        SignState.open(path) if SignState.exists(path) else SignState.create(path, CHAIN_ID, KEY)
    )
    vault = VaultDirectory(directory / "vault")
    while True:
        height = chain.tip() + 1
        if height % 10 == 0:
            log.replace((b"%d" % height,))
        else:
            log.append((b"%d" % height,))
        guard.check_and_save(height, 0, 0, bytes(32))
        vault.put(b"blob of height %d" % height)
        sys.stdout.write(f"{commit_height(kv, chain, state)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    run(Path(sys.argv[1]))
