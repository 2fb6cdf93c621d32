"""Joins what gives old blocks up to the parts of a node that it needs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from medquorum.block import ValidatorSet
from node.pruning.background import Policy, Pruner

if TYPE_CHECKING:
    # The types only: a node is composed before this is called.
    from collections.abc import Callable

    from node.app import Node
    from node.sync import Heard
    from storage.snapshots import SnapshotFiles


class Peers(Protocol):
    """The network, as far as it is needed."""

    def connected(self) -> tuple[bytes, ...]:
        """The node keys of connected members."""
        ...


class Heights(Protocol):
    """The catch-up, as far as it is needed."""

    def heard(self, peer: bytes) -> Heard | None:
        """What a peer last said of its height."""
        ...


class NodeNeeds:
    """What a node needs old blocks for, besides itself: see background.Needs."""

    def __init__(
        self,
        tip: Callable[[], tuple[int, ValidatorSet]],
        peers: Peers,
        heights: Heights,
        snapshots: SnapshotFiles,
        *,
        makes_snapshots: bool,
    ) -> None:
        self._tip = tip
        self._peers = peers
        self._heights = heights
        self._snapshots = snapshots
        self._makes_snapshots = makes_snapshots

    def snapshot(self) -> int | None:
        """The oldest one here; 0 while the first one is still to be made. None if none is made
        here: the one that the node began with is never followed by another, and would keep the
        blocks for ever.
        """
        if not self._makes_snapshots:
            return None
        names = self._snapshots.names()
        return names[0].height if names else 0

    def peer(self) -> int:
        """The lowest height that a validator who is connected has announced. An observer is not
        waited for: anybody's word would keep the disk full.
        """
        height, validators = self._tip()
        voters = {validator.node_key for validator in validators.validators}
        lowest = height
        for peer in self._peers.connected():
            heard = self._heights.heard(peer) if peer in voters else None
            if heard is not None:
                lowest = min(lowest, heard.height)
        return lowest


def make_pruner(node: Node, archive: Path | None) -> Pruner:
    """What keeps to the pruning policy of a node. `archive` is where old blocks go before."""
    wanted = node.config.pruning
    chain = node.chain
    return Pruner(
        chain,
        node.stores.kv,
        Policy(wanted.keep_heights, wanted.keep_days, wanted.range_heights, archive),
        needs=NodeNeeds(
            lambda: (chain.tip.height, chain.tip.validators),
            node.network,
            node.sync,
            node.stores.snapshots,
            makes_snapshots=node.config.snapshots.interval_heights > 0,
        ),
        paused=lambda: node.halt_reason() is not None,
        worker=node.threads.pruning,
        writer=node.threads.writer,
        counts=node.metrics,
        log=node.log.bind(part="pruning"),
    )
