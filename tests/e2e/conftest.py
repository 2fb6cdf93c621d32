"""Every test of a network runs on both engines, unless it says why it need not.

def test_something(network: Network) -> None: ...              # on both
def test_something(engine: EngineName, tmp_path: Path) -> ...  # on both, a network of its own

@pytest.mark.engines("pbft", why="about ports")                # on these, because ...
def test_something(engine: EngineName, ...) -> None: ...
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final, get_args

import pytest

from devnet.network import Network
from medquorum.quorum import EngineName
from tests.support.network import running_network

ENGINES: Final[tuple[EngineName, ...]] = get_args(EngineName)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run whatever takes an `engine` on all of them, or on those of its marker."""
    if "engine" in metafunc.fixturenames:
        marker = metafunc.definition.get_closest_marker("engines")
        metafunc.parametrize("engine", ENGINES if marker is None else marker.args)


@pytest.fixture(autouse=True)
def says_on_which_engines_it_runs(request: pytest.FixtureRequest) -> None:
    """A test that was written with one engine in mind is not left on it by accident."""
    marker = request.node.get_closest_marker("engines")
    if marker is None and "engine" not in request.fixturenames:
        pytest.fail("takes no `engine`, and no marker `engines` says why")
    if marker is not None and not marker.kwargs.get("why"):
        pytest.fail("its marker `engines` does not say why")


@pytest.fixture
def network(tmp_path: Path, engine: EngineName) -> Iterator[Network]:
    """Four validators, all of them ready."""
    with running_network(tmp_path, engine=engine) as running:
        yield running
