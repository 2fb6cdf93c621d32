"""A reference and what it refers to have one identity, and no text as a reference does harm."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from node.fhir.references import identity_of, referred


@given(
    st.sampled_from(["", "http://a.test/", "https://a.test/r4/"]),
    st.from_regex(r"[A-Za-z0-9.\-]{1,64}", fullmatch=True),
)
def test_a_literal_reference_and_its_target_have_one_identity(base: str, id_: str) -> None:
    own = f"{base}Patient/{id_}" if base else ""
    expected = identity_of("Patient", id_, own)
    assert referred(f"{base}Patient/{id_}", "") == ("Patient", expected)
    assert referred(f"Patient/{id_}", f"{base}Observation/1" if base else "") == (
        "Patient",
        expected,
    )


@given(st.text())
def test_any_text_as_a_reference_is_harmless(text: str) -> None:
    type_, identity = referred(text, text)
    assert type_ == "" or identity != ""
