"""The named limits of the daemon: every queue, cache, message and wait that could grow has its
bound here.

Limits of the ledger, the transport and the storage stand in the limits modules of their own
packages.
"""

from __future__ import annotations

from typing import Final

from medquorum.quorum import VALIDATORS_MAX

# Mempool.
MEMPOOL_TXS_MAX: Final = 50_000
MEMPOOL_BYTES_MAX: Final = 64 * 1024 * 1024
MEMPOOL_ORG_SHARE: Final = 0.5
"""No organisation holds more than this share of the pool, so one that floods cannot shut the others
out.
"""
ROOM_MS: Final = 2_000
"""What clients of this node may have waiting altogether is what is committed in this time: whoever
comes later is told to come back, instead of waiting for longer.
"""
ROOM_TXS_MIN: Final = 3_000
"""But no less than this."""
EXPIRED_IDS_MAX: Final = 100_000
"""Ids of expired transactions that are remembered to answer 'expired' instead of 'unknown'."""

# Intake.
INTAKE_TXS_MAX: Final = 20_000
"""Transactions that wait for their signatures to be checked.

Beyond it, submitters are told to come back.
"""
INTAKE_CHUNK_TXS: Final = 256
"""Transactions handed to a verifier thread at once:

large enough to amortise the hand-over, small enough to share cores.
"""
INLINE_SIGNATURES_MAX: Final = 2
"""So few are checked on the event loop, in 50 microseconds each: the way to a thread and back takes
longer than one of them, and keeps the loop busy for longer as well.
"""
INTAKE_STANDING_TXS_MAX: Final = 2_048
"""Transactions of one height whose signers' standing is remembered together: strangers may name as
many keys as they like, and no height ends while the chain stands still.
"""
LINGERING_S: Final = 5.0
"""What peers passed on, and is still pending after once to twice this time, goes to the journal."""
QUOTA_ORGS_MAX: Final = 4_096

# The process (heap.py).
HEAP_YOUNG_OBJECTS: Final = 5_000
"""The collector looks at new objects once there are so many more than were freed: for 5 ms at most.
With 50,000 it was 19 ms, and saved no more than 1 microsecond a transaction.
"""
HEAP_OLD_PASSES: Final = 5
"""So many looks at one generation come before one at the next older."""

# Gossip.
GOSSIP_BATCH_TXS: Final = 500
GOSSIP_BATCH_BYTES: Final = 512 * 1024
GOSSIP_RESEND_TXS: Final = 5_000
"""Own pending transactions that are offered again to a peer that (re)connects."""
REMINDED_TXS: Final = 256
"""Of these, offered again to a peer at each announcement of its height if they still wait then."""
FETCH_TXS_MAX: Final = 4_000
"""Missing transactions asked for in one message; also the most that one answer may hold."""
FETCHED_TXS_KEPT: Final = 20_000
"""Fetched transactions that the mempool may have no room for, but the next block names."""
FETCH_HEIGHTS_MAX: Final = 4
"""Committed blocks that are opened to answer one such question. Whoever asks for older ones is
far behind, and should ask for blocks.
"""
FETCH_ATTEMPT_MS: Final = 400
"""How long one holder has to answer before the next one is asked as well."""

# Consensus loop.
INBOX_PEER_EVENTS_MAX: Final = 256
"""Messages of one validator that wait for the engine, while it waits for the disk."""
INBOX_EVENTS_MAX: Final = VALIDATORS_MAX * INBOX_PEER_EVENTS_MAX
"""Those of all validators together."""
INBOX_PEER_BYTES_MAX: Final = 4 * 1024 * 1024
"""And their size: four of the largest proposals."""
EXECUTIONS_KEPT: Final = 4
INLINE_BODY_BYTES_MAX: Final = 2 * 1024
"""A body of this size, some 60 transaction ids, is hashed on the event loop."""
BLOCK_TIME_AHEAD_MS: Final = 5_000
"""How far a proposed block time may lie ahead of our own clock."""
LOG_RECORDS_KEPT_BYTES: Final = 4 * 1024 * 1024
"""The consensus log is emptied at a commit once it is larger than this."""
LOG_CHECKPOINT_BYTES: Final = 8 * 1024 * 1024
"""Within a height, it is replaced by a checkpoint once it is larger than this and twice as large as
the last one. Far from WAL_BYTES_MAX, which must not be reached.
"""

# Evidence.
EVIDENCE_PER_KIND_MAX: Final = 4
"""Pieces of evidence kept of one validator and kind. One convicts; more say nothing new."""
EVIDENCE_KEPT_MAX: Final = 3 * EVIDENCE_PER_KIND_MAX * VALIDATORS_MAX
"""All together: as if every validator had done everything."""
EVIDENCE_PER_MESSAGE: Final = 16
"""Pieces offered to a peer at once. It has to verify them all."""

LONG_WORK_S: Final = 10.0
"""How long a node that stops waits for a backup, an archive, a compaction or a snapshot. With all
else that a stop waits for this is well below the half minute that a service manager gives it.
"""

PLACE_ANSWER_S: Final = 5.0
"""How long a start waits to hear what the path of a configured directory stands for."""

# Sync.
PRUNE_INTERVAL_S: Final = 5.0
PRUNE_ENTRIES: Final = 5_000
"""State entries deleted in one go, so that pruning never holds up a commit for long."""
SYNC_BLOCKS_PER_REQUEST: Final = 32
SYNC_BYTES_PER_RESPONSE: Final = 512 * 1024
"""Or one block, which may be larger. Small, so that a narrow link answers within the time."""
SYNC_TIMEOUT_MS: Final = 5_000
"""A question that is open for so long is asked of somebody else, and its peer passed over."""
SYNC_HEDGE_S: Final = 0.5
"""If the part that all others wait for takes so long, a second peer is asked for it as well."""
SYNC_REQUESTS_PER_PEER: Final = 2
"""One that it works on, one on the way."""
SYNC_PARTS_MAX: Final = 8
"""Answers that are under way or wait for their turn."""
SYNC_BYTES_AHEAD_MAX: Final = 6 * 1024 * 1024
"""The bytes of these answers, beyond which nothing more is asked for. They take up to twenty times
as much in memory once they are decoded.
"""
SYNC_SLOW_S: Final = 0.25
SYNC_SLOW_FACTOR: Final = 8
"""A peer whose answers take longer than this, and so many times as long for each block as those of
the quickest, is asked for what the others lack.
"""
SYNC_BACKOFF_S: Final = 5.0
SYNC_BACKOFF_S_MAX: Final = 60.0
"""How long a peer that left a question open is not asked: the first time, and at most."""
SYNC_GROUP_BLOCKS_MAX: Final = 64
SYNC_GROUP_BYTES_MAX: Final = 2 * 1024 * 1024
"""Blocks and bytes of transactions that are made durable with one sync while catching up."""
SYNC_RATE_S: Final = 10.0
"""The speed of catching up is that of the last so many seconds."""
PEERS_HEARD_MAX: Final = 4_096
"""Peers whose last announcement is remembered, connected or not: more than may be members."""
SYNC_HEIGHT_CLAIM_MAX: Final = 10**12
"""A peer that claims a greater height is lying; no chain gets there."""

# Changes of the validators.
PREFLIGHT_BEHIND_MAX: Final = 10
"""Heights that a validator may lack when it announces itself and still be called level: blocks are
made while the announcement travels.
"""
PREFLIGHT_SILENT_S: Final = 5.0
"""A connected validator that has not announced its height for so long is not there: every daemon
does it once a second.
"""

# API.
HTTP_CONNECTIONS_MAX: Final = 4_096
"""Of the API, and of the ops endpoints; fewer if the process has few file descriptors."""
HTTP_IDLE_SECONDS: Final = 75.0
"""How long a connection may say nothing, or take to say what it asks for."""
BATCH_TXS_MAX: Final = 1_000
BATCH_BYTES_MAX: Final = 8 * 1024 * 1024
WAIT_SECONDS_MAX: Final = 60
WAITERS_MAX: Final = 20_000
PAGE_DEFAULT: Final = 30
PAGE_MAX: Final = 100
RECEIPT_TXS_KEPT: Final = 10_000
"""Transactions of the blocks that are kept in memory for more receipts of them, all together; the
last block asked for is kept whatever its size. No block has more than so many.
"""
RECEIPT_BLOCKS_KEPT: Final = 64
SIGNED_HEIGHTS_KEPT: Final = 64
"""Heights whose header, result, certificate and validators are kept in memory for more proofs."""
EVENT_STREAMS_MAX: Final = 200
VAULT_BLOB_BYTES_MAX: Final = 64 * 1024 * 1024
VAULT_RELEASE_RECORDS_MAX: Final = 100
