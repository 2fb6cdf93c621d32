"""Medical records and consent: who holds what about whom, who may see it, and who did."""

from __future__ import annotations

from typing import Final

from node.ledger.txtype import EventType, Module, Traffic, TxType
from node.ledger.types.records import anchors, bodies, grants, patients, releases, requests
from node.ledger.types.records.parameters import PARAMS
from node.ledger.types.records.queries import QUERIES
from node.ledger.types.records.rows import NAMESPACE, TABLES

_TYPES: Final = (
    TxType(
        "rec.patient.register",
        1,
        bodies.RegisterPatient,
        patients.register,
        "Take a pseudonym into use",
    ),
    TxType(
        "rec.patient.policy",
        1,
        bodies.SetPolicy,
        patients.set_policy,
        "Choose what holds where the patient has said nothing",
    ),
    TxType(
        "rec.anchor",
        1,
        bodies.AnchorRecord,
        anchors.anchor,
        "Commit to a new record",
        traffic=Traffic.BULK,
    ),
    TxType("rec.amend", 1, bodies.AmendRecord, anchors.amend, "Add a version to a record"),
    TxType("cons.grant", 1, bodies.GrantConsent, grants.grant, "Allow or deny access"),
    TxType("cons.amend", 1, bodies.AmendConsent, grants.amend, "Narrow what a grant permits"),
    TxType(
        "cons.revoke",
        1,
        bodies.RevokeConsent,
        grants.revoke,
        "Take a grant back",
        unstoppable=True,
    ),
    TxType("rec.access.request", 1, bodies.RequestAccess, requests.request, "Ask to see records"),
    TxType(
        "rec.access.log",
        1,
        bodies.LogAccess,
        releases.log,
        "Decide on a request, before anything is released",
    ),
    TxType("rec.access.receipt", 1, bodies.ReceiveAccess, releases.receive, "Say what arrived"),
)

_EVENTS: Final = (
    EventType(
        "rec.patient_registered",
        ("pid", "org", "default_policy"),
        "A pseudonym was taken into use",
    ),
    EventType("rec.policy_changed", ("pid", "default_policy"), "A default policy was chosen"),
    EventType(
        "rec.anchored",
        ("rec_id", "pid", "record_class"),
        "A record was committed to",
    ),
    EventType(
        "rec.amended", ("rec_id", "pid", "version", "kind", "reason"), "A record has a new version"
    ),
    EventType(
        "rec.grant_changed",
        ("grant_id", "pid", "change", "decision", "version"),
        "A grant was granted, amended, revoked, or has expired",
    ),
    EventType(
        "rec.access_requested",
        ("req_id", "pid", "actor", "org", "purpose"),
        "Somebody asked to see records",
    ),
    EventType("rec.access_expired", ("req_id", "pid"), "A request was not decided in time"),
    EventType(
        "rec.access_permitted",
        ("req_id", "pid", "actor", "purpose", "records"),
        "A custodian may release records",
    ),
    EventType(
        "rec.access_denied",
        ("req_id", "pid", "actor", "purpose", "reason"),
        "A custodian refused a request",
    ),
    EventType("rec.access_receipted", ("req_id", "pid"), "What arrived is what was released"),
    EventType("rec.receipt_mismatch", ("req_id", "pid"), "What arrived is not what was released"),
    EventType("rec.receipt_missing", ("req_id", "pid"), "No receipt came in time"),
)

MODULE: Final = Module(
    name=NAMESPACE,
    types=_TYPES,
    tables=TABLES,
    events=_EVENTS,
    queries=QUERIES,
    params=PARAMS,
    due={
        grants.GRANT_EXPIRY: grants.expire,
        requests.REQUEST_EXPIRY: requests.expire,
        releases.RECEIPT_DUE: releases.receipt_due,
    },
)
