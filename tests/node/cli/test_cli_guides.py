"""What the guide for operators tells people to type exists."""

from __future__ import annotations

import re

from node.cli.exits import Exit
from node.config.schema import keys
from node.ledger.params import CORE_PARAMS
from tests.support.cli import ROOT

GUIDE = (ROOT / "docs" / "operators.md").read_text("utf-8")


def test_every_key_of_the_guide_exists() -> None:
    known = {key.path for key in keys()} | {param.name for param in CORE_PARAMS}
    sections = {key.section for key in keys()}
    named = set(re.findall(r"`([a-z0-9]+\.[a-z_]+)`", GUIDE))
    about_config = {name for name in named if name.partition(".")[0] in sections}
    assert "p2p.port" in about_config
    assert about_config <= known


def test_the_guide_explains_every_way_in_which_a_daemon_ends() -> None:
    _, _, section = GUIDE.partition("### How it ends")
    explained = {int(code) for code in re.findall(r"^\| (\d+) \|", section, re.MULTILINE)}
    only_commands = {Exit.NO, Exit.UNREACHABLE, Exit.INTERRUPTED}
    assert explained == {int(code) for code in Exit if code not in only_commands}


def test_the_unit_does_not_restart_what_needs_a_person() -> None:
    (listed,) = re.findall(r"^RestartPreventExitStatus=(.*)$", GUIDE, re.MULTILINE)
    assert listed.split() == [
        str(int(c)) for c in (Exit.USAGE, Exit.CORRUPT, Exit.DISK, Exit.CONFIG)
    ]
