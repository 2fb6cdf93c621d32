"""The bodies of the operations, field by field in wire order.

Nothing here can hold a name, a number or a note of a person.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from medquorum.codec import U32, Bytes32, Hash, Name, TimeMs, Wire
from node.ledger.types.records.classes import Confidentiality, RecordClass
from node.ledger.types.records.limits import RECORDS_PER_RELEASE_MAX
from node.ledger.types.records.purposes import Purpose
from node.ledger.types.records.rows import Classes, Exceptions, SizeBucket
from node.ledger.types.records.terms import (
    AmendReason,
    Decision,
    DefaultPolicy,
    DenyReason,
    Flag,
    MaybeHash,
    RevokeReason,
    Scope,
    VersionKind,
)


class RegisterPatient(Wire):
    """rec.patient.register.

    `pid` is 32 random bytes; for a patient with keys it is the id of their actor.

    `link_commit` may commit to the patient's other pseudonyms, to be opened off the chain.
    """

    pid: Bytes32
    org: Bytes32
    default_policy: DefaultPolicy
    break_glass: Flag
    ceiling: Confidentiality
    link_commit: MaybeHash


class SetPolicy(Wire):
    """rec.patient.policy. `form_hash` is needed if staff sign for a patient without keys."""

    pid: Bytes32
    default_policy: DefaultPolicy
    break_glass: Flag
    ceiling: Confidentiality
    form_hash: MaybeHash


class AnchorRecord(Wire):
    """rec.anchor.

    `size_bucket` is the exponent of the power of two that the ciphertext fits into.
    """

    rec_id: Bytes32
    pid: Bytes32
    record_class: RecordClass
    confidentiality: Confidentiality
    commitment: Hash
    ct_hash: Hash
    size_bucket: SizeBucket
    custodian: Bytes32
    fhir_type: Name


class AmendRecord(Wire):
    """rec.amend.

    `commitment` and `ct_hash` are empty, and `size_bucket` 0, for entered_in_error and for nothing
    else.
    """

    rec_id: Bytes32
    prev_version: U32
    kind: VersionKind
    reason: AmendReason
    commitment: MaybeHash
    ct_hash: MaybeHash
    size_bucket: SizeBucket


class GrantConsent(Wire):
    """cons.grant.

    It holds for [not_before_ms, not_after_ms) of block time; `not_before_ms` may be 0.
    """

    grant_id: Bytes32
    pid: Bytes32
    decision: Decision
    scope: Scope
    exceptions: Exceptions
    not_before_ms: TimeMs
    not_after_ms: TimeMs
    delegable: Flag
    form_hash: MaybeHash


class AmendConsent(Wire):
    """cons.amend.

    The whole new text of a permit; it must not permit anything that version `prev_version` did not.
    """

    grant_id: Bytes32
    prev_version: U32
    scope: Scope
    exceptions: Exceptions
    not_after_ms: TimeMs
    form_hash: MaybeHash


class RevokeConsent(Wire):
    """cons.revoke."""

    grant_id: Bytes32
    reason: RevokeReason
    form_hash: MaybeHash


class RequestAccess(Wire):
    """rec.access.request.

    `role` and `org` say in which capacity; `grant_id` may name the grant relied on.

    `min_necessary_hash` commits to the requester's account of why less would not do.
    """

    req_id: Bytes32
    pid: Bytes32
    org: Bytes32
    role: Name
    purpose: Purpose
    classes: Classes
    grant_id: MaybeHash
    min_necessary_hash: Hash


class LogAccess(Wire):
    """rec.access.log.

    A permit names at least one record and the envelope; a denial gives a reason and no envelope.
    """

    req_id: Bytes32
    decision: Decision
    deny_reason: DenyReason
    records: Annotated[tuple[Bytes32, ...], Meta(max_length=RECORDS_PER_RELEASE_MAX)]
    envelope_hash: MaybeHash


class ReceiveAccess(Wire):
    """rec.access.receipt.

    `ct_hash` is `released_hash` of the ciphertexts that arrived, in the order of the log entry.
    """

    req_id: Bytes32
    ct_hash: Hash
