"""The minimum necessary: which classes of records each role may ask for, and for which purposes.

This bounds what may be asked, before and independently of consent, which decides what is given. A
role that is not in the table cannot ask at all. Patients ask for their own records as patients;
everybody else holds a credential.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from node.ledger.roles import Role
from node.ledger.types.records.classes import RecordClass
from node.ledger.types.records.purposes import INCLUDED_IN, Purpose


@dataclass(frozen=True, slots=True)
class Need:
    """What a role needs at most. A purpose includes those below it."""

    purposes: frozenset[Purpose]
    classes: frozenset[RecordClass]


_EVERYTHING: Final = frozenset(RecordClass)
_CLINICAL: Final = _EVERYTHING - {RecordClass.BILLING, RecordClass.RESEARCH}
_BEDSIDE: Final = _CLINICAL - {RecordClass.OTHER}
_PHARMACY: Final = frozenset(
    {
        RecordClass.ALLERGY,
        RecordClass.CONDITION,
        RecordClass.IMMUNIZATION,
        RecordClass.MEDICATION,
        RecordClass.OBSERVATION,
    }
)
_CLAIMS: Final = frozenset(
    {
        RecordClass.BILLING,
        RecordClass.DEMOGRAPHICS,
        RecordClass.ENCOUNTER,
        RecordClass.PROCEDURE,
    }
)
_STUDY: Final = _EVERYTHING - {RecordClass.BILLING, RecordClass.DEMOGRAPHICS}

_TREATMENT: Final = frozenset({Purpose.TREAT})
_CARE: Final = frozenset({Purpose.TREAT, Purpose.HQUALIMP, Purpose.PATSFTY, Purpose.PUBHLTH})
_PAYMENT: Final = frozenset({Purpose.HPAYMT})
_RESEARCH: Final = frozenset({Purpose.HRESCH})

NEEDS: Final[Mapping[Role, Need]] = MappingProxyType(
    {
        Role.CLINICIAN: Need(_CARE, _CLINICAL),
        Role.SENIOR_CLINICIAN: Need(_CARE, _CLINICAL),
        Role.NURSE: Need(_TREATMENT, _BEDSIDE),
        Role.PHARMACIST: Need(_TREATMENT, _PHARMACY),
        Role.BIOMED: Need(
            frozenset({Purpose.PATSFTY, Purpose.RECORDMGT}), frozenset({RecordClass.DEVICE})
        ),
        Role.BED_MANAGER: Need(
            frozenset({Purpose.PATADMIN}),
            frozenset({RecordClass.DEMOGRAPHICS, RecordClass.ENCOUNTER}),
        ),
        Role.BILLING: Need(_PAYMENT, _CLAIMS),
        Role.INSURER: Need(_PAYMENT, _CLAIMS),
        Role.PRIVACY_OFFICER: Need(
            frozenset({Purpose.HCOMPL, Purpose.HLEGAL, Purpose.RECORDMGT}), _EVERYTHING
        ),
        Role.PATIENT: Need(frozenset({Purpose.PATRQT}), _EVERYTHING),
        Role.INVESTIGATOR: Need(frozenset({Purpose.HRESCH, Purpose.CLINTRL}), _STUDY),
        Role.RESEARCHER: Need(_RESEARCH, _STUDY),
        Role.STATISTICIAN: Need(_RESEARCH, _STUDY),
        Role.SPONSOR: Need(_RESEARCH, frozenset({RecordClass.RESEARCH})),
    }
)


def may_ask(role: str, purpose: Purpose, classes: tuple[RecordClass, ...]) -> bool:
    """Whether the role has a need for these classes for this purpose."""
    known = _BY_TOKEN.get(role)
    return (
        known is not None
        and not INCLUDED_IN[purpose].isdisjoint(known.purposes)
        and known.classes.issuperset(classes)
    )


_BY_TOKEN: Final[Mapping[str, Need]] = MappingProxyType(
    {role.value: need for role, need in NEEDS.items()}
)
