"""Help is instant and true, a typing error gets a hint, and the documentation is what help says."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from node.cli.document import document
from node.cli.main import COMMANDS, cli
from node.config.template import table
from tests.support.cli import ROOT, ok, run

HEAVY = ("aiohttp", "cryptography", "msgspec", "nacl", "node.daemon", "plyvel", "rich", "structlog")


def test_help_imports_nothing_that_takes_time() -> None:
    code = (
        "import json, sys\n"
        "from click.testing import CliRunner\n"
        "from node.cli.main import cli\n"
        "assert CliRunner().invoke(cli, ['--help']).exit_code == 0\n"
        "print(json.dumps(sorted(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    loaded = json.loads(done.stdout)
    assert "node.cli.main" in loaded
    assert [name for name in HEAVY if name in loaded] == []


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_loads_and_has_help(name: str) -> None:
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    assert command.name == name
    assert "Usage: " in ok(name, "--help")


def test_a_misspelt_command_gets_a_suggestion() -> None:
    result = run("stauts")
    assert result.exit_code == 64
    assert "Did you mean 'status'?" in result.stderr


def test_a_misspelt_key_of_the_configuration_gets_a_suggestion() -> None:
    result = run("start", "--p2p.prt", "1")
    assert result.exit_code == 64
    assert "--p2p.port" in result.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_offered_for_every_shell(shell: str) -> None:
    assert "_MEDQUORUM_COMPLETE" in ok("completion", shell)


def test_the_script_of_completion_completes_commands() -> None:
    environment = {
        "PATH": "/usr/bin:/bin",
        "PYTHONPATH": f"{ROOT}:{ROOT / 'sdk' / 'python'}",
        "_MEDQUORUM_COMPLETE": "bash_complete",
        "COMP_WORDS": "medquorum sta",
        "COMP_CWORD": "1",
    }
    done = subprocess.run(
        [sys.executable, "-m", "node.cli.main"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert [line.split(",")[1] for line in done.stdout.split()] == ["start", "status", "state"]


def test_the_page_of_the_command_line_is_what_help_says() -> None:
    assert (ROOT / "docs" / "cli.md").read_text("utf-8") == document()


def test_the_page_of_the_configuration_has_every_key() -> None:
    assert table() in (ROOT / "docs" / "configuration.md").read_text("utf-8")


@pytest.mark.parametrize("arguments", [["config", "template"], ["--help"], ["start", "--help"]])
def test_output_into_a_closed_pipe_is_no_error(arguments: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "node.cli.main", *arguments],
            cwd=ROOT,
            env={"PATH": "/usr/bin:/bin", "PYTHONPATH": f"{ROOT}:{ROOT / 'sdk' / 'python'}"},
            stdout=writing,
            stderr=subprocess.PIPE,
            check=False,
        )
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (0, b"")


def test_colours_are_for_terminals_that_want_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    # As on a terminal: nothing strips what is not asked to be stripped.
    assert "\x1b[" in CliRunner().invoke(cli, ["version"], color=True).stdout
    assert "\x1b[" not in CliRunner().invoke(cli, ["version"]).stdout
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[" not in CliRunner().invoke(cli, ["version"], color=True).stdout
