"""The tidy gate: what no ready-made tool checks, as pure functions from text to complaints.

Each complaint is one line, `path:line: what is wrong`. No complaint, no line.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Final, TypeAlias

from tests.support.setorder import set_iterations

FILE_LINES_MAX: Final = 400
FUNCTION_LINES_MAX: Final = 70
COLUMNS_MAX: Final = 100

WHOLE_PACKAGES: Final = frozenset({"consensus", "devnet", "node", "p2p", "storage", "tests"})
PURE_ROOMS: Final = ("consensus/", "node/ledger/")

# Put together from halves, so that this file does not contain what it forbids.
UNFINISHED: Final = re.compile(r"\b(?:TO" + "DO|FIX" + "ME|XX" + r"X)\b")
FORBIDDEN: Final = re.compile(
    "|".join(
        (
            "pypi" + r"\.org",
            "python" + r"hosted\.org",
            "crates" + r"\.io",
            "registry" + r"\.npmjs",
            "proxy" + r"\.golang",
            "repo1?" + r"\.maven",
            "(?:deb|security)" + r"\.debian\.org",
            # Absolute paths of the machine on which a line happened to be written.
            r"(?<![\w.~/-])/(?:wo" + r"rk|home/\w+|root|tmp/w)/",
        )
    )
)

Rule: TypeAlias = Callable[[str, str], Iterator[str]]
"""From a path inside the repository and the text there to complaints."""


def ends_with_newline(path: str, text: str) -> Iterator[str]:
    """A last line without its end makes every later diff touch it."""
    if text and not text.endswith("\n"):
        yield f"{path}:{text.count(chr(10)) + 1}: the last line has no end"


def is_finished(path: str, text: str) -> Iterator[str]:
    """What is left to do stands in an issue, where somebody will find it."""
    for number, line in enumerate(text.splitlines(), 1):
        if UNFINISHED.search(line):
            yield f"{path}:{number}: unfinished business"


def stands_alone(path: str, text: str) -> Iterator[str]:
    """Nothing depends on, or tells of, the place where it was written."""
    for number, line in enumerate(text.splitlines(), 1):
        if found := FORBIDDEN.search(line):
            yield f"{path}:{number}: names {found.group()!r}"


def is_short(path: str, text: str) -> Iterator[str]:
    """A file and its lines fit a reader's head and a reader's window."""
    lines = text.splitlines()
    if len(lines) > FILE_LINES_MAX:
        yield f"{path}:1: {len(lines)} lines, more than {FILE_LINES_MAX}"
    for number, line in enumerate(lines, 1):
        if len(line) > COLUMNS_MAX:
            yield f"{path}:{number}: {len(line)} columns, more than {COLUMNS_MAX}"


def has_short_functions(path: str, text: str) -> Iterator[str]:
    """Hard, not a ratchet: we started clean."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > FUNCTION_LINES_MAX:
                yield f"{path}:{node.lineno}: {node.name} has {lines} lines"


def has_docstring(path: str, text: str) -> Iterator[str]:
    """A module says what it is for."""
    if not ast.get_docstring(ast.parse(text)):
        yield f"{path}:1: no module docstring"


def imports_names(path: str, text: str) -> Iterator[str]:
    """`from storage.kv import KV`, never `import storage`: such a name is too common alone."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.partition(".")[0] in WHOLE_PACKAGES:
                    yield f"{path}:{node.lineno}: imports {alias.name} whole"


def ledger_keeps_to_itself(path: str, text: str) -> Iterator[str]:
    """`node.ledger` imports nothing of `node` but itself."""
    if not path.startswith("node/ledger/"):
        return
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        for name in names:
            if name.startswith("node.") and not f"{name}.".startswith("node.ledger."):
                yield f"{path}:{node.lineno}: the ledger imports {name}"


def iterates_in_order(path: str, text: str) -> Iterator[str]:
    """A pure room never iterates over a set: the order differs between two processes."""
    if path.startswith(PURE_ROOMS):
        for line in set_iterations(ast.parse(text)):
            yield f"{path}:{line}: iterates over a set"


def _prose(text: str) -> Iterator[tuple[int, str]]:
    """The numbered lines of a document that are not code."""
    fenced = False
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith("```"):
            fenced = not fenced
        elif not fenced:
            yield number, line


def has_one_title(path: str, text: str) -> Iterator[str]:
    """One document, one subject."""
    titles = [number for number, line in _prose(text) if line.startswith("# ")]
    if len(titles) != 1:
        yield f"{path}:{titles[1] if titles else 1}: {len(titles)} titles instead of one"


def _anchors(text: str) -> frozenset[str]:
    """The fragments that the headings of a document answer to."""
    headings = (line.lstrip("#") for _, line in _prose(text) if line.startswith("#"))
    return frozenset(
        re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-") for heading in headings
    )


def broken_links(root: Path, path: str, text: str) -> Iterator[str]:
    """Each relative link of a document leads to a file, and to a heading if it names one."""
    for number, line in _prose(text):
        for target in re.findall(r"\]\(([^)\s]+)[^)]*\)", re.sub(r"`[^`]*`", "", line)):
            if re.match(r"[a-z]+:", target):
                continue
            name, _, fragment = target.partition("#")
            file = root / PurePosixPath(path).parent / name if name else root / path
            if not file.exists():
                yield f"{path}:{number}: {target} does not exist"
            elif fragment and fragment not in _anchors(file.read_text("utf-8")):
                yield f"{path}:{number}: {target} is no heading there"


ANY_RULES: Final[tuple[Rule, ...]] = (ends_with_newline, is_finished, stands_alone)
PYTHON_RULES: Final[tuple[Rule, ...]] = (
    is_short,
    has_short_functions,
    has_docstring,
    imports_names,
    ledger_keeps_to_itself,
    iterates_in_order,
)
SHELL_RULES: Final[tuple[Rule, ...]] = (is_short,)
DOCUMENT_RULES: Final[tuple[Rule, ...]] = (has_one_title,)


def rules_for(path: str, text: str) -> tuple[Rule, ...]:
    """The rules that hold for a file, by its suffix or its first line."""
    first_line = text.partition("\n")[0]
    if path.endswith(".py") or (first_line.startswith("#!") and "python" in first_line):
        return ANY_RULES + PYTHON_RULES
    if path.endswith(".sh") or (first_line.startswith("#!") and "sh" in first_line):
        return ANY_RULES + SHELL_RULES
    if path.endswith(".md"):
        return ANY_RULES + DOCUMENT_RULES
    return ANY_RULES


def complaints(root: Path, path: str) -> list[str]:
    """All that is untidy in one file. All we write is text: a file that is not came by mistake."""
    try:
        text = (root / path).read_text("utf-8")
    except UnicodeDecodeError:
        return [f"{path}:1: is not text"]
    found = [complaint for rule in rules_for(path, text) for complaint in rule(path, text)]
    if path.endswith(".md"):
        found.extend(broken_links(root, path, text))
    return found
