"""Re-checks what is here of the heights below the oldest block: what pruning left, or what a chain
that began with a snapshot knows of the time before.

Each height is named by the one above it, and the one below the oldest block by that block, or by
its own certificate if no block is here yet. Where the chain of them ends, only heights that changed
the validators may stand further below, and these are proven by their certificates.
"""

from __future__ import annotations

from medquorum import merkle
from medquorum.block import Header, Result
from medquorum.certificate import CommitCertificate, verify_certificate
from medquorum.codec import encode
from medquorum.errors import VerificationError
from medquorum.genesis import Genesis
from medquorum.history import ValidatorHistory
from medquorum.invariants import InvariantBroken
from node.checking.findings import Finding, Report
from node.receipts import certified_at, history_before
from node.repair.blocks import Progress
from node.repair.indexes import check_entry
from storage import layout
from storage.chain import ChainStore
from storage.errors import DamagedStoreError
from storage.kv import Reader


class PastAudit:
    """Checks the heights below the oldest block. `blocks` reads the same store as `reader`."""

    def __init__(
        self, reader: Reader, blocks: ChainStore, genesis: Genesis, report: Report
    ) -> None:
        self._reader = reader
        self._blocks = blocks
        self._history = ValidatorHistory(genesis)
        self._report = report
        self._top = min(blocks.oldest_block() - 1, blocks.tip())

    def run(self, progress: Progress) -> None:
        """Check all of them. What is found goes to the report."""
        if self._top < 1:
            return
        try:
            self._history.extend(history_before(self._blocks, self._top + 1))
            named = self._beginning()
        except (DamagedStoreError, InvariantBroken, VerificationError) as error:
            self._found(self._top, f"it is not proven from the genesis: {error}")
            return
        if named is None:
            return
        height = self._top
        while height > 0 and named is not None:
            lowest = height
            named = self._height(height, named)
            height -= 1
            progress("earlier heights", self._top - height, self._top)
        if named is None and lowest == self._top:
            self._found(self._top, "its header or its result is missing")
        elif named is not None:
            self._genesis(named)
        else:
            self._alone(lowest)

    def _beginning(self) -> tuple[bytes, bytes] | None:
        """The hashes that the highest of them must have; None if that is found elsewhere."""
        above = self._blocks.header(self._top + 1)
        if above is not None:
            return above.parent, above.parent_result
        if self._top < self._blocks.tip():
            return None
        certified = certified_at(self._blocks, self._top)
        if certified is None:
            raise VerificationError("certificate", "the last height is not whole")
        self._history.verify(certified)
        return certified.header.hash(), certified.result.hash()

    def _height(self, height: int, named: tuple[bytes, bytes]) -> tuple[bytes, bytes] | None:
        """Check one; what it names in turn, or None if it is not here."""
        try:
            header, result = self._blocks.header(height), self._blocks.result(height)
            if header is None or result is None:
                return None
            self._report.looked_at("earlier heights")
            if (header.hash(), result.hash()) != named or header.height != height:
                self._found(height, "it is not the one that the height above it names")
            self._outcomes(height, header, result)
            self._certificate(height, header, result, self._blocks.certificate(height))
        except DamagedStoreError as error:
            self._found(height, error.detail)
            return None
        key = layout.HEADER_HASH + header.hash()
        check_entry(
            self._reader, self._report, key, layout.pack_height(height), height, what="block"
        )
        return header.parent, header.parent_result

    def _outcomes(self, height: int, header: Header, result: Result) -> None:
        outcomes = self._blocks.outcomes(height)
        root = merkle.root([encode(outcome) for outcome in outcomes])
        if root != result.receipts_root or header.tx_count != len(outcomes):
            detail = "they do not have the root that the result names"
            self._report.add(Finding("outcomes", height, "", detail))
        for index, outcome in enumerate(outcomes):
            place = layout.pack_place(height, index)
            key = layout.TX + outcome.tx_id
            check_entry(self._reader, self._report, key, place, height, what="transaction")

    def _certificate(
        self, height: int, header: Header, result: Result, certificate: CommitCertificate | None
    ) -> None:
        """Of heights from before a snapshot there is none."""
        if certificate is None:
            return
        try:
            verify_certificate(
                engine=self._history.engine,
                header=header,
                result=result,
                certificate=certificate,
                validators=self._history.validators_at(height),
            )
        except VerificationError as error:
            self._report.add(Finding("certificate", height, "", str(error)))

    def _genesis(self, named: tuple[bytes, bytes]) -> None:
        try:
            result = self._blocks.result(0)
        except DamagedStoreError as error:
            self._report.add(Finding("result", 0, "", error.detail))
            return
        if result is None or (self._history.chain_id, result.hash()) != named:
            self._report.add(Finding("result", 0, "", "it is not the one that height 1 names"))

    def _alone(self, above: int) -> None:
        """Below `above` nothing leads to what is here, but to changes of the validators."""
        try:
            self._unproven(above)
        except DamagedStoreError as error:
            self._found(0, f"below height {above} it cannot be read: {error.detail}")

    def _unproven(self, above: int) -> None:
        changes = {height for height, _, _ in self._blocks.set_changes(self._top + 1)}
        for prefix, part in (
            (layout.HEADER, "a header"),
            (layout.RESULT, "a result"),
            (layout.CERTIFICATE, "a certificate"),
            (layout.OUTCOMES, "outcomes"),
        ):
            stop = layout.at_height(prefix, above)
            for key, _ in self._reader.scan(layout.at_height(prefix, 1), stop):
                height = layout.unpack_height(key[1:])
                if height not in changes or prefix == layout.OUTCOMES:
                    self._found(height, f"{part} is here, and nothing proves it")

    def _found(self, height: int, detail: str) -> None:
        self._report.add(Finding("chain", height, "", detail))
