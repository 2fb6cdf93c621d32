"""The story of the demonstration, on a network that runs.

Everybody talks to the node of their own hospital. The patient signs for themself: their pseudonym
at hospital A is an actor with a key of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from secrets import token_bytes
from typing import Final, TypeVar

from devnet.book import Book, Person, Step
from devnet.errors import StateError
from devnet.netfile import NodeInfo
from devnet.network import Network
from devnet.people import enrolment, exists
from medquorum.client import Client
from medquorum.codec import Wire, decode
from medquorum.errors import ProblemError
from medquorum.kem import KemKey
from medquorum.keys import SigningKey, possession_bytes
from node.fhir.hospitals import Consortium, Hospital
from node.fhir.journal import Journal
from node.fhir.pipeline import Options, import_fhir
from node.fhir.progress import Progress
from node.fhir.report import Report, lines_of
from node.ledger.roles import Role
from node.ledger.tables import VALUE_BYTES_MAX, Table
from node.ledger.types.identity.bodies import ActorEnrol, ActorKind
from node.ledger.types.records.bodies import (
    GrantConsent,
    ReceiveAccess,
    RequestAccess,
    RevokeConsent,
)
from node.ledger.types.records.classes import CLASS_OF_FHIR_TYPE, Confidentiality, RecordClass
from node.ledger.types.records.purposes import Purpose
from node.ledger.types.records.releases import released_hash
from node.ledger.types.records.rows import NAMESPACE, RECORDS, REQUESTS, Record
from node.ledger.types.records.terms import Action, Decision, RevokeReason, Scope

RECORDS_SHOWN_MAX: Final = 20
"""Records that hospital B takes out."""
GRANT_MS: Final = 30 * 24 * 60 * 60 * 1000
CLINICIAN: Final = "clinician"
REGISTRAR: Final = "registrar"
# What a clinician may ask for, of what the sample has (the ledger's table of needs).
_CLASSES: Final = (
    RecordClass.ALLERGY,
    RecordClass.CONDITION,
    RecordClass.ENCOUNTER,
    RecordClass.MEDICATION,
    RecordClass.OBSERVATION,
)
_TYPES: Final = tuple(name for name, one in CLASS_OF_FHIR_TYPE.items() if one in _CLASSES)
_FORBIDDEN: Final = 403

RowT = TypeVar("RowT", bound=Wire)


@dataclass(frozen=True, slots=True)
class Cast:
    """Hospital A keeps the records, hospital B wants them. `pid` is the patient's at hospital A."""

    a: NodeInfo
    b: NodeInfo
    pid: bytes
    hospitals: int
    """Where the patient has records."""
    records: int
    """At hospital A."""


class Story:
    """One telling. The acts are called in their order."""

    def __init__(self, network: Network, clients: Mapping[str, Client], book: Book) -> None:
        """`clients` by organisation; one that runs no node talks to the first."""
        self._network = network
        self._clients = clients
        self._keys = network.keys
        self._chain_id = network.genesis.chain_id()
        self._book = book

    @property
    def journal_file(self) -> Path:
        """Of the import."""
        return self._book.directory / "import.journal"

    async def enrol(self) -> None:
        """Every organisation enrols its people, with their roles; those that are not yet."""
        book = self._book
        for org in self._network.manifest.organisations:
            admin = self._person(org.name, "administrator", self._keys.org(org.name))
            missing = [
                actor
                for actor in org.actors
                if not await exists(
                    admin.client, "id.actor", actor=self._keys.actor_id(org.name, actor.name)
                )
            ]
            names = ", ".join(actor.name for actor in org.actors)
            if missing:
                operations = [
                    pair for actor in missing for pair in enrolment(self._network, org, actor)
                ]
                await book.act(f"enrol-{org.name}", admin, f"enrols {names}", operations)
            else:
                book.tell(f"enrol-{org.name}", admin.name, f"has enrolled {names} before")
        await self._level()

    async def import_records(self, directory: Path, progress: Progress) -> Report:
        """The hospitals import the records of `directory`. Raises StateError if nothing is on the
        chain afterwards.
        """
        hospitals = tuple(
            Hospital(
                name=node.org,
                org=self._keys.org_id(node.org),
                rpc=node.url,
                key=self._keys.gateway(node.org),
                registrar=self._keys.actor(node.org, REGISTRAR),
            )
            for node in self._network.nodes
            if node.vault
        )
        report = await import_fhir(
            directory,
            Consortium(self._network.genesis, hospitals),
            self.journal_file,
            Options(progress=progress),
        )
        what = f"anchor {report.records} records of {report.patients} new pseudonyms"
        if report.records == 0:
            what = f"have anchored {sum(report.unchanged.values())} records before"
        self._book.tell("import", f"{len(hospitals)} hospitals", what)
        for line in lines_of(report):
            self._book.say(f"{'':30}{line}")
        await self._level()
        return report

    async def choose(self) -> Cast:
        """Take the patient with the most records at one hospital, and keep the receipts of how they
        came there.
        """
        nodes = [node for node in self._network.nodes if node.vault]
        journal = Journal(self.journal_file, self._chain_id)
        try:
            for a in nodes:
                found = journal.most_recorded(self._keys.org_id(a.org), _TYPES)
                if found is not None:
                    break
            else:
                raise StateError("no hospital has a record that a clinician may ask for")
            identity, pid, records = found
            hospitals = len(journal.pids_of(identity))
            transactions = journal.transactions_of(pid)
        finally:
            journal.close()
        b = next(node for node in nodes if node is not a)
        client = self._clients[a.org]
        for kind, tx_id, height in transactions:
            what = (
                "registered the patient's pseudonym"
                if kind == "register"
                else ("anchored records of the patient")
            )
            step = Step(self._book.next, kind, a.org, what, tx_id.hex(), height)
            await self._book.keep(step, client)
        return Cast(a, b, pid, hospitals, records)

    async def give_key(self, cast: Cast) -> Person:
        """The registrar of hospital A enrols the key that the patient brings, once."""
        key = SigningKey(self._keys.seed("patient", cast.pid.hex()))
        kem = KemKey(self._keys.seed("patient-kem", cast.pid.hex()))
        patient = Person("the patient", key, self._clients[cast.a.org])
        if await exists(patient.client, "id.actor", actor=cast.pid):
            self._book.tell("patient-key", f"{cast.a.org} registrar", "has the patient's key")
            return patient
        enrolled = ActorEnrol(
            actor=cast.pid,
            org=self._keys.org_id(cast.a.org),
            kind=ActorKind.PATIENT,
            key=key.public,
            kem=kem.public,
            attest_hash=sha256(b"devnet").digest(),
            possession=key.sign(possession_bytes(self._chain_id, cast.pid, key.public)),
        )
        registrar = self._staff(cast.a.org, REGISTRAR)
        what = "enrols the patient's own key: from now on only the patient consents"
        await self._book.act("patient-key", registrar, what, [("id.actor.enrol", enrolled)])
        return patient

    async def consent(self, cast: Cast, patient: Person) -> bytes:
        """The patient permits hospital B's clinicians to see what hospital A has; the grant's
        id.
        """
        await self._revoke_left_over(cast, patient)
        tip = (await patient.client.block()).block.header
        grant = GrantConsent(
            grant_id=token_bytes(32),
            pid=cast.pid,
            decision=Decision.PERMIT,
            scope=Scope(
                grantee_org=self._keys.org_id(cast.b.org),
                grantee_actor=b"",
                grantee_role=Role.CLINICIAN.value,
                purposes=(Purpose.TREAT,),
                actions=(Action.ACCESS,),
                classes=_CLASSES,
                floor=Confidentiality.U,
                ceiling=Confidentiality.N,
                data_from_ms=0,
                data_to_ms=0,
            ),
            exceptions=(),
            not_before_ms=0,
            not_after_ms=tip.time_ms + GRANT_MS,
            delegable=0,
            form_hash=b"",
        )
        what = f"consents: clinicians of {cast.b.org}, for treatment, 30 days"
        await self._book.act("consent", patient, what, [("cons.grant", grant)])
        return grant.grant_id

    async def _revoke_left_over(self, cast: Cast, patient: Person) -> None:
        """A telling that broke off may have left a consent behind, and nobody would be refused."""
        active = (await patient.client.query("rec.grants", pid=cast.pid)).result
        for grant_id in _ids(active, "grant_id")[0]:
            body = RevokeConsent(grant_id, RevokeReason.SUPERSEDED, b"")
            what = "revokes a consent of an earlier telling"
            await self._book.act("revoke-left-over", patient, what, [("cons.revoke", body)])

    async def ask(self, cast: Cast, name: str, grant_id: bytes = b"") -> bytes:
        """Hospital B's clinician asks for access; the request's id."""
        clinician = self._staff(cast.b.org, CLINICIAN)
        request = RequestAccess(
            req_id=token_bytes(32),
            pid=cast.pid,
            org=self._keys.org_id(cast.b.org),
            role=Role.CLINICIAN.value,
            purpose=Purpose.TREAT,
            classes=_CLASSES,
            grant_id=grant_id,
            min_necessary_hash=sha256(b"why less would not do, kept at the hospital").digest(),
        )
        what = f"asks to see the records at {cast.a.org}"
        status = await self._book.act(name, clinician, what, [("rec.access.request", request)])
        await self._reach(cast.a.org, status.height or 0)
        return request.req_id

    async def read(self, cast: Cast, req_id: bytes) -> None:
        """Hospital A logs the access and releases; hospital B decrypts, compares with the chain,
        and posts its receipt.
        """
        book, custodian = self._book, self._clients[cast.a.org]
        clinician = self._staff(cast.b.org, CLINICIAN)
        kem = self._keys.actor_kem(cast.b.org, CLINICIAN)
        request = await self._row(clinician.client, REQUESTS, req_id)
        wanted = await self._wanted(cast, clinician.client)
        release = await custodian.release(req_id, list(wanted), key=clinician.key)
        what = f"logs the access on chain, then releases {len(release.records)} sealed records"
        gateway = f"{cast.a.org} gateway"
        logged = release.log_tx_id.hex()
        await book.keep(
            Step(book.next, "access-log", gateway, what, logged, release.height), custodian
        )
        size = 0
        for released in release.records:
            head = wanted[released.rec_id].head
            opened = released.open(
                kem,
                chain_id=self._chain_id,
                req_id=req_id,
                purpose=request.purpose.value,
                expires_ms=request.expires_ms,
                ct_hash=head.ct_hash,
                commitment=head.commitment,
            )
            size += len(opened)
        if [released.rec_id for released in release.records] != list(wanted):
            raise StateError(f"{cast.a.org} released other records than it was asked for")
        what = f"decrypts {len(wanted)} records ({size} bytes); every commitment on chain holds"
        book.tell("decrypt", clinician.name, what)
        hashes = [wanted[released.rec_id].head.ct_hash for released in release.records]
        receipt = ReceiveAccess(req_id, released_hash(hashes))
        await self._reach(cast.b.org, release.height)
        what = "posts a receipt for what arrived"
        await book.act("access-receipt", clinician, what, [("rec.access.receipt", receipt)])

    async def revoke(self, cast: Cast, patient: Person, grant_id: bytes) -> None:
        """The patient takes the consent back."""
        body = RevokeConsent(grant_id, RevokeReason.PATIENT_REQUEST, b"")
        status = await self._book.act(
            "revoke", patient, "revokes the consent", [("cons.revoke", body)]
        )
        await self._reach(cast.b.org, status.height or 0)

    async def be_refused(self, cast: Cast, req_id: bytes) -> None:
        """Hospital B is refused, and the denial is on chain. Raises StateError if it is not."""
        custodian = self._clients[cast.a.org]
        clinician = self._staff(cast.b.org, CLINICIAN)
        wanted = await self._wanted(cast, clinician.client)
        try:
            await custodian.release(req_id, list(wanted), key=clinician.key)
        except ProblemError as problem:
            if (problem.status, problem.code) != (_FORBIDDEN, "consent_missing"):
                raise
            if problem.tx_id is None:
                raise StateError("the denial was not logged") from None
            height = (await custodian.tx(bytes.fromhex(problem.tx_id))).height or 0
            what = f"refuses with {problem.status} {problem.code}, and logs the denial on chain"
            gateway = f"{cast.a.org} gateway"
            step = Step(self._book.next, "denial", gateway, what, problem.tx_id, height)
            await self._book.keep(step, custodian)
        else:
            raise StateError(f"{cast.a.org} released records after the consent was revoked")

    async def _wanted(self, cast: Cast, client: Client) -> dict[bytes, Record]:
        """The records to ask for, as the chain proves them: hospital B trusts no node for this."""
        wanted: dict[bytes, Record] = {}
        cursor = b""
        while True:
            page = (await client.query("rec.of_patient", pid=cast.pid, cursor=cursor)).result
            items, cursor = _ids(page, "rec_id")
            for rec_id in items:
                record = await self._row(client, RECORDS, rec_id)
                permitted = record.head.confidentiality <= Confidentiality.N
                if record.record_class in _CLASSES and permitted:
                    wanted[rec_id] = record
                if len(wanted) == RECORDS_SHOWN_MAX:
                    return wanted
            if cursor == b"":
                return wanted

    async def _row(self, client: Client, table: Table[RowT], row_id: bytes) -> RowT:
        found = (await client.state(NAMESPACE, table.key(row_id))).value
        if found is None:
            raise StateError(f"the ledger has no {table.name} {row_id.hex()}")
        return decode(table.value, found, size_max=VALUE_BYTES_MAX)

    async def _level(self) -> None:
        """Wait until every node has what any of them has: enrolled keys sign from the next height
        on.
        """
        tip = max([(await client.status()).height for client in self._clients.values()])
        for org in self._clients:
            await self._reach(org, tip)

    async def _reach(self, org: str, height: int) -> None:
        """Wait until the node of `org` has committed a height."""
        await self._clients[org].state(NAMESPACE, RECORDS.key(bytes(32)), min_height=height)

    def _person(self, org: str, what: str, key: SigningKey) -> Person:
        first = self._network.nodes[0].org
        client = self._clients.get(org) or self._clients[first]
        return Person(f"{org} {what}", key, client)

    def _staff(self, org: str, actor: str) -> Person:
        return self._person(org, actor, self._keys.actor(org, actor))


def _ids(page: object, name: str) -> tuple[Sequence[bytes], bytes]:
    """The ids in a page of a query, and the cursor of the next page."""
    match page:
        case {"items": [*items], "next_cursor": str(cursor)}:
            return [bytes.fromhex(item[name]) for item in items], bytes.fromhex(cursor)
        case _:
            raise StateError("a query answers in another form than this version knows")
