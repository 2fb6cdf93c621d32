"""Every limit of storage, in one place."""

from __future__ import annotations

from typing import Final

KIB: Final = 1024
MIB: Final = 1024 * KIB

LEVELDB_WRITE_BUFFER_BYTES: Final = 16 * MIB
"""Fills before it is written out as a sorted file. Two of them may exist at once."""
LEVELDB_WRITE_BUFFER_BYTES_MAX: Final = 32 * MIB
"""What an operator may set."""
LEVELDB_CACHE_BYTES: Final = 32 * MIB
"""Uncompressed blocks kept in memory."""
LEVELDB_BLOCK_BYTES: Final = 2 * KIB
LEVELDB_FILE_BYTES: Final = 8 * MIB
LEVELDB_OPEN_FILES_MAX: Final = 512
LEVELDB_BLOOM_BITS: Final = 10
"""Bits a key: about one lookup in a hundred reads a file in vain."""
HEIGHT_BYTES_MIN: Final = 512
"""No height takes less of the write buffer, not even an empty one of a single validator."""
WHOLE_HEIGHTS_MAX: Final = LEVELDB_WRITE_BUFFER_BYTES_MAX // HEIGHT_BYTES_MIN
"""Heights before the tip that a start looks for: as many as LevelDB's log can hold, for the log
becomes a table when the write buffer is full.
"""

LMDB_MAP_BYTES_MIN: Final = 16 * 1024 * MIB
"""Addresses for a small database; no room on the disk."""
LMDB_MAP_BYTES_MAX: Final = 16 * 1024 * 1024 * MIB
"""Up to which the map grows by doubling, whenever it is half full and nobody reads."""
LMDB_FULL_BYTES: Final = 64 * KIB
"""A disk with less than this free is full, if LMDB's last write to it failed."""
LMDB_READERS_MAX: Final = 1024
"""Reads and snapshots at once."""
LMDB_SPARE_READERS: Final = 8
"""Ended reads that are kept to begin the next ones with."""

RECORD_BYTES_MAX: Final = 16 * MIB
"""Of one record in a log: a block's bodies and some protocol around them."""
WAL_BYTES_MAX: Final = 256 * MIB
"""Of the write-ahead log, which is compacted at every height."""
SIGNED_VOTES_KEPT_MAX: Final = 64
"""Votes of the current height that may be signed again after a restart, the latest ones."""
JOURNAL_SEGMENT_BYTES: Final = 8 * MIB
"""From this size on, the mempool journal starts a new file."""
JOURNAL_BYTES_MAX: Final = 512 * MIB
"""Of all files of the mempool journal."""
VAULT_BLOB_BYTES_MAX: Final = 64 * MIB
"""Of one ciphertext in the vault."""
SNAPSHOT_HEAD_BYTES_MAX: Final = 64 * MIB
"""Of the head of a snapshot or of a backup, as a file. A larger one is not read."""

STATE_NAMESPACE_BYTES_MAX: Final = 64
NAMESPACES_PACKED_MAX: Final = 64
"""Names of namespaces whose form in a key is remembered: about as many as there are modules."""
STATE_KEY_BYTES_MAX: Final = 512
"""Of a key of the ledger state."""
STATE_CACHE_BYTES_MAX: Final = 96 * MIB
"""Pages of the state tree kept in memory, those near the root longest: all but the lowest of a
state of 10^7 keys.
"""
STALE_CHUNK_KEYS_MAX: Final = 512
"""Keys in one entry of the stale index, which is what pruning deletes at a time."""

BUILD_BATCH_BYTES: Final = 4 * MIB
"""Values and pages of a state that is being built, written at a time."""
BUILD_LEAVES_HELD_BYTES: Final = 32 * MIB
"""Leaves of a state that is being built, kept in memory; beyond it they wait in files."""
BUILD_LEAVES_APPLIED_MIN: Final = 2_048
"""Neighbouring leaves that become pages together, if there are so many."""
DIFFERENT_PATHS_HELD_MAX: Final = 65_536
"""Places at which two states differ that are kept in memory while their keys are looked for."""
