"""What every new key must satisfy: it can sign, it is new, and its holder has it."""

from __future__ import annotations

from medquorum.invariants import require
from medquorum.keys import is_public_key, possession_bytes, verify
from node.ledger.codes import Code
from node.ledger.context import View
from node.ledger.errors import refuse_unless
from node.ledger.identities import CHAIN, KEYS, NAMESPACE
from node.ledger.membership import DAEMON_KEYS
from node.ledger.membership import NAMESPACE as GOVERNANCE


def require_fresh_key(view: View, key: bytes) -> None:
    """E_SCHEMA unless `key` can sign (full order); E_DUP if this chain knew it before."""
    refuse_unless(is_public_key(key), Code.SCHEMA, "not an Ed25519 key that can sign")
    known = KEYS.has(view.read(NAMESPACE), key) or DAEMON_KEYS.has(view.read(GOVERNANCE), key)
    refuse_unless(not known, Code.DUPLICATE, "the key was used before; every key is used once")


def require_possession(view: View, owner: bytes, key: bytes, signature: bytes) -> None:
    """E_SIG unless `key` signed that it belongs to `owner` on this chain."""
    message = possession_bytes(chain_id(view), owner, key)
    refuse_unless(verify(key, message, signature), Code.SIG, "no proof of the private key")


def chain_id(view: View) -> bytes:
    """The id of this chain."""
    row = CHAIN.get(view.read(NAMESPACE))
    require(row is not None, "the ledger does not know its chain id")
    return b"" if row is None else row.chain_id
