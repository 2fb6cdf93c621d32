"""What a resource is: type, identity, content, confidentiality, and whom it may be about."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from itertools import islice
from typing import Final

import msgspec

from medquorum.errors import VaultError
from medquorum.resource import canonical
from node.fhir.files import Raw, Refused
from node.fhir.limits import REFERENCES_MAX
from node.fhir.r4 import R4_TYPES
from node.fhir.reasons import OF_VAULT_ERROR, Reason
from node.fhir.references import ID, identity_of, references_at, referred
from node.ledger.types.records.classes import (
    CLASS_OF_FHIR_TYPE,
    Confidentiality,
    RecordClass,
)

PATIENT: Final = "Patient"
ENCOUNTER: Final = "Encounter"
ORGANIZATION: Final = "Organization"

# The elements by which R4 says whom a resource is about. A resource about a group, a place or a
# device has one too, so what they name counts whatever it is.
_ABOUT: Final = (
    ("subject",),
    ("patient",),
    ("beneficiary",),
    ("individual",),
    ("for",),
    ("candidate",),
)
# Elements that name patients among other things: only the patients count.
_AMONG_OTHERS: Final = (
    ("actor",),
    ("participant", "actor"),
    ("target",),
    ("link", "target"),
    ("entity", "what"),
)
_ENCOUNTERS: Final = (
    ("encounter",),
    ("context",),
    ("context", "encounter"),
    ("item", "encounter"),
)
_CONFIDENTIALITY: Final = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality"
_SENSITIVITY: Final = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
_LEVELS: Final = frozenset(Confidentiality.__members__)
_SENSITIVE: Final = frozenset(
    {"ETH", "ETHUD", "HIV", "OPIOIDUD", "PSY", "PSYTHPN", "SDV", "SEX", "STD", "SUD"}
)


@dataclass(frozen=True, slots=True)
class Reference:
    """A reference, resolved as far as it can be without looking anything up."""

    type: str
    identity: str


@dataclass(frozen=True, slots=True)
class Resource:
    """A resource of a known type, and of exact content if it is a record.

    `record_class` is None for what no patient's record is: practitioners, places, definitions.
    """

    raw: Raw
    type: str
    id: str
    identity: str
    record_class: RecordClass | None
    digest: bytes
    """SHA-256 of the canonical form: layout and the order of names do not matter."""
    confidentiality: Confidentiality
    about: tuple[Reference, ...]
    among: tuple[Reference, ...]
    encounters: tuple[Reference, ...]
    owners: tuple[Reference, ...]
    """The organisation that an encounter or a patient names as responsible."""


def resource_of(raw: Raw, *, exact: bool = True) -> Resource | Refused:
    """Read one resource. Total: whatever the text is. Unless `exact`, its content is not looked at
    and has no digest.
    """
    fields = _fields(raw)
    if isinstance(fields, Refused):
        return fields
    type_, id_ = fields.get("resourceType"), fields.get("id", "")
    if not isinstance(type_, str) or type_ == "":
        return _refused(raw, Reason.NO_RESOURCE_TYPE)
    if type_ not in R4_TYPES:
        return _refused(raw, Reason.UNKNOWN_TYPE)
    if not isinstance(id_, str) or (id_ != "" and not ID.match(id_)):
        return _refused(raw, Reason.BAD_ID, type_)
    identity = identity_of(type_, id_, raw.full_url)
    record_class = CLASS_OF_FHIR_TYPE.get(type_)
    digest = b""
    if record_class is not None:
        if identity == "":
            return _refused(raw, Reason.NO_ID, type_)
        try:
            digest = sha256(canonical(raw.text)).digest() if exact else b""
        except VaultError as error:
            return _refused(raw, OF_VAULT_ERROR[error.reason], type_, id_)
    return Resource(
        raw=raw,
        type=type_,
        id=id_,
        identity=identity,
        record_class=record_class,
        digest=digest,
        confidentiality=_confidentiality(fields),
        about=_references(fields, _ABOUT, raw.full_url),
        among=_references(fields, _AMONG_OTHERS, raw.full_url),
        encounters=_references(fields, _ENCOUNTERS, raw.full_url),
        owners=_references(fields, (("serviceProvider",), ("managingOrganization",)), raw.full_url),
    )


def _fields(raw: Raw) -> dict[str, object] | Refused:
    try:
        value: object = msgspec.json.decode(raw.text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        # Half a character is the one thing that may pass for JSON elsewhere and not here.
        return _refused(raw, _why_unreadable(raw.text))
    if not isinstance(value, dict):
        return _refused(raw, Reason.NOT_FHIR)
    return value


def _why_unreadable(text: bytes) -> Reason:
    try:
        canonical(text)
    except VaultError as error:
        return OF_VAULT_ERROR[error.reason]
    return Reason.NOT_JSON


def _refused(raw: Raw, reason: Reason, type_: str = "", id_: str = "") -> Refused:
    return Refused(raw.file, raw.position, raw.offset, reason, type_, id_)


def _references(
    fields: Mapping[str, object], paths: tuple[tuple[str, ...], ...], full_url: str
) -> tuple[Reference, ...]:
    found = (
        Reference(*referred(text, full_url))
        for path in paths
        for value in _at(fields, path)
        for text in references_at(value)
    )
    return tuple(islice(found, REFERENCES_MAX))


def _at(value: object, path: tuple[str, ...]) -> Iterator[object]:
    """The values at a path of names, through lists."""
    if path == ():
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _at(item, path)
    elif isinstance(value, dict) and path[0] in value:
        yield from _at(value[path[0]], path[1:])


def _confidentiality(fields: Mapping[str, object]) -> Confidentiality:
    """The highest that the labels of the resource say, and normal if they say nothing."""
    return max(_labelled(fields), default=Confidentiality.N)


def _labelled(fields: Mapping[str, object]) -> Iterator[Confidentiality]:
    for labels in _at(fields, ("meta", "security")):
        for label in labels if isinstance(labels, list) else ():
            system, code = next(_at(label, ("system",)), ""), next(_at(label, ("code",)), "")
            if system == _CONFIDENTIALITY and code in _LEVELS:
                yield Confidentiality[str(code)]
            elif system == _SENSITIVITY and code in _SENSITIVE:
                yield Confidentiality.R
