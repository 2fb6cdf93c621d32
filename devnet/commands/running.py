"""up, status, endpoints, down."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import click
import msgspec

from devnet.commands import show
from devnet.commands.context import Target, engine_option, pass_target
from devnet.errors import NotReadyError, PortsBusyError, StateError
from devnet.health import Health, NetworkHealth, arithmetic, leadership, look, voting
from devnet.keys import BANNER
from devnet.layout import NetworkDir
from devnet.limits import PORT_TRIES_MAX, READY_S
from devnet.manifest import DEFAULT_FILE, Manifest, load_manifest
from devnet.netfile import NodeInfo
from devnet.network import Network
from devnet.processes import RunState
from medquorum.quorum import EngineName

_WATCH_S = 1.0


@click.command
@click.option("-n", "--validators", type=click.IntRange(1, 100), help="How many validators. [4]")
@engine_option
@click.option(
    "-f",
    "--file",
    "manifest_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    default=DEFAULT_FILE,
    help="The manifest. [devnet/default.toml]",
)
@click.option(
    "--base-port",
    type=click.IntRange(0, 65_000),
    help="First port of node0; the next node's is ten further. 0 takes free ones. [29650]",
)
@click.option("--fresh", is_flag=True, help="Destroy the network that is there, and make it anew.")
@click.option("--timeout", default=READY_S, show_default=True, help="Seconds until all are ready.")
@pass_target
def up(
    target: Target,
    *,
    validators: int | None,
    engine: EngineName | None,
    manifest_file: Path,
    base_port: int | None,
    fresh: bool,
    timeout: float,
) -> None:
    """Make the network if there is none, start what does not run, and wait until all are ready.

    Calling it again is harmless.
    """
    began = time.monotonic()
    manifest = load_manifest(
        manifest_file, name=target.name, engine=engine, validators=validators, base_port=base_port
    )
    directory = target.directory(manifest.name)
    with directory.locked():
        if fresh and directory.net_file.exists():
            old = Network.open(directory)
            old.stop(old.nodes)
            old.destroy()
        if directory.net_file.exists():
            network = Network.open(directory)
            require_same(network, engine, validators, base_port)
            started = _start_again(network, timeout)
        else:
            network = bring_up(directory, manifest, timeout_s=timeout)
            started = list(network.nodes)
    if not started:
        click.echo("already running")
    click.secho(BANNER, fg="yellow", err=True)
    show.endpoints(network)
    show.suggestions(network)
    if started:
        click.echo(f"\nready in {time.monotonic() - began:.1f} s")


def bring_up(directory: NetworkDir, manifest: Manifest, *, timeout_s: float = READY_S) -> Network:
    """Make a network, start all of it and wait until it is ready. The caller holds the lock.

    With base port 0, somebody may take a port between our look and the node's bind; then another
    block is tried. If the nodes do not become ready, they are stopped; logs stay. Raises
    DevnetError.
    """
    for left in reversed(range(PORT_TRIES_MAX)):
        network = Network.create(directory, manifest, now_ms=time.time_ns() // 1_000_000)
        try:
            network.start(network.nodes)
            network.wait_ready(network.nodes, timeout_s=timeout_s)
        except (NotReadyError, PortsBusyError):
            taken = manifest.base_port == 0 and left > 0 and _lost_a_port(network)
            network.stop(network.nodes)
            if not taken:
                raise
            network.destroy()
        else:
            return network
    raise PortsBusyError(f"{PORT_TRIES_MAX} blocks of free ports were taken before we could bind")


def _lost_a_port(network: Network) -> bool:
    """Whether a node that ended found one of its ports taken by somebody else."""
    for node in network.nodes:
        log = network.directory.log_file(node.index)
        if network.state(node) is RunState.DIED and "in use" in log.read_text(errors="replace"):
            return True
    return False


def _start_again(network: Network, timeout_s: float) -> list[NodeInfo]:
    """Start the nodes of an existing network that do not run."""
    paused = [n.name for n in network.nodes if network.state(n) is RunState.PAUSED]
    if paused:
        raise StateError(f"{', '.join(paused)} paused: `devnet resume` first")
    started = network.start(network.nodes)
    try:
        network.wait_ready(network.nodes, timeout_s=timeout_s)
    except NotReadyError:
        network.stop(started)
        raise
    return started


def require_same(
    network: Network,
    engine: EngineName | None,
    validators: int | None,
    base_port: int | None,
) -> None:
    """An existing network keeps what it was made with. Raises StateError."""
    if engine not in (None, network.engine):
        raise StateError(
            f"the network's engine is {network.engine}; `devnet up --fresh` makes it anew"
        )
    if validators not in (None, len(network.validators)):
        count = len(network.validators)
        raise StateError(f"the network has {count} validators; `devnet up --fresh` makes it anew")
    if base_port not in (None, 0, network.base_port):
        raise StateError(
            f"the network's base port is {network.base_port}; `devnet up --fresh` makes it anew"
        )


@click.command
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
@click.option("--watch", is_flag=True, help="Look again every second, until interrupted.")
@pass_target
def status(target: Target, as_json: bool, watch: bool) -> int:
    """Show how the nodes are doing.

    Exit code: 0 all ready, 1 some are not but a quorum is, 2 no quorum, 3 not running.
    """
    network = target.network()
    while True:
        seen = look(network)
        if as_json:
            show.as_json(_document(network, seen))
        else:
            if watch:
                click.clear()
            show.health(seen)
            click.echo(leadership(seen))
            click.echo(arithmetic(network.engine, voting(network), len(network.validators)))
        if not watch:
            return seen.health
        time.sleep(_WATCH_S)


def _document(network: Network, seen: NetworkHealth) -> dict[str, object]:
    latest = seen.latest
    return {
        "network": network.directory.path.name,
        "chain_id": network.chain_id,
        "engine": network.engine,
        "leader": None if latest is None else seen.name_of(latest.proposer),
        "health": Health(seen.health).name.lower(),
        "nodes": [
            {
                "name": node.node.name,
                "org": node.node.org,
                "pid": node.pid,
                "state": node.state.value,
                "ready": node.ready,
                "problem": node.problem,
                "status": msgspec.to_builtins(node.status),
                "consensus": msgspec.to_builtins(node.consensus),
            }
            for node in seen.nodes
        ],
    }


@click.command
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
@pass_target
def endpoints(target: Target, as_json: bool) -> None:
    """Show where everything is: APIs, health, logs, homes."""
    network = target.network()
    if not as_json:
        show.endpoints(network)
        return
    show.as_json(
        {
            "chain_id": network.chain_id,
            "engine": network.engine,
            "nodes": [
                {
                    **msgspec.to_builtins(node),
                    "name": node.name,
                    "url": node.url,
                    "ops_url": node.ops_url,
                    "home": str(network.directory.node(node.index).root),
                    "log": str(network.directory.log_file(node.index)),
                }
                for node in network.nodes
            ],
        }
    )


@click.command
@pass_target
def down(target: Target) -> None:
    """Stop all nodes. What they recorded stays; `up` starts them again."""
    network = target.network()
    with network.directory.locked():
        report_stop(network, network.nodes)


def report_stop(network: Network, nodes: tuple[NodeInfo, ...]) -> None:
    """Stop nodes and say how that went."""
    for stopped in network.stop(nodes):
        name = stopped.node.name
        if not stopped.was_running:
            click.echo(f"{name} was not running")
        elif stopped.gracefully:
            click.echo(f"{name} stopped")
        else:
            click.secho(f"{name} did not stop in time and was killed", fg="yellow", err=True)


def remove_directory(directory: NetworkDir) -> None:
    """The directory of a destroyed network, with its lock."""
    shutil.rmtree(directory.path, ignore_errors=True)
