"""From resources to records: whom each is about, whose it is, and whether we have it already."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from secrets import token_bytes
from typing import Final

from node.fhir.files import FhirFile, Raw, Refused, resources_of
from node.fhir.hospitals import Hospital
from node.fhir.journal import Journal, Row
from node.fhir.reasons import Reason
from node.fhir.references import is_search
from node.fhir.report import Counts
from node.fhir.resources import (
    ENCOUNTER,
    ORGANIZATION,
    PATIENT,
    Reference,
    Resource,
    resource_of,
)
from node.fhir.routing import Routing
from node.ledger.types.records.classes import RecordClass

_INDEXED: Final = frozenset({PATIENT, ENCOUNTER, ORGANIZATION})
# A text without any of these is none of them; the last stands for a name with escapes in it.
_HINTS: Final = (*(f'"{name}"'.encode() for name in sorted(_INDEXED)), b"\\u00")
_ID_BYTES: Final = 32
# R4 lets these stand for themselves: a drug, a machine, a study. Without a patient they are about
# none.
_MAY_BE_ABOUT_NOBODY: Final = frozenset(
    {
        "Device",
        "DeviceMetric",
        "Medication",
        "PaymentNotice",
        "PaymentReconciliation",
        "ResearchStudy",
    }
)


@dataclass(frozen=True, slots=True)
class Work:
    """A record to seal, keep and anchor. `row` stands in the journal as planned."""

    row: Row
    record_class: RecordClass
    raw: Raw = field(repr=False)

    @property
    def size(self) -> int:
        """Bytes of its text."""
        return len(self.raw.text)

    def refused(self, reason: Reason, detail: str = "") -> Refused:
        """Its refusal after all."""
        raw = self.raw
        return Refused(
            raw.file, raw.position, raw.offset, reason, self.row.type, _id_of(self.row), detail
        )


class Planner:
    """The synchronous half of an import. Two passes over the files: `index`, then `plan`."""

    def __init__(self, journal: Journal, routing: Routing, counts: Counts) -> None:
        self._journal = journal
        self._routing = routing
        self._counts = counts

    def index(self, files: Iterable[FhirFile]) -> Iterator[int]:
        """Learn what bundles call their resources and which organisation encounters and patients
        name. Yields the size of each file when it is done.
        """
        for file in files:
            with self._journal.together():
                for raw in resources_of(file):
                    if isinstance(raw, Raw) and any(hint in raw.text for hint in _HINTS):
                        self._learn(raw)
            yield file.size

    def plan(self, raw: Raw | Refused) -> Work | None:
        """The record that a resource becomes; None if it becomes none, which is counted."""
        resource = raw if isinstance(raw, Refused) else resource_of(raw)
        if isinstance(resource, Refused):
            self.refuse(resource)
            return None
        known = self._journal.known(resource.identity, resource.digest)
        patient = None if known or resource.record_class is None else self._patient_of(resource)
        if isinstance(patient, Reason):
            self.refuse(_refusal(resource, patient))
            return None
        if patient is not None and resource.record_class is not None:
            return self._planned(resource, resource.record_class, patient)
        self._counts.read[resource.type] += 1
        passed = self._counts.unchanged if known else self._counts.not_records
        passed[resource.type] += 1
        return None

    def refuse(self, refused: Refused) -> None:
        """Count a refusal and keep it for the report."""
        self._counts.refused[refused.reason.value] += 1
        if refused.type:
            self._counts.read[refused.type] += 1
        self._journal.refuse(refused)

    def refuse_work(self, work: Work, reason: Reason, detail: str) -> None:
        """A planned record was refused after all. The next run will try it again."""
        self._counts.refused[reason.value] += 1
        self._journal.refuse(work.refused(reason, detail))
        self._journal.forget([work.row])

    def _learn(self, raw: Raw) -> None:
        resource = resource_of(raw, exact=False)
        if resource.type not in _INDEXED:
            return
        # What has no identity is learned too: a bundle with it is not about one patient alone.
        identity = "" if isinstance(resource, Refused) else resource.identity
        label = raw.file.label
        self._journal.set_alias(label, raw.full_url or f"#{raw.position}", resource.type, identity)
        if not isinstance(resource, Refused) and resource.type != ORGANIZATION and identity:
            provider = next((owner.identity for owner in resource.owners if owner.identity), "")
            self._journal.set_owner(identity, label, provider)

    def _planned(self, resource: Resource, record_class: RecordClass, patient: str) -> Work | None:
        head = self._journal.head(resource.identity)
        if head is None:
            hospital = self._hospital_of(resource, patient)
            row = Row(
                identity=resource.identity,
                digest=resource.digest,
                type=resource.type,
                rec_id=token_bytes(_ID_BYTES),
                version=1,
                hospital=hospital.org,
                pid=self._pid(patient, hospital.org),
                confidentiality=int(resource.confidentiality),
            )
        else:
            if not self._routing.lists(head.hospital):
                self.refuse(_refusal(resource, Reason.HOSPITAL_NOT_LISTED))
                return None
            if self._journal.pid(patient, head.hospital) != head.pid:
                self.refuse(_refusal(resource, Reason.PATIENT_CHANGED))
                return None
            if resource.confidentiality > head.confidentiality:
                # The ledger keeps the confidentiality of the first version.
                self.refuse(_refusal(resource, Reason.CONFIDENTIALITY_CHANGED))
                return None
            row = replace(head, digest=resource.digest, version=head.version + 1)
        self._journal.plan(row)
        self._counts.read[resource.type] += 1
        return Work(row, record_class, resource.raw)

    def _pid(self, patient: str, org: bytes) -> bytes:
        pid = self._journal.pid(patient, org)
        if pid is None:
            # Random, never a hash of anything: whoever has a list of ids could try them all.
            pid = token_bytes(_ID_BYTES)
            self._journal.add_pid(patient, org, pid)
        return pid

    def _patient_of(self, resource: Resource) -> str | Reason | None:
        """The patient's identity; a reason; or None for what may be about nobody."""
        if resource.type == PATIENT:
            return resource.identity
        label = resource.raw.file.label
        about = [self._resolved(one, label) for one in resource.about]
        patients = _patients(about)
        if patients == [] and any(one.type in ("", PATIENT) for one in about):
            return Reason.PATIENT_UNRESOLVED
        if patients == []:
            patients = _patients(self._resolved(one, label) for one in resource.among)
        if len(patients) > 1:
            return Reason.SEVERAL_PATIENTS
        if patients:
            return patients[0]
        # In a bundle about one patient, what names nobody is about that patient.
        alone = about == [] and not resource.raw.file.is_lines
        only = self._journal.only_alias(label, PATIENT) if alone else None
        if only is None and resource.type in _MAY_BE_ABOUT_NOBODY:
            return None
        return only or Reason.NO_PATIENT

    def _hospital_of(self, resource: Resource, patient: str) -> Hospital:
        if resource.type == ENCOUNTER:
            return self._owner(resource.identity)
        label = resource.raw.file.label
        for one in resource.encounters:
            encounter = self._resolved(one, label)
            if encounter.identity != "" and encounter.type in (ENCOUNTER, ""):
                return self._owner(encounter.identity)
        return self._owner(patient)

    def _owner(self, identity: str) -> Hospital:
        file, named = self._journal.owner(identity) or ("", "")
        provider = self._resolved(Reference("", named), file).identity if named else ""
        return self._routing.by_identity(provider or identity)

    def _resolved(self, reference: Reference, file: str) -> Reference:
        """A reference with what its bundle says that it is."""
        alias = self._journal.alias(file, reference.identity) if reference.type == "" else None
        return reference if alias is None else Reference(*alias)


def _patients(references: Iterable[Reference]) -> list[str]:
    found = (one.identity for one in references if one.type == PATIENT)
    return [one for one in dict.fromkeys(found) if one != "" and not is_search(one)]


def _refusal(resource: Resource, reason: Reason) -> Refused:
    raw = resource.raw
    return Refused(raw.file, raw.position, raw.offset, reason, resource.type, resource.id)


def _id_of(row: Row) -> str:
    """The id in an identity, if the resource had one."""
    return row.identity.rpartition("/")[2] if "/" in row.identity else ""
