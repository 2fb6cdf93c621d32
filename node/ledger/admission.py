"""May this transaction enter the mempool? All that can be known without executing it.

Admission protects the mempool and tells clients early. It is no part of consensus: what slips
through is refused in its block.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import msgspec

from medquorum.transaction import Transaction
from node.ledger.codes import Code
from node.ledger.context import View
from node.ledger.errors import AdmissionError, TxError
from node.ledger.identities import signer_of_key
from node.ledger.params import TX_WINDOW, param
from node.ledger.registry import Registry
from node.ledger.tables import ReadableState

_BODY_CODES: Final = {Code.TYPE: "unknown_type", Code.SIZE: "too_large"}


class Standing(msgspec.Struct, frozen=True):
    """On whose account the transaction runs: the organisation of its first signer."""

    org: bytes


def check_form(tx: Transaction, chain_id: bytes, registry: Registry) -> None:
    """What needs no state: the chain, the types, the shape of the bodies.

    Raises AdmissionError: wrong_chain, unknown_type, too_large or schema_violation.
    """
    if tx.body.chain_id != chain_id:
        raise AdmissionError("wrong_chain", "the transaction is for another chain")
    for number, operation in enumerate(tx.body.operations):
        try:
            registry.decode_body(operation)
        except TxError as error:
            code = _BODY_CODES.get(error.code, "schema_violation")
            raise AdmissionError(code, f"operation {number}: {error.detail}") from None


@dataclass(frozen=True, slots=True)
class _Following:
    """The state of a view, as the block after it finds it."""

    view: View
    height: int

    @property
    def time_ms(self) -> int:
        return self.view.time_ms

    def read(self, namespace: str) -> ReadableState:
        return self.view.read(namespace)


class StateCheck:
    """What the committed state says about transactions for `next_height`: the window of heights,
    which types are active, and who the signers are. For many transactions at once: what they share
    is looked up once.

    A type that is not active would only leave a receipt of its refusal; and a proposer that lacks
    its code, because it has not been upgraded yet, does not take it into its pool. Under an engine
    whose leader stays, whoever admitted it would have promised what that leader holds back.
    """

    __slots__ = ("_active", "_next_height", "_orgs", "_registry", "_view", "_window")

    def __init__(self, view: View, next_height: int, registry: Registry) -> None:
        self._view = view
        self._next_height = next_height
        self._registry = registry
        self._window = Window.of(view, next_height)
        self._orgs: dict[bytes, bytes | AdmissionError] = {}
        self._active: dict[tuple[str, int], bool] = {}

    def check(self, tx: Transaction) -> Standing:
        """Raises AdmissionError: expired, not_yet_valid, unknown_type, unknown_key, key_revoked."""
        self._window.check(tx)
        for number, operation in enumerate(tx.body.operations):
            if not self._is_active(operation.type, operation.version):
                detail = f"{operation.type} {operation.version} is not active at this height"
                raise AdmissionError("unknown_type", f"operation {number}: {detail}")
        orgs = [self._org_of(key) for key in tx.body.signers]
        return Standing(orgs[0])

    def _is_active(self, name: str, version: int) -> bool:
        known = self._active.get((name, version))
        if known is None:
            entry = self._registry.entry(name, version)
            following = _Following(self._view, self._next_height)
            known = entry is not None and self._registry.is_active(entry, following)
            self._active[name, version] = known
        return known

    def _org_of(self, key: bytes) -> bytes:
        found = self._orgs.get(key)
        if found is None:
            found = self._orgs[key] = self._look_up(key)
        if isinstance(found, AdmissionError):
            raise AdmissionError(found.code, found.detail)
        return found

    def _look_up(self, key: bytes) -> bytes | AdmissionError:
        try:
            return signer_of_key(self._view, key, self._next_height).org
        except TxError as error:
            revoked = error.code is Code.KEY_REVOKED
            return AdmissionError("key_revoked" if revoked else "unknown_key", error.detail)


@dataclass(frozen=True, slots=True)
class Window:
    """The values of `valid_until` that a block of `height` may hold: from `height` to `last`."""

    height: int
    last: int

    @classmethod
    def of(cls, view: View, height: int) -> Window:
        """The window of a block on the state of `view`."""
        return cls(height, height - 1 + param(view, TX_WINDOW))

    def check(self, tx: Transaction) -> None:
        """Raises AdmissionError: expired or not_yet_valid."""
        valid_until = tx.body.valid_until
        if valid_until < self.height:
            raise AdmissionError(
                "expired", f"valid until height {valid_until}, next is {self.height}"
            )
        if valid_until > self.last:
            raise AdmissionError("not_yet_valid", f"valid_until is at most {self.last} for now")
