"""A daemon that promises to keep transactions and writes none of them down.

    python -m tests.support.forgetful_node --home HOME

What kills a series of kills must find it out, or it proves nothing about the real one.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from typing_extensions import override

from medquorum.transaction import Transaction
from node.app import Node
from node.config.load import load
from node.daemon import run_daemon
from node.home import Home
from node.logs import configure
from node.pending import PendingLog
from node.stores import Stores


class Forgetful(PendingLog):
    """Says that it keeps them."""

    def __init__(self) -> None:
        """Without a journal."""

    @override
    def recover(self) -> list[bytes]:
        return []

    @override
    def keep(self, transactions: Sequence[Transaction], *, sync: bool) -> None:
        del transactions, sync

    @override
    def release(self, tx_ids: Iterable[bytes]) -> None:
        del tx_ids


def compose(*, stores: Stores, **parts: object) -> Node:
    make: Callable[..., Node] = Node
    return make(stores=replace(stores, pending=Forgetful()), **parts)


def main(root: Path) -> int:
    home = Home(root)
    loaded = load(home.config_file, {}, {})
    base = loaded.config.base
    log = configure(base.log_level, base.log_format, base.moniker)
    return run_daemon(
        home,
        loaded,
        passphrase=None,
        log=log,
        ready=lambda endpoints: log.info("ready", port=endpoints.rpc),
        compose=compose,
    )


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[-1])))
