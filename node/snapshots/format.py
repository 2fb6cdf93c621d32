"""What a snapshot is made of, and what proves it (docs/spec/snapshot.md, section 2)."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from msgspec import Meta

from medquorum import merkle
from medquorum.block import Header, Result, TxOutcome, ValidatorSet
from medquorum.certificate import CommitCertificate
from medquorum.codec import Hash, Height, Name, Wire, encode
from medquorum.errors import VerificationError
from medquorum.genesis import Genesis
from medquorum.hashing import Kind, tagged_hash
from medquorum.history import Certified, SetChange, ValidatorHistory
from medquorum.limits import HISTORY_CHANGES_MAX, RECOVERY_BYTES_MAX
from medquorum.recovery import pack_recovery, unpack_recovery
from node.snapshots.limits import CHUNK_BYTES_MAX, CHUNKS_MAX
from storage.snapshots import SnapshotName

VERSION: Final = 1


class ChunkRef(Wire):
    """A chunk by the SHA-256 of its bytes, and how many they are."""

    hash: Hash
    size: Annotated[int, Meta(ge=1, le=CHUNK_BYTES_MAX)]


Chunks = Annotated[tuple[ChunkRef, ...], Meta(min_length=1, max_length=CHUNKS_MAX)]


class Manifest(Wire):
    """All of a snapshot by its hashes. Equal at every member that has it: see `digest`."""

    version: Literal[1]
    chain_id: Hash
    height: Height
    block_hash: Hash
    result_hash: Hash
    state_root: Hash
    past: Chunks
    state: Chunks

    def digest(self) -> bytes:
        """What the snapshot is called by."""
        return tagged_hash(Kind.SNAPSHOT, encode(self))

    def name(self) -> SnapshotName:
        """Under what it is kept."""
        return SnapshotName(self.height, self.digest())

    def chunks(self) -> tuple[ChunkRef, ...]:
        """All chunks, in the order in which they are read."""
        return self.past + self.state


class Change(Wire):
    """A change of the validator set: the certified height, and the set that votes after it."""

    header: Header
    result: Result
    certificate: CommitCertificate
    validators: ValidatorSet
    recovery: Annotated[bytes, Meta(max_length=RECOVERY_BYTES_MAX)]
    """How organisations named that set; empty if the result did."""


class SnapshotHead(Wire):
    """A manifest with what proves it from the genesis on. Certificates differ from member to
    member, which is why nothing of this but the manifest is in the digest.
    """

    manifest: Manifest
    header: Header
    result: Result
    certificate: CommitCertificate
    changes: Annotated[tuple[Change, ...], Meta(max_length=HISTORY_CHANGES_MAX)]

    def certified(self) -> Certified:
        """The height of the snapshot."""
        return Certified(self.header, self.result, self.certificate)

    def set_changes(self) -> tuple[SetChange, ...]:
        """The history of the validators up to it."""
        return tuple(
            SetChange(
                Certified(c.header, c.result, c.certificate),
                c.validators,
                unpack_recovery(c.recovery),
            )
            for c in self.changes
        )


class PastHeight(Wire):
    """A height before the snapshot: who proposed it, and which transactions it finished."""

    header: Header
    result: Result
    outcomes: tuple[TxOutcome, ...]


class PastChunk(Wire):
    """Heights that follow one another."""

    heights: Annotated[tuple[PastHeight, ...], Meta(min_length=1)]


class StateChunk(Wire):
    """Keys of one namespace with their values, ascending."""

    namespace: Name
    entries: Annotated[tuple[tuple[bytes, bytes], ...], Meta(min_length=1)]


def make_head(
    manifest: Manifest, certified: Certified, changes: tuple[SetChange, ...]
) -> SnapshotHead:
    """Put a head together. `changes` are all up to the height of the snapshot."""
    return SnapshotHead(
        manifest,
        certified.header,
        certified.result,
        certified.certificate,
        tuple(
            Change(
                c.at.header,
                c.at.result,
                c.at.certificate,
                c.validators,
                pack_recovery(c.recovery),
            )
            for c in changes
        ),
    )


def verify_head(head: SnapshotHead, genesis: Genesis) -> ValidatorSet:
    """Prove from the genesis that the chain's validators certified the state that the manifest
    names (P2); who votes on the next height. Raises VerificationError.

    That the chunks hold this state is only known once it was built from them.
    """
    manifest, result = head.manifest, head.result
    history = ValidatorHistory(genesis)
    history.extend(head.set_changes())
    height = head.header.height
    if history.height > height:
        raise VerificationError("snapshot_history", "a change lies above the snapshot")
    history.verify(head.certified())
    validators = history.validators_at(height + 1)
    if not history.is_whole_at(head.certified()):
        raise VerificationError("snapshot_history", "the change at this height is missing")
    named = (manifest.chain_id, manifest.height, manifest.block_hash, manifest.result_hash)
    if named != (head.header.chain_id, height, head.header.hash(), result.hash()):
        raise VerificationError("snapshot_block", "the manifest is for another block")
    if manifest.state_root != result.state_root:
        raise VerificationError("snapshot_state", "the certified state root is another one")
    return validators


class PastCheck:
    """Follows the heights before a snapshot up to it: each must be the parent of the next, and
    their outcomes those that were certified (P4).
    """

    def __init__(self, manifest: Manifest) -> None:
        self._manifest = manifest
        self._last: tuple[int, bytes, bytes] | None = None
        self.first = 0

    def next(self, past: PastHeight) -> None:
        """The next height. Raises VerificationError."""
        header, result = past.header, past.result
        if self._last is None:
            self.first = header.height
            if self.first < 1 or header.chain_id != self._manifest.chain_id:
                raise VerificationError("snapshot_past", "the past begins on another chain")
        elif self._last != (header.height - 1, header.parent, header.parent_result):
            raise VerificationError("snapshot_past", f"height {header.height} does not follow")
        receipts = merkle.root([encode(outcome) for outcome in past.outcomes])
        if receipts != result.receipts_root or header.tx_count != len(past.outcomes):
            raise VerificationError("snapshot_past", f"the outcomes of {header.height} differ")
        self._last = header.height, header.hash(), result.hash()

    def end(self) -> None:
        """There are no more. Raises VerificationError unless the last one is the snapshot's."""
        manifest = self._manifest
        if self._last != (manifest.height, manifest.block_hash, manifest.result_hash):
            raise VerificationError("snapshot_past", "the past does not lead to the snapshot")
