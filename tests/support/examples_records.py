"""Good examples of the types of records and consent."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from medquorum.transaction import Operation
from node.ledger.types.records.bodies import (
    AmendConsent,
    ReceiveAccess,
    RegisterPatient,
    SetPolicy,
)
from node.ledger.types.records.classes import Confidentiality
from node.ledger.types.records.releases import released_hash
from node.ledger.types.records.terms import DefaultPolicy
from tests.support.examples import Example
from tests.support.ledger import Ledger, Person
from tests.support.records import Clinic

Made = tuple[Operation, Person]


def _register(clinic: Clinic) -> Made:
    pid, policy = clinic.ledger.fresh_id("pid"), DefaultPolicy.DENY
    body = RegisterPatient(pid, clinic.org.id, policy, 0, Confidentiality.N, b"")
    return clinic.op("rec.patient.register", body), clinic.registrar


def _policy(clinic: Clinic) -> Made:
    body = SetPolicy(clinic.pid, DefaultPolicy.DENY, 0, Confidentiality.L, b"")
    return clinic.op("rec.patient.policy", body), clinic.patient


def _anchor(clinic: Clinic) -> Made:
    return clinic.op("rec.anchor", clinic.anchoring()), clinic.clinician


def _amend(clinic: Clinic) -> Made:
    return clinic.op("rec.amend", clinic.amending(clinic.anchor().rec_id)), clinic.gateway


def _grant(clinic: Clinic) -> Made:
    return clinic.op("cons.grant", clinic.granting()), clinic.patient


def _narrow(clinic: Clinic) -> Made:
    body = clinic.grant()
    same = AmendConsent(body.grant_id, 1, body.scope, (), body.not_after_ms, b"")
    return clinic.op("cons.amend", same), clinic.patient


def _revoke(clinic: Clinic) -> Made:
    return clinic.revoking(clinic.grant().grant_id), clinic.patient


def _request(clinic: Clinic) -> Made:
    return clinic.op("rec.access.request", clinic.requesting()), clinic.consultant


def _log(clinic: Clinic) -> Made:
    clinic.grant()
    return clinic.permit(clinic.request().req_id, [clinic.anchor().rec_id]), clinic.gateway


def _receipt(clinic: Clinic) -> Made:
    clinic.grant()
    record, request = clinic.anchor(), clinic.request()
    clinic.ledger.accept(clinic.permit(request.req_id, [record.rec_id]), by=clinic.gateway)
    body = ReceiveAccess(request.req_id, released_hash([record.ct_hash]))
    return clinic.op("rec.access.receipt", body), clinic.consultant


MAKERS: Final[Mapping[str, Callable[[Clinic], Made]]] = {
    "rec.patient.register": _register,
    "rec.patient.policy": _policy,
    "rec.anchor": _anchor,
    "rec.amend": _amend,
    "cons.grant": _grant,
    "cons.amend": _narrow,
    "cons.revoke": _revoke,
    "rec.access.request": _request,
    "rec.access.log": _log,
    "rec.access.receipt": _receipt,
}


def _example(maker: Callable[[Clinic], Made]) -> Callable[[Ledger], Example]:
    def build(ledger: Ledger) -> Example:
        operation, signer = maker(Clinic(ledger))
        return Example(operation, [signer])

    return build


EXAMPLES: Final = {name: _example(maker) for name, maker in MAKERS.items()}
