"""Hash chains of data entries, and the root over all subjects of a study.

    head 0     = SHA-256(start tag || study || spid)
    head n + 1 = SHA-256(link tag || head n || canonical encoding of what entry n + 1 states)
    root       = RFC 6962 root over (spid, head, number of entries), in the order of spid

Whoever holds the entries of a subject recomputes the head; whoever holds the heads, the root. Both
can be done without a node, and a changed, missing or added entry changes both. Author and height of
an entry are not hashed: a site can then compute ahead and send several entries at once. Both stand
in the signed transaction.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256
from typing import Final

from medquorum import merkle
from medquorum.codec import encode
from node.ledger.tables import ReadableState
from node.ledger.types.trials.rows import CHAINS, Chain, Entry

_START: Final = b"medquorum/trial-chain/v1\0"
_LINK: Final = b"medquorum/trial-entry/v1\0"


def first_head(study: bytes, spid: bytes) -> bytes:
    """The head of a chain without entries. No two subjects share it, so no chain fits another."""
    return sha256(_START + study + spid).digest()


def next_head(head: bytes, entry: Entry) -> bytes:
    """The head after `entry`."""
    stated = (
        entry.kind,
        entry.commitment,
        entry.odm_hash,
        entry.visit,
        entry.form,
        entry.corrects,
        entry.reason,
    )
    return sha256(_LINK + head + encode(stated)).digest()


def appended(chain: Chain, entry: Entry) -> Chain:
    """The chain with one entry more."""
    return Chain(next_head(chain.head, entry), chain.entries + 1)


def root_of(chains: Iterable[tuple[bytes, Chain]]) -> bytes:
    """The root over (spid, chain) pairs in the order of spid."""
    return merkle.root([encode((spid, chain.head, chain.entries)) for spid, chain in chains])


def data_root(state: ReadableState, study: bytes) -> bytes:
    """The root over all enrolled subjects. One read a subject, SUBJECTS_MAX at most."""
    return root_of(CHAINS.rows(state, study))
