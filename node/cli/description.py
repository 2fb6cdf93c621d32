"""What an organisation publishes about itself before there is a chain: one JSON file.

The genesis is composed from these. They carry public keys only, and nothing that needs to be
secret; whoever receives one compares its fingerprint with the sender, by telephone.
"""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from secrets import token_bytes
from typing import Final, Literal

import msgspec

from medquorum.block import Validator
from medquorum.codec import decode, encode
from medquorum.encoding import from_hex
from medquorum.errors import DecodeError, MalformedError
from medquorum.genesis import GenesisOrg

FORMAT: Final = "medquorum/member/v1"
DESCRIPTION_BYTES_MAX: Final = 64 * 1024
VALIDATORS_PER_MEMBER_MAX: Final = 16
_SALT_BYTES: Final = 32


class Organisation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The organisation as it will stand in the genesis; bytes in hexadecimal."""

    org: str
    kind: str
    legal_hash: str
    jurisdiction: str
    root_key: str
    gateway_uri: str


class Daemon(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One node. `validator_key` is empty for an observer; `address` is host:port, for members."""

    node_key: str
    validator_key: str
    address: str


class Description(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One member."""

    format: Literal["medquorum/member/v1"]
    organisation: Organisation
    nodes: list[Daemon]

    def dump(self) -> bytes:
        """The file."""
        return msgspec.json.format(msgspec.json.encode(self), indent=2) + b"\n"

    def fingerprint(self) -> str:
        """What two people compare: the hash of the content, whatever the white space."""
        return sha256(msgspec.json.encode(self)).hexdigest()

    def genesis_org(self) -> GenesisOrg:
        """The organisation of the genesis. Raises MalformedError."""
        org = self.organisation
        founded = GenesisOrg(
            _hex(org.org),
            org.kind,
            _hex(org.legal_hash),
            org.jurisdiction,
            _hex(org.root_key),
            org.gateway_uri,
        )
        # Encoding checks nothing; decoding checks every bound.
        return decode(GenesisOrg, encode(founded), size_max=DESCRIPTION_BYTES_MAX)

    def validators(self) -> list[Validator]:
        """Those of its nodes that vote. Raises MalformedError."""
        org = _hex(self.organisation.org)
        return [
            Validator(_hex(node.validator_key), _hex(node.node_key), org)
            for node in self.nodes
            if node.validator_key
        ]

    def peers(self) -> list[str]:
        """Its nodes as p2p.peers names them."""
        return [f"{node.node_key}@{node.address}" for node in self.nodes]


def load_description(data: bytes) -> Description:
    """Read a description. Raises MalformedError."""
    if len(data) > DESCRIPTION_BYTES_MAX:
        raise MalformedError(f"a description has at most {DESCRIPTION_BYTES_MAX} bytes")
    try:
        description = msgspec.json.decode(data, type=Description)
        description.genesis_org()
    except (msgspec.DecodeError, UnicodeDecodeError, DecodeError) as error:
        raise MalformedError(f"not a member's description: {error}") from None
    if len(description.nodes) > VALIDATORS_PER_MEMBER_MAX:
        raise MalformedError(f"a member has at most {VALIDATORS_PER_MEMBER_MAX} nodes")
    return description


def read_description(path: Path) -> Description:
    """The description in a file. Raises MalformedError that names the file; OSError."""
    with path.open("rb") as stream:
        data = stream.read(DESCRIPTION_BYTES_MAX + 1)
    try:
        return load_description(data)
    except MalformedError as error:
        raise MalformedError(f"{path}: {error}") from None


def hide_legal_name(name: str) -> tuple[bytes, bytes]:
    """A fresh salt and SHA-256(salt, name in UTF-8): who knows both can show that the hash means
    this organisation, and nobody can guess the name from the hash.
    """
    salt = token_bytes(_SALT_BYTES)
    return salt, sha256(salt + name.encode()).digest()


def _hex(text: str) -> bytes:
    try:
        return from_hex(text)
    except ValueError:
        raise MalformedError(f"{text[:80]!r} is not lower-case hexadecimal") from None
