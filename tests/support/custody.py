"""A hospital on a local node with a vault: a patient, a record in custody, and a doctor who
asks.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from medquorum.kem import KemKey
from medquorum.keys import SigningKey
from medquorum.vault import SealedRecord, custody, seal, wrap
from node.ledger.roles import Role
from node.ledger.types.records.bodies import (
    AmendRecord,
    AnchorRecord,
    GrantConsent,
    RegisterPatient,
    RequestAccess,
    RevokeConsent,
)
from node.ledger.types.records.classes import Confidentiality, RecordClass
from node.ledger.types.records.purposes import Purpose
from node.ledger.types.records.terms import (
    Action,
    AmendReason,
    Decision,
    DefaultPolicy,
    RevokeReason,
    Scope,
    VersionKind,
)
from node.services import Submitter
from node.threads import Worker
from node.vault.gateway import Gateway, Waiter
from node.vault.store import RecordStore
from tests.support.daemon import LocalNode, local_node
from tests.support.ledger import some_id, some_key
from tests.support.people import HOSPITAL, YEAR_MS, credential, enrolment

DOCTOR_KEM = KemKey(some_id("doctor kem"))
GATEWAY_KEM = KemKey(some_id("gateway kem"))
DOCTOR, PATIENT, GATEWAY = some_key("doctor"), some_key("patient"), some_key("gateway")
STAFF = {
    "gateway": Role.CUSTODIAN_GATEWAY,
    "registrar": Role.REGISTRAR,
    "author": Role.CLINICIAN,
    "doctor": Role.CLINICIAN,
    "stranger": Role.CLINICIAN,
}
PID = some_id("patient")
RESOURCE = b'{"resourceType":"Observation","status":"final"}'


@dataclass(slots=True)
class Custody:
    """The people are enrolled and the patient is registered; nothing is permitted yet."""

    node: LocalNode
    worker: Worker
    store: RecordStore
    gateway: Gateway = field(init=False)

    def rebuild(
        self, *, intake: Submitter | None = None, tracker: Waiter | None = None, wait_s: float = 20
    ) -> Gateway:
        """Another gateway over the same vault, with some parts replaced."""
        self.gateway = Gateway(
            chain=self.node.chain,
            intake=intake or self.node.intake,
            tracker=tracker or self.node.tracker,
            store=self.store,
            worker=self.worker,
            actor=some_id("gateway"),
            key=GATEWAY,
            kem=GATEWAY_KEM,
            wait_s=wait_s,
        )
        self.node.world.vault = self.gateway
        return self.gateway

    def sealed(self, name: str, version: int = 1) -> SealedRecord:
        """A record of the patient, encrypted and committed to. Fresh keys each time."""
        return seal(
            RESOURCE,
            chain_id=self.node.chain.chain_id,
            rec_id=some_id(name),
            version=version,
        )

    def envelope(self, name: str, sealed: SealedRecord, version: int = 1) -> bytes:
        """The secret, wrapped to the custodian."""
        binding = custody(
            chain_id=self.node.chain.chain_id,
            rec_id=some_id(name),
            version=version,
            recipient=GATEWAY_KEM.public,
        )
        return wrap(sealed.secret, GATEWAY_KEM.public, binding)

    async def anchor(self, name: str, sealed: SealedRecord) -> None:
        """Commit to it on the ledger."""
        body = AnchorRecord(
            some_id(name),
            PID,
            RecordClass.OBSERVATION,
            Confidentiality.N,
            sealed.commitment,
            sealed.ct_hash,
            sealed.size_bucket,
            HOSPITAL,
            "observation",
        )
        await self.node.accept(self.node.operation("rec.anchor", body), by=[some_key("author")])

    def amendment(self, name: str, sealed: SealedRecord) -> bytes:
        """The raw transaction that puts a second version on top."""
        body = AmendRecord(
            some_id(name),
            1,
            VersionKind.CORRECT,
            AmendReason.TRANSCRIPTION_ERROR,
            sealed.commitment,
            sealed.ct_hash,
            sealed.size_bucket,
        )
        operation = self.node.operation("rec.amend", body)
        return self.node.transaction(operation, by=[some_key("author")]).raw

    async def keep(self, name: str) -> SealedRecord:
        """Hand in and anchor."""
        sealed = self.sealed(name)
        envelope = self.envelope(name, sealed)
        author = some_key("author").public
        await self.gateway.keep(author, some_id(name), 1, sealed.ciphertext, envelope)
        await self.anchor(name, sealed)
        return sealed

    async def grant(self, decision: Decision = Decision.PERMIT) -> None:
        """The patient lets the hospital's doctors see observations for treatment, or forbids it."""
        scope = Scope(
            grantee_org=HOSPITAL,
            grantee_actor=b"",
            grantee_role="",
            purposes=(Purpose.TREAT,),
            actions=(Action.ACCESS,),
            classes=(RecordClass.OBSERVATION,),
            floor=Confidentiality.U,
            ceiling=Confidentiality.N,
            data_from_ms=0,
            data_to_ms=0,
        )
        until_ms = self.node.chain.tip.time_ms + YEAR_MS // 12
        grant_id = some_id(f"grant {decision.value}")
        body = GrantConsent(grant_id, PID, decision, scope, (), 0, until_ms, 0, b"")
        await self.node.accept(self.node.operation("cons.grant", body), by=[PATIENT])

    def revocation(self) -> bytes:
        """The raw transaction that takes the permit back."""
        body = RevokeConsent(some_id("grant permit"), RevokeReason.PATIENT_REQUEST, b"")
        return self.node.transaction(self.node.operation("cons.revoke", body), by=[PATIENT]).raw

    async def ask(self, name: str = "request") -> bytes:
        """The doctor asks on the ledger."""
        body = RequestAccess(
            some_id(name),
            PID,
            HOSPITAL,
            Role.CLINICIAN.value,
            Purpose.TREAT,
            (RecordClass.OBSERVATION,),
            b"",
            some_id("account"),
        )
        await self.node.accept(self.node.operation("rec.access.request", body), by=[DOCTOR])
        return body.req_id


@asynccontextmanager
async def custodian(path: Path) -> AsyncIterator[Custody]:
    """A node with a vault and its people; blocks are committed as soon as there is work."""
    async with local_node(path) as node:
        kem = {"doctor": DOCTOR_KEM.public}
        operations = [
            operation
            for name, role in STAFF.items()
            for operation in (
                enrolment(node, name, kem=kem.get(name, b"")),
                credential(node, name, role),
            )
        ]
        await node.accept(*operations, enrolment(node, "patient", kind="patient"))
        body = RegisterPatient(PID, HOSPITAL, DefaultPolicy.DENY, 1, Confidentiality.N, b"")
        registrar: SigningKey = some_key("registrar")
        await node.accept(node.operation("rec.patient.register", body), by=[registrar])
        worker = Worker("vault")
        store = RecordStore(path / "vault")
        try:
            found = Custody(node, worker, store)
            found.rebuild()
            yield found
        finally:
            worker.close()
