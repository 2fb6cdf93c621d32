"""The configuration shows where each value comes from, and a wrong one before a restart does."""

from __future__ import annotations

import json
from pathlib import Path

from node.config.load import load
from node.config.schema import Config, keys
from node.version import VERSION
from tests.support.cli import ok, process, run


def test_show_prints_every_value_with_its_source(tmp_path: Path) -> None:
    ok("init", "--home", tmp_path, "--plain-devnet", "--set", "p2p.port=29660")
    done = process(
        *("config", "show", "--home", tmp_path, "--effective", "--json"),
        environment={"MEDQUORUM_RPC__PORT": "29661"},
    )
    shown = json.loads(done.stdout)
    assert list(shown) == [key.path for key in keys()]
    assert shown["p2p.port"] == {"value": 29660, "source": "file"}
    assert shown["rpc.port"] == {"value": 29661, "source": "environment"}
    assert shown["ops.port"] == {"value": 29652, "source": "default"}


def test_show_prints_only_what_was_chosen_unless_asked(tmp_path: Path) -> None:
    ok("init", "--home", tmp_path, "--plain-devnet", "--set", "p2p.port=29660")
    lines = ok("config", "show", "--home", tmp_path).splitlines()
    assert lines == ["key\tvalue\tsource", "p2p.port\t29660\tfile"]


def test_validate_names_the_wrong_key_and_the_right_one(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text("[p2p]\nprot = 1\n")
    result = run("config", "validate", file)
    assert result.exit_code == 78
    assert "did you mean p2p.port?" in result.stderr
    file.write_text("[p2p]\nport = 1\n")
    assert "is valid" in ok("config", "validate", file)


def test_the_template_is_the_defaults(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text(ok("config", "template"))
    assert load(file, {}, {}).config == Config()


def test_without_a_home_the_way_to_one_is_named(tmp_path: Path) -> None:
    result = run("config", "show", "--home", tmp_path)
    assert result.exit_code == 78
    assert "medquorum init" in result.stderr


def test_the_version_names_what_it_is_built_from() -> None:
    shown = json.loads(ok("version", "--verbose", "--json"))
    assert {"medquorum", "python", "pynacl", "msgspec"} <= set(shown)
    assert "records" in shown["modules"]
    assert list(json.loads(ok("version", "--json"))) == ["medquorum"]
    assert ok("--version") == VERSION + "\n"
