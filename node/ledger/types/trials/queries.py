"""What can be asked about trials."""

from __future__ import annotations

from typing import Final

import msgspec

from node.ledger.context import View
from node.ledger.limits import PAGE_DEFAULT
from node.ledger.paging import PageLimit, take
from node.ledger.txtype import Query
from node.ledger.types.trials.chain import data_root
from node.ledger.types.trials.rows import (
    APPROVALS,
    CHAINS,
    ENTRIES,
    LOCKS,
    NAMESPACE,
    PROTOCOLS,
    STRATA,
    STUDIES,
    SUBJECTS,
)


class StudyParams(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Of trial.study and trial.data_root."""

    study: bytes


class StudyAnswer(msgspec.Struct, kw_only=True):
    """A study as it stands. `strata` holds the number of subjects enrolled in each stratum."""

    study: bytes
    sponsor: bytes
    protocol_hash: bytes
    sap_hash: bytes
    registry_id_hash: bytes
    primary_outcome_hash: bytes
    state: str
    version: int
    approval_version: int
    cver: int
    target_n: int
    consented: int
    enrolled: int
    withdrawn: int
    strata: tuple[int, ...]


class DataRootAnswer(msgspec.Struct, kw_only=True):
    """What a lock has to state now."""

    data_root: bytes
    n_subjects: int


class ApprovalParams(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Of trial.approval."""

    study: bytes
    site: bytes


class ApprovalAnswer(msgspec.Struct, kw_only=True):
    """The committee's decision at a site on the protocol in force."""

    version: int
    decision: str
    valid_until_ms: int
    document_hash: bytes


class SubjectParams(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Of trial.subject."""

    study: bytes
    spid: bytes


class SubjectAnswer(msgspec.Struct, kw_only=True):
    """A participant: consent, withdrawal, enrolment, head of the chain. The arm is not known."""

    spid: bytes
    site: bytes
    cver: int
    mode: str
    withdrawn: str
    withdrawn_at: int
    enrolled: int
    stratum: int
    seq: int
    head: bytes
    entries: int


class ChainParams(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Of trial.chain."""

    study: bytes
    spid: bytes
    limit: PageLimit = PAGE_DEFAULT
    cursor: bytes = b""


class EntryAnswer(msgspec.Struct, kw_only=True):
    """One entry of a chain."""

    number: int
    kind: str
    commitment: bytes
    odm_hash: bytes
    visit: int
    form: int
    corrects: int
    reason: str
    author: bytes
    height: int


class ChainAnswer(msgspec.Struct, kw_only=True):
    """A page of entries, the earliest first."""

    items: tuple[EntryAnswer, ...]
    next_cursor: bytes


class LocksParams(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Of trial.locks."""

    study: bytes
    limit: PageLimit = PAGE_DEFAULT
    cursor: bytes = b""


class LockAnswer(msgspec.Struct, kw_only=True):
    """One locking; `unlocked` is 0 and `reason` empty while it holds."""

    number: int
    data_root: bytes
    n_subjects: int
    locked: int
    unlocked: int
    reason: str


class LocksAnswer(msgspec.Struct, kw_only=True):
    """A page of lockings, the earliest first."""

    items: tuple[LockAnswer, ...]
    next_cursor: bytes


def _study(params: StudyParams, view: View) -> StudyAnswer | None:
    state = view.read(NAMESPACE)
    study = STUDIES.get(state, params.study)
    if study is None:
        return None
    protocol = PROTOCOLS.get(state, params.study, study.version)
    counters = (STRATA.get(state, params.study, stratum) for stratum in range(study.strata))
    return StudyAnswer(
        study=params.study,
        sponsor=study.sponsor,
        protocol_hash=b"" if protocol is None else protocol.protocol_hash,
        sap_hash=study.sap_hash,
        registry_id_hash=study.registry_id_hash,
        primary_outcome_hash=study.primary_outcome_hash,
        state=study.state,
        version=study.version,
        approval_version=study.approval_version,
        cver=study.cver,
        target_n=study.target_n,
        consented=study.consented,
        enrolled=study.enrolled,
        withdrawn=study.withdrawn,
        strata=tuple(0 if counter is None else counter.count for counter in counters),
    )


def _data_root(params: StudyParams, view: View) -> DataRootAnswer | None:
    state = view.read(NAMESPACE)
    study = STUDIES.get(state, params.study)
    if study is None:
        return None
    return DataRootAnswer(data_root=data_root(state, params.study), n_subjects=study.enrolled)


def _approval(params: ApprovalParams, view: View) -> ApprovalAnswer | None:
    state = view.read(NAMESPACE)
    study = STUDIES.get(state, params.study)
    if study is None:
        return None
    approval = APPROVALS.get(state, params.study, params.site, study.approval_version)
    if approval is None:
        return None
    return ApprovalAnswer(
        version=study.approval_version,
        decision=approval.decision,
        valid_until_ms=approval.valid_until_ms,
        document_hash=approval.document_hash,
    )


def _subject(params: SubjectParams, view: View) -> SubjectAnswer | None:
    state = view.read(NAMESPACE)
    subject = SUBJECTS.get(state, params.study, params.spid)
    if subject is None:
        return None
    chain = CHAINS.get(state, params.study, params.spid)
    return SubjectAnswer(
        spid=params.spid,
        site=subject.site,
        cver=subject.cver,
        mode=subject.mode,
        withdrawn="".join(subject.withdrawn),
        withdrawn_at=subject.withdrawn_at,
        enrolled=subject.enrolled,
        stratum=subject.stratum,
        seq=subject.seq,
        head=b"" if chain is None else chain.head,
        entries=0 if chain is None else chain.entries,
    )


def _chain(params: ChainParams, view: View) -> ChainAnswer:
    rows = ENTRIES.rows(view.read(NAMESPACE), params.study, params.spid, after=params.cursor)
    page, cursor = take(rows, params.limit)
    items = (
        EntryAnswer(
            number=int.from_bytes(key, "big"),
            kind=entry.kind,
            commitment=entry.commitment,
            odm_hash=entry.odm_hash,
            visit=entry.visit,
            form=entry.form,
            corrects=entry.corrects,
            reason="".join(entry.reason),
            author=entry.author,
            height=entry.height,
        )
        for key, entry in page
    )
    return ChainAnswer(items=tuple(items), next_cursor=cursor)


def _locks(params: LocksParams, view: View) -> LocksAnswer:
    rows = LOCKS.rows(view.read(NAMESPACE), params.study, after=params.cursor)
    page, cursor = take(rows, params.limit)
    items = (
        LockAnswer(
            number=int.from_bytes(key, "big"),
            data_root=row.data_root,
            n_subjects=row.n_subjects,
            locked=row.locked,
            unlocked=row.unlocked,
            reason="".join(row.reason),
        )
        for key, row in page
    )
    return LocksAnswer(items=tuple(items), next_cursor=cursor)


QUERIES: Final = (
    Query("trial.study", StudyParams, _study, "A study, its versions and its enrolment counts"),
    Query("trial.data_root", StudyParams, _data_root, "The root over all chains of a study"),
    Query("trial.approval", ApprovalParams, _approval, "The ethics approval in force at a site"),
    Query("trial.subject", SubjectParams, _subject, "Consent and enrolment of one participant"),
    Query("trial.chain", ChainParams, _chain, "The data entries of one subject, paged"),
    Query("trial.locks", LocksParams, _locks, "Every locking of a study and its lifting, paged"),
)
