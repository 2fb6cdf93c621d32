"""The whole repository is tidy. The rules are in tests/support/tidy.py."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.support.tidy import complaints

ROOT = Path(__file__).resolve().parents[2]


def tracked_files() -> list[str]:
    listing = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True
    )
    # A file that was removed but not yet committed is still listed.
    return [path for path in listing.stdout.split("\0") if path and (ROOT / path).is_file()]


def test_every_tracked_file_is_tidy() -> None:
    files = tracked_files()
    assert "pyproject.toml" in files
    found = [complaint for path in files for complaint in complaints(ROOT, path)]
    assert not found, "\n".join(found)
