"""What is shipped, under which names, and with which locked dependencies."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import msgspec
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
DAEMON_PACKAGES = {"node", "consensus", "p2p", "storage"}


class Project(msgspec.Struct, rename="kebab"):
    """The part of a pyproject.toml that these tests are about."""

    name: str
    version: str
    requires_python: str
    dependencies: list[str]
    scripts: dict[str, str] = {}
    optional_dependencies: dict[str, list[str]] = {}


def project_of(folder: Path) -> Project:
    with (folder / "pyproject.toml").open("rb") as file:
        return msgspec.convert(tomllib.load(file)["project"], Project)


DAEMON = project_of(ROOT)
SDK = project_of(ROOT / "sdk/python")


def wheel_of(folder: Path, target: Path) -> zipfile.ZipFile:
    """Build a wheel with the backend that is installed here, so that no network is needed."""
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", target],
        cwd=folder, check=True, capture_output=True,
    )  # fmt: skip
    (wheel,) = target.glob("*.whl")
    return zipfile.ZipFile(wheel)


def top_level(wheel: zipfile.ZipFile) -> set[str]:
    names = {name.partition("/")[0] for name in wheel.namelist()}
    return {name for name in names if not name.endswith(".dist-info")}


def text_of(wheel: zipfile.ZipFile, name: str) -> str:
    (path,) = (path for path in wheel.namelist() if path.endswith(f".dist-info/{name}"))
    return wheel.read(path).decode()


def test_the_daemon_ships_its_four_packages_and_nothing_else(tmp_path: Path) -> None:
    with wheel_of(ROOT, tmp_path) as wheel:
        assert top_level(wheel) == DAEMON_PACKAGES
        assert "medquorum = node.cli.main:main" in text_of(wheel, "entry_points.txt")
        assert f"Requires-Dist: medquorum=={SDK.version}" in text_of(wheel, "METADATA")
        assert "Apache License" in text_of(wheel, "licenses/LICENSE")


def test_the_sdk_ships_medquorum_typed_and_nothing_else(tmp_path: Path) -> None:
    with wheel_of(ROOT / "sdk/python", tmp_path) as wheel:
        assert top_level(wheel) == {"medquorum"}
        assert "medquorum/py.typed" in wheel.namelist()
        assert "Apache License" in text_of(wheel, "licenses/LICENSE")


@pytest.mark.parametrize("name", sorted(DAEMON_PACKAGES | {"devnet", "medquorum"}))
def test_a_common_import_name_means_ours(name: str) -> None:
    spec = importlib.util.find_spec(name)
    assert spec is not None
    assert spec.origin is not None
    assert ROOT in Path(spec.origin).resolve().parents


def test_both_distributions_are_of_one_release() -> None:
    assert DAEMON.version == SDK.version
    assert f"medquorum=={SDK.version}" in DAEMON.dependencies
    assert DAEMON.requires_python == SDK.requires_python


def test_what_both_distributions_need_they_need_in_the_same_versions() -> None:
    daemon = {Requirement(line).name: Requirement(line) for line in DAEMON.dependencies}
    for line in SDK.dependencies:
        needed = Requirement(line)
        assert daemon.get(needed.name, needed) == needed


def pins_of(lock: str) -> dict[str, str]:
    """Name to version. Also checks that each pin is exact and carries hashes, and nothing else."""
    pins: dict[str, str] = {}
    text = (ROOT / lock).read_text("utf-8").replace("\\\n", " ")
    for line in filter(None, text.splitlines()):
        pin = re.fullmatch(
            r"([a-z0-9-]+)==(\S+)( ; [^#]+?)?((?:\s+--hash=sha256:[0-9a-f]{64})+)", line
        )
        assert pin, f"{lock}: {line[:80]!r} is no exact pin with hashes"
        pins[pin[1]] = pin[2]
    return pins


def unlocked(requirements: list[str], pins: dict[str, str]) -> list[str]:
    """The requirements that no pin fulfils. Our own distributions are never locked."""
    parsed = [(line, Requirement(line)) for line in requirements]
    return [
        line
        for line, requirement in parsed
        if requirement.name != SDK.name
        and not requirement.specifier.contains(pins.get(canonicalize_name(requirement.name), "0"))
    ]


def test_the_locks_fulfil_what_the_projects_require() -> None:
    runtime = DAEMON.dependencies + SDK.dependencies
    assert not unlocked(runtime, pins_of("requirements.lock"))
    extras = DAEMON.optional_dependencies
    development = runtime + extras["dev"] + extras["uvloop"] + extras["lmdb"]
    assert not unlocked(development, pins_of("requirements-dev.lock"))


def test_a_requirement_that_is_not_locked_is_noticed() -> None:
    pins = {"aiohttp": "3.14.5"}
    assert unlocked(["aiohttp>=3.15", "click>=8", "aiohttp>=3.14"], pins) == [
        "aiohttp>=3.15",
        "click>=8",
    ]


def test_tests_run_with_the_versions_that_are_shipped() -> None:
    assert pins_of("requirements.lock").items() <= pins_of("requirements-dev.lock").items()
