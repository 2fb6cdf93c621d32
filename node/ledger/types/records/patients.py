"""rec.patient.register and rec.patient.policy: pseudonyms, and what holds where a patient has said
nothing.
"""

from __future__ import annotations

import msgspec

from node.ledger.access import require_org_active, signer_with_role
from node.ledger.codes import Code
from node.ledger.context import Context
from node.ledger.errors import refuse_unless
from node.ledger.identities import actor_of
from node.ledger.roles import Role
from node.ledger.types.records.authority import active_patient, has_keys, voice_of
from node.ledger.types.records.bodies import RegisterPatient, SetPolicy
from node.ledger.types.records.rows import PATIENTS, Patient
from node.ledger.types.records.terms import PatientStatus, require_maybe_hashes


def register(body: RegisterPatient, ctx: Context) -> None:
    """A hospital takes a pseudonym into use.

    An actor that already has this id must be a patient of the same hospital: otherwise a member of
    staff, or a stranger, would be given a patient's say.
    """
    require_maybe_hashes(body.link_commit)
    signer_with_role(ctx, Role.REGISTRAR, body.org)
    require_org_active(ctx, body.org)
    refuse_unless(not PATIENTS.has(ctx.state, body.pid), Code.DUPLICATE, "the pseudonym is in use")
    if actor_of(ctx, body.pid) is not None:
        refuse_unless(
            has_keys(ctx, body.pid, body.org),
            Code.CONFLICT,
            "the pseudonym is the id of an actor who is no patient of this hospital",
        )
    row = Patient(
        org=body.org,
        default_policy=body.default_policy,
        break_glass=body.break_glass,
        ceiling=body.ceiling,
        link_commit=body.link_commit,
        status=PatientStatus.ACTIVE,
        active_grants=0,
        registered=ctx.height,
        policy_height=ctx.height,
    )
    PATIENTS.put(ctx.state, row, body.pid)
    ctx.emit(
        "rec.patient_registered", pid=body.pid, org=body.org, default_policy=body.default_policy
    )


def set_policy(body: SetPolicy, ctx: Context) -> None:
    """The patient chooses another default."""
    require_maybe_hashes(body.form_hash)
    patient = active_patient(ctx, body.pid)
    voice_of(ctx, body.pid, patient, body.form_hash)
    row = msgspec.structs.replace(
        patient,
        default_policy=body.default_policy,
        break_glass=body.break_glass,
        ceiling=body.ceiling,
        policy_height=ctx.height,
    )
    PATIENTS.put(ctx.state, row, body.pid)
    ctx.emit("rec.policy_changed", pid=body.pid, default_policy=body.default_policy)
