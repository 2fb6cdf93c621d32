"""The daemon takes the faster event loop where there is one, and needs none."""

from __future__ import annotations

import asyncio
import sys

import pytest

from node.eventloop import loop_factory


def test_an_installed_uvloop_is_used() -> None:
    uvloop = pytest.importorskip("uvloop")
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        assert isinstance(runner.get_loop(), uvloop.Loop)


def test_without_uvloop_the_node_runs_on_the_loop_of_asyncio(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "uvloop", None)
    assert loop_factory() is asyncio.new_event_loop
