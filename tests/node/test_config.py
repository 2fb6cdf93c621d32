"""Configuration: precedence, wrong keys and values, and that template and schema agree."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from node.config.load import load
from node.config.schema import Config, keys
from node.config.template import render, table
from node.errors import ConfigError


def write(path: Path, text: str) -> Path:
    """A configuration file."""
    file = path / "config.toml"
    file.write_text(text)
    return file


def test_a_flag_beats_the_environment_which_beats_the_file_which_beats_the_default(
    tmp_path: Path,
) -> None:
    file = write(tmp_path, "[p2p]\nport = 1\n[rpc]\nport = 1\n[ops]\nport = 1\n")
    environment = {"MEDQUORUM_RPC__PORT": "2", "MEDQUORUM_OPS__PORT": "2", "PATH": "/bin"}
    loaded = load(file, environment, {"ops.port": "3"})
    assert (loaded.config.p2p.port, loaded.config.rpc.port, loaded.config.ops.port) == (1, 2, 3)
    assert loaded.config.mempool == Config().mempool
    sources = loaded.sources
    assert [sources[path] for path in ("p2p.port", "rpc.port", "ops.port", "mempool.txs_max")] == [
        "file",
        "environment",
        "flag",
        "default",
    ]


def test_an_unknown_key_is_refused_with_a_suggestion(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"unknown key p2p\.prot \(file\); did you mean p2p\.port\?"
    ):
        load(write(tmp_path, "[p2p]\nprot = 1\n"), {}, {})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[p2p]\nport = 70000\n", "p2p.port"),
        ('[p2p]\nport = "many"\n', "p2p.port"),
        ('[base]\nlog_level = "loud"\n', "base.log_level"),
        ("port = 1\n", "outside of any"),
        ("[p2p\n", "not TOML"),
        ("[threads]\nverifiers = 0\n", "threads.verifiers"),
        ("[storage]\nwrite_buffer_bytes = 33554433\n", "storage.write_buffer_bytes"),
    ],
)
def test_a_wrong_value_is_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message.replace(".", r"\.")):
        load(write(tmp_path, text), {}, {})


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load(tmp_path / "none.toml", {}, {})


def test_the_template_means_the_defaults(tmp_path: Path) -> None:
    text = render({})
    assert load(write(tmp_path, text), {}, {}).config == Config()
    uncommented = "\n".join(
        line.removeprefix("# ") if " = " in line else line for line in text.splitlines()
    )
    assert load(write(tmp_path, uncommented), {}, {}).config == Config()
    assert set(tomllib.loads(uncommented)) == {key.section for key in keys()}


def test_chosen_values_stand_in_the_template(tmp_path: Path) -> None:
    text = render({"p2p.port": 1234, "p2p.peers": ["a@b:1"]})
    config = load(write(tmp_path, text), {}, {}).config
    assert config.p2p.port == 1234
    assert config.p2p.peers == ("a@b:1",)


def test_every_key_says_what_it_is_for() -> None:
    assert [key.path for key in keys() if key.description == ""] == []
    assert all(key.path in table() for key in keys())


def test_lists_come_with_commas_from_flags_and_environment() -> None:
    loaded = load(None, {"MEDQUORUM_P2P__PEERS": "a@b:1, c@d:2"}, {"rpc.allowed_hosts": "x"})
    assert loaded.config.p2p.peers == ("a@b:1", "c@d:2")
    assert loaded.config.rpc.allowed_hosts == ("x",)
