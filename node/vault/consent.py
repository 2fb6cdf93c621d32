"""What the gateway finds on the ledger before it decides, at one committed height.

The ledger decides again, by the same rules, when the access log executes. This is not a second
opinion: it is how the gateway knows which answer to log.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from node.errors import RefusedError
from node.ledger.access import require_org_active
from node.ledger.codes import Code
from node.ledger.context import Signer, View
from node.ledger.errors import TxError
from node.ledger.identities import actor_of, signer_of_key
from node.ledger.types.records.consent import Ask, Rule, applicable, decide
from node.ledger.types.records.releases import (
    defaults_of,
    grants_of,
    requester_stands,
    target_of,
)
from node.ledger.types.records.rows import (
    LOG,
    PATIENTS,
    RECORDS,
    REQUESTS,
    VERSIONS,
    LogEntry,
    Record,
    Request,
)
from node.ledger.types.records.terms import (
    Action,
    DenyReason,
    PatientStatus,
    RecordStatus,
    RequestState,
)

NAMESPACE: Final = "records"
_DENY_REASONS: Final = {
    Rule.GRANT_DENY: DenyReason.GRANT_DENY,
    Rule.EXCEPTION_DENY: DenyReason.EXCEPTION_DENY,
    Rule.DEFAULT_DENY: DenyReason.DEFAULT_DENY,
}
_NOT_STAFF: Final = frozenset({"patient", "guardian"})


@dataclass(frozen=True, slots=True)
class Denial:
    """Why not: the rule for people, the reason for the ledger."""

    rule: str
    reason: DenyReason


@dataclass(frozen=True, slots=True)
class Case:
    """A request and its records as of `height`. `recipient` is the requester's KEM key."""

    height: int
    req_id: bytes
    request: Request
    records: tuple[tuple[bytes, Record], ...]
    recipient: bytes
    denial: Denial | None


def signer(view: View, key: bytes) -> Signer:
    """Who signs with this key. Raises RefusedError `unknown_key` or `key_revoked`."""
    try:
        return signer_of_key(view, key, view.height + 1)
    except TxError as error:
        revoked = error.code is Code.KEY_REVOKED
        raise RefusedError("key_revoked" if revoked else "unknown_key", error.detail) from None


def custodian(view: View, gateway: bytes) -> bytes:
    """The organisation whose records the gateway keeps. Raises RefusedError `not_ready`."""
    row = actor_of(view, gateway)
    if row is None:
        raise RefusedError("not_ready", "the gateway's actor is not enrolled yet")
    return row.org


def check_upload(
    view: View, key: bytes, gateway: bytes, *, rec_id: bytes, version: int, ct_hash: bytes
) -> None:
    """Raise RefusedError unless the holder of `key` may hand in this version of a record: staff or
    a system of the custodian, a record that the custodian anchored with this hash, or the next
    version of one, which it is about to anchor.
    """
    org = custodian(view, gateway)
    who = signer(view, key)
    actor = actor_of(view, who.actor)
    if actor is None or who.org != org or actor.kind in _NOT_STAFF:
        raise RefusedError(
            "policy_denied", "only this hospital's staff and systems hand in records"
        )
    state = view.read(NAMESPACE)
    record = RECORDS.get(state, rec_id)
    if record is None:
        known = version == 1
    elif record.custodian != org:
        raise RefusedError("policy_denied", "another custodian keeps this record")
    elif version > record.head.version:
        known = version == record.head.version + 1
    else:
        row = (
            record.head if version == record.head.version else VERSIONS.get(state, rec_id, version)
        )
        known = row is not None and row.ct_hash == ct_hash
    if not known:
        raise RefusedError("policy_denied", "the ledger has another ciphertext or version of it")


def examine(
    view: View, key: bytes, gateway: bytes, req_id: bytes, rec_ids: Sequence[bytes]
) -> Case:
    """The case of a request that this gateway can decide.

    Raises RefusedError if there is nothing to decide, and nothing that the ledger would log: no
    such request, another's request, one that is decided, records that this custodian does not have.
    """
    state = view.read(NAMESPACE)
    request = REQUESTS.get(state, req_id)
    if request is None:
        raise RefusedError("not_found", "there is no such access request")
    if signer(view, key).actor != request.actor:
        raise RefusedError("policy_denied", "somebody else asked for this access")
    if request.state is not RequestState.PENDING or view.time_ms >= request.expires_ms:
        raise RefusedError("policy_denied", "the request is decided or expired; make a new one")
    org = custodian(view, gateway)
    records = tuple((rec_id, _record(view, rec_id, request, org)) for rec_id in rec_ids)
    requester = actor_of(view, request.actor)
    recipient = b"" if requester is None else requester.kem
    denial = judge(view, request, [record for _, record in records])
    if denial is None and recipient == b"":
        denial = Denial("no_kem_key", DenyReason.GATEWAY_POLICY)
    return Case(view.height, req_id, request, records, recipient, denial)


def judge(view: View, request: Request, records: Sequence[Record]) -> Denial | None:
    """Why the requester may not see these records now, or None if they may see all of them."""
    state = view.read(NAMESPACE)
    patient = PATIENTS.get(state, request.pid)
    if patient is None or patient.status is not PatientStatus.ACTIVE:
        return Denial("patient_not_active", DenyReason.GATEWAY_POLICY)
    if not requester_stands(request, view):
        return Denial("requester_lost_role", DenyReason.GATEWAY_POLICY)
    try:
        require_org_active(view, request.org)
    except TxError:
        return Denial("organisation_suspended", DenyReason.GATEWAY_POLICY)
    ask = Ask(
        actor=request.actor,
        org=request.org,
        role=request.role,
        purpose=request.purpose,
        action=Action.ACCESS,
        now_ms=view.time_ms,
    )
    grants = applicable(grants_of(state, request.pid), ask)
    for record in records:
        if record.status is not RecordStatus.LIVE:
            return Denial("record_not_live", DenyReason.GATEWAY_POLICY)
        if record.record_class not in request.classes:
            return Denial("class_not_requested", DenyReason.GATEWAY_POLICY)
        verdict = decide(defaults_of(request.pid, patient), grants, ask, target_of(record))
        if not verdict.permitted:
            return Denial(verdict.rule.value, _DENY_REASONS[verdict.rule])
    return None


def log_entry(view: View, req_id: bytes) -> LogEntry | None:
    """What the ledger says was decided, or None."""
    return LOG.get(view.read(NAMESPACE), req_id)


def _record(view: View, rec_id: bytes, request: Request, org: bytes) -> Record:
    record = RECORDS.get(view.read(NAMESPACE), rec_id)
    if record is None or record.pid != request.pid or record.custodian != org:
        raise RefusedError("not_found", "this custodian has no such record of the patient")
    return record
