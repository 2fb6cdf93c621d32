"""The closed tables: purposes of use, classes, and what roles need."""

from __future__ import annotations

import pytest

from medquorum.codec import Name, decode, encode
from node.ledger.roles import Role
from node.ledger.types.records.classes import (
    CLASS_OF_FHIR_TYPE,
    FHIR_TOKENS,
    Confidentiality,
    RecordClass,
    class_of_fhir_type,
)
from node.ledger.types.records.necessity import NEEDS, may_ask
from node.ledger.types.records.purposes import (
    INCLUDED_IN,
    Purpose,
    hl7_code,
    is_a,
    purpose_of_hl7_code,
)

P = Purpose


def test_the_tree_has_the_sixty_codes_of_fhir_r4() -> None:
    assert len(Purpose) == 60
    assert len(INCLUDED_IN) == 60


def test_every_purpose_stands_below_the_root() -> None:
    assert all(is_a(purpose, P.PURPOSE_OF_USE) for purpose in Purpose)


@pytest.mark.parametrize(
    ("special", "general"),
    [
        (P.BTG, P.TREAT),
        (P.ERTREAT, P.ETREAT),
        (P.MILDCRG, P.HPAYMT),
        (P.CLINTRCHNPC, P.HRESCH),
        (P.LABELING, P.HOPERAT),
        (P.TREAT, P.TREAT),
    ],
)
def test_a_purpose_is_all_that_stands_above_it(special: Purpose, general: Purpose) -> None:
    assert is_a(special, general)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (P.TREAT, P.ETREAT),
        (P.CLINTRL, P.HRESCH),
        (P.HMARKT, P.HOPERAT),
        (P.PURPOSE_OF_USE, P.TREAT),
    ],
)
def test_a_purpose_is_nothing_below_or_beside_it(one: Purpose, other: Purpose) -> None:
    assert not is_a(one, other)


def test_codes_translate_to_hl7_and_back() -> None:
    assert all(purpose_of_hl7_code(hl7_code(purpose)) is purpose for purpose in Purpose)
    assert hl7_code(P.HPAYMT) == "HPAYMT"


@pytest.mark.parametrize("code", ["HPAYMENT", "treat", "PURPOSE_OF_USE", "PURPOSEOFUSE", ""])
def test_what_hl7_does_not_know_is_no_purpose(code: str) -> None:
    assert purpose_of_hl7_code(code) is None


def test_every_token_fits_the_chain() -> None:
    tokens = [*Purpose, *RecordClass, *FHIR_TOKENS]
    assert all(decode(Name, encode(str(token)), size_max=100) == token for token in tokens)


def test_confidentiality_is_ordered() -> None:
    assert [level.name for level in sorted(Confidentiality)] == list("ULMNRV")


def test_importers_find_a_class_for_what_hospitals_export() -> None:
    assert class_of_fhir_type("MedicationRequest") is RecordClass.MEDICATION
    assert class_of_fhir_type("DocumentReference") is RecordClass.CLINICAL_NOTE
    assert class_of_fhir_type("Practitioner") is None
    assert set(CLASS_OF_FHIR_TYPE.values()) == set(RecordClass)
    assert FHIR_TOKENS["medicationrequest"] == "MedicationRequest"


def test_a_billing_clerk_needs_no_clinical_notes() -> None:
    assert may_ask("billing", P.HPAYMT, (RecordClass.BILLING,))
    assert not may_ask("billing", P.HPAYMT, (RecordClass.BILLING, RecordClass.CLINICAL_NOTE))
    assert not may_ask("billing", P.TREAT, (RecordClass.BILLING,))


def test_roles_without_a_need_cannot_ask() -> None:
    strangers = set(Role) - set(NEEDS)
    assert Role.ORG_ADMIN in strangers
    for role in strangers:
        assert not any(may_ask(role, purpose, (RecordClass.OBSERVATION,)) for purpose in Purpose)
