"""What the documents tell people to type exists: commands, options, and paths of the API."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from devnet.commands.main import cli as devnet_cli
from node.cli.main import cli as medquorum_cli
from node.rpc.app import declared
from node.rpc.events import EventStreams

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted(
    path
    for path in (*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"))
    if path.name not in {"cli.md", "CHANGELOG.md"}
)
PROGRAMS: dict[str, click.Command] = {
    "medquorum": medquorum_cli,
    ".venv/bin/medquorum": medquorum_cli,
    "./scripts/devnet": devnet_cli,
    "scripts/devnet": devnet_cli,
}
OUTSIDE_ROUTES = {"/v1/openapi.json", "/livez", "/readyz", "/metrics", "/version"}


def lines_of(text: str) -> Iterator[str]:
    """Command lines in blocks, with continued lines joined, and in sentences."""
    for block in re.findall(r"```(?:sh|ini|console)\n(.*?)```", text, re.DOTALL):
        joined = re.sub(r"\\\n\s*", " ", block)
        yield from re.findall(r"(?:'[^']*'|[^'\n])+", joined)
    prose = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    for inline in re.findall(r"`([^`]*)`", prose):
        yield " ".join(inline.split())


def commands() -> Iterator[tuple[str, str]]:
    """(document, command line) for every line that begins with one of our programs."""
    for document in DOCUMENTS:
        for line in lines_of(document.read_text("utf-8")):
            typed = line.strip().removeprefix("$ ").split("  #")[0].split(" # ")[0]
            if typed.split(" ")[0] in PROGRAMS and " " in typed:
                yield document.name, typed


def paths() -> Iterator[tuple[str, str]]:
    """(document, path) for every curl of the documents."""
    for document in DOCUMENTS:
        for line in lines_of(document.read_text("utf-8")):
            for url in re.findall(r"https?://[^\s'\"/]+(/[^\s'\"?]*)", line):
                if "curl" in line:
                    yield document.name, url


@pytest.mark.parametrize(("document", "line"), sorted(set(commands())))
def test_every_command_and_option_exists(document: str, line: str) -> None:
    words = shlex.split(line.split(" | ", maxsplit=1)[0])
    command = PROGRAMS[words.pop(0)]
    context = click.Context(command)
    while isinstance(command, click.Group) and words:
        word = words.pop(0)
        if word.startswith("-"):
            break
        found = command.get_command(context, word)
        assert found is not None, f"{document}: {line}"
        command = found
    known = {option for parameter in command.params for option in parameter.opts}
    known |= {option for parameter in command.params for option in parameter.secondary_opts}
    typed = {word.split("=")[0] for word in words if re.match(r"--?[a-z]", word)}
    assert typed <= known | {"--help", "-h"}, f"{document}: {line}"


@pytest.mark.parametrize(("document", "path"), sorted(set(paths())))
def test_every_path_of_the_api_exists(document: str, path: str) -> None:
    patterns = [re.sub(r"\{[^}]*\}", "[^/]+", route.path) for route in declared(EventStreams())]
    served = path in OUTSIDE_ROUTES or any(re.fullmatch(pattern, path) for pattern in patterns)
    assert served, f"{document}: {path}"


def test_there_is_something_to_check() -> None:
    assert len(set(commands())) > 30
