"""Each tidy rule complains of the fault it is for, and not of its tidy twin."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.tidy import FILE_LINES_MAX, FUNCTION_LINES_MAX, complaints

HEAD = '"""A module."""\n'


def function_of(lines: int) -> str:
    return HEAD + "def f() -> None:\n" + "    g()\n" * (lines - 1)


FAULTS = {
    "a file too long": ("a.py", HEAD + "x = 1\n" * (FILE_LINES_MAX - 1), "x = 1\n"),
    "a line too long": ("a.py", HEAD + f'x = "{"y" * 94}"\n', f'z = "{"y" * 95}"\n'),
    "a script too long": ("scripts/a", "#!/bin/sh\n" + ":\n" * (FILE_LINES_MAX - 1), ":\n"),
    "a function too long": ("a.py", function_of(FUNCTION_LINES_MAX), "    g()\n"),
    "a last line without end": ("a.txt", "one\n", "two"),
    "unfinished": ("a.txt", "done\n", "TO" + "DO later\n"),
    "a registry": ("a.md", "# A\n", "pypi" + ".org\n"),
    "a place": ("a.toml", "path = 'docs/work/x'\n", "path = '/wo" + "rk/x'\n"),
    "a whole package": ("a.py", HEAD + "from storage import kv\n", "import storage\n"),
    "a room's module whole": ("a.py", HEAD + "import json\n", "import storage.kv\n"),
    "the ledger looks up": (
        "node/ledger/a.py",
        HEAD + "from node.ledger.errors import TxError\n",
        "from node.driver import Driver\n",
    ),
    "the ledger looks around": ("node/ledger/a.py", HEAD, "from node import driver\n"),
    "two titles": ("a.md", "# One\n\n```\n# not a title\n```\n", "# Two\n"),
    "a dead link": ("docs/a.md", "# A title\n[a](a.md#a-title)\n", "[b](b.md)\n"),
    "a dead heading": ("docs/a.md", "# A\n[out](https://example.org)\n", "[b](#nowhere)\n"),
    "a loop over a set": (
        "consensus/a.py",
        HEAD + "for x in sorted({1, 2}): g(x)\n",
        "for x in {1, 2}: g(x)\n",
    ),
    "a list of a set": ("consensus/a.py", HEAD + "n = len(set(y))\n", "z = list(set(y))\n"),
    "a comprehension over a set": (
        "consensus/a.py",
        HEAD + "b = any(x for x in {1})\n",
        "b = [x for x in {1}]\n",
    ),
    "a set by annotation": (
        "node/ledger/a.py",
        HEAD + "def f(a: frozenset[int]) -> int:\n    return max(x + 1 for x in a)\n",
        "def g(a: frozenset[int]) -> tuple[int, ...]:\n    return tuple(x + 1 for x in a)\n",
    ),
    "a set by assignment": (
        "node/ledger/a.py",
        HEAD + "def f() -> set[int]:\n    a = {1}\n    return {x for x in a}\n",
        "def g() -> list[int]:\n    a = {1} | {2}\n    return [*a]\n",
    ),
}


@pytest.mark.parametrize(("path", "tidy", "fault"), FAULTS.values(), ids=FAULTS)
def test_each_tidy_rule_complains_of_its_fault_only(
    path: str, tidy: str, fault: str, tmp_path: Path
) -> None:
    file = tmp_path / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(tidy)
    assert complaints(tmp_path, path) == []
    file.write_text(tidy + fault)
    assert len(complaints(tmp_path, path)) == 1


def test_a_module_without_docstring_is_untidy(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("x = 1\n")
    assert complaints(tmp_path, "a.py") == ["a.py:1: no module docstring"]


def test_a_document_without_title_is_untidy(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("Words.\n")
    assert complaints(tmp_path, "a.md") == ["a.md:1: 0 titles instead of one"]


def test_a_file_that_is_not_text_is_untidy(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(b"\xff\xfe no end of line")
    assert complaints(tmp_path, "a.bin") == ["a.bin:1: is not text"]


def test_sets_outside_the_pure_rooms_may_be_iterated(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(HEAD + "for x in {1, 2}: g(x)\n")
    assert complaints(tmp_path, "a.py") == []
