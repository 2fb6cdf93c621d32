"""Clinical trials: what was planned, who allowed it, who consented, and data that stay."""

from __future__ import annotations

from typing import Final

from node.ledger.txtype import EventType, Module, TxType
from node.ledger.types.trials import bodies, consent, locking, people, studies, subjects
from node.ledger.types.trials.queries import QUERIES
from node.ledger.types.trials.rows import NAMESPACE, TABLES

_TYPES: Final = (
    TxType("trial.register", 1, bodies.TrialRegister, studies.register, "Register a study"),
    TxType(
        "trial.ec.decide", 1, bodies.EthicsDecide, studies.decide, "Decide on a protocol at a site"
    ),
    TxType("trial.amend", 1, bodies.TrialAmend, studies.amend, "Amend the protocol"),
    TxType(
        "trial.consent.version",
        1,
        bodies.ConsentVersion,
        consent.issue_version,
        "Issue the next version of the consent form",
    ),
    TxType("trial.consent.sign", 1, bodies.ConsentSign, consent.sign, "Consent to take part"),
    TxType(
        "trial.consent.withdraw",
        1,
        bodies.ConsentWithdraw,
        consent.withdraw,
        "Withdraw from a study",
        unstoppable=True,
    ),
    TxType("trial.enrol", 1, bodies.Enrol, subjects.enrol, "Enrol a participant"),
    TxType("trial.data.submit", 1, bodies.DataSubmit, subjects.submit, "Submit a form of a visit"),
    TxType("trial.data.correct", 1, bodies.DataCorrect, subjects.correct, "Correct an entry"),
    TxType("trial.lock", 1, bodies.Lock, locking.lock, "Lock the data of a study"),
    TxType("trial.unlock", 1, bodies.Unlock, locking.unlock, "Open a locked study again"),
)

_EVENTS: Final = (
    EventType("trial.registered", ("study", "sponsor"), "A study was registered"),
    EventType(
        "trial.ethics_decided",
        ("study", "site", "version", "decision"),
        "An ethics committee decided",
    ),
    EventType("trial.ethics_expired", ("study", "site", "version"), "An ethics approval ran out"),
    EventType("trial.amended", ("study", "version", "kind"), "A protocol was amended"),
    EventType(
        "trial.reconsent_due", ("study", "version"), "Participants are to consent to a new form"
    ),
    EventType(
        "trial.consent_version",
        ("study", "cver", "protocol_version"),
        "A consent form was issued",
    ),
    EventType("trial.consented", ("study", "spid", "site", "cver"), "A participant consented"),
    EventType(
        "trial.consent_withdrawn", ("study", "spid", "scope"), "A participant withdrew consent"
    ),
    EventType(
        "trial.enrolled", ("study", "spid", "site", "stratum", "seq"), "A participant was enrolled"
    ),
    EventType("trial.data_submitted", ("study", "spid", "number"), "An entry was added"),
    EventType(
        "trial.data_corrected",
        ("study", "spid", "number", "corrects", "reason"),
        "An entry was corrected by another",
    ),
    EventType("trial.data_locked", ("study", "data_root", "number"), "A study was locked"),
    EventType("trial.data_unlocked", ("study", "reason", "number"), "A lock was lifted"),
)

MODULE: Final = Module(
    name=NAMESPACE,
    types=_TYPES,
    tables=TABLES,
    events=_EVENTS,
    queries=QUERIES,
    params=(people.ETHICS_QUORUM, studies.APPROVAL_DAYS_MAX),
    due={studies.DUE_APPROVAL: studies.approval_ended},
)
