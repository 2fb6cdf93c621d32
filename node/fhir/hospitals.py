"""The hospitals that an import is for: which node each has, who signs for it, and which
organisations of the data it is. A TOML file:

    genesis = "genesis.json"

    [[hospital]]
    name = "hospital-a"
    org = "<64 hexadecimal digits>"
    rpc = "http://127.0.0.1:29651"
    key = "importer.json"             # of an actor that is custodian_gateway and registrar there
    registrar_key = "registrar.json"  # if registering patients is another actor's task
    providers = ["Organization/17"]   # organisations of the data that are this hospital

Paths are relative to the file.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from medquorum import genesis as genesis_file
from medquorum.encoding import from_hex
from medquorum.errors import DecodeError
from medquorum.genesis import Genesis
from medquorum.hashing import HASH_BYTES
from medquorum.keys import SigningKey
from node.fhir.errors import HospitalsError
from node.fhir.limits import HOSPITALS_MAX


@dataclass(frozen=True, slots=True)
class Hospital:
    """One hospital. `key` hands records in and signs anchors, `registrar` registers pseudonyms."""

    name: str
    org: bytes
    rpc: str
    key: SigningKey
    registrar: SigningKey
    providers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Consortium:
    """The hospitals of one import, and the chain that they are on."""

    genesis: Genesis
    hospitals: tuple[Hospital, ...]

    def __post_init__(self) -> None:
        if not 0 < len(self.hospitals) <= HOSPITALS_MAX:
            raise HospitalsError(f"one to {HOSPITALS_MAX} hospitals, not {len(self.hospitals)}")
        _distinct("organisation", [hospital.org.hex() for hospital in self.hospitals])
        _distinct("name", [hospital.name for hospital in self.hospitals])
        providers = [one for hospital in self.hospitals for one in hospital.providers]
        _distinct("provider", providers)


class _HospitalTable(msgspec.Struct, forbid_unknown_fields=True):
    name: Annotated[str, Meta(min_length=1, max_length=64)]
    org: str
    rpc: str
    key: str
    registrar_key: str = ""
    providers: tuple[str, ...] = ()


class _File(msgspec.Struct, forbid_unknown_fields=True):
    genesis: str
    hospital: tuple[_HospitalTable, ...]


def load_consortium(file: Path, load_key: Callable[[Path], SigningKey]) -> Consortium:
    """Read the description. Raises HospitalsError, and what `load_key` raises."""
    try:
        found = msgspec.convert(tomllib.loads(file.read_text("utf-8")), _File)
        genesis = genesis_file.load((file.parent / found.genesis).read_bytes())
        orgs = [from_hex(table.org, size=HASH_BYTES) for table in found.hospital]
    except OSError as error:
        raise HospitalsError(f"{error.filename}: {error.strerror}") from None
    except (ValueError, DecodeError) as error:
        raise HospitalsError(f"{file}: {error}") from None
    hospitals = []
    for table, org in zip(found.hospital, orgs, strict=True):
        key = load_key(file.parent / table.key)
        registrar = load_key(file.parent / table.registrar_key) if table.registrar_key else key
        hospitals.append(Hospital(table.name, org, table.rpc, key, registrar, table.providers))
    return Consortium(genesis, tuple(hospitals))


def _distinct(what: str, values: Sequence[str]) -> None:
    if len(set(values)) != len(values):
        raise HospitalsError(f"a {what} stands twice in the description of the hospitals")
