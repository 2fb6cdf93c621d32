"""Proves an archive from the genesis, without a node: every height under the validators that voted
on it (docs/spec/archive.md, A3).
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Annotated, Final

import msgspec

from medquorum.block import Header, Result, ValidatorSet
from medquorum.certificate import CommitCertificate
from medquorum.codec import decode, encode
from medquorum.errors import DecodeError, VerificationError
from medquorum.genesis import Genesis
from medquorum.history import Certified, SetChange, ValidatorHistory
from medquorum.limits import VALIDATORS_BYTES_MAX
from medquorum.recovery import recovery_in
from medquorum.transaction import Transaction
from node.archive.format import ArchivedHeight, ArchiveReader
from node.archive.writing import finished
from node.checking.heights import CheckedHeight, RawHeight, check_heights
from node.ledger.limits import BLOCK_TXS_MAX

_RAWS: Final = msgspec.msgpack.Decoder(
    Annotated[tuple[bytes, ...], msgspec.Meta(max_length=BLOCK_TXS_MAX)]
)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a height that was proven stands in the file, and under which hash."""

    offset: int
    digest: bytes


@dataclass(frozen=True, slots=True)
class Proven:
    """An archive that holds what the chain committed. `places` go from the first height on.
    `block_hash` and `result_hash` are those of the last one.
    """

    places: tuple[Place, ...]
    transactions: int
    block_hash: bytes
    result_hash: bytes


def prove_archive(archive: ArchiveReader, genesis: Genesis) -> Proven:
    """Read all of it. Raises VerificationError, which names what does not hold and where."""
    return finished(proving(archive, genesis))


def proving(archive: ArchiveReader, genesis: Genesis) -> Generator[None, None, Proven]:
    """The same, which pauses after each height."""
    return _Proof(archive, genesis).run()


class _Proof:
    def __init__(self, archive: ArchiveReader, genesis: Genesis) -> None:
        self._archive = archive
        self._chain_id = genesis.chain_id()
        self._engine = genesis.engine
        self._history = ValidatorHistory(genesis)
        self._parent = archive.head.parent
        self._before: Certified | None = None

    def run(self) -> Generator[None, None, Proven]:
        head = self._archive.head
        if head.chain_id != self._chain_id:
            raise VerificationError("archive_chain", "it is of another chain than the genesis")
        if head.first == 1 and head.parent != self._chain_id:
            raise VerificationError("archive_parent", "height 1 follows the genesis alone")
        self._history.extend(head.set_changes())
        if self._history.height >= head.first:
            raise VerificationError("archive_history", "a change lies above the first height")
        places: list[Place] = []
        transactions = 0
        for entry in self._archive.entries():
            transactions += len(self._height(entry.height, entry.content))
            places.append(Place(entry.offset, entry.digest))
            yield
        last = None if self._before is None else self._before.result.hash()
        return Proven(tuple(places), transactions, self._parent, last or b"")

    def _height(self, height: int, content: ArchivedHeight) -> tuple[bytes, ...]:
        """Prove one height and go on to the next; the ids of its transactions."""
        self._recovered(height, content)
        validators = encode(self._history.validators_at(height))
        raw = RawHeight(
            height, validators, content.header, content.result, content.certificate,
            content.transactions, content.outcomes, content.events,
        )  # fmt: skip
        (checked,) = check_heights(self._chain_id, self._engine, [raw])
        header, result = self._sound(checked)
        self._follows(header, height)
        self._parent = header.hash()
        self._before = self._changes(header, result, content)
        return checked.tx_ids

    def _recovered(self, height: int, content: ArchivedHeight) -> None:
        """If organisations named those who vote on this height, it begins with how they did."""
        before = self._before
        if before is None:
            return
        try:
            header = decode(Header, content.header, size_max=len(content.header))
            if header.validators_hash == self._history.validators_at(height).hash():
                return
            raws = _RAWS.decode(content.transactions)
            first = [Transaction.decode(raw) for raw in raws[:1]]
        except (DecodeError, msgspec.DecodeError):
            # What is wrong with them is found where the height is checked.
            return
        recovery = recovery_in(first[0].body.operations) if first else None
        if recovery is not None:
            after = recovery.statement.validator_set()
            self._history.extend([SetChange(before, after, recovery)])

    def _sound(self, checked: CheckedHeight) -> tuple[Header, Result]:
        for finding in checked.findings:
            raise VerificationError(f"archive_{finding.part}", finding.line())
        if checked.header is None or checked.result is None:
            raise VerificationError("archive_header", f"height {checked.height} has no header")
        return checked.header, checked.result

    def _follows(self, header: Header, height: int) -> None:
        wrong = None
        if header.height != height:
            wrong = f"the header is that of height {header.height}"
        elif header.chain_id != self._chain_id:
            wrong = "the header is of another chain"
        elif header.parent != self._parent:
            wrong = "its parent is not the height before"
        elif self._before is not None and header.parent_result != self._before.result.hash():
            wrong = "it names another result of the height before"
        elif self._before is not None and header.time_ms <= self._before.header.time_ms:
            wrong = "its time is not after that of the height before"
        if wrong is not None:
            raise VerificationError("archive_link", f"height {height}: {wrong}")

    def _changes(self, header: Header, result: Result, content: ArchivedHeight) -> Certified:
        """The set that votes on the next height stands in the file where it is another one."""
        where = f"height {header.height}"
        changed = result.next_validators_hash != header.validators_hash
        if changed != bool(content.validators):
            raise VerificationError("archive_validators", f"{where}: a set is missing or too many")
        try:
            certificate = decode(
                CommitCertificate, content.certificate, size_max=len(content.certificate)
            )
            certified = Certified(header, result, certificate)
            if changed:
                after = decode(ValidatorSet, content.validators, size_max=VALIDATORS_BYTES_MAX)
                self._history.extend([SetChange(certified, after)])
        except (DecodeError, VerificationError) as error:
            raise VerificationError("archive_validators", f"{where}: {error}") from None
        return certified
