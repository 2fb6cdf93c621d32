"""The operations of the trials module, as they travel.

Documents are hashes, arms and strata are numbers: what an arm is called would unblind a site.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from msgspec import Meta

from medquorum.codec import U16, U32, Bytes32, Hash, TimeMs, Wire
from node.ledger.types.trials.limits import ARMS_MAX, STRATA_MAX, SUBJECTS_MAX

Arms = Annotated[int, Meta(ge=1, le=ARMS_MAX)]
Strata = Annotated[int, Meta(ge=1, le=STRATA_MAX)]
Subjects = Annotated[int, Meta(ge=1, le=SUBJECTS_MAX)]
Ordinal = Annotated[int, Meta(ge=1, le=2**32 - 1)]
"""A version or place in a sequence that starts with 1."""


class EthicsDecision(StrEnum):
    """What an ethics committee decides. Conditions stop a study until they are met."""

    APPROVE = "approve"
    CONDITIONS = "conditions"
    REJECT = "reject"


class AmendmentKind(StrEnum):
    """Whether the ethics committees must approve an amendment before it takes effect."""

    SUBSTANTIAL = "substantial"
    EDITORIAL = "editorial"


class ConsentMode(StrEnum):
    """How a participant consented: with a key of their own, or on paper before a witness."""

    OWN_KEY = "own_key"
    WITNESSED = "witnessed"


class WithdrawalScope(StrEnum):
    """What a participant withdraws from. After TREATMENT, follow-up data may still be collected."""

    TREATMENT = "treatment"
    DATA_FUTURE = "data_future"
    ALL = "all"


class CorrectionReason(StrEnum):
    """Why an entry is corrected. The entry stays."""

    TRANSCRIPTION = "transcription"
    UNIT = "unit"
    MISSING = "missing"
    QUERY_ANSWERED = "query_answered"
    WRONG_SUBJECT = "wrong_subject"


class UnlockReason(StrEnum):
    """Why a locked database is opened again. Seen by everybody, for ever."""

    DATA_ERROR = "data_error"
    LATE_DATA = "late_data"
    INSPECTION = "inspection"


class TrialRegister(Wire, frozen=True):
    """trial.register: a study whose protocol, plan and outcome are fixed before it begins."""

    study: Bytes32
    sponsor: Bytes32
    protocol_hash: Hash
    sap_hash: Hash
    registry_id_hash: Hash
    primary_outcome_hash: Hash
    arms: Arms
    strata: Strata
    target_n: Subjects


class EthicsDecide(Wire, frozen=True):
    """trial.ec.decide: a committee's decision on a version of the protocol at one site."""

    study: Bytes32
    site: Bytes32
    version: Ordinal
    decision: EthicsDecision
    valid_until_ms: TimeMs
    document_hash: Hash


class TrialAmend(Wire, frozen=True):
    """trial.amend: the next version of the protocol."""

    study: Bytes32
    version: Ordinal
    protocol_hash: Hash
    kind: AmendmentKind


class ConsentVersion(Wire, frozen=True):
    """trial.consent.version: the next consent form, for the current version of the protocol."""

    study: Bytes32
    cver: Ordinal
    protocol_version: Ordinal
    form_hash: Hash


class ConsentSign(Wire, frozen=True):
    """trial.consent.sign: `evidence_hash` commits to the signed form in the site's file."""

    study: Bytes32
    spid: Bytes32
    site: Bytes32
    cver: Ordinal
    mode: ConsentMode
    evidence_hash: Hash


class ConsentWithdraw(Wire, frozen=True):
    """trial.consent.withdraw: at once, whatever else is the matter."""

    study: Bytes32
    spid: Bytes32
    scope: WithdrawalScope


class Enrol(Wire, frozen=True):
    """trial.enrol: `seq` is the subject's place in its stratum, from 1 on."""

    study: Bytes32
    spid: Bytes32
    stratum: U16
    seq: Ordinal


class DataSubmit(Wire, frozen=True):
    """trial.data.submit: one form of one visit, on top of the chain's head `prev_head`."""

    study: Bytes32
    spid: Bytes32
    visit: U16
    form: U16
    commitment: Hash
    odm_hash: Hash
    prev_head: Hash


class DataCorrect(Wire, frozen=True):
    """trial.data.correct: entry number `corrects` should have been this."""

    study: Bytes32
    spid: Bytes32
    corrects: U32
    reason: CorrectionReason
    commitment: Hash
    odm_hash: Hash
    prev_head: Hash


class Lock(Wire, frozen=True):
    """trial.lock: the data are complete. The two signers computed `data_root` themselves."""

    study: Bytes32
    data_root: Hash
    n_subjects: U32


class Unlock(Wire, frozen=True):
    """trial.unlock: open a locked database again."""

    study: Bytes32
    reason: UnlockReason
    document_hash: Hash
