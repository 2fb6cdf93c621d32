"""Where a measurement runs, and how it is printed."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import click

from devnet.bench.facts import Machine, Measurement
from devnet.bench.limits import Limits
from devnet.bench.rig import bench_manifest
from devnet.commands import show
from devnet.commands.context import engine_option
from devnet.commands.running import bring_up
from devnet.layout import NetworkDir
from devnet.manifest import DEFAULT_FILE, Manifest, load_manifest
from devnet.network import Network
from medquorum.quorum import EngineName

F = TypeVar("F", bound=Callable[..., Any])

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
folder_option = click.option(
    "--folder",
    type=click.Path(file_okay=False, exists=True, path_type=Path),
    default=Path.cwd,
    help="On whose disk the nodes write. [the current one]",
)


def validators_option(default: int) -> Callable[[F], F]:
    """How many validators."""
    kind = click.IntRange(1, 16)
    return click.option("-n", "--validators", type=kind, default=default, show_default=True)


def payments_options(command: F) -> F:
    """The network that makes a chain of payments, for how long, and how hard it is pressed."""
    for option in reversed(
        (
            validators_option(4),
            engine_option,
            click.option(
                "--for", "seconds", type=click.FloatRange(1), default=10.0, show_default=True
            ),
            click.option("--window", type=click.IntRange(10), default=2_000, show_default=True),
            click.option("--accounts", type=click.IntRange(2), default=500, show_default=True),
        )
    ):
        command = option(command)
    return command


def manifest_for(engine: EngineName | None, validators: int) -> Manifest:
    """The manifest of a network to be measured."""
    return bench_manifest(
        load_manifest(DEFAULT_FILE, name="bench", engine=engine, validators=validators, base_port=0)
    )


@contextmanager
def running(folder: Path, manifest: Manifest) -> Iterator[Network]:
    """A network of its own, ready, and removed in the end."""
    with tempfile.TemporaryDirectory(dir=folder, prefix="bench-") as place:
        network = bring_up(NetworkDir(Path(place) / "bench"), manifest)
        try:
            yield network
        finally:
            network.stop(network.nodes)
            network.close()


def emit(name: str, machine: Machine, limits: Limits | None, result: object) -> None:
    """Print a measurement as JSON."""
    show.as_json(Measurement(bench=name, machine=machine, limits=limits, result=result))


def print_machine(machine: Machine) -> None:
    """On what it was measured, and a warning if the machine had other work."""
    click.echo(f"{machine.processor}, {machine.cores} cores, {machine.memory_mib} MiB")
    if not machine.at_rest:
        click.secho(
            f"The machine was not at rest (load {machine.load_before}): compare ratios only.",
            fg="yellow",
            err=True,
        )


def print_limits(limits: Limits) -> None:
    """What the machine can do."""
    show.table(
        ("step", "one core"),
        [
            ("verify an Ed25519 signature", f"{limits.verify_us} us"),
            ("sign", f"{limits.sign_us} us"),
            ("hash a transaction", f"{limits.hash_us} us"),
            (f"decode and check a transaction of {limits.tx_bytes} B", f"{limits.decode_us} us"),
            ("encode it", f"{limits.encode_us} us"),
            ("append 4 KiB and fsync (by the clock)", f"{limits.fsync_us} us"),
            ("a LevelDB key in a batch of 1000", f"{limits.leveldb_key_us} us"),
            ("such a batch, synced (by the clock)", f"{limits.leveldb_batch_us} us"),
            ("16 KiB through TLS, both ends", f"{limits.tls_frame_us} us"),
            ("an HTTP request, both ends", f"{limits.http_us} us"),
            ("cores", limits.cores),
        ],
    )
