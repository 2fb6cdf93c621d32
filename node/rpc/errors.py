"""Refusals that only the HTTP side knows.

NodeError
└── RefusedError
    ├── FieldsError         parts of a request are wrong, each with a pointer
    ├── HeightError         a refusal that is about a height
    └── NotAcceptableError  the client takes no content type that the answer can have
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from node.errors import RefusedError


@dataclass(frozen=True, slots=True)
class Fault:
    """One part of a request that is wrong: a JSON pointer (RFC 6901) and a stable name."""

    pointer: str
    code: str


class FieldsError(RefusedError):
    """Parts of a request are wrong."""

    def __init__(self, detail: str, faults: Sequence[Fault]) -> None:
        super().__init__("schema_violation", detail)
        self.faults = tuple(faults)


class HeightError(RefusedError):
    """A height is not (or no longer) here."""

    def __init__(self, code: str, detail: str, height: int) -> None:
        super().__init__(code, detail)
        self.height = height


class NotAcceptableError(RefusedError):
    """The client takes no content type that the answer can have.

    To a program it is the same as a body of the wrong type; HTTP has a status of its own for it.
    """

    status = 406

    def __init__(self, detail: str) -> None:
        super().__init__("unsupported_media_type", detail)


def wrong_field(pointer: str, code: str, detail: str) -> FieldsError:
    """One wrong part."""
    return FieldsError(detail, [Fault(pointer, code)])
