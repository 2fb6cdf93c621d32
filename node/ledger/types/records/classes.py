"""What a record is about, and how secret it is: two closed scales that say little on purpose.

Classes are coarse, because the class of a record stands on the chain for ever: `observation` may be
there, the name of a test may not. Confidentiality is the ordered HL7 scale U < L < M < N < R < V.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum, StrEnum
from types import MappingProxyType
from typing import Final


class RecordClass(StrEnum):
    """What a record is about, as coarsely as consent and minimum necessary access need it."""

    ALLERGY = "allergy"
    BILLING = "billing"
    CARE_PLAN = "care_plan"
    CLINICAL_NOTE = "clinical_note"
    CONDITION = "condition"
    DEMOGRAPHICS = "demographics"
    DEVICE = "device"
    ENCOUNTER = "encounter"
    IMAGING = "imaging"
    IMMUNIZATION = "immunization"
    MEDICATION = "medication"
    OBSERVATION = "observation"
    OTHER = "other"
    PROCEDURE = "procedure"
    RESEARCH = "research"


class Confidentiality(IntEnum):
    """How secret a record is (HL7 v3 Confidentiality), in ascending order."""

    U = 0
    """Unrestricted."""
    L = 1
    """Low."""
    M = 2
    """Moderate."""
    N = 3
    """Normal: the records of ordinary care."""
    R = 4
    """Restricted."""
    V = 5
    """Very restricted."""


_CLASS_FHIR_TYPES: Final[Mapping[RecordClass, str]] = MappingProxyType(
    {
        RecordClass.ALLERGY: "AllergyIntolerance",
        RecordClass.BILLING: (
            "Account ChargeItem Claim ClaimResponse Coverage CoverageEligibilityRequest"
            " CoverageEligibilityResponse EnrollmentRequest EnrollmentResponse"
            " ExplanationOfBenefit Invoice PaymentNotice PaymentReconciliation"
        ),
        RecordClass.CARE_PLAN: "CarePlan CareTeam Goal NutritionOrder RequestGroup",
        RecordClass.CLINICAL_NOTE: (
            "ClinicalImpression Communication Composition DocumentManifest DocumentReference"
            " QuestionnaireResponse"
        ),
        RecordClass.CONDITION: (
            "AdverseEvent Condition DetectedIssue FamilyMemberHistory Flag RiskAssessment"
        ),
        RecordClass.DEMOGRAPHICS: "Patient Person RelatedPerson",
        RecordClass.DEVICE: (
            "Device DeviceMetric DeviceRequest DeviceUseStatement SupplyDelivery SupplyRequest"
        ),
        RecordClass.ENCOUNTER: ("Appointment AppointmentResponse Encounter EpisodeOfCare List"),
        RecordClass.IMAGING: "ImagingStudy Media VisionPrescription",
        RecordClass.IMMUNIZATION: "Immunization ImmunizationEvaluation ImmunizationRecommendation",
        RecordClass.MEDICATION: (
            "Medication MedicationAdministration MedicationDispense MedicationRequest"
            " MedicationStatement"
        ),
        RecordClass.OBSERVATION: (
            "BodyStructure DiagnosticReport MolecularSequence Observation Specimen"
        ),
        RecordClass.OTHER: "AuditEvent Basic Binary Bundle Consent Provenance",
        RecordClass.PROCEDURE: "Procedure ServiceRequest Task",
        RecordClass.RESEARCH: "ResearchStudy ResearchSubject",
    }
)

CLASS_OF_FHIR_TYPE: Final[Mapping[str, RecordClass]] = MappingProxyType(
    {name: cls for cls, names in _CLASS_FHIR_TYPES.items() for name in names.split()}
)
"""The class under which an importer anchors a FHIR R4 resource, by the resource type as FHIR spells
it.
"""

FHIR_TOKENS: Final[Mapping[str, str]] = MappingProxyType(
    {name.lower(): name for name in CLASS_OF_FHIR_TYPE}
)
"""The tokens that `fhir_type` may be on the chain (lower-case resource types), and how FHIR spells
each.
"""


def class_of_fhir_type(resource_type: str) -> RecordClass | None:
    """The class of a FHIR resource type as FHIR spells it.

    None: such a resource is not a patient's record.
    """
    return CLASS_OF_FHIR_TYPE.get(resource_type)
