"""Enrolment, and the data of each subject as a chain that nobody can shorten or rewrite."""

from __future__ import annotations

from msgspec.structs import replace

from node.ledger.access import signer_with_role
from node.ledger.codes import Code
from node.ledger.context import Context
from node.ledger.errors import TxError, refuse_unless
from node.ledger.roles import Role
from node.ledger.types.trials.bodies import DataCorrect, DataSubmit, Enrol, WithdrawalScope
from node.ledger.types.trials.chain import appended, first_head
from node.ledger.types.trials.consent import load_subject, require_current_form
from node.ledger.types.trials.rows import (
    CHAINS,
    ENTRIES,
    STRATA,
    STUDIES,
    SUBJECTS,
    Chain,
    Counter,
    Entry,
    EntryKind,
    Subject,
)
from node.ledger.types.trials.studies import load_open_study, require_approved


def enrol(body: Enrol, ctx: Context) -> None:
    """trial.enrol. By an investigator of the participant's site."""
    study = load_open_study(ctx.state, body.study)
    refuse_unless(body.stratum < study.strata, Code.SCHEMA, "the study has no such stratum")
    subject = SUBJECTS.get(ctx.state, body.study, body.spid)
    if subject is None:
        signer_with_role(ctx, Role.INVESTIGATOR)
        raise TxError(Code.CONSENT, "the participant has not consented")
    signer_with_role(ctx, Role.INVESTIGATOR, subject.site)
    refuse_unless(subject.enrolled == 0, Code.DUPLICATE, "the subject is enrolled")
    refuse_unless(subject.withdrawn == (), Code.CONSENT, "the participant has withdrawn")
    require_current_form(ctx.state, body.study, study, subject.cver)
    require_approved(ctx, body.study, study, subject.site)
    refuse_unless(study.enrolled < study.target_n, Code.LIMIT, "the study has all its subjects")
    counter = STRATA.get(ctx.state, body.study, body.stratum) or Counter(0)
    refuse_unless(body.seq == counter.count + 1, Code.CONFLICT, "not the next of its stratum")
    enrolled = replace(subject, enrolled=ctx.height, stratum=body.stratum, seq=body.seq)
    SUBJECTS.put(ctx.state, enrolled, body.study, body.spid)
    STRATA.put(ctx.state, Counter(body.seq), body.study, body.stratum)
    CHAINS.put(ctx.state, Chain(first_head(body.study, body.spid), 0), body.study, body.spid)
    STUDIES.put(ctx.state, replace(study, enrolled=study.enrolled + 1), body.study)
    ctx.emit(
        "trial.enrolled",
        study=body.study,
        spid=body.spid,
        site=subject.site,
        stratum=body.stratum,
        seq=body.seq,
    )


def submit(body: DataSubmit, ctx: Context) -> None:
    """trial.data.submit. By an investigator of the site, on top of all earlier entries."""
    chain, author = _writable_chain(ctx, body.study, body.spid, body.prev_head)
    number = chain.entries + 1
    entry = Entry(
        kind=EntryKind.SUBMIT,
        commitment=body.commitment,
        odm_hash=body.odm_hash,
        visit=body.visit,
        form=body.form,
        corrects=number,
        reason=(),
        author=author,
        height=ctx.height,
    )
    _append(ctx, body.study, body.spid, chain, entry)
    ctx.emit("trial.data_submitted", study=body.study, spid=body.spid, number=number)


def correct(body: DataCorrect, ctx: Context) -> None:
    """trial.data.correct. By an investigator of the site. The corrected entry stays where it is."""
    chain, author = _writable_chain(ctx, body.study, body.spid, body.prev_head)
    corrected = ENTRIES.get(ctx.state, body.study, body.spid, body.corrects)
    if corrected is None:
        raise TxError(Code.NOT_FOUND, "no such entry to correct")
    number = chain.entries + 1
    entry = Entry(
        kind=EntryKind.CORRECT,
        commitment=body.commitment,
        odm_hash=body.odm_hash,
        visit=corrected.visit,
        form=corrected.form,
        corrects=body.corrects,
        reason=(body.reason,),
        author=author,
        height=ctx.height,
    )
    _append(ctx, body.study, body.spid, chain, entry)
    ctx.emit(
        "trial.data_corrected",
        study=body.study,
        spid=body.spid,
        number=number,
        corrects=body.corrects,
        reason=body.reason,
    )


def _writable_chain(
    ctx: Context, study_id: bytes, spid: bytes, prev_head: bytes
) -> tuple[Chain, bytes]:
    """The subject's chain and the author of what is added to it."""
    load_open_study(ctx.state, study_id)
    subject = load_subject(ctx.state, study_id, spid)
    author = signer_with_role(ctx, Role.INVESTIGATOR, subject.site)
    chain = CHAINS.get(ctx.state, study_id, spid)
    if chain is None:
        raise TxError(Code.STATE, "the participant is not enrolled")
    refuse_unless(_allows_data(subject), Code.STATE, "the participant has withdrawn")
    refuse_unless(prev_head == chain.head, Code.VERSION, "the chain has gone on since")
    return chain, author.actor


def _allows_data(subject: Subject) -> bool:
    return subject.withdrawn in ((), (WithdrawalScope.TREATMENT,))


def _append(ctx: Context, study_id: bytes, spid: bytes, chain: Chain, entry: Entry) -> None:
    longer = appended(chain, entry)
    ENTRIES.put(ctx.state, entry, study_id, spid, longer.entries)
    CHAINS.put(ctx.state, longer, study_id, spid)
