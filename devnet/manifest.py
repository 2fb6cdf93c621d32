"""The manifest: what a development network consists of, as TOML."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from devnet.errors import ManifestError
from devnet.limits import PORTS_PER_NODE
from medquorum.codec import Name
from medquorum.quorum import VALIDATORS_MAX, EngineName
from node.ledger.roles import ISSUER_KINDS, OrgKind, Role
from node.ledger.types.identity.bodies import ActorKind

DEFAULT_FILE: Final = Path(__file__).with_name("default.toml")
GATEWAY: Final = "gateway"
"""The actor of this name signs a hospital's access logs. A hospital without it has no vault."""
PORT_MAX: Final = 65_535

NetworkName = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9-]{0,31}(?![\s\S])")]


class _Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A table of the manifest."""


class ActorSpec(_Table, frozen=True):
    """A person or a system of an organisation, and the roles it has there."""

    name: Name
    kind: ActorKind
    roles: tuple[Role, ...] = ()


class OrgSpec(_Table, frozen=True):
    """A founding organisation."""

    name: Name
    kind: OrgKind
    jurisdiction: Name = "xx"
    actors: tuple[ActorSpec, ...] = ()

    def actor(self, name: str) -> ActorSpec | None:
        """The actor of this name, or None."""
        return next((actor for actor in self.actors if actor.name == name), None)


class Manifest(_Table, frozen=True):
    """A development network. `params` are chain parameters, `config` is for every node. The nodes
    of a `proxied` one meet only while the proxy of a history runs between them (devnet/chaos).
    """

    name: NetworkName
    organisations: Annotated[tuple[OrgSpec, ...], Meta(min_length=1)]
    engine: EngineName = "pbft"
    validators: Annotated[int, Meta(ge=1, le=VALIDATORS_MAX)] = 4
    base_port: Annotated[int, Meta(ge=0, le=PORT_MAX)] = 29650
    proxied: bool = False
    params: dict[str, int] = {}
    config: dict[str, object] = {}

    @property
    def hospitals(self) -> tuple[OrgSpec, ...]:
        """The organisations that run validators."""
        return tuple(org for org in self.organisations if org.kind is OrgKind.HOSPITAL)

    def org(self, name: str) -> OrgSpec:
        """The organisation of this name. Raises ManifestError."""
        for org in self.organisations:
            if org.name == name:
                return org
        raise ManifestError(f"the network has no organisation {name}")

    def operator(self, index: int) -> OrgSpec:
        """Who runs node `index`: the hospitals take turns."""
        return self.hospitals[index % len(self.hospitals)]

    def has_vault(self, index: int) -> bool:
        """Whether this node keeps a vault: a hospital's first node, if it has a gateway actor."""
        first = index < len(self.hospitals)
        return first and self.operator(index).actor(GATEWAY) is not None


def load_manifest(
    file: Path,
    *,
    name: str | None = None,
    engine: EngineName | None = None,
    validators: int | None = None,
    base_port: int | None = None,
) -> Manifest:
    """Read a manifest; what is given here replaces what stands there. Raises ManifestError."""
    try:
        values = tomllib.loads(file.read_text("utf-8"))
    except OSError as error:
        raise ManifestError(f"{file} cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ManifestError(f"{file} is not TOML: {error}") from None
    given = {"name": name, "engine": engine, "validators": validators, "base_port": base_port}
    values.update({key: value for key, value in given.items() if value is not None})
    try:
        manifest = msgspec.convert(values, Manifest)
    except msgspec.ValidationError as error:
        raise ManifestError(f"{file}: {error}") from None
    _check(manifest, file)
    return manifest


def _check(manifest: Manifest, file: Path) -> None:
    if not manifest.hospitals:
        raise ManifestError(f"{file}: there is no hospital to run a validator")
    if manifest.base_port + PORTS_PER_NODE * manifest.validators > PORT_MAX:
        raise ManifestError(f"{file}: there are no {manifest.validators} ports above the base")
    _distinct([org.name for org in manifest.organisations], f"{file}: organisation")
    for org in manifest.organisations:
        _distinct([actor.name for actor in org.actors], f"{file}: {org.name}: actor")
        for actor in org.actors:
            for role in actor.roles:
                if org.kind not in ISSUER_KINDS[role]:
                    raise ManifestError(
                        f"{file}: {org.name}/{actor.name}: a {org.kind} cannot make anybody {role}"
                    )


def _distinct(names: list[str], what: str) -> None:
    for name in names:
        if names.count(name) > 1:
            raise ManifestError(f"{what} {name} stands there twice")
