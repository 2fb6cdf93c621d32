"""One catalogue of codes, the same for the ledger, the node, the documents and both languages."""

from __future__ import annotations

import re
from pathlib import Path

from medquorum.catalogue import catalogue, document, entry
from medquorum.errors import DecodeError, NonCanonicalError, OversizedError
from node.ledger.codes import Code

ROOT = Path(__file__).parents[2]

# The codes that the interfaces promise to clients.
PROMISED = frozenset(
    [
        "malformed",
        "schema_violation",
        "non_canonical",
        "bad_signature",
        "unknown_key",
        "key_revoked",
        "wrong_chain",
        "unsupported_version",
        "duplicate",
        "expired",
        "not_yet_valid",
        "policy_denied",
        "consent_missing",
        "quorum_at_risk",
        "mempool_full",
        "rate_limited",
        "disk_low",
        "not_ready",
        "no_quorum",
        "commit_timeout",
        "not_found",
        "pruned",
        "height_in_future",
        "internal",
    ]
)


def test_the_outcomes_are_exactly_those_of_the_ledger() -> None:
    outcomes = [e.code for e in catalogue().values() if e.is_outcome]
    assert outcomes == [code.value for code in Code]


def test_every_promised_problem_is_explained() -> None:
    problems = {e.code: e for e in catalogue().values() if not e.is_outcome}
    assert PROMISED - set(problems) == set()
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+)*", code) for code in problems)
    assert all(200 <= (e.status or 0) <= 599 for e in problems.values())


def test_the_errors_of_decoding_have_codes() -> None:
    for kind in (DecodeError, OversizedError, NonCanonicalError):
        assert entry(kind.code) is not None


def test_every_code_has_both_languages_and_says_when() -> None:
    for e in catalogue().values():
        assert re.search("[\u4e00-\u9fff]", e.titles["zh-CN"])
        assert e.titles["en"].isascii()
        assert e.when.endswith(".")
        assert "|" not in e.when + e.titles["en"]


def test_only_what_may_pass_by_itself_is_retryable() -> None:
    assert [e.code for e in catalogue().values() if e.retryable] == [
        "quorum_at_risk",
        "mempool_full",
        "rate_limited",
        "disk_low",
        "not_ready",
        "no_quorum",
        "no_leader",
        "transfer_target_behind",
        "transfer_timed_out",
        "commit_timeout",
        "height_in_future",
        "internal",
    ]


def test_the_document_is_fresh() -> None:
    assert (ROOT / "docs/errors.md").read_text("utf-8") == document()


def test_an_unknown_code_is_not_an_error() -> None:
    assert entry("of_the_future") is None
