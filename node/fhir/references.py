"""How resources refer to each other, brought into one form, the identity:

    Patient/123                              a relative reference, or a resource with an id
    https://fhir.example/r4/Patient/123      under the base of the server it came from
    urn:uuid:...                             what a bundle without ids calls its resource
    Organization?identifier=system|value     a search, or an identifier, that names one

Two servers may both have a Patient/123, so a base that is known stays part of the identity. All
files of one import that give none are taken to come from one server.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

from node.fhir.limits import REFERENCE_CHARS_MAX

_LITERAL: Final = re.compile(
    r"(?P<base>https?://[^?#\s]+/)?(?P<type>[A-Z][A-Za-z]+)/(?P<id>[A-Za-z0-9.\-]{1,64})"
    r"(/_history/[A-Za-z0-9.\-]{1,64})?(?![\s\S])"
)
_SEARCH: Final = re.compile(r"(?P<type>[A-Z][A-Za-z]+)\?[^\s]+(?![\s\S])")
_URN: Final = re.compile(r"urn:[a-z]+:[^\s]+(?![\s\S])")
# Unique in the world; a bundle that numbers its entries instead (urn:uuid:1) means itself alone.
_UNIQUE: Final = re.compile(
    r"urn:(uuid:[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|oid:[0-2](\.[0-9]+)+)(?![\s\S])"
)
ID: Final = re.compile(r"[A-Za-z0-9.\-]{1,64}(?![\s\S])")
"""An id as FHIR defines it."""


def base_of(full_url: str) -> str:
    """The base of the server under which a bundle's resource is known, or nothing."""
    match = _LITERAL.match(full_url)
    return "" if match is None else match["base"] or ""


def identity_of(resource_type: str, resource_id: str, full_url: str) -> str:
    """The identity of a resource; empty if it has none."""
    if resource_id:
        return f"{base_of(full_url)}{resource_type}/{resource_id}"
    return full_url if _LITERAL.match(full_url) or _UNIQUE.match(full_url) else ""


def referred(reference: str, full_url: str) -> tuple[str, str]:
    """What a reference in the resource at `full_url` names: its type, as far as the reference
    tells, and its identity. Both are empty for what cannot be followed.
    """
    if len(reference) > REFERENCE_CHARS_MAX:
        return "", ""
    if literal := _LITERAL.match(reference):
        base = literal["base"] or base_of(full_url)
        return literal["type"], f"{base}{literal['type']}/{literal['id']}"
    if search := _SEARCH.match(reference):
        return search["type"], reference
    return ("", reference) if _URN.match(reference) else ("", "")


def is_search(identity: str) -> bool:
    """Whether an identity is a search, which only the server it came from could carry out."""
    return "?" in identity


def references_at(value: object) -> Iterator[str]:
    """The references of an element that is one or a list of them; an empty text for one that
    points nowhere in particular.
    """
    match value:
        case list():
            for item in value:
                yield from references_at(item)
        case dict():
            yield _reference(value)
        case _:
            return


def _reference(value: Mapping[str, object]) -> str:
    reference = value.get("reference")
    if isinstance(reference, str):
        return reference
    identifier, type_ = value.get("identifier"), value.get("type")
    if isinstance(identifier, dict) and isinstance(type_, str):
        system, code = identifier.get("system", ""), identifier.get("value")
        if isinstance(system, str) and isinstance(code, str):
            return f"{type_}?identifier={system}|{code}"
    return ""
