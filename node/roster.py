"""Who is who among the daemons: validator keys and node keys of the current membership, and whom
the operator lets in before the chain does.
"""

from __future__ import annotations

from collections.abc import Iterable

from medquorum.block import ValidatorSet
from node.ledger.context import View
from node.ledger.membership import ever_connected, node_keys


class Roster:
    """Follows the membership as of the last commit.

    Validators vote; every member's node key may connect. `configured` are the node keys that the
    operator named (p2p.peers). Those of whom the chain, as far as it is here, has never heard may
    connect as well, as strangers: a node that starts from the genesis learns from them who the
    members are today (docs/spec/network.md, N8). Whom the chain knows and no longer admits stays
    out.
    """

    def __init__(
        self, validators: ValidatorSet, view: View, configured: Iterable[bytes] = ()
    ) -> None:
        self._configured = frozenset(configured)
        self._validator_of: dict[bytes, bytes] = {}
        self._node_of: dict[bytes, bytes] = {}
        self._members: frozenset[bytes] = frozenset()
        self._strangers: frozenset[bytes] = frozenset()
        self.update(validators, view)

    def update(self, validators: ValidatorSet, view: View) -> bool:
        """Take the membership of the next height. True if a node key came or went."""
        before = self._members, self._strangers
        self._validator_of = {v.node_key: v.key for v in validators.validators}
        self._node_of = {v.key: v.node_key for v in validators.validators}
        self._members = frozenset(key for key, _ in node_keys(view)) | frozenset(self._validator_of)
        self._strangers = frozenset(
            key for key in self._configured - self._members if not ever_connected(view, key)
        )
        return before != (self._members, self._strangers)

    def is_member(self, node_key: bytes) -> bool:
        """Whether the chain admits a daemon with this key."""
        return node_key in self._members

    def may_connect(self, node_key: bytes) -> bool:
        """Whether a daemon with this key may connect, as a member or as a stranger."""
        return node_key in self._members or node_key in self._strangers

    def validator_of(self, node_key: bytes) -> bytes | None:
        """The validator key of a daemon, or None if it does not vote."""
        return self._validator_of.get(node_key)

    def node_of(self, validator: bytes) -> bytes | None:
        """The daemon of a validator, or None if it is none (any more)."""
        return self._node_of.get(validator)

    def validator_nodes(self) -> list[bytes]:
        """The node keys of all validators."""
        return list(self._validator_of)
