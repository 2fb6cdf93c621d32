"""Studies: registered before they begin, amended in versions, allowed site by site."""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from node.ledger.access import require_org_active, signer_with_role
from node.ledger.codes import Code
from node.ledger.context import Context, View
from node.ledger.errors import TxError, refuse_unless
from node.ledger.params import param
from node.ledger.roles import Role
from node.ledger.tables import ReadableState
from node.ledger.txtype import Param
from node.ledger.types.trials.bodies import (
    AmendmentKind,
    EthicsDecide,
    EthicsDecision,
    TrialAmend,
    TrialRegister,
)
from node.ledger.types.trials.limits import DAY_MS
from node.ledger.types.trials.people import require_ethics_quorum
from node.ledger.types.trials.rows import (
    APPROVALS,
    NAMESPACE,
    PROTOCOLS,
    STUDIES,
    Approval,
    Protocol,
    Study,
    StudyState,
)

APPROVAL_DAYS_MAX: Final = Param(
    "trial.approval_days_max",
    default=366,
    minimum=1,
    maximum=1100,
    summary="Days for which an ethics approval may hold",
)
DUE_APPROVAL: Final = "trial.approval_end"
_ID_BYTES: Final = 32


def load_study(state: ReadableState, study_id: bytes) -> Study:
    """The study (E_NOTFOUND)."""
    study = STUDIES.get(state, study_id)
    if study is None:
        raise TxError(Code.NOT_FOUND, "no such study")
    return study


def load_open_study(state: ReadableState, study_id: bytes) -> Study:
    """The study, whose data may still change (E_NOTFOUND, E_STATE)."""
    study = load_study(state, study_id)
    refuse_unless(study.state is StudyState.OPEN, Code.STATE, "the study is locked")
    return study


def require_approved(view: View, study_id: bytes, study: Study, site: bytes) -> None:
    """The site's committee allows the current protocol. E_STATE; E_EXPIRED if no longer."""
    approval = APPROVALS.get(view.read(NAMESPACE), study_id, site, study.approval_version)
    if approval is None or approval.decision is not EthicsDecision.APPROVE:
        raise TxError(Code.STATE, "no ethics approval of the current protocol at this site")
    refuse_unless(
        approval.valid_until_ms > view.time_ms, Code.EXPIRED, "the ethics approval has expired"
    )


def register(body: TrialRegister, ctx: Context) -> None:
    """trial.register. By the sponsor."""
    require_org_active(ctx, body.sponsor)
    signer_with_role(ctx, Role.SPONSOR, body.sponsor)
    refuse_unless(not STUDIES.has(ctx.state, body.study), Code.DUPLICATE, "the study id is used")
    study = Study(
        sponsor=body.sponsor,
        sap_hash=body.sap_hash,
        registry_id_hash=body.registry_id_hash,
        primary_outcome_hash=body.primary_outcome_hash,
        arms=body.arms,
        strata=body.strata,
        target_n=body.target_n,
        state=StudyState.OPEN,
        version=1,
        approval_version=1,
        cver=0,
        consented=0,
        enrolled=0,
        withdrawn=0,
        locks=0,
    )
    STUDIES.put(ctx.state, study, body.study)
    protocol = Protocol(body.protocol_hash, AmendmentKind.SUBSTANTIAL, ctx.height)
    PROTOCOLS.put(ctx.state, protocol, body.study, 1)
    ctx.emit("trial.registered", study=body.study, sponsor=body.sponsor)


def decide(body: EthicsDecide, ctx: Context) -> None:
    """trial.ec.decide. By a quorum of the committee; the latest decision on a version counts."""
    study = load_open_study(ctx.state, body.study)
    require_org_active(ctx, body.site)
    require_ethics_quorum(ctx, study)
    refuse_unless(
        study.approval_version <= body.version <= study.version,
        Code.VERSION,
        "not a version of the protocol that waits for or stands on a decision",
    )
    latest_ms = ctx.time_ms + param(ctx, APPROVAL_DAYS_MAX.name) * DAY_MS
    refuse_unless(body.valid_until_ms > ctx.time_ms, Code.TTL, "a decision holds in the future")
    refuse_unless(body.valid_until_ms <= latest_ms, Code.TTL, "a decision may not hold that long")
    # An editorial change stands on the approval of what it edits.
    key = (body.study, body.site, study.approval_version)
    earlier = APPROVALS.get(ctx.state, *key)
    if earlier is not None:
        ctx.cancel(earlier.valid_until_ms, DUE_APPROVAL, _reference(*key))
    approval = Approval(body.decision, body.valid_until_ms, body.document_hash, ctx.height)
    APPROVALS.put(ctx.state, approval, *key)
    if body.decision is EthicsDecision.APPROVE:
        ctx.schedule(body.valid_until_ms, DUE_APPROVAL, _reference(*key))
    ctx.emit(
        "trial.ethics_decided",
        study=body.study,
        site=body.site,
        version=study.approval_version,
        decision=body.decision,
    )


def amend(body: TrialAmend, ctx: Context) -> None:
    """trial.amend. By the sponsor.

    A substantial amendment stops consent and enrolment at every site until the site's committee has
    approved it and a new consent form explains it. The analysis plan and the outcome cannot change.
    """
    study = load_open_study(ctx.state, body.study)
    signer_with_role(ctx, Role.SPONSOR, study.sponsor)
    refuse_unless(body.version == study.version + 1, Code.VERSION, "not the next version")
    substantial = body.kind is AmendmentKind.SUBSTANTIAL
    amended = replace(
        study,
        version=body.version,
        approval_version=body.version if substantial else study.approval_version,
    )
    STUDIES.put(ctx.state, amended, body.study)
    protocol = Protocol(body.protocol_hash, body.kind, ctx.height)
    PROTOCOLS.put(ctx.state, protocol, body.study, body.version)
    ctx.emit("trial.amended", study=body.study, version=body.version, kind=body.kind)
    if substantial and study.consented > 0:
        ctx.emit("trial.reconsent_due", study=body.study, version=body.version)


def approval_ended(reference: bytes, ctx: Context) -> None:
    """Due work: an approval ran out. It had no effect any more; this tells so."""
    study_id, site = reference[:_ID_BYTES], reference[_ID_BYTES : 2 * _ID_BYTES]
    version = int.from_bytes(reference[2 * _ID_BYTES :], "big")
    approval = APPROVALS.get(ctx.state, study_id, site, version)
    if approval is None or approval.decision is not EthicsDecision.APPROVE:
        return
    if approval.valid_until_ms <= ctx.time_ms:
        ctx.emit("trial.ethics_expired", study=study_id, site=site, version=version)


def _reference(study_id: bytes, site: bytes, version: int) -> bytes:
    return study_id + site + version.to_bytes(4, "big")
