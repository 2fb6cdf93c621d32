"""The roles that credentials give, and which kinds of organisation may give them.

A role is a token on the chain. A credential names the organisation at which it may be exercised,
its scope.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final


class Role(StrEnum):
    """What a person or a system may do at the organisation that its credential names."""

    VALIDATOR = "validator"
    ORG_ADMIN = "org_admin"
    CLINICIAN = "clinician"
    SENIOR_CLINICIAN = "senior_clinician"
    NURSE = "nurse"
    PHARMACIST = "pharmacist"
    BIOMED = "biomed"
    BED_MANAGER = "bed_manager"
    BILLING = "billing"
    PRIVACY_OFFICER = "privacy_officer"
    AUDITOR = "auditor"
    PATIENT = "patient"
    GUARDIAN = "guardian"
    REGISTRAR = "registrar"
    CUSTODIAN_GATEWAY = "custodian_gateway"
    MINT_AUTHORITY = "mint_authority"
    INSURER = "insurer"
    COMPLIANCE = "compliance"
    SPONSOR = "sponsor"
    INVESTIGATOR = "investigator"
    STATISTICIAN = "statistician"
    ETHICS = "ethics"
    RESEARCHER = "researcher"
    MANUFACTURER = "manufacturer"
    DISTRIBUTOR = "distributor"
    DRUG_REGULATOR = "drug_regulator"
    TRIAL_REGULATOR = "trial_regulator"
    MONITOR = "monitor"
    PHARM_UNBLINDED = "pharm_unblinded"


class OrgKind(StrEnum):
    """What an organisation is, as the members agreed when they admitted it."""

    HOSPITAL = "hospital"
    INSURER = "insurer"
    MANUFACTURER = "manufacturer"
    DISTRIBUTOR = "distributor"
    REGULATOR = "regulator"
    AUTHORITY = "authority"
    SPONSOR = "sponsor"
    RESEARCH = "research"
    ETHICS = "ethics"


_EVERY: Final = frozenset(OrgKind)
_CARE: Final = frozenset({OrgKind.HOSPITAL})
_TRIAL: Final = frozenset({OrgKind.SPONSOR, OrgKind.HOSPITAL, OrgKind.RESEARCH})

ISSUER_KINDS: Final[Mapping[Role, frozenset[OrgKind]]] = MappingProxyType(
    {
        Role.VALIDATOR: _EVERY,
        Role.ORG_ADMIN: _EVERY,
        Role.CLINICIAN: _CARE,
        Role.SENIOR_CLINICIAN: _CARE,
        Role.NURSE: _CARE,
        Role.PHARMACIST: _CARE | {OrgKind.DISTRIBUTOR},
        Role.BIOMED: _CARE,
        Role.BED_MANAGER: _CARE,
        Role.BILLING: _CARE,
        Role.PRIVACY_OFFICER: _EVERY,
        Role.AUDITOR: _EVERY,
        Role.PATIENT: _CARE,
        Role.GUARDIAN: _CARE,
        Role.REGISTRAR: _CARE,
        Role.CUSTODIAN_GATEWAY: _EVERY,
        Role.MINT_AUTHORITY: frozenset({OrgKind.AUTHORITY}),
        Role.INSURER: frozenset({OrgKind.INSURER}),
        Role.COMPLIANCE: frozenset({OrgKind.AUTHORITY, OrgKind.REGULATOR}),
        Role.SPONSOR: _TRIAL,
        Role.INVESTIGATOR: _CARE,
        Role.STATISTICIAN: _TRIAL,
        Role.ETHICS: frozenset({OrgKind.ETHICS, OrgKind.HOSPITAL}),
        Role.RESEARCHER: _CARE | {OrgKind.RESEARCH, OrgKind.SPONSOR},
        Role.MANUFACTURER: frozenset({OrgKind.MANUFACTURER}),
        Role.DISTRIBUTOR: frozenset({OrgKind.DISTRIBUTOR}),
        Role.DRUG_REGULATOR: frozenset({OrgKind.REGULATOR}),
        Role.TRIAL_REGULATOR: frozenset({OrgKind.REGULATOR}),
        Role.MONITOR: _TRIAL,
        Role.PHARM_UNBLINDED: _CARE,
    }
)
"""Which kinds of organisation may issue a role.

Governance fixes the kind, so nobody promotes themselves.
"""
