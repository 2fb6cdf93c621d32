"""Who is who among the daemons: validator keys and node keys of the current membership."""

from __future__ import annotations

from medquorum.block import ValidatorSet
from node.ledger.context import View
from node.ledger.membership import node_keys


class Roster:
    """Follows the membership as of the last commit.

    Validators vote; every member's node key may connect.
    """

    def __init__(self, validators: ValidatorSet, view: View) -> None:
        self._validator_of: dict[bytes, bytes] = {}
        self._node_of: dict[bytes, bytes] = {}
        self._members: frozenset[bytes] = frozenset()
        self.update(validators, view)

    def update(self, validators: ValidatorSet, view: View) -> bool:
        """Take the membership of the next height. True if a node key came or went."""
        before = self._members
        self._validator_of = {v.node_key: v.key for v in validators.validators}
        self._node_of = {v.key: v.node_key for v in validators.validators}
        self._members = frozenset(key for key, _ in node_keys(view)) | frozenset(self._validator_of)
        return before != self._members

    def is_member(self, node_key: bytes) -> bool:
        """Whether a daemon with this key may connect."""
        return node_key in self._members

    def validator_of(self, node_key: bytes) -> bytes | None:
        """The validator key of a daemon, or None if it does not vote."""
        return self._validator_of.get(node_key)

    def node_of(self, validator: bytes) -> bytes | None:
        """The daemon of a validator, or None if it is none (any more)."""
        return self._node_of.get(validator)

    def validator_nodes(self) -> list[bytes]:
        """The node keys of all validators."""
        return list(self._validator_of)
