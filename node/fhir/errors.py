"""The exceptions of an import. What is wrong with one resource is no exception but a refusal
(reasons.py).

FhirImportError          the import cannot go on
├── HospitalsError       the description of the hospitals cannot be used
├── InputError           the directory holds nothing to import, or cannot be read
├── JournalError         the journal cannot be used
└── ImportStoppedError   a node or the ledger refused what does not depend on the resource
"""

from __future__ import annotations


class FhirImportError(Exception):
    """Base: the import cannot go on. Never raised itself."""


class HospitalsError(FhirImportError):
    """The description of the hospitals cannot be used."""


class InputError(FhirImportError):
    """The directory holds nothing to import, or cannot be read."""


class JournalError(FhirImportError):
    """The journal is another chain's, another version's, in use, or damaged."""


class ImportStoppedError(FhirImportError):
    """A node or the ledger refused for a reason that holds for every resource of `hospital`.

    What was done stands in the journal; the import can be run again when the cause is gone.
    """

    def __init__(self, hospital: str, code: str, detail: str) -> None:
        super().__init__(f"{hospital}: {code}: {detail}")
        self.hospital = hospital
        self.code = code
        self.detail = detail


class ScanError(Exception):
    """A text is not JSON at `offset`. Never leaves this package: it becomes a refusal."""

    def __init__(self, offset: int) -> None:
        super().__init__(f"not JSON at byte {offset}")
        self.offset = offset
