"""What receipts and evidence have in common as files: encoded structures as unpadded base64url, a
certified block, and the changes of the validator set.

Nothing here verifies anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from medquorum.block import Header, Result, ValidatorSet
from medquorum.certificate import CommitCertificate
from medquorum.codec import WireT, decode, encode
from medquorum.encoding import from_base64url, to_base64url
from medquorum.history import Certified, SetChange
from medquorum.limits import (
    CERTIFICATE_BYTES_MAX,
    HEADER_BYTES_MAX,
    HISTORY_CHANGES_MAX,
    RECOVERY_BYTES_MAX,
    RESULT_BYTES_MAX,
    VALIDATORS_BYTES_MAX,
)
from medquorum.recovery import Recovery


class CertifiedFile(msgspec.Struct, forbid_unknown_fields=True):
    """A certified block in a file."""

    header: str
    result: str
    certificate: str


class ChangeFile(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """A change of the validator set in a file. `recovery` stands there only if there was one, so
    other changes are written as they were before there were recoveries.
    """

    header: str
    result: str
    certificate: str
    validators: str
    recovery: str = ""


def pack(value: object) -> str:
    """An encoded structure as text."""
    return to_base64url(encode(value))


def unpack(kind: type[WireT], text: str, size_max: int) -> WireT:
    """The structure of a text. Raises ValueError or a DecodeError."""
    return decode(kind, from_base64url(text), size_max=size_max)


def pack_certified(block: Certified) -> CertifiedFile:
    """A certified block, for a file."""
    return CertifiedFile(pack(block.header), pack(block.result), pack(block.certificate))


def pack_changes(changes: Iterable[SetChange]) -> list[ChangeFile]:
    """Changes of the validator set, for a file."""
    return [
        ChangeFile(
            pack(change.at.header),
            pack(change.at.result),
            pack(change.at.certificate),
            pack(change.validators),
            "" if change.recovery is None else pack(change.recovery),
        )
        for change in changes
    ]


def unpack_certified(header: str, result: str, certificate: str) -> Certified:
    """A block from three base64url strings. Raises ValueError or a DecodeError."""
    return Certified(
        unpack(Header, header, HEADER_BYTES_MAX),
        unpack(Result, result, RESULT_BYTES_MAX),
        unpack(CommitCertificate, certificate, CERTIFICATE_BYTES_MAX),
    )


def unpack_change(
    header: str, result: str, certificate: str, validators: str, recovery: str = ""
) -> SetChange:
    """A change of the validator set from base64url strings; the last is empty if it was no
    recovery. Raises ValueError or a DecodeError.
    """
    return SetChange(
        unpack_certified(header, result, certificate),
        unpack(ValidatorSet, validators, VALIDATORS_BYTES_MAX),
        None if recovery == "" else unpack(Recovery, recovery, RECOVERY_BYTES_MAX),
    )


def unpack_changes(changes: Sequence[ChangeFile]) -> tuple[SetChange, ...]:
    """All changes of a file. Raises ValueError or a DecodeError."""
    if len(changes) > HISTORY_CHANGES_MAX:
        raise ValueError(f"more than {HISTORY_CHANGES_MAX} changes of the validator set")
    return tuple(
        unpack_change(c.header, c.result, c.certificate, c.validators, c.recovery) for c in changes
    )
