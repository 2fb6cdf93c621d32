"""What every command starts from: the directory of the network it was called for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final, get_args

import click

from devnet.layout import NetworkDir
from devnet.network import Network
from medquorum.quorum import EngineName

NETWORK_DEFAULT: Final = "default"


@dataclass(frozen=True, slots=True)
class Target:
    """Which network. `name` is None if it was not chosen: then a manifest may name it."""

    root: Path
    name: str | None

    def directory(self, manifest_name: str = NETWORK_DEFAULT) -> NetworkDir:
        """The directory of the network."""
        return NetworkDir(self.root / (self.name or manifest_name))

    def network(self) -> Network:
        """The network. Raises NoNetworkError."""
        return Network.open(self.directory())


engine_option = click.option(
    "--engine",
    type=click.Choice(get_args(EngineName)),
    help="How a network that is made agrees: pbft withstands liars, raft only crashes. [pbft]",
)
pass_target = click.make_pass_decorator(Target)
