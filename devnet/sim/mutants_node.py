"""Known bugs around the engine: in the driver, the stores, the mempool, the network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from devnet.sim.patching import Patch
from medquorum.evidence import Accusation, Evidence, EvidenceKind, contradiction
from node import chain, driver, network, pending, probation, sync
from node.catchup import checking
from node.evidence import exchange
from storage import records, signstate, wal
from storage.kv import Batch

SEEDS_MAX: Final = 300


@dataclass(frozen=True, slots=True)
class Mutant:
    """A bug, and how many seeds may go by before it is caught."""

    name: str
    apply: Callable[[Patch], None]
    seeds_max: int = SEEDS_MAX


def vote_before_fsync(patch: Patch) -> None:
    """The log is written and not synced."""

    def append(self: Any, payloads: Any) -> None:
        data = records.encode_records(self._salt, self._size, payloads)
        self._file.write(data)
        self._size += len(data)

    patch.set(wal.WriteAheadLog, "append", append)


def log_after_send(patch: Patch) -> None:
    """What the engine persists comes after what it says."""
    true = driver.Driver.obey

    def obey(self: Any, round_: Any) -> None:
        true(self, round_)
        if round_.records:
            self._log.append(round_.records)

    def make_durable(self: Any, round_: Any) -> None:
        if round_.votes and self._guard is not None:
            self._guard.save_all(round_.votes)

    patch.set(driver.Driver, "obey", obey)
    patch.set(driver.Driver, "make_durable", make_durable)


def sign_state_not_consulted(patch: Patch) -> None:
    """Votes leave without passing the guard."""
    patch.set(signstate.SignState, "save_all", lambda *_: None)


def sign_state_not_synced(patch: Patch) -> None:
    """The guard's file is renamed before its content is on the disk."""

    def careless(files: Any, path: Any, data: bytes) -> None:
        temp = path.with_name(path.name + ".tmp")
        files.create(temp).write(data)
        files.rename(temp, path)

    patch.set(signstate, "replace_file", careless)


def no_probation(patch: Patch) -> None:
    """Votes at once, whatever it has forgotten."""
    patch.set(probation, "voting_from", lambda _last, tip, _records: tip + 1)


def block_not_synced(patch: Patch) -> None:
    """Says that a height is durable when it is not."""
    true = chain.Chain.write

    def write(self: Any, block: Any, certificate: Any, *, sync: bool) -> Any:
        store = self._kv
        self._kv = _Lazy(store)
        try:
            return true(self, block, certificate, sync=sync)
        finally:
            self._kv = store

    patch.set(chain.Chain, "write", write)


class _Lazy:
    """A store that takes its time."""

    def __init__(self, store: Any) -> None:
        self._store = store

    def write(self, batch: Batch, *, sync: bool) -> None:
        """Without the sync."""
        del sync
        self._store.write(batch, sync=False)


def pending_not_synced(patch: Patch) -> None:
    """Tells clients that a transaction is kept before it is."""
    true = pending.PendingLog.keep

    def keep(self: Any, transactions: Any, *, sync: bool) -> None:
        del sync
        true(self, transactions, sync=False)

    patch.set(pending.PendingLog, "keep", keep)


def pending_not_recovered(patch: Patch) -> None:
    """Forgets what was pending when it starts again."""
    patch.set(pending.PendingLog, "recover", lambda _self: [])


def replays_not_noticed(patch: Patch) -> None:
    """Every transaction is new."""
    patch.set(chain.Chain, "seen", lambda *_: False)
    patch.set(chain.Chain, "known", lambda *_: False)


def vote_signature_not_checked(patch: Patch) -> None:
    """Believes whatever a peer says in another one's name."""
    patch.set(network, "verify", lambda *_: True)


def certificate_not_checked_in_catch_up(patch: Patch) -> None:
    """Applies any block that a peer sends."""
    patch.set(checking, "verify_certificate", lambda **_: None)


def catch_up_never_asks(patch: Patch) -> None:
    """Is behind, and waits."""

    async def on_tip(_self: Any, _peer: bytes, _payload: bytes) -> None:
        return

    patch.set(sync.Sync, "on_tip", on_tip)
    patch.set(sync.Sync, "claim", lambda *_: None)


def evidence_not_kept(patch: Patch) -> None:
    """What the engine found is nobody's business."""
    patch.set(exchange.EvidenceExchange, "found", lambda *_: None)


def evidence_not_passed_on(patch: Patch) -> None:
    """Keeps what it found to itself."""
    patch.set(exchange.EvidenceExchange, "_offer", lambda *_: None)


def evidence_offered_once(patch: Patch) -> None:
    """Whoever did not get it, does not get it."""
    patch.set(exchange.EvidenceExchange, "on_tip", lambda *_: None)


def evidence_not_verified(patch: Patch) -> None:
    """Looks at what the accused is said to have said, and not at the signatures."""

    def believe(accused: Evidence, *_: Any) -> Accusation:
        kind = contradiction(accused.first, accused.second)
        return Accusation(accused.validator, kind or EvidenceKind.EQUIVOCATION, accused.height)

    patch.set(exchange, "verify_evidence", believe)


NODE: Final = (
    Mutant("vote before fsync", vote_before_fsync),
    Mutant("log written after the vote is sent", log_after_send),
    Mutant("sign state not consulted", sign_state_not_consulted),
    Mutant("sign state not synced", sign_state_not_synced),
    Mutant("no probation after amnesia", no_probation),
    Mutant("block not synced", block_not_synced),
    Mutant("pending transactions not synced", pending_not_synced),
    Mutant("pending transactions not recovered", pending_not_recovered),
    Mutant("replays not noticed", replays_not_noticed),
    Mutant("signature of votes not checked", vote_signature_not_checked),
    Mutant("certificate not checked in catch-up", certificate_not_checked_in_catch_up),
    Mutant("catch-up never asks", catch_up_never_asks),
)

EVIDENCE: Final = (
    Mutant("evidence not kept", evidence_not_kept),
    Mutant("evidence not passed on", evidence_not_passed_on),
    Mutant("evidence offered once", evidence_offered_once),
    Mutant("evidence not verified", evidence_not_verified),
)
"""Of chains on which validators may lie."""
