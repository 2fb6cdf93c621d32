"""What a chain starts from. The hash of its canonical encoding is the chain id.

The file is JSON for people (`dump`, `load`); its canonical encoding, not its JSON text, is hashed,
so white space does not matter.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from medquorum.block import Validator, ValidatorSet
from medquorum.codec import U53, Bytes32, Name, TimeMs, Wire, decode, encode
from medquorum.errors import MalformedError
from medquorum.hashing import Kind, tagged_hash
from medquorum.keys import PublicKey, is_public_key
from medquorum.quorum import VALIDATORS_MAX, EngineName

GENESIS_BYTES_MAX: Final = 1024 * 1024


class GenesisOrg(Wire):
    """A founding organisation. `root_key` is its administrator's key; its legal name stays off
    chain behind `legal_hash`.
    """

    org: Bytes32
    kind: Name
    legal_hash: Bytes32
    jurisdiction: Name
    root_key: PublicKey
    gateway_uri: Annotated[str, Meta(max_length=200)]


class GenesisParam(Wire):
    """A chain parameter that differs from its default."""

    name: Name
    value: U53


class Genesis(Wire):
    """The founding agreement of a consortium."""

    version: Literal[1]
    chain_name: Name
    time_ms: TimeMs
    engine: EngineName
    params: Annotated[tuple[GenesisParam, ...], Meta(max_length=256)]
    organisations: Annotated[tuple[GenesisOrg, ...], Meta(min_length=1, max_length=1024)]
    validators: Annotated[tuple[Validator, ...], Meta(min_length=1, max_length=VALIDATORS_MAX)]

    def chain_id(self) -> bytes:
        """The 32-byte id that every transaction, header and vote of this chain carries."""
        return tagged_hash(Kind.GENESIS, encode(self))

    def validator_set(self) -> ValidatorSet:
        """The validators of height 1."""
        return ValidatorSet(self.validators)

    def check(self) -> None:
        """Raise MalformedError unless the parts agree with each other."""
        orgs = [org.org for org in self.organisations]
        keys = [v.key for v in self.validators] + [v.node_key for v in self.validators]
        keys += [org.root_key for org in self.organisations]
        _distinct("organisation", orgs)
        _distinct("key", keys)
        _distinct("parameter", [param.name for param in self.params])
        for key in keys:
            if not is_public_key(key):
                raise MalformedError(f"{key.hex()} is not an Ed25519 public key")
        for validator in self.validators:
            if validator.org not in orgs:
                raise MalformedError("a validator belongs to no organisation of this genesis")


def _distinct(what: str, values: list[bytes] | list[str]) -> None:
    if len(set(values)) != len(values):
        raise MalformedError(f"a {what} stands twice in the genesis")


def dump(genesis: Genesis) -> bytes:
    """The genesis as indented JSON, byte strings in hexadecimal."""
    return msgspec.json.format(msgspec.json.encode(_to_json(genesis)), indent=2) + b"\n"


def load(data: bytes) -> Genesis:
    """Read what `dump` wrote. Raises a DecodeError."""
    if len(data) > GENESIS_BYTES_MAX:
        raise MalformedError(f"a genesis has at most {GENESIS_BYTES_MAX} bytes")
    try:
        genesis = _from_json(msgspec.json.decode(data, type=_GenesisJson))
        genesis = decode(Genesis, encode(genesis), size_max=GENESIS_BYTES_MAX)
    except (msgspec.DecodeError, ValueError) as error:
        raise MalformedError(f"not a genesis: {error}") from None
    genesis.check()
    return genesis


class _OrgJson(msgspec.Struct, forbid_unknown_fields=True):
    org: str
    kind: str
    legal_hash: str
    jurisdiction: str
    root_key: str
    gateway_uri: str


class _ValidatorJson(msgspec.Struct, forbid_unknown_fields=True):
    key: str
    node_key: str
    org: str


class _GenesisJson(msgspec.Struct, forbid_unknown_fields=True):
    version: int
    chain_name: str
    time_ms: int
    engine: EngineName
    params: dict[str, int]
    organisations: list[_OrgJson]
    validators: list[_ValidatorJson]


def _to_json(genesis: Genesis) -> _GenesisJson:
    return _GenesisJson(
        version=genesis.version,
        chain_name=genesis.chain_name,
        time_ms=genesis.time_ms,
        engine=genesis.engine,
        params={param.name: param.value for param in genesis.params},
        organisations=[
            _OrgJson(
                o.org.hex(),
                o.kind,
                o.legal_hash.hex(),
                o.jurisdiction,
                o.root_key.hex(),
                o.gateway_uri,
            )
            for o in genesis.organisations
        ],
        validators=[
            _ValidatorJson(v.key.hex(), v.node_key.hex(), v.org.hex()) for v in genesis.validators
        ],
    )


def _from_json(parsed: _GenesisJson) -> Genesis:
    if parsed.version != 1:
        raise ValueError(f"version {parsed.version} is not supported")
    return Genesis(
        1,
        parsed.chain_name,
        parsed.time_ms,
        parsed.engine,
        tuple(GenesisParam(name, value) for name, value in parsed.params.items()),
        tuple(
            GenesisOrg(
                bytes.fromhex(o.org),
                o.kind,
                bytes.fromhex(o.legal_hash),
                o.jurisdiction,
                bytes.fromhex(o.root_key),
                o.gateway_uri,
            )
            for o in parsed.organisations
        ),
        tuple(
            Validator(bytes.fromhex(v.key), bytes.fromhex(v.node_key), bytes.fromhex(v.org))
            for v in parsed.validators
        ),
    )
