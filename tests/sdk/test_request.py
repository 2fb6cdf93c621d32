"""A signed request is good for this chain, method, path, body and minute, and for nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medquorum.errors import VerificationError
from medquorum.keys import SigningKey
from medquorum.request import (
    KEY_HEADER,
    SIGNATURE_HEADER,
    TIME_HEADER,
    TOLERANCE_MS,
    sign_request,
    verify_request,
)

KEY = SigningKey(b"\x05" * 32)
CHAIN = b"\x01" * 32
NOW = 1_790_000_000_000
PATH = "/v1/vault/release?x=1"
HEADERS = sign_request(KEY, chain_id=CHAIN, method="POST", path=PATH, time_ms=NOW, body=b"body")


def check(
    headers: dict[str, str] = HEADERS,
    *,
    chain_id: bytes = CHAIN,
    method: str = "POST",
    path: str = PATH,
    body: bytes = b"body",
    now_ms: int = NOW,
) -> bytes | str:
    """The key, or the reason of the refusal."""
    try:
        return verify_request(
            headers, chain_id=chain_id, method=method, path=path, body=body, now_ms=now_ms
        )
    except VerificationError as error:
        return error.reason


def test_the_key_of_the_sender_is_proven() -> None:
    assert check() == KEY.public


def test_nothing_of_the_request_can_be_changed() -> None:
    assert check(chain_id=bytes(32)) == "request_signature"
    assert check(method="PUT") == "request_signature"
    assert check(path="/v1/vault/release") == "request_signature"
    assert check(body=b"") == "request_signature"
    later = {**HEADERS, TIME_HEADER: str(NOW + 1)}
    assert check(later) == "request_signature"
    other = {**HEADERS, KEY_HEADER: SigningKey(b"\x06" * 32).public.hex()}
    assert check(other) == "request_signature"


def test_a_request_lives_for_a_minute() -> None:
    assert check(now_ms=NOW + TOLERANCE_MS) == KEY.public
    assert check(now_ms=NOW - TOLERANCE_MS) == KEY.public
    assert check(now_ms=NOW + TOLERANCE_MS + 1) == "request_time"
    assert check(now_ms=NOW - TOLERANCE_MS - 1) == "request_time"


@pytest.mark.parametrize("name", [KEY_HEADER, TIME_HEADER, SIGNATURE_HEADER])
@given(value=st.text(max_size=140))
def test_headers_from_anywhere_are_refused_by_name(name: str, value: str) -> None:
    assert check({**HEADERS, name: value}) in {
        "request_headers", "request_time", "request_signature",
    }  # fmt: skip
    assert check({n: v for n, v in HEADERS.items() if n != name}) == "request_headers"


def test_a_path_outside_ascii_is_refused() -> None:
    assert check(path="/v1/\udc80") == "request_path"
