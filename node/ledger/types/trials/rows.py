"""The state of the trials module, by key prefix."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from medquorum.codec import U16, U32, Bytes32, Hash, Height, TimeMs, Wire
from node.ledger.tables import Table
from node.ledger.types.trials.bodies import (
    AmendmentKind,
    Arms,
    ConsentMode,
    CorrectionReason,
    EthicsDecision,
    Strata,
    Subjects,
    UnlockReason,
    WithdrawalScope,
)

NAMESPACE: Final = "trials"


class StudyState(StrEnum):
    """Whether data may still change."""

    OPEN = "open"
    LOCKED = "locked"


class EntryKind(StrEnum):
    """What an entry of a subject's chain is."""

    SUBMIT = "submit"
    CORRECT = "correct"


class Study(Wire, frozen=True):
    """One study. The hashes of its registration never change.

    `approval_version` is the latest version of the protocol that needs an approval of its own;
    `cver` is the current consent form, 0 before the first; `locks` counts how often it was locked.
    """

    sponsor: Bytes32
    sap_hash: Hash
    registry_id_hash: Hash
    primary_outcome_hash: Hash
    arms: Arms
    strata: Strata
    target_n: Subjects
    state: StudyState
    version: U32
    approval_version: U32
    cver: U32
    consented: U32
    enrolled: U32
    withdrawn: U32
    locks: U32


class Protocol(Wire, frozen=True):
    """A version of the protocol."""

    protocol_hash: Hash
    kind: AmendmentKind
    since: Height


class Approval(Wire, frozen=True):
    """The latest decision of an ethics committee on a version of the protocol at a site."""

    decision: EthicsDecision
    valid_until_ms: TimeMs
    document_hash: Hash
    decided: Height


class Form(Wire, frozen=True):
    """A version of the consent form, and the version of the protocol that it explains."""

    protocol_version: U32
    form_hash: Hash
    since: Height


class Subject(Wire, frozen=True):
    """One participant under the pseudonym of this study alone.

    `withdrawn` is empty or holds the widest scope; `stratum` and `seq` count once it is enrolled.
    """

    site: Bytes32
    cver: U32
    mode: ConsentMode
    evidence_hash: Hash
    consented: Height
    withdrawn: tuple[WithdrawalScope, ...]
    withdrawn_at: Height
    enrolled: Height
    stratum: U16
    seq: U32


class Counter(Wire, frozen=True):
    """How many there are."""

    count: U32


class Chain(Wire, frozen=True):
    """The head of a subject's chain of entries, and how many entries lead to it."""

    head: Hash
    entries: U32


class Entry(Wire, frozen=True):
    """One entry of a subject's chain. `corrects` is the number of an earlier entry, or its own."""

    kind: EntryKind
    commitment: Hash
    odm_hash: Hash
    visit: U16
    form: U16
    corrects: U32
    reason: tuple[CorrectionReason, ...]
    author: Bytes32
    height: Height


class LockRow(Wire, frozen=True):
    """One locking, and its lifting if there was one. Never removed."""

    data_root: Hash
    n_subjects: U32
    locked: Height
    unlocked: Height
    reason: tuple[UnlockReason, ...]
    document_hash: tuple[Hash, ...]


STUDIES: Final = Table(b"s", "studies", key=("study",), value=Study, meaning="a study")
PROTOCOLS: Final = Table(
    b"p", "protocols", key=("study", "version"), value=Protocol, meaning="a version of a protocol"
)
APPROVALS: Final = Table(
    b"a",
    "approvals",
    key=("study", "site", "version"),
    value=Approval,
    meaning="what the ethics committee decided for a site",
)
FORMS: Final = Table(
    b"f", "forms", key=("study", "cver"), value=Form, meaning="a version of the consent form"
)
SUBJECTS: Final = Table(
    b"u", "subjects", key=("study", "spid"), value=Subject, meaning="a participant"
)
STRATA: Final = Table(
    b"t",
    "strata",
    key=("study", "stratum"),
    value=Counter,
    meaning="how many subjects a stratum has",
)
CHAINS: Final = Table(
    b"c",
    "chains",
    key=("study", "spid"),
    value=Chain,
    meaning="the head of an enrolled subject's chain",
)
ENTRIES: Final = Table(
    b"e",
    "entries",
    key=("study", "spid", "number"),
    value=Entry,
    meaning="the entries of a subject, from number 1 on",
)
LOCKS: Final = Table(
    b"l", "locks", key=("study", "number"), value=LockRow, meaning="every locking of a study"
)

TABLES: Final = (
    STUDIES,
    PROTOCOLS,
    APPROVALS,
    FORMS,
    SUBJECTS,
    STRATA,
    CHAINS,
    ENTRIES,
    LOCKS,
)
