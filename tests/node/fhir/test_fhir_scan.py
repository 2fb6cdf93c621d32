"""The scanner finds in any valid text what the parser of the standard library finds, however the
text is cut into chunks; and for any other bytes it ends with its one error.
"""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from node.fhir.errors import ScanError
from node.fhir.limits import NESTING_MAX
from node.fhir.scan import Source, elements, members

_LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
_VALUES = st.recursive(
    _LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=30,
)
_SEPARATORS = st.sampled_from([(",", ":"), (", ", ": "), (" ,\n", "\t:\r\n")])
_SIZE = 10_000


def in_chunks(text: bytes, size: int) -> Callable[[int], bytes]:
    """A reader that gives less than it was asked for."""
    pieces = iter([text[at : at + size] for at in range(0, len(text), size)])
    return lambda _wanted: next(pieces, b"")


def scanned(source: Source) -> object:
    """What the scanner hands out, piece by piece, read by the parser."""
    match source.peek():
        case 0x7B:
            return {name: parsed(source) for name in members(source)}
        case 0x5B:
            return [parsed(source) for _ in elements(source)]
        case _:
            return parsed(source)


def parsed(source: Source) -> object:
    text = source.value(_SIZE)
    assert text is not None
    return json.loads(text)


@given(_VALUES, _SEPARATORS, st.booleans(), st.integers(1, 40))
def test_the_scanner_finds_what_the_parser_finds(
    value: object, separators: tuple[str, str], ascii_only: bool, chunk: int
) -> None:
    text = json.dumps(value, separators=separators, ensure_ascii=ascii_only)
    source = Source(in_chunks(f" {text}\n".encode(), chunk))
    assert scanned(source) == value
    source.finish()
    assert source.offset == len(text.encode()) + 2


@given(st.binary(max_size=60) | st.text('{}[]":,\\ \n1atrue', max_size=40).map(str.encode))
@example(b'{"a"')
@example(b'{"a":"\\')
@example(b'["\\"]')
@example(b"[1,]")
@example(b'{"a":1,}')
@example(b'{"\\ud800":1}')
def test_no_bytes_make_the_scanner_raise_anything_else(text: bytes) -> None:
    source = Source.of(text)
    try:
        if source.peek() == ord("{"):
            for _ in members(source):
                source.value(_SIZE)
        else:
            for _ in elements(source):
                source.value(_SIZE)
        source.finish()
    except ScanError as error:
        assert 0 <= error.offset <= len(text)


@given(_VALUES, st.integers(1, 7), st.data())
def test_a_text_that_was_cut_off_is_never_accepted(
    value: object, chunk: int, data: st.DataObject
) -> None:
    text = json.dumps({"a": value, "b": [value, 1]}).encode()
    cut = data.draw(st.integers(0, len(text) - 1))
    source = Source(in_chunks(text[:cut], chunk))
    with pytest.raises(ScanError):
        for _ in members(source):
            source.value(_SIZE)


def test_a_value_beyond_the_limit_is_skipped_and_the_next_is_found() -> None:
    source = Source(in_chunks(b'["' + b"x" * 5_000 + b'", {"a": [1, "]"]}, 7]', 11))
    found = [source.value(20) for _ in elements(source)]
    source.finish()
    assert found == [None, b'{"a": [1, "]"]}', b"7"]


def test_nesting_is_bounded() -> None:
    deep = NESTING_MAX + 1
    with pytest.raises(ScanError):
        Source.of(b"[" * deep + b"]" * deep).value(10 * deep)
    fits = b"[" * NESTING_MAX + b"]" * NESTING_MAX
    assert Source.of(fits).value(10 * deep) == fits


def test_an_escaped_name_is_the_name_it_stands_for() -> None:
    source = Source.of(b'{"\\u0065ntry": 1}')
    assert [(name, source.value(9)) for name in members(source)] == [("entry", b"1")]
