"""From a manifest to a genesis, and to the homes of the nodes."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

from devnet.keys import DevnetKeys
from devnet.layout import NetworkDir
from devnet.manifest import GATEWAY, Manifest
from devnet.ports import HOST, Ports, proxied_host
from medquorum.block import Validator
from medquorum.genesis import Genesis, GenesisOrg, GenesisParam
from node.cli.setup import HomeKeys, create_home, install_genesis
from node.config.schema import keys as schema_keys
from node.daemon import DEVNET_PREFIX
from node.errors import ConfigError


def make_genesis(
    manifest: Manifest, keys: DevnetKeys, ports: Sequence[Ports], now_ms: int
) -> Genesis:
    """The founding agreement. A network that is made anew is another chain, for `now_ms` differs:
    nothing that was signed for the old one counts on it.
    """
    gateways = {
        manifest.operator(index).name: f"http://{HOST}:{node.rpc}"
        for index, node in enumerate(ports)
        if manifest.has_vault(index)
    }
    return Genesis(
        1,
        f"{DEVNET_PREFIX}{manifest.name}",
        now_ms,
        manifest.engine,
        tuple(GenesisParam(name, value) for name, value in sorted(manifest.params.items())),
        tuple(
            GenesisOrg(
                keys.org_id(org.name),
                org.kind,
                sha256(org.name.encode()).digest(),
                org.jurisdiction,
                keys.org(org.name).public,
                gateways.get(org.name, ""),
            )
            for org in manifest.organisations
        ),
        tuple(
            Validator(
                keys.validator(index).public,
                keys.node(index).public,
                keys.org_id(manifest.operator(index).name),
            )
            for index in range(manifest.validators)
        ),
    )


def founders_peers(
    index: int, *, manifest: Manifest, keys: DevnetKeys, ports: Sequence[Ports]
) -> list[str]:
    """Whom founder `index` dials: all the others."""
    return [
        peer(
            keys.node(other).public.hex(),
            at.p2p,
            proxied=(index, other) if manifest.proxied else None,
        )
        for other, at in enumerate(ports)
        if other != index
    ]


def peer(node_key: str, port: int, *, proxied: tuple[int, int] | None) -> str:
    """An entry of `p2p.peers`. `proxied`: dialler and target of a network with a proxy."""
    return f"{node_key}@{HOST if proxied is None else proxied_host(*proxied)}:{port}"


def make_home(
    directory: NetworkDir,
    index: int,
    *,
    manifest: Manifest,
    keys: DevnetKeys,
    genesis: Genesis,
    own: Ports,
    peers: Sequence[str],
    vault_of: str | None,
) -> None:
    """The home of one node; `vault_of` is the hospital whose vault it keeps, if any. Raises
    ConfigError for a value of the manifest that no node accepts.
    """
    unknown = set(manifest.config) - {key.path for key in schema_keys()}
    if unknown:
        raise ConfigError(f"config: no node has the keys {', '.join(sorted(unknown))}")
    home = directory.node(index)
    values: dict[str, object] = {
        "base.moniker": f"node{index}",
        "p2p.port": own.p2p,
        "p2p.peers": list(peers),
        "rpc.port": own.rpc,
        "ops.port": own.ops,
    }
    if vault_of is not None:
        values["vault.enabled"] = True
        values["vault.gateway_actor"] = keys.actor_id(vault_of, GATEWAY).hex()
    values.update(manifest.config)
    home_keys = HomeKeys(
        keys.node(index),
        keys.validator(index),
        None if vault_of is None else keys.gateway(vault_of),
        None if vault_of is None else keys.gateway_kem(vault_of),
    )
    create_home(home, values, home_keys, passphrase=None)
    install_genesis(home, genesis)
