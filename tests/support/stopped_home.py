"""The home of a stopped node whose chain has a bit of everything: transactions that were refused,
some that changed the state, and a change of the validators.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from consensus.messages import HaltedRecord, encode_record
from medquorum import genesis as genesis_files
from node.home import Home
from node.ledger.proposals import ObserverAdd, ProposalKind, ValidatorReplace
from node.vault.sealed import CustodyEnvelope
from node.vault.store import RecordStore
from storage.kv import KV, Batch
from storage.leveldb import LevelDB
from storage.signstate import SignState
from storage.wal import WriteAheadLog
from tests.support.cluster import Cluster, key_of
from tests.support.recovered import handed_in, recovery_of
from tests.support.signed_chain import SignedChain

BLOB = b"ciphertext of a record"


async def exchange_a_validator(
    folder: Path, member: SignedChain, *, out: int = 3, into: int = 4
) -> None:
    """Two decisions of the founders, in a block each: the second exchanges one of the last's."""
    async with asyncio.TaskGroup() as group:
        council = Cluster(folder / "council", 4, group)
        org = member.genesis.organisations[3].org
        names = (f"vote{out}", f"vote{into}", f"node{into}")
        replaced, key, node = (key_of(name).public for name in names)
        content = ValidatorReplace(replaced, key, node, council.possession(into, org))
        member.add(council.decision(ProposalKind.OBSERVER_ADD, ObserverAdd(node, org)))
        member.add(council.decision(ProposalKind.VALIDATOR_REPLACE, content))


def _go_on_after_a_disaster(member: SignedChain) -> None:
    """At the very height that changed the validators; none of them, nor those before, votes on."""
    file = recovery_of(member.chain, numbers=(5, 6, 7, 8), orgs=(1, 2, 3))
    member.chain.expect(handed_in(file))
    member.add(handed_in(file), member.transaction())


def make_stopped_home(folder: Path, *, tail: int = 3, recovered: bool = False) -> Home:
    """A home with a chain, a sign state, logs and a vault; `tail` blocks follow the decisions. With
    `recovered`, the first of them stands on a disaster recovery.
    """
    place = Home(folder / "home")
    place.config_file.parent.mkdir(parents=True)
    place.config_file.write_text("")
    place.data.mkdir()
    member = SignedChain(place.chain)
    member.grow(3)
    asyncio.run(exchange_a_validator(folder, member))
    if recovered:
        _go_on_after_a_disaster(member)
    member.grow(tail - recovered)
    place.genesis_file.write_bytes(genesis_files.dump(member.genesis))
    chain_id, tip = member.chain.chain_id, member.chain.tip.height
    member.close()
    state = SignState.create(place.sign_state, chain_id, key_of("vote0").public)
    state.check_and_save(tip, 0, 3, bytes(32))
    with closing(WriteAheadLog.open(place.consensus_log)) as log:
        log.append([encode_record(HaltedRecord(9, "divergence", "another result"))])
    WriteAheadLog.open(place.evidence).close()
    RecordStore(place.vault).put(BLOB, CustodyEnvelope(bytes(32), 1, b"an envelope"))
    return place


@contextmanager
def opened(home: Home) -> Iterator[KV]:
    """Its database."""
    with closing(LevelDB(home.chain)) as kv:
        yield kv


def flip(home: Home, key: bytes, place: int = -1) -> None:
    """Flip a bit of one byte of a value in the database: damage that no checksum of LevelDB shows,
    such as a fault of memory before it was written.
    """
    with opened(home) as kv:
        value = kv.get(key)
        assert value
        changed = bytearray(value)
        changed[place] ^= 1
        batch = Batch()
        batch.put(key, bytes(changed))
        kv.write(batch, sync=True)
