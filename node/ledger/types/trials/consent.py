"""Consent to a study: to the current form, with an own key or a witness, withdrawn at any time."""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from node.ledger.access import signer_of_actor, signer_with_role
from node.ledger.codes import Code
from node.ledger.context import Context
from node.ledger.errors import TxError, refuse_unless
from node.ledger.identities import actor_of
from node.ledger.roles import Role
from node.ledger.tables import ReadableState
from node.ledger.types.trials.bodies import (
    ConsentMode,
    ConsentSign,
    ConsentVersion,
    ConsentWithdraw,
    WithdrawalScope,
)
from node.ledger.types.trials.people import require_ethics_quorum, require_two
from node.ledger.types.trials.rows import FORMS, STUDIES, SUBJECTS, Form, Study, Subject
from node.ledger.types.trials.studies import load_open_study, load_study, require_approved

_WITNESSES: Final = (Role.NURSE, Role.CLINICIAN, Role.SENIOR_CLINICIAN, Role.INVESTIGATOR)
_WIDTH: Final = (WithdrawalScope.TREATMENT, WithdrawalScope.DATA_FUTURE, WithdrawalScope.ALL)


def issue_version(body: ConsentVersion, ctx: Context) -> None:
    """trial.consent.version. By the sponsor together with a quorum of the ethics committee."""
    study = load_open_study(ctx.state, body.study)
    signer_with_role(ctx, Role.SPONSOR, study.sponsor)
    require_ethics_quorum(ctx, study)
    refuse_unless(body.cver == study.cver + 1, Code.VERSION, "not the next version of the form")
    refuse_unless(
        body.protocol_version == study.version, Code.VERSION, "not the current protocol version"
    )
    STUDIES.put(ctx.state, replace(study, cver=body.cver), body.study)
    form = Form(body.protocol_version, body.form_hash, ctx.height)
    FORMS.put(ctx.state, form, body.study, body.cver)
    ctx.emit(
        "trial.consent_version",
        study=body.study,
        cver=body.cver,
        protocol_version=body.protocol_version,
    )


def sign(body: ConsentSign, ctx: Context) -> None:
    """trial.consent.sign. By an investigator of the site, with the participant or a witness.

    Signing again consents to a newer form. Whoever withdrew does not come back under
    the same pseudonym.
    """
    study = load_open_study(ctx.state, body.study)
    _require_consenting_people(body, ctx)
    require_current_form(ctx.state, body.study, study, body.cver)
    require_approved(ctx, body.study, study, body.site)
    earlier = SUBJECTS.get(ctx.state, body.study, body.spid)
    if earlier is None:
        subject = Subject(
            site=body.site,
            cver=body.cver,
            mode=body.mode,
            evidence_hash=body.evidence_hash,
            consented=ctx.height,
            withdrawn=(),
            withdrawn_at=0,
            enrolled=0,
            stratum=0,
            seq=0,
        )
        STUDIES.put(ctx.state, replace(study, consented=study.consented + 1), body.study)
    else:
        refuse_unless(earlier.withdrawn == (), Code.CONSENT, "the participant has withdrawn")
        refuse_unless(earlier.site == body.site, Code.ORG, "a participant of another site")
        refuse_unless(earlier.cver < body.cver, Code.DUPLICATE, "this version is signed already")
        subject = replace(
            earlier,
            cver=body.cver,
            mode=body.mode,
            evidence_hash=body.evidence_hash,
            consented=ctx.height,
        )
    SUBJECTS.put(ctx.state, subject, body.study, body.spid)
    ctx.emit("trial.consented", study=body.study, spid=body.spid, site=body.site, cver=body.cver)


def withdraw(body: ConsentWithdraw, ctx: Context) -> None:
    """trial.consent.withdraw. By the participant's key, or by an investigator of the site for them.

    Holds from the next operation on. Doing it again is no error and narrows nothing.
    """
    study = load_study(ctx.state, body.study)
    subject = load_subject(ctx.state, body.study, body.spid)
    _require_participant_or_site(body, subject, ctx)
    first = subject.withdrawn == ()
    if not first and _WIDTH.index(body.scope) <= _WIDTH.index(subject.withdrawn[0]):
        return
    withdrawn = replace(subject, withdrawn=(body.scope,), withdrawn_at=ctx.height)
    SUBJECTS.put(ctx.state, withdrawn, body.study, body.spid)
    if first:
        STUDIES.put(ctx.state, replace(study, withdrawn=study.withdrawn + 1), body.study)
    ctx.emit("trial.consent_withdrawn", study=body.study, spid=body.spid, scope=body.scope)


def load_subject(state: ReadableState, study_id: bytes, spid: bytes) -> Subject:
    """The participant (E_NOTFOUND)."""
    subject = SUBJECTS.get(state, study_id, spid)
    if subject is None:
        raise TxError(Code.NOT_FOUND, "nobody consented under this pseudonym")
    return subject


def require_current_form(state: ReadableState, study_id: bytes, study: Study, cver: int) -> None:
    """`cver` is the current form, and it explains the protocol that is in force. E_VERSION."""
    refuse_unless(cver == study.cver, Code.VERSION, "not the current version of the consent form")
    form = FORMS.get(state, study_id, cver)
    refuse_unless(
        form is not None and form.protocol_version >= study.approval_version,
        Code.VERSION,
        "the consent form does not explain the amended protocol",
    )


def _require_consenting_people(body: ConsentSign, ctx: Context) -> None:
    has_own_key = actor_of(ctx, body.spid) is not None
    match body.mode:
        case ConsentMode.OWN_KEY:
            signer_with_role(ctx, Role.INVESTIGATOR, body.site)
            signer_of_actor(ctx, body.spid)
        case ConsentMode.WITNESSED:
            refuse_unless(not has_own_key, Code.ROLE, "this participant signs with an own key")
            require_two(ctx, (Role.INVESTIGATOR,), body.site, _WITNESSES, body.site)


def _require_participant_or_site(body: ConsentWithdraw, subject: Subject, ctx: Context) -> None:
    try:
        signer_of_actor(ctx, body.spid)
    except TxError:
        signer_with_role(ctx, Role.INVESTIGATOR, subject.site)
