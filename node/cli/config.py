"""`medquorum config`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import click
import msgspec

from node.cli.options import EXISTING_FILE, home_option, json_option
from node.cli.show import echo_json, table
from node.config.load import Loaded, load
from node.config.schema import keys
from node.config.template import render
from node.errors import ConfigError
from node.home import Home


@click.group
def config() -> None:
    """Look at the configuration of a node."""


@config.command("show")
@home_option
@click.option("--effective", is_flag=True, help="Show every key, also those with their defaults.")
@json_option
def show(home: Path, effective: bool, as_json: bool) -> None:
    """Show the values that 'medquorum start' would use, and where each comes from."""
    loaded = load_home(Home(home), {})
    rows = [
        (key.path, value_of(loaded, key.path), loaded.sources[key.path])
        for key in keys()
        if effective or loaded.sources[key.path] != "default"
    ]
    if as_json:
        echo_json({path: {"value": value, "source": source} for path, value, source in rows})
    else:
        table(("key", "value", "source"), [(path, _text(value), s) for path, value, s in rows])


@config.command("validate")
@click.argument("file", required=False, type=EXISTING_FILE)
@home_option
def validate(file: Path | None, home: Path) -> None:
    """Check FILE, or the configuration of the home: every key known, every value in bounds."""
    checked = file or Home(home).config_file
    load(checked, {}, {})
    click.echo(f"{checked} is valid.")


@config.command("template")
def template() -> None:
    """Print a commented configuration in which every key has its default."""
    click.echo(render({}), nl=False)


def load_home(home: Home, flags: Mapping[str, str]) -> Loaded:
    """The configuration of a home under flags and environment. Raises ConfigError."""
    if not home.config_file.exists():
        raise ConfigError(
            f"there is no {home.config_file}: 'medquorum init --home {home.root}' creates a home"
        )
    return load(home.config_file, os.environ, flags)


def value_of(loaded: Loaded, path: str) -> object:
    """The value of a key."""
    section, name = path.split(".", 1)
    value: object = getattr(getattr(loaded.config, section), name)
    return value


def _text(value: object) -> str:
    return msgspec.json.encode(value).decode()
