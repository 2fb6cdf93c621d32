"""The canonical form of a record: the same for every parser, or refused."""

from __future__ import annotations

import json
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from medquorum.errors import VaultError
from medquorum.limits import RESOURCE_BYTES_MAX, RESOURCE_DEPTH_MAX
from medquorum.resource import canonical


def refused(text: bytes) -> str:
    with pytest.raises(VaultError) as error:
        canonical(text)
    return error.value.reason


def number(text: str) -> str:
    """The canonical form of one number."""
    return canonical(b'{"n":%s}' % text.encode())[5:-1].decode()


# RFC 8785 section 3.2.2 and 3.2.3: the example, and the order of names by UTF-16 code units.
def test_the_example_of_rfc_8785() -> None:
    text = rb"""{
        "numbers": [1E30, 4.50, 2e-3, 0.000000000000000000000000001],
        "string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/",
        "literals": [null, true, false]
    }"""
    expected = (
        '{"literals":[null,true,false],'
        '"numbers":[1e+30,4.5,0.002,1e-27],'
        '"string":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}'
    )
    assert canonical(text) == expected.encode()


def test_names_are_ordered_by_utf_16_code_units() -> None:
    names = ["\u20ac", "\r", "\ufb33", "1", "\U0001f600", "\u0080", "\u00f6"]
    order = ["\r", "1", "\u0080", "\u00f6", "\u20ac", "\U0001f600", "\ufb33"]
    text = canonical(json.dumps(dict.fromkeys(names, 0)).encode())
    assert list(json.loads(text)) == order


# RFC 8785 appendix B, as far as JSON text can say it and a double holds it.
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", "0"),
        ("-0", "0"),
        ("-0.0", "0"),
        ("5e-324", "5e-324"),
        ("1.7976931348623157e308", "1.7976931348623157e+308"),
        ("9007199254740991", "9007199254740991"),
        ("-9007199254740991", "-9007199254740991"),
        ("295147905179352830000.0", "295147905179352830000"),
        ("9.999999999999997e22", "9.999999999999997e+22"),
        ("1e23", "1e+23"),
        ("1e21", "1e+21"),
        ("999999999999999900000.0", "999999999999999900000"),
        ("333333333.33333329", "333333333.3333333"),
        ("0.000001", "0.000001"),
        ("1e-7", "1e-7"),
        ("112.416", "112.416"),
        ("112.41600000000001", "112.41600000000001"),
        ("1.50", "1.5"),
        ("1.0", "1"),
        ("100e-2", "1"),
    ],
)
def test_numbers_have_one_form(text: str, expected: str) -> None:
    if text == "333333333.33333329":
        # The appendix rounds this one; we refuse it, because another parser would keep its digits.
        assert refused(b'{"n":%s}' % text.encode()) == "resource_number"
        return
    assert number(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "9007199254740993",
        "-9007199254740992",
        "0.1000000000000000055",
        "112.416000000000010001",
        "1e400",
        "-1e400",
        "1e-400",
        "1" * 50,
        "0." + "0" * 60 + "1",
        "1e9999999999999999999999",
        "NaN",
        "Infinity",
        "-Infinity",
    ],
)
def test_a_number_that_a_double_does_not_hold_is_refused(text: str) -> None:
    assert refused(b'{"n":%s}' % text.encode()) == "resource_number"


@given(st.floats(allow_nan=False, allow_infinity=False))
@example(112.41600000000001)
@example(0.1 + 0.2)
def test_every_double_that_a_program_writes_is_accepted_and_kept(value: float) -> None:
    assert float(number(repr(value))) == value


@given(
    st.decimals(
        allow_nan=False, allow_infinity=False, places=6, min_value=-(10**8), max_value=10**8
    )
)
def test_every_clinical_decimal_is_accepted_and_keeps_its_value(value: Decimal) -> None:
    assert Fraction(number(format(value, "f"))) == Fraction(value)


@given(
    st.from_regex(r"-?(0|[1-9][0-9]{0,18})(\.[0-9]{1,18})?([eE][+-]?[0-9]{1,2})?", fullmatch=True)
)
def test_accepted_numbers_keep_their_exact_value(text: str) -> None:
    try:
        form = number(text)
    except VaultError as error:
        assert error.reason == "resource_number"
        return
    assert Fraction(form) == Fraction(text)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.text(max_size=8), JSON_VALUES, max_size=5))
def test_white_space_order_and_escapes_do_not_matter(value: dict[str, object]) -> None:
    backwards = dict(reversed(value.items()))
    forms = {
        canonical(json.dumps(value).encode()),
        canonical(json.dumps(backwards, ensure_ascii=False, indent=3).encode()),
    }
    assert len(forms) == 1
    form = forms.pop()
    assert json.loads(form) == value
    assert canonical(form) == form


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"", "resource_json"),
        (b"[]", "resource_json"),
        (b'"text"', "resource_json"),
        (b"{}x", "resource_json"),
        (b"{} {}", "resource_json"),
        (b'{"a":1,}', "resource_json"),
        (b"{'a':1}", "resource_json"),
        (b'{"a":01}', "resource_json"),
        (b'{"a":"\n"}', "resource_json"),
        (b'{"a":"\xff"}', "resource_json"),
        (b"\xef\xbb\xbf{}", "resource_json"),
        ('{"a":1}'.encode("utf-16"), "resource_json"),
        (b'{"a":1,"a":1}', "resource_duplicate"),
        (b'{"a":{"b":1,"c":2,"\\u0062":3}}', "resource_duplicate"),
        (b'{"a":"\\ud800"}', "resource_text"),
        (b'{"\\udc00":1}', "resource_text"),
        (b'{"a":"\\udc00\\ud800"}', "resource_text"),
    ],
)
def test_what_parsers_may_read_differently_is_refused(text: bytes, reason: str) -> None:
    assert refused(text) == reason


def nested(depth: int) -> bytes:
    return b'{"a":' + b"[" * (depth - 1) + b"]" * (depth - 1) + b"}"


def test_depth_is_limited_and_the_deepest_text_does_not_break_the_parser() -> None:
    assert canonical(nested(RESOURCE_DEPTH_MAX)) == nested(RESOURCE_DEPTH_MAX)
    assert refused(nested(RESOURCE_DEPTH_MAX + 1)) == "resource_depth"
    assert refused(nested(1_000_000)) == "resource_depth"


def test_size_is_checked_before_anything_is_parsed() -> None:
    assert refused(b"x" * (RESOURCE_BYTES_MAX + 1)) == "resource_size"


@pytest.mark.parametrize("text", [b'{"name": "Li Wei", }', b'{"Li Wei": "\\ud800"}'])
def test_errors_do_not_quote_the_record(text: bytes) -> None:
    with pytest.raises(VaultError) as error:
        canonical(text)
    assert "Li Wei" not in str(error.value)
    assert error.value.__cause__ is None
