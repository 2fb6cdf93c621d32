"""Who may speak for a patient.

A patient with keys speaks for themself, and nobody else does. For a patient without keys a
registrar of their hospital signs, with the hash of the form that the patient signed on paper;
granting needs a second person of the hospital as a witness.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from node.ledger.access import signer_with_role
from node.ledger.codes import Code
from node.ledger.context import Context, Signer, View
from node.ledger.errors import TxError, refuse_unless
from node.ledger.identities import actor_of
from node.ledger.roles import Role
from node.ledger.types.records.rows import PATIENTS, Patient
from node.ledger.types.records.terms import NOBODY, PatientStatus

PATIENT_KIND: Final = "patient"
"""The kind of actor that a patient with keys is."""


@dataclass(frozen=True, slots=True)
class Voice:
    """Who spoke: the patient, or a registrar and, if one was needed, a witness."""

    grantor: bytes
    witness: bytes


def patient_of(ctx: Context, pid: bytes) -> Patient:
    """The pseudonym's row. E_NOTFOUND."""
    patient = PATIENTS.get(ctx.state, pid)
    if patient is None:
        raise TxError(Code.NOT_FOUND, "no such patient")
    return patient


def active_patient(ctx: Context, pid: bytes) -> Patient:
    """The pseudonym's row, if it is in use. E_NOTFOUND, E_STATE."""
    patient = patient_of(ctx, pid)
    refuse_unless(patient.status is PatientStatus.ACTIVE, Code.STATE, "the pseudonym is not in use")
    return patient


def has_keys(view: View, pid: bytes, org: bytes) -> bool:
    """Whether the patient signs for themself: an actor with the pseudonym as its id, enrolled by
    the patient's hospital.

    The hospital matters: whoever enrols an actor under a stranger's pseudonym elsewhere gets no say
    here.
    """
    actor = actor_of(view, pid)
    return actor is not None and actor.kind == PATIENT_KIND and actor.org == org


def voice_of(ctx: Context, pid: bytes, patient: Patient, form_hash: bytes) -> Voice:
    """Who speaks for the patient in this transaction, for anything that may open access.

    E_ROLE, E_EXPIRED, E_SCHEMA.
    """
    if has_keys(ctx, pid, patient.org):
        return Voice(_signature_of(ctx, pid), NOBODY)
    registrar = _registrar(ctx, patient, form_hash)
    return Voice(registrar, _witness(ctx, registrar, patient.org))


def voice_to_close(ctx: Context, pid: bytes, patient: Patient, form_hash: bytes) -> Voice:
    """As `voice_of`, for what can only close access: a registrar needs no witness.

    Closing is never harder than opening.
    """
    if has_keys(ctx, pid, patient.org):
        return Voice(_signature_of(ctx, pid), NOBODY)
    return Voice(_registrar(ctx, patient, form_hash), NOBODY)


def _signature_of(ctx: Context, pid: bytes) -> bytes:
    refuse_unless(
        any(signer.actor == pid for signer in ctx.signers), Code.ROLE, "the patient did not sign"
    )
    return pid


def _registrar(ctx: Context, patient: Patient, form_hash: bytes) -> bytes:
    registrar = signer_with_role(ctx, Role.REGISTRAR, patient.org)
    refuse_unless(form_hash != NOBODY, Code.SCHEMA, "staff need the form that the patient signed")
    return registrar.actor


def _witness(ctx: Context, registrar: bytes, org: bytes) -> bytes:
    for signer in ctx.signers:
        if signer.actor not in (NOBODY, registrar) and _is_staff(ctx, signer, org):
            return signer.actor
    raise TxError(Code.ROLE, "a second person of the hospital must witness the form")


def _is_staff(ctx: Context, signer: Signer, org: bytes) -> bool:
    actor = actor_of(ctx, signer.actor)
    return actor is not None and actor.org == org and actor.kind != PATIENT_KIND
