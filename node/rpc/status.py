"""The node, its consensus, its genesis and the parameters of the chain."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, Literal

import msgspec
from aiohttp import web

from consensus.engine import EngineStatus
from medquorum.genesis import dump as dump_genesis
from node.chain import Chain
from node.ledger.context import View
from node.ledger.membership import NAMESPACE as MEMBERSHIP
from node.ledger.params import PARAMS
from node.ledger.recoveries import recoveries_so_far
from node.reading import read_consistently
from node.rpc.routes import JSON, Answer, AnyRoute, Call, Hex, Params, Route, answer
from node.services import Pruning
from node.snapshots.fetching import Fetching
from node.sync import SyncStatus


class MempoolDocument(msgspec.Struct, frozen=True):
    """What waits for a block."""

    txs: int
    bytes: int
    by_class: dict[str, int]


class SyncingDocument(msgspec.Struct, frozen=True):
    """How far this node is behind what its peers claim, how fast it catches up, and how long that
    takes if it goes on so (null while nothing moves). `passed_over` are the peers that left a
    question for blocks open and are not asked for a while.
    """

    height: int
    target: int
    blocks_per_second: float
    txs_per_second: float
    seconds_left: float | None
    passed_over: list[Hex]


class FetchingDocument(msgspec.Struct, frozen=True):
    """The snapshot with which this node is about to begin, and how many of its chunks are here."""

    height: int
    chunks: int
    fetched: int


class PruningDocument(msgspec.Struct, frozen=True):
    """What this node gave up of old blocks since it started, and what keeps it from giving up more
    than it has: `window` (transactions could be committed again), `retention_required` (the chain
    demands them), `snapshots` (whoever begins with the oldest one here needs them), `peers` (a
    validator lacks them), `archive` (there is no proven one of them yet), or nothing.
    """

    heights_pruned: int
    bytes_freed: int
    held_by: str


class PeerDocument(msgspec.Struct, frozen=True):
    """A member's daemon, as this node sees it. `last_reason` is why a link to it last ended."""

    node_key: Hex
    address: str
    connected: bool
    software: str
    round_trip_ms: float | None
    last_reason: str
    ban_reason: str


class StatusDocument(msgspec.Struct, frozen=True):
    """The node at a glance. `halted` is why it stopped voting for good, or null. `leader` is the
    validator that proposes now: whom a Raft chain follows (empty while it elects one; `round` is
    its term), or whose turn it is. `evidence` counts the proofs of misbehaviour that it holds.
    Blocks, receipts and events are here from `oldest_block` on; `pruning` is null on a node that
    never gives any up. `recoveries` is how often organisations named the validators after a
    disaster.
    """

    node: Hex
    chain_id: Hex
    chain_name: str
    height: int
    time_ms: int
    round: int
    phase: str
    role: Literal["validator", "observer"]
    peers: list[PeerDocument]
    mempool: MempoolDocument
    version: str
    syncing: SyncingDocument | None
    halted: str | None
    engine: Literal["pbft", "raft"]
    leader: Hex
    validator: Hex
    evidence: int
    oldest_block: int
    recoveries: int
    snapshot: FetchingDocument | None
    pruning: PruningDocument | None


class ResultDocument(msgspec.Struct, frozen=True):
    """Who committed to one result of one block, in one round."""

    round: int
    block: Hex
    result: Hex
    signers: list[Hex]


class ConsensusDocument(msgspec.Struct, frozen=True):
    """Where the engine stands. `missing` are the validators that have not voted in this round: for
    its block while it is prepared, for its commit after that. `passed_over` missed a turn to
    propose, and are not asked first until the rota ends (PBFT only). On a Raft chain, a leader
    names who has answered it at this height, and whom it hands over to. `results` tells
    who computed what if the height is `divergent`.
    """

    height: int
    round: int
    phase: str
    proposer: Hex
    round_timeout_ms: int
    validators: list[Hex]
    prepared_by: list[Hex]
    committed_by: list[Hex]
    round_change_by: list[Hex]
    missing: list[Hex]
    divergent: bool
    halted: str | None
    followed_by: list[Hex]
    transferring_to: Hex
    passed_over: list[Hex]
    results: list[ResultDocument]


class ParamDocument(msgspec.Struct, frozen=True):
    """A chain parameter, its bounds, and the height from which its value holds."""

    name: str
    value: int
    from_height: int
    minimum: int
    maximum: int
    summary: str


class ParamsDocument(msgspec.Struct, frozen=True):
    """All chain parameters, as of `height`."""

    height: int
    params: list[ParamDocument]


def _of_the_chain(chain: Chain) -> tuple[int, int]:
    return chain.blocks.oldest_block(), recoveries_so_far(chain.view())


async def get_status(call: Call[Params]) -> web.StreamResponse:
    """The node at a glance."""
    services = call.services
    tip, engine, sync = services.chain.tip, services.engine_status(), services.sync_status()
    oldest, recoveries = await services.readers.run(_of_the_chain, services.chain)
    return answer(
        StatusDocument(
            node=services.node_key.hex(),
            chain_id=services.chain.chain_id.hex(),
            chain_name=services.chain.genesis.chain_name,
            height=tip.height,
            time_ms=tip.time_ms,
            round=0 if engine is None else engine.round,
            phase="" if engine is None else engine.phase,
            role="validator" if services.is_validator() else "observer",
            peers=_peers(call),
            mempool=MempoolDocument(
                len(services.pool), services.pool.size_bytes, services.pool.counts()
            ),
            version=services.version,
            syncing=None if sync is None else _syncing(sync),
            halted=services.halted(),
            engine=services.chain.genesis.engine,
            leader="" if engine is None else engine.proposer.hex(),
            validator=(services.validator_key or b"").hex(),
            evidence=len(services.evidence),
            oldest_block=oldest,
            recoveries=recoveries,
            snapshot=_fetching(services.fetching()),
            pruning=_pruning(services.pruner),
        )
    )


def _syncing(found: SyncStatus) -> SyncingDocument:
    left = found.seconds_left
    return SyncingDocument(
        found.height,
        found.target,
        round(found.blocks_per_second, 1),
        round(found.txs_per_second, 1),
        None if left is None else round(left, 1),
        [peer.hex() for peer in found.passed_over],
    )


def _fetching(found: Fetching | None) -> FetchingDocument | None:
    return None if found is None else FetchingDocument(found.height, found.chunks, found.fetched)


def _pruning(pruner: Pruning | None) -> PruningDocument | None:
    found = None if pruner is None else pruner.status
    if found is None:
        return None
    return PruningDocument(found.heights_pruned, found.bytes_freed, found.held_by)


def _peers(call: Call[Params]) -> list[PeerDocument]:
    found = []
    for peer in call.services.peers():
        trips = [lane.round_trip_ms for lane in peer.lanes if lane.round_trip_ms is not None]
        address = "" if peer.address is None else f"{peer.address[0]}:{peer.address[1]}"
        found.append(
            PeerDocument(
                peer.node_key.hex(),
                address,
                peer.connected,
                peer.software,
                min(trips, default=None),
                peer.last_reason,
                peer.ban_reason,
            )
        )
    return found


async def get_consensus(call: Call[Params]) -> web.StreamResponse:
    """Where the engine stands and whom it waits for; null on a node without one."""
    engine = call.services.engine_status()
    if engine is None:
        return answer(None)
    members = [v.key for v in call.services.chain.tip.validators.validators]
    return answer(consensus_document(engine, members))


def consensus_document(engine: EngineStatus, members: Sequence[bytes]) -> ConsensusDocument:
    """The engine's status for people."""
    voted = engine.committed_by or engine.prepared_by
    return ConsensusDocument(
        height=engine.height,
        round=engine.round,
        phase=engine.phase,
        proposer=engine.proposer.hex(),
        round_timeout_ms=engine.round_timeout_ms,
        validators=_hexes(members),
        prepared_by=_hexes(engine.prepared_by),
        committed_by=_hexes(engine.committed_by),
        round_change_by=_hexes(engine.round_change_by),
        missing=_hexes(key for key in members if key not in voted),
        divergent=engine.divergent,
        halted=engine.halted or None,
        followed_by=_hexes(engine.followed_by),
        transferring_to=engine.transferring_to.hex(),
        passed_over=_hexes(engine.passed_over),
        results=[
            ResultDocument(
                group.round, group.block_hash.hex(), group.result_hash.hex(), _hexes(group.signers)
            )
            for group in engine.results
        ],
    )


def _hexes(keys: Iterable[bytes]) -> list[str]:
    return [key.hex() for key in keys]


async def get_genesis(call: Call[Params]) -> web.StreamResponse:
    """What the chain starts from. Whoever verifies must have it from a source of their own."""
    return web.Response(body=dump_genesis(call.services.chain.genesis), content_type=JSON)


async def get_params(call: Call[Params]) -> web.StreamResponse:
    """The parameters on which all nodes agree."""
    services = call.services
    declared = services.chain.registry.params()

    def read(state: View) -> list[ParamDocument]:
        rows = PARAMS.rows(state.read(MEMBERSHIP))
        known = {key.removesuffix(b"\0").decode(): row for key, row in rows}
        return [
            ParamDocument(
                param.name,
                row.value if row.from_height <= state.height + 1 else row.before,
                row.from_height,
                row.minimum,
                row.maximum,
                param.summary,
            )
            for param in declared
            if (row := known.get(param.name)) is not None
        ]

    height, found = await services.readers.run(read_consistently, services.chain, read)
    return answer(ParamsDocument(height, found))


ROUTES: Final[tuple[AnyRoute, ...]] = (
    Route(
        method="GET",
        path="/v1/status",
        name="getStatus",
        tag="node",
        summary="The node at a glance.",
        params=Params,
        handle=get_status,
        answers={200: Answer("The status", StatusDocument)},
    ),
    Route(
        method="GET",
        path="/v1/consensus",
        name="getConsensus",
        tag="node",
        summary="Where the consensus engine stands and whom it waits for.",
        params=Params,
        handle=get_consensus,
        answers={200: Answer("The engine, null without one", ConsensusDocument | None)},
    ),
    Route(
        method="GET",
        path="/v1/genesis",
        name="getGenesis",
        tag="chain",
        summary="What the chain starts from.",
        params=Params,
        handle=get_genesis,
        answers={200: Answer("The genesis file", dict[str, object])},
    ),
    Route(
        method="GET",
        path="/v1/params",
        name="getParams",
        tag="chain",
        summary="The parameters on which all nodes agree.",
        params=Params,
        handle=get_params,
        answers={200: Answer("The parameters", ParamsDocument)},
    ),
)
