"""The client of the SDK, for commands."""

from __future__ import annotations

from pathlib import Path

from medquorum.client_sync import SyncClient
from medquorum.connection import Retry
from medquorum.genesis import Genesis
from node.cli.exits import Ended, Exit
from node.cli.files import load_genesis_file
from node.home import Home


def connect(rpc: str, genesis: Genesis | None = None, *, timeout_s: float = 10.0) -> SyncClient:
    """A client that gives up after `timeout_s`. With `genesis` it refuses nodes of other chains."""
    return SyncClient(
        rpc, genesis=genesis, retry=Retry(deadline_s=timeout_s, attempt_s=min(timeout_s, 10.0))
    )


def known_genesis(path: Path | None, home: Path) -> Genesis | None:
    """The genesis that was named, else that of the home, else None."""
    if path is not None:
        return load_genesis_file(path)
    own = Home(home).genesis_file
    return load_genesis_file(own) if own.exists() else None


def needed_genesis(path: Path | None, home: Path) -> Genesis:
    """The same where nothing can be proven without one."""
    found = known_genesis(path, home)
    if found is None:
        raise Ended(
            Exit.CONFIG,
            f"proofs are checked against a genesis: name one with --genesis, or a home that has "
            f"one ({Home(home).genesis_file} does not exist)",
        )
    return found
