"""Where configuration values come from, and what happens to a wrong one:

it is named, with its source and a suggestion.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Final

import msgspec

from node.config.schema import Config, Key, keys
from node.errors import ConfigError

PREFIX: Final = "MEDQUORUM_"
Values = dict[str, dict[str, object]]


@dataclass(frozen=True, slots=True)
class Loaded:
    """A configuration and, for each key path, where its value came from:

    flag, environment, file or default.
    """

    config: Config
    sources: Mapping[str, str]


def load(file: Path | None, environment: Mapping[str, str], flags: Mapping[str, str]) -> Loaded:
    """Merge flag over environment over file over default. `flags` is keyed by path ("p2p.port").

    Raises ConfigError for an unreadable file, an unknown key or a value of the wrong kind.
    """
    known = {key.path: key for key in keys()}
    values: Values = {}
    sources = dict.fromkeys(known, "default")
    for source, given in (
        ("file", _from_file(file)),
        ("environment", _from_environment(environment)),
        ("flag", dict(flags)),
    ):
        for path, value in given.items():
            if path not in known:
                raise ConfigError(_unknown(path, source, known))
            sources[path] = source
            section, name = path.split(".", 1)
            values.setdefault(section, {})[name] = _split(value, known[path])
    return Loaded(_convert(values, sources), sources)


def _from_file(file: Path | None) -> dict[str, object]:
    if file is None:
        return {}
    try:
        parsed = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{file} cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file} is not TOML: {error}") from None
    flat: dict[str, object] = {}
    for section, table in parsed.items():
        if not isinstance(table, dict):
            raise ConfigError(f"{file}: '{section}' stands outside of any [section]")
        flat.update({f"{section}.{name}": value for name, value in table.items()})
    return flat


def _from_environment(environment: Mapping[str, str]) -> dict[str, object]:
    flat: dict[str, object] = {}
    for variable, value in environment.items():
        if variable.startswith(PREFIX) and "__" in variable:
            section, name = variable.removeprefix(PREFIX).lower().split("__", 1)
            flat[f"{section}.{name}"] = value
    return flat


def _split(value: object, key: Key) -> object:
    """Flags and variables are text: a list is given there with commas."""
    if isinstance(value, str) and isinstance(key.default, tuple):
        return [part.strip() for part in value.split(",") if part.strip()]
    return value


def _convert(values: Values, sources: Mapping[str, str]) -> Config:
    try:
        return msgspec.convert(values, Config, strict=False)
    except msgspec.ValidationError as error:
        message = str(error)
        where = message.rsplit("$.", 1)[-1].rstrip("`").split("[")[0]
        what = message.split(" - at", maxsplit=1)[0]
        raise ConfigError(f"{where} ({sources.get(where, 'configuration')}): {what}") from None


def _unknown(path: str, source: str, known: Mapping[str, Key]) -> str:
    close = get_close_matches(path, known, n=1, cutoff=0.5)
    hint = f"; did you mean {close[0]}?" if close else ""
    return f"unknown key {path} ({source}){hint}"
