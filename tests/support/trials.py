"""A study with a sponsor, a committee and a site for tests of trials."""

from __future__ import annotations

from medquorum.transaction import Operation
from node.ledger.roles import OrgKind, Role
from node.ledger.types.trials import MODULE
from node.ledger.types.trials.bodies import (
    AmendmentKind,
    ConsentMode,
    ConsentSign,
    ConsentVersion,
    ConsentWithdraw,
    CorrectionReason,
    DataCorrect,
    DataSubmit,
    Enrol,
    EthicsDecide,
    EthicsDecision,
    Lock,
    TrialAmend,
    TrialRegister,
    Unlock,
    UnlockReason,
    WithdrawalScope,
)
from node.ledger.types.trials.chain import data_root
from node.ledger.types.trials.rows import (
    CHAINS,
    NAMESPACE,
    STUDIES,
    SUBJECTS,
    Chain,
    Study,
    Subject,
)
from tests.support.ledger import HOUR_MS, By, Ledger, OrgHandle, Person, some_id

DAY_MS = 24 * HOUR_MS


class Trial:
    """A registered study; with `ready` it is approved at the site and has a consent form."""

    def __init__(
        self, *, ready: bool = True, target_n: int = 3, ledger: Ledger | None = None
    ) -> None:
        self.ledger = ledger = ledger or Ledger(MODULE)
        self.sponsor_org = ledger.org(OrgKind.SPONSOR)
        self.site = ledger.org()
        self.sponsor = ledger.person(self.sponsor_org, Role.SPONSOR)
        self.statistician = ledger.person(self.sponsor_org, Role.STATISTICIAN)
        self.committee: list[By] = [ledger.person(None, Role.ETHICS) for _ in range(3)]
        self.investigator = ledger.person(self.site, Role.INVESTIGATOR)
        self.nurse = ledger.person(self.site, Role.NURSE)
        self.study = ledger.fresh_id("study")
        ledger.accept(self.registration(target_n=target_n), by=self.sponsor)
        if ready:
            ledger.accept(self.decision(1), by=self.committee)
            ledger.accept(self.form(1, 1), by=[self.sponsor, *self.committee])

    def registration(self, study: bytes | None = None, target_n: int = 3) -> Operation:
        body = TrialRegister(
            study=study or self.study,
            sponsor=self.sponsor_org.id,
            protocol_hash=some_id("protocol"),
            sap_hash=some_id("sap"),
            registry_id_hash=some_id("registry"),
            primary_outcome_hash=some_id("outcome"),
            arms=2,
            strata=2,
            target_n=target_n,
        )
        return self.ledger.op("trial.register", body)

    def decision(
        self,
        version: int,
        decision: EthicsDecision = EthicsDecision.APPROVE,
        *,
        days: int = 100,
        site: OrgHandle | None = None,
    ) -> Operation:
        until_ms = self.ledger.time_ms + days * DAY_MS
        at = (site or self.site).id
        body = EthicsDecide(self.study, at, version, decision, until_ms, some_id("minutes"))
        return self.ledger.op("trial.ec.decide", body)

    def amendment(self, version: int, kind: AmendmentKind) -> Operation:
        body = TrialAmend(self.study, version, some_id(f"protocol {version}"), kind)
        return self.ledger.op("trial.amend", body)

    def form(self, cver: int, protocol_version: int) -> Operation:
        body = ConsentVersion(self.study, cver, protocol_version, some_id(f"form {cver}"))
        return self.ledger.op("trial.consent.version", body)

    def consent(
        self,
        spid: bytes,
        *,
        cver: int = 1,
        mode: ConsentMode = ConsentMode.WITNESSED,
        site: OrgHandle | None = None,
    ) -> Operation:
        at = (site or self.site).id
        body = ConsentSign(self.study, spid, at, cver, mode, some_id("signed form"))
        return self.ledger.op("trial.consent.sign", body)

    def withdrawal(self, spid: bytes, scope: WithdrawalScope = WithdrawalScope.ALL) -> Operation:
        return self.ledger.op("trial.consent.withdraw", ConsentWithdraw(self.study, spid, scope))

    def enrolment(self, spid: bytes, seq: int, stratum: int = 0) -> Operation:
        return self.ledger.op("trial.enrol", Enrol(self.study, spid, stratum, seq))

    def submission(self, spid: bytes, name: str, prev_head: bytes | None = None) -> Operation:
        head = self.chain(spid).head if prev_head is None else prev_head
        body = DataSubmit(self.study, spid, 1, 2, some_id(name), some_id(name + " odm"), head)
        return self.ledger.op("trial.data.submit", body)

    def correction(
        self, spid: bytes, corrects: int, name: str, prev_head: bytes | None = None
    ) -> Operation:
        head = self.chain(spid).head if prev_head is None else prev_head
        body = DataCorrect(
            study=self.study,
            spid=spid,
            corrects=corrects,
            reason=CorrectionReason.TRANSCRIPTION,
            commitment=some_id(name),
            odm_hash=some_id(name + " odm"),
            prev_head=head,
        )
        return self.ledger.op("trial.data.correct", body)

    def locking(self, root: bytes | None = None, n_subjects: int | None = None) -> Operation:
        body = Lock(
            self.study,
            self.root() if root is None else root,
            self.row().enrolled if n_subjects is None else n_subjects,
        )
        return self.ledger.op("trial.lock", body)

    def unlocking(self) -> Operation:
        body = Unlock(self.study, UnlockReason.DATA_ERROR, some_id("memo"))
        return self.ledger.op("trial.unlock", body)

    def consented(self) -> bytes:
        """A participant without keys, before a witness."""
        spid = self.ledger.fresh_id("spid")
        self.ledger.accept(self.consent(spid), by=[self.investigator, self.nurse])
        return spid

    def keyed(self) -> Person:
        """A participant with a key of their own, who consented with it."""
        person = self.ledger.patient(self.site)
        op = self.consent(person.id, mode=ConsentMode.OWN_KEY)
        self.ledger.accept(op, by=[self.investigator, person])
        return person

    def enrolled(self, seq: int = 1, stratum: int = 0) -> bytes:
        spid = self.consented()
        self.ledger.accept(self.enrolment(spid, seq, stratum), by=self.investigator)
        return spid

    def root(self) -> bytes:
        return data_root(self.ledger.space(NAMESPACE), self.study)

    def row(self) -> Study:
        row = STUDIES.get(self.ledger.space(NAMESPACE), self.study)
        assert row is not None
        return row

    def subject(self, spid: bytes) -> Subject:
        row = SUBJECTS.get(self.ledger.space(NAMESPACE), self.study, spid)
        assert row is not None
        return row

    def chain(self, spid: bytes) -> Chain:
        row = CHAINS.get(self.ledger.space(NAMESPACE), self.study, spid)
        assert row is not None
        return row
