"""The exceptions of the SDK.

MedQuorumError
├── DecodeError            bytes from elsewhere are not what they should be
│   ├── OversizedError     larger than the limit; nothing was decoded
│   ├── MalformedError     not the structure that was expected
│   └── NonCanonicalError  the right structure in other than its one canonical form
├── KeyFormatError         not a key, or a key file that does not open
├── VerificationError      a proof, certificate or receipt that does not hold
├── VaultError             a record that does not decrypt, or does not match its commitment
└── ClientError            the client did not get what it asked for
    ├── UnreachableError   no answer; nothing is known about what was sent
    ├── AnswerError        an answer that is not what the interface promises
    ├── ProblemError       the node's coded refusal (RFC 9457)
    └── WaitTimeoutError   the transaction is still pending; asking again is safe
"""

from __future__ import annotations


class MedQuorumError(Exception):
    """Base of all that the SDK raises for others' faults. Never raised itself."""


class DecodeError(MedQuorumError):
    """Base: bytes from elsewhere are not what they should be. `code` is its name in the error
    catalogue.
    """

    code = "malformed"


class OversizedError(DecodeError):
    """Larger than the limit for its kind. Nothing was decoded."""

    code = "too_large"

    def __init__(self, *, size: int, size_max: int) -> None:
        super().__init__(f"{size} bytes where at most {size_max} are allowed")
        self.size = size
        self.size_max = size_max


class MalformedError(DecodeError):
    """Not the structure that was expected."""


class NonCanonicalError(DecodeError):
    """The right structure, but not in its one canonical form."""

    code = "non_canonical"

    def __init__(self, what: str) -> None:
        super().__init__(f"{what} is not in canonical form: its re-encoding differs")
        self.what = what


class KeyFormatError(MedQuorumError):
    """Not a key, or a key file that does not open."""


class VerificationError(MedQuorumError):
    """A proof, certificate or receipt does not hold. `reason` is a stable snake_case name of the
    failed check.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class VaultError(MedQuorumError):
    """A record does not decrypt, or does not match its commitment. `reason` is a stable snake_case
    name.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class ClientError(MedQuorumError):
    """Base: the client did not get what it asked for."""


class UnreachableError(ClientError):
    """No answer arrived. Whether the request had an effect is unknown; sending a transaction again
    is harmless.
    """


class AnswerError(ClientError):
    """The node answered, but not as the interface promises. Something else may be listening
    there.
    """


class ProblemError(ClientError):
    """The node refused with a coded problem document (RFC 9457)."""

    def __init__(
        self,
        *,
        status: int,
        code: str,
        detail: str,
        retryable: bool,
        retry_after_ms: int | None = None,
        tx_id: str | None = None,
        oldest: int | None = None,
    ) -> None:
        super().__init__(f"{code} (HTTP {status}): {detail}")
        self.status = status
        self.code = code
        self.detail = detail
        self.retryable = retryable
        self.retry_after_ms = retry_after_ms
        self.tx_id = tx_id
        """Hexadecimal: of the refused transaction, or of the logged denial of an access."""
        self.oldest = oldest
        """Of what is `pruned`: the first height that the node has."""


class WaitTimeoutError(ClientError):
    """The transaction was still pending when the time was over. It is not lost, and asking again is
    safe.
    """

    def __init__(self, tx_id: bytes) -> None:
        super().__init__(f"transaction {tx_id.hex()} is still pending")
        self.tx_id = tx_id
