"""The scripts make the environment of their own checkout, and touch no other."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]


def _bootstrap(checkout: Path) -> subprocess.CompletedProcess[str]:
    scripts = checkout / "scripts"
    scripts.mkdir(parents=True)
    shutil.copy(ROOT / "scripts" / "_bootstrap.sh", scripts)
    return subprocess.run(
        ["bash", "-euc", "source scripts/_bootstrap.sh; bootstrap"],
        cwd=checkout,
        # Nothing that could make or fill an environment, should it be tried.
        env={"PATH": "/usr/bin:/bin", "MEDQUORUM_PYTHON": "false"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_an_environment_behind_a_link_is_used_as_it_is(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    (shared / "bin").mkdir(parents=True)
    python = shared / "bin" / "python"
    python.write_text("#!/bin/sh\n")
    python.chmod(0o755)
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    (checkout / ".venv").symlink_to(shared)

    ended = _bootstrap(checkout)

    assert (ended.returncode, ended.stderr) == (0, "")
    assert [str(path.relative_to(shared)) for path in sorted(shared.rglob("*"))] == [
        "bin",
        "bin/python",
    ]


def test_a_link_to_no_environment_is_refused_by_name(tmp_path: Path) -> None:
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    (checkout / ".venv").symlink_to(tmp_path / "nowhere")

    ended = _bootstrap(checkout)

    assert ended.returncode == 1
    assert "is a link to no virtual environment" in ended.stderr
