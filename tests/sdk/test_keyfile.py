"""Key files: they open for their owner, with the passphrase, as what they were written for."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from medquorum.errors import KeyFormatError
from medquorum.kem import KemKey
from medquorum.keyfile import (
    Strength,
    load_kem_key,
    load_signing_key,
    read_key_info,
    save_devnet_key,
    save_key,
)
from medquorum.keys import SigningKey

PASSPHRASE = b"correct horse"


@pytest.fixture
def key() -> SigningKey:
    return SigningKey.generate()


@pytest.fixture
def path(tmp_path: Path, key: SigningKey) -> Path:
    path = tmp_path / "validator.key"
    save_key(path, key, purpose="validator", passphrase=PASSPHRASE, strength=Strength.FAST)
    return path


def load(path: Path, passphrase: bytes | None = PASSPHRASE) -> SigningKey:
    return load_signing_key(path, purpose="validator", passphrase=passphrase)


def test_a_key_comes_back_with_its_passphrase_only(path: Path, key: SigningKey) -> None:
    assert load(path).seed == key.seed
    for wrong in (b"correct Horse", b"", None):
        with pytest.raises(KeyFormatError):
            load(path, wrong)


def test_a_kem_key_comes_back_too(tmp_path: Path) -> None:
    path, key = tmp_path / "kem.key", KemKey.generate()
    save_key(path, key, purpose="vault", passphrase=PASSPHRASE, strength=Strength.FAST)
    assert load_kem_key(path, purpose="vault", passphrase=PASSPHRASE).seed == key.seed
    with pytest.raises(KeyFormatError, match="not a signing key"):
        load_signing_key(path, purpose="vault", passphrase=PASSPHRASE)


def test_the_public_part_is_readable_without_the_passphrase(path: Path, key: SigningKey) -> None:
    info = read_key_info(path)
    assert (info.kind, info.purpose, info.encrypted) == ("signing", "validator", True)
    assert info.public == key.public


def test_neither_seed_nor_passphrase_stands_in_the_file(path: Path, key: SigningKey) -> None:
    text = path.read_text()
    assert key.seed.hex() not in text
    assert PASSPHRASE.decode() not in text


def test_a_key_for_one_purpose_is_no_key_for_another(path: Path) -> None:
    with pytest.raises(KeyFormatError, match="'node'"):
        load_signing_key(path, purpose="node", passphrase=PASSPHRASE)


@pytest.mark.parametrize("field", ["purpose", "public", "passes", "memory_bytes", "salt", "nonce"])
def test_a_file_that_was_edited_does_not_open(path: Path, field: str) -> None:
    parsed = json.loads(path.read_text())
    edited = {
        "purpose": "node",
        "public": SigningKey.generate().public.hex(),
        "passes": 2,
        "memory_bytes": 16 * 1024,
        "salt": "00" * 16,
        "nonce": "00" * 24,
    }[field]
    path.write_text(json.dumps({**parsed, field: edited}))
    purpose = "node" if field == "purpose" else "validator"
    with pytest.raises(KeyFormatError, match="does not open"):
        load_signing_key(path, purpose=purpose, passphrase=PASSPHRASE)


def test_a_file_cannot_ask_for_all_the_memory(path: Path) -> None:
    parsed = json.loads(path.read_text())
    for field, value in (("memory_bytes", 2**40), ("passes", 10**6)):
        path.write_text(json.dumps({**parsed, field: value}))
        with pytest.raises(KeyFormatError, match="more work"):
            load(path)


@pytest.mark.parametrize("value", [0, -1])
def test_impossible_parameters_are_refused(path: Path, value: int) -> None:
    parsed = json.loads(path.read_text())
    path.write_text(json.dumps({**parsed, "passes": value}))
    with pytest.raises(KeyFormatError):
        load(path)


def test_a_key_is_never_written_over(path: Path, key: SigningKey) -> None:
    writes: tuple[Callable[[], None], ...] = (
        lambda: save_key(path, SigningKey.generate(), purpose="validator", passphrase=b"x",
                         strength=Strength.FAST),
        lambda: save_devnet_key(path, SigningKey.generate(), purpose="validator"),
    )  # fmt: skip
    for write in writes:
        with pytest.raises(FileExistsError):
            write()
    assert load(path).seed == key.seed
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o601])
def test_a_file_that_others_can_reach_is_not_read(path: Path, mode: int) -> None:
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(mode)
    with pytest.raises(KeyFormatError, match="chmod 600"):
        load(path)
    with pytest.raises(KeyFormatError, match="chmod 600"):
        read_key_info(path)


def test_a_plain_file_opens_on_a_development_network_only(tmp_path: Path, key: SigningKey) -> None:
    path = tmp_path / "node.key"
    save_devnet_key(path, key, purpose="node")
    assert not read_key_info(path).encrypted
    assert load_signing_key(path, purpose="node", devnet=True).seed == key.seed
    with pytest.raises(KeyFormatError, match="development"):
        load_signing_key(path, purpose="node", passphrase=PASSPHRASE)


def test_a_plain_file_must_hold_the_key_that_it_names(tmp_path: Path, key: SigningKey) -> None:
    path = tmp_path / "node.key"
    save_devnet_key(path, key, purpose="node")
    parsed = json.loads(path.read_text())
    path.write_text(json.dumps({**parsed, "secret": "00" * 32}))
    with pytest.raises(KeyFormatError, match="another key"):
        load_signing_key(path, purpose="node", devnet=True)


@pytest.mark.parametrize("data", [b"", b"{}", b"\xff", b"[]", b"x" * 100_000])
def test_what_is_not_a_key_file_says_so(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "x.key"
    path.write_bytes(data)
    path.chmod(0o600)
    with pytest.raises(KeyFormatError):
        load(path)


def test_an_empty_passphrase_protects_nothing(tmp_path: Path, key: SigningKey) -> None:
    with pytest.raises(KeyFormatError):
        save_key(tmp_path / "k", key, purpose="node", passphrase=b"")


def test_errors_do_not_quote_the_file(tmp_path: Path) -> None:
    path = tmp_path / "x.key"
    path.write_text('{"format": "medquorum/key/v1", "secret": "tell nobody"')
    path.chmod(0o600)
    with pytest.raises(KeyFormatError) as error:
        load(path)
    assert "tell nobody" not in str(error.value)
    assert error.value.__cause__ is None
