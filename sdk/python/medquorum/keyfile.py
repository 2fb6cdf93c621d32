"""Key files: one private key each, encrypted under a passphrase (Argon2id, then XSalsa20-Poly1305).

The passphrase is stretched with the parameters that stand in the file. The key of the box is then
bound to everything else that the file says, so a file whose purpose, public key or parameters were
edited does not open. What is inside must yield the public key outside.

A file is written for its owner alone (mode 0600), never over an existing one, and not read if
anybody else could. A plain file exists for development networks only, and opens only where the
caller says that this is one.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from secrets import token_bytes, token_hex
from typing import Final, Literal, TypeAlias, TypeVar, assert_never

import msgspec
import nacl.bindings
import nacl.exceptions
import nacl.pwhash.argon2id
import nacl.secret

from medquorum.codec import encode
from medquorum.encoding import from_hex
from medquorum.errors import KeyFormatError
from medquorum.hashing import Kind, tagged_hash
from medquorum.kem import KemKey
from medquorum.keys import SigningKey
from medquorum.limits import (
    KEY_FILE_BYTES_MAX,
    KEY_FILE_MEMORY_BYTES_MAX,
    KEY_FILE_PASSES_MAX,
)

FORMAT: Final = "medquorum/key/v1"
Key: TypeAlias = SigningKey | KemKey
KeyT = TypeVar("KeyT", SigningKey, KemKey)
KeyKind: TypeAlias = Literal["signing", "kem"]

_KIB: Final = 1024
_MIB: Final = 1024 * _KIB
_SALT_BYTES: Final = 16
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


class Strength(Enum):
    """How hard guessing the passphrase is: (passes, bytes of memory). Each doubling costs both
    sides the same.
    """

    STRONG = (3, 256 * _MIB)
    """About half a second on a server. For every key that matters."""
    INTERACTIVE = (2, 64 * _MIB)
    """About a tenth of a second. For machines with little memory."""
    FAST = (1, 8 * _KIB)
    """No obstacle at all. For tests and development networks."""


@dataclass(frozen=True, slots=True)
class KeyInfo:
    """What a key file says to everyone who may read it, without the passphrase. Not proven before
    the key is loaded.
    """

    kind: KeyKind
    purpose: str
    public: bytes
    encrypted: bool


def save_key(
    path: Path,
    key: Key,
    *,
    purpose: str,
    passphrase: bytes,
    strength: Strength = Strength.STRONG,
) -> None:
    """Write an encrypted key file, on disk when this returns. Raises FileExistsError, OSError;
    KeyFormatError for no passphrase.
    """
    if not passphrase:
        raise KeyFormatError("an empty passphrase protects nothing")
    passes, memory_bytes = strength.value
    salt = token_bytes(_SALT_BYTES)
    nonce = token_bytes(nacl.secret.SecretBox.NONCE_SIZE)
    file = _KeyFile(
        FORMAT, _kind_of(key), purpose, key.public.hex(), "argon2id",
        passes, memory_bytes, salt.hex(), nonce.hex(), "",
    )  # fmt: skip
    box = nacl.bindings.crypto_secretbox(key.seed, nonce, _box_key(file, passphrase))
    file.secret = box.hex()
    _write_new(path, file)


def save_devnet_key(path: Path, key: Key, *, purpose: str) -> None:
    """Write a key file in the clear, for a development network. Raises FileExistsError or
    OSError.
    """
    file = _KeyFile(
        FORMAT,
        _kind_of(key),
        purpose,
        key.public.hex(),
        "none-devnet",
        0,
        0,
        "",
        "",
        key.seed.hex(),
    )
    _write_new(path, file)


def read_key_info(path: Path) -> KeyInfo:
    """The public part of a key file. Raises KeyFormatError or OSError."""
    file = _read(path)
    return KeyInfo(file.kind, file.purpose, _public(file), file.protection == "argon2id")


def load_signing_key(
    path: Path, *, purpose: str, passphrase: bytes | None = None, devnet: bool = False
) -> SigningKey:
    """The signing key in `path`, if the file is for `purpose`. Raises KeyFormatError or OSError.

    `devnet` says that this is a development network, where plain files are allowed.
    """
    file = _read(path)
    _require_use(path, file, "signing", purpose)
    key = SigningKey(_open(path, file, passphrase, devnet=devnet))
    return _checked(path, file, key)


def load_kem_key(
    path: Path, *, purpose: str, passphrase: bytes | None = None, devnet: bool = False
) -> KemKey:
    """The KEM key in `path`, under the same rules as `load_signing_key`."""
    file = _read(path)
    _require_use(path, file, "kem", purpose)
    key = KemKey(_open(path, file, passphrase, devnet=devnet))
    return _checked(path, file, key)


class _KeyFile(msgspec.Struct, forbid_unknown_fields=True):
    format: Literal["medquorum/key/v1"]
    kind: KeyKind
    purpose: str
    public: str
    protection: Literal["argon2id", "none-devnet"]
    passes: int
    memory_bytes: int
    salt: str
    nonce: str
    secret: str


def _kind_of(key: Key) -> KeyKind:
    match key:
        case SigningKey():
            return "signing"
        case KemKey():
            return "kem"
        case _:
            assert_never(key)


def _public(file: _KeyFile) -> bytes:
    try:
        return from_hex(file.public)
    except ValueError:
        raise KeyFormatError("the public key of the file is not hexadecimal") from None


def _box_key(file: _KeyFile, passphrase: bytes) -> bytes:
    stretched = nacl.pwhash.argon2id.kdf(
        nacl.secret.SecretBox.KEY_SIZE,
        passphrase,
        from_hex(file.salt, size=_SALT_BYTES),
        opslimit=file.passes,
        memlimit=file.memory_bytes,
    )
    # A box authenticates its content only. What stands beside it is bound through its key.
    bound = (
        stretched, file.kind, file.purpose, file.public, file.passes, file.memory_bytes, file.nonce
    )  # fmt: skip
    return tagged_hash(Kind.KEY_FILE, encode(bound))


def _require_use(path: Path, file: _KeyFile, kind: KeyKind, purpose: str) -> None:
    if (file.kind, file.purpose) != (kind, purpose):
        raise KeyFormatError(
            f"{path} holds a {file.kind} key for {file.purpose!r}, not a {kind} key for {purpose!r}"
        )


def _open(path: Path, file: _KeyFile, passphrase: bytes | None, *, devnet: bool) -> bytes:
    try:
        match file.protection:
            case "none-devnet":
                if not devnet:
                    raise KeyFormatError(
                        f"{path} is not encrypted, and this is no development network"
                    )
                return from_hex(file.secret)
            case "argon2id":
                return _decrypt(path, file, passphrase)
            case _:
                assert_never(file.protection)
    except ValueError:
        raise KeyFormatError(f"{path} is not a key file") from None


def _decrypt(path: Path, file: _KeyFile, passphrase: bytes | None) -> bytes:
    if passphrase is None:
        raise KeyFormatError(f"{path} is encrypted, and no passphrase was given")
    # Or a file from elsewhere could make us fill the memory.
    if file.passes > KEY_FILE_PASSES_MAX or file.memory_bytes > KEY_FILE_MEMORY_BYTES_MAX:
        raise KeyFormatError(f"{path} asks for more work than is allowed")
    box, nonce = from_hex(file.secret), from_hex(file.nonce)
    try:
        return bytes(nacl.bindings.crypto_secretbox_open(box, nonce, _box_key(file, passphrase)))
    except nacl.exceptions.CryptoError:
        raise KeyFormatError(
            f"{path} does not open: the passphrase is wrong, or the file was changed"
        ) from None


def _checked(path: Path, file: _KeyFile, key: KeyT) -> KeyT:
    if key.public != _public(file):
        raise KeyFormatError(f"{path} holds another key than it says")
    return key


def _write_new(path: Path, file: _KeyFile) -> None:
    data = msgspec.json.format(msgspec.json.encode(file), indent=2) + b"\n"
    temporary = path.with_name(f".{path.name}.{token_hex(8)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        # A link fails where a rename would replace: no key is ever written over.
        path.hardlink_to(temporary)
    finally:
        temporary.unlink()
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _read(path: Path) -> _KeyFile:
    with path.open("rb") as stream:
        status = os.fstat(stream.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise KeyFormatError(f"{path} is not a regular file")
        if status.st_mode & _OTHERS:
            raise KeyFormatError(
                f"{path} is open to others (mode {stat.S_IMODE(status.st_mode):04o}): chmod 600 "
                "it, and consider whether the key is still a secret"
            )
        data = stream.read(KEY_FILE_BYTES_MAX + 1)
    if len(data) > KEY_FILE_BYTES_MAX:
        raise KeyFormatError(f"{path} is too large for a key file")
    try:
        return msgspec.json.decode(data, type=_KeyFile)
    except (msgspec.DecodeError, UnicodeDecodeError):
        # The decoder's message could quote what is in the file.
        raise KeyFormatError(f"{path} is not a key file") from None
