"""The limits of what this package reads from files and from the network. A transaction's own stand
in transaction.py.
"""

from __future__ import annotations

from typing import Final

RESOURCE_BYTES_MAX: Final = 8 * 1024 * 1024
"""One record, before encryption."""
RESOURCE_DEPTH_MAX: Final = 64
"""Nesting of a record's JSON. FHIR resources stay below 30."""
NUMBER_CHARS_MAX: Final = 40
"""The digits of one JSON number. A double needs at most 24 characters."""
ENVELOPE_BYTES_MAX: Final = 4096

RECEIPT_BYTES_MAX: Final = 32 * 1024 * 1024
RECEIPT_EVENTS_MAX: Final = 4096
HISTORY_CHANGES_MAX: Final = 10_000
"""Changes of the validator set since the genesis that one receipt can carry."""
EVIDENCE_FILE_BYTES_MAX: Final = RECEIPT_BYTES_MAX
"""Mostly the history of the validator set, as in a receipt."""
PATH_HASHES_MAX: Final = 64
"""The longest Merkle path: lists have fewer than 2^64 entries."""
HEADER_BYTES_MAX: Final = 4096
RESULT_BYTES_MAX: Final = 1024
CERTIFICATE_BYTES_MAX: Final = 16 * 1024
VALIDATORS_BYTES_MAX: Final = 32 * 1024
OUTCOME_BYTES_MAX: Final = 256
EVENT_BYTES_MAX: Final = 8192
RECOVERY_BYTES_MAX: Final = 64 * 1024
"""A recovery with its signatures: what the body of one operation holds."""
RECOVERY_FILE_BYTES_MAX: Final = RECEIPT_BYTES_MAX
STATE_PROOF_BYTES_MAX: Final = 64 * 1024

KEY_FILE_BYTES_MAX: Final = 64 * 1024
KEY_FILE_PASSES_MAX: Final = 16
KEY_FILE_MEMORY_BYTES_MAX: Final = 1024 * 1024 * 1024
"""What a key file may ask for before we refuse to stretch a passphrase for it."""
ENVELOPE_FILE_BYTES_MAX: Final = 512 * 1024
"""A transaction on its way to or from an offline signer."""

RESPONSE_BYTES_MAX: Final = 64 * 1024 * 1024
"""The largest answer of a node that the client reads."""
EVENT_LINE_BYTES_MAX: Final = 256 * 1024
BATCH_TRANSACTIONS_MAX: Final = 1000
BATCH_BYTES_MAX: Final = 8 * 1024 * 1024
EVENT_FIELDS_MAX: Final = 64
"""Lines of one server-sent event."""
