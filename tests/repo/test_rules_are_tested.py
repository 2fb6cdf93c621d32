"""Every numbered rule of the engines' specifications is cited by a test of it.

A citation is a sentence "Rules C1, C2." in a comment of a scenario or in the docstring of a test
below tests/consensus/pbft or raft; elsewhere it is "rules C1, C2 of pbft.md".
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SPECS = ("pbft", "raft")
CITATION = re.compile(r"\bRules? ((?:[A-Z]\d+, )*[A-Z]\d+)\.")
FOREIGN = re.compile(r"\b[Rr]ules? ((?:[A-Z]\d+, )*[A-Z]\d+) of (pbft|raft)\.md")
TESTS = ROOT / "tests"


def rules_of(text: str) -> set[str]:
    """The rules that a specification defines: a letter and a number in bold."""
    return set(re.findall(r"\*\*([A-Z]\d+)\*\*", text))


def cited_in(text: str) -> set[str]:
    """The rules that a test says it holds."""
    return {rule for listed in CITATION.findall(text) for rule in listed.split(", ")}


def citations(spec: str) -> dict[str, set[str]]:
    """What each file of tests of an engine cites."""
    own = TESTS / "consensus" / spec
    found = {
        path.name: cited_in(path.read_text("utf-8"))
        for path in own.rglob("*")
        if path.suffix in (".py", ".txt")
    }
    for path in TESTS.rglob("*.py"):
        for listed, named in FOREIGN.findall(path.read_text("utf-8")):
            if named == spec and path != Path(__file__):
                found.setdefault(path.name, set()).update(listed.split(", "))
    return found


@pytest.mark.parametrize("spec", SPECS)
def test_every_rule_is_cited_by_a_test(spec: str) -> None:
    rules = rules_of((ROOT / "docs" / "spec" / f"{spec}.md").read_text("utf-8"))
    assert len(rules) >= 45
    cited = set().union(*citations(spec).values())
    assert sorted(rules - cited) == []


@pytest.mark.parametrize("spec", SPECS)
def test_no_test_cites_a_rule_that_is_not_there(spec: str) -> None:
    rules = rules_of((ROOT / "docs" / "spec" / f"{spec}.md").read_text("utf-8"))
    stray = {name: sorted(cited - rules) for name, cited in citations(spec).items()}
    assert {name: cited for name, cited in stray.items() if cited} == {}


def test_rules_and_citations_are_recognised() -> None:
    assert rules_of("- **P1** The proposer.\n**Agreement.** See **X4** *twin*.") == {"P1", "X4"}
    assert FOREIGN.findall("Rule F3 of raft.md, and rules A1, B2 of pbft.md.") == [
        ("F3", "raft"),
        ("A1, B2", "pbft"),
    ]
    assert cited_in("# Rules C1, C2.\n# Rule R7. It says so (rule P3).") == {"C1", "C2", "R7"}
