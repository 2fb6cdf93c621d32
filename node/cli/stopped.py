"""The database of a node that does not run, for the commands that check and mend it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass

from medquorum.genesis import Genesis
from node.cli.config import load_home
from node.cli.exits import Ended, Exit
from node.config.schema import Config
from node.daemon import load_genesis
from node.home import Home
from node.snapshots.beginning import put_in_place
from node.stores import open_database
from storage import layout
from storage.kv import KV
from storage.lock import DataDirLock
from storage.reached import read_reached, require_reached


@dataclass(frozen=True, slots=True)
class StoppedNode:
    """What is open of it: its lock, and its database."""

    home: Home
    config: Config
    genesis: Genesis
    kv: KV


@contextmanager
def stopped_node(home: Home) -> Iterator[StoppedNode]:
    """Take the lock and open the database. Ends the command with TEMPORARY if the node runs, with
    CORRUPT if the database does not open or all of it is lost, with NO if there is none.
    """
    config = load_home(home, {}).config
    genesis = load_genesis(home)
    if not home.data.exists():
        raise Ended(Exit.NO, "this node has never run")
    with DataDirLock(home.data):
        put_in_place(home)
        if not home.chain.exists():
            raise Ended(Exit.NO, "this node has never run")
        with closing(open_database(home.chain, config)) as kv:
            if kv.get(layout.GENESIS) is None:
                require_reached(0, read_reached(home.chain))
            yield StoppedNode(home, config, genesis, kv)
