"""Operators meet the reasons in metrics and in the status, so each is explained."""

from __future__ import annotations

from pathlib import Path

import pytest

from p2p.hello import decode_goodbye
from p2p.limits import GOODBYE_BYTES_MAX
from p2p.reasons import Reason

SPECIFICATION = Path(__file__).resolve().parents[2] / "docs" / "spec" / "transport.md"


def test_every_reason_is_in_the_specification_and_no_other() -> None:
    _, _, table = SPECIFICATION.read_text(encoding="utf-8").partition("## Reasons")
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    names = [name for row in rows for name in row.split("`")[1::2]]
    assert sorted(names) == sorted(Reason)


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_fits_into_a_goodbye(reason: Reason) -> None:
    assert len(reason.encode("ascii")) <= GOODBYE_BYTES_MAX
    assert decode_goodbye(reason.encode()) is reason


@pytest.mark.parametrize("payload", [b"", b"\xff", b"of a later version"])
def test_an_unknown_goodbye_means_only_that_the_peer_closed(payload: bytes) -> None:
    assert decode_goodbye(payload) is Reason.PEER_CLOSED
