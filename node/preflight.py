"""Before a change of the validators: would a quorum be there after it?

A chain whose validators of tomorrow are not there tomorrow stands still until they are, because
whatever could undo the change would have to be decided by them. Who is there is no fact of the
chain, so no rule of the ledger can ask for it. The node does, when a client of its own brings such
a change closer, and on request (docs/spec/network.md, N9).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from medquorum.block import Validator, ValidatorSet
from medquorum.transaction import Transaction
from node.chain import Chain
from node.errors import QuorumAtRiskError
from node.forecast import Forecast, Sighting, Standing, forecast
from node.ledger.types.governance.changes import changes_ahead, validators_after
from node.limits import PREFLIGHT_BEHIND_MAX, PREFLIGHT_SILENT_S
from node.sync import Heard, SyncStatus


class Peers(Protocol):
    """Who is connected."""

    def connected(self) -> tuple[bytes, ...]:
        """Node keys of the connected peers."""
        ...


class Heights(Protocol):
    """Who has said what of its height."""

    def status(self) -> SyncStatus | None:
        """How far behind this node is itself, or None."""
        ...

    def heard(self, peer: bytes) -> Heard | None:
        """The last announcement of a peer since this node started, or None."""
        ...


class Preflight:
    """Lives on the event loop. Every call answers at once."""

    def __init__(
        self,
        chain: Chain,
        peers: Peers,
        heights: Heights,
        *,
        node_key: bytes,
        halted: Callable[[], str | None],
    ) -> None:
        self._chain = chain
        self._peers = peers
        self._heights = heights
        self._node_key = node_key
        self._halted = halted

    def forecast(self, after: ValidatorSet) -> Forecast:
        """What these validators could do if they took over now."""
        connected = frozenset(self._peers.connected())
        return forecast(
            self._chain.genesis.engine,
            self._chain.tip.validators.validators,
            after.validators,
            lambda validator: self._sight(validator, connected),
        )

    def refusal(self, tx: Transaction) -> QuorumAtRiskError | None:
        """Why this transaction of a client is not passed on, or None.

        All changes that it brings closer are looked at together, but for those that it answers for
        itself. The form of its operations has been checked.
        """
        ahead = changes_ahead(self._chain.view(), tx.body.operations)
        if not ahead:
            return None
        after = self._chain.tip.validators
        for _, change in ahead:
            after = validators_after(after, change)
        found = self.forecast(after)
        return None if found.safe else QuorumAtRiskError(found, tx_id=tx.id)

    def _sight(self, validator: Validator, connected: frozenset[bytes]) -> Sighting:
        if validator.node_key == self._node_key:
            return self._own()
        heard = self._heights.heard(validator.node_key)
        if validator.node_key not in connected:
            never = heard is None
            return Sighting(Standing.NEVER_SEEN if never else Standing.OFFLINE)
        if heard is None or heard.ago_s > PREFLIGHT_SILENT_S:
            return Sighting(Standing.SILENT)
        return _level_or_behind(heard.behind)

    def _own(self) -> Sighting:
        if self._halted() is not None:
            return Sighting(Standing.HALTED)
        sync = self._heights.status()
        return _level_or_behind(0 if sync is None else sync.target - sync.height)


def _level_or_behind(behind: int) -> Sighting:
    if behind > PREFLIGHT_BEHIND_MAX:
        return Sighting(Standing.BEHIND, behind)
    return Sighting(Standing.READY, max(0, behind))
