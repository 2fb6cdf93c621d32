"""What the guide for operators tells people to type exists."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

import click
import pytest

from node.cli.exits import Exit
from node.cli.main import cli
from node.config.schema import keys
from tests.support.cli import ROOT

GUIDE = (ROOT / "docs" / "operators.md").read_text("utf-8")


def commands() -> Iterator[str]:
    """Every command line of the guide, in blocks and in sentences."""
    for block in re.findall(r"```(?:sh|ini)\n(.*?)```", GUIDE, re.DOTALL):
        joined = re.sub(r"\\\n\s*", " ", block)
        yield from re.findall(r"medquorum [a-z](?:'[^']*'|[^'\n])*", joined)
    prose = re.sub(r"```.*?```", "", GUIDE, flags=re.DOTALL)
    for inline in re.findall(r"`(medquorum [^`]*)`", prose):
        yield " ".join(inline.split())


@pytest.mark.parametrize("line", list(dict.fromkeys(commands())))
def test_every_command_and_option_of_the_guide_exists(line: str) -> None:
    words = shlex.split(line)[1:]
    command: click.Command = cli
    context = click.Context(cli)
    while isinstance(command, click.Group) and words:
        found = command.get_command(context, words.pop(0))
        assert found is not None, line
        command = found
    known = {option for parameter in command.params for option in parameter.opts}
    assert {word for word in words if word.startswith("-")} <= known


def test_the_guide_has_commands_to_check() -> None:
    assert len(set(commands())) > 15


def test_every_key_of_the_guide_exists() -> None:
    known = {key.path for key in keys()}
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
