"""What must hold of every history, judged by what honest nodes answer, and by nothing else.

Blocks, results and certificates come over the API and are verified with the genesis alone, as any
integrator could; evidence is read from the logs of nodes that have ended, and verified with the
accused's own signatures.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from devnet import api
from devnet.chaos.limits import ANSWER_S, CATCH_UP_S, PAGE_HEADERS, RECEIPTS_MAX
from devnet.chaos.registers import Placed
from devnet.netfile import NodeInfo
from devnet.network import Network
from medquorum import merkle
from medquorum.errors import MedQuorumError
from medquorum.evidence import decode_evidence, verify_evidence
from medquorum.history import Certified, ValidatorHistory
from medquorum.payloads import RawBlock, ValidatorsAnswer, certified_of, changes_of
from medquorum.receipt import verify_receipt
from storage.wal import WriteAheadLog

_HTTP_OK: Final = 200


class _Header(msgspec.Struct):
    height: int
    raw: RawBlock


class _Page(msgspec.Struct):
    headers: list[_Header]


class _TxIds(msgspec.Struct):
    tx_ids: list[str]


@dataclass(frozen=True, slots=True)
class Chain:
    """What one node shows of all heights after `after`."""

    node: str
    blocks: tuple[Certified, ...]
    after: int = 0


def caught_up(node: NodeInfo, height: int) -> NodeInfo:
    """Wait until a node has a height; if it does not get there, reading its chain will tell."""
    path = f"/v1/blocks/{height}?min_height={height}&timeout={CATCH_UP_S:.0f}"
    api.get(node.rpc, path, timeout_s=CATCH_UP_S + ANSWER_S)
    return node


def read_chain(node: NodeInfo, height: int, *, after: int = 0) -> Chain | str:
    """Every height after `after` and up to `height` as a node shows it, or why it cannot be
    read.
    """
    blocks: list[Certified] = []
    while after + len(blocks) < height:
        first = after + len(blocks) + 1
        path = f"/v1/headers?from={first}&limit={min(PAGE_HEADERS, height - first + 1)}"
        page = api.get_as(_Page, node.rpc, path, timeout_s=30)
        if page is None or not page.headers or page.headers[0].height != first:
            return f"{node.name} does not show height {first}"
        try:
            blocks += [certified_of(header.raw) for header in page.headers]
        except MedQuorumError as error:
            return f"{node.name} shows a block from {first} on that does not decode: {error}"
    return Chain(node.name, tuple(blocks), after)


def chains_agree(chains: Sequence[Chain]) -> Iterator[str]:
    """At every height all nodes have the same block and the same result (S1, S3)."""
    first = chains[0].after + 1 if chains else 1
    for height, blocks in enumerate(zip(*(chain.blocks for chain in chains), strict=True), first):
        hashes = {block.header.hash() for block in blocks}
        roots = {(block.result.hash(), block.result.state_root) for block in blocks}
        if len(hashes) > 1:
            yield f"fork: {len(hashes)} different blocks at height {height}"
        elif len(roots) > 1:
            yield f"divergence: {len(roots)} different results at height {height}"


def proven_history(network: Network, node: NodeInfo) -> ValidatorHistory | str:
    """Who voted at which height, proven from the genesis by what a node shows, or what is wrong
    with that.
    """
    history = ValidatorHistory(network.genesis)
    shown = api.get_as(ValidatorsAnswer, node.rpc, "/v1/validators", timeout_s=30)
    if shown is None:
        return f"{node.name} does not show the validators"
    try:
        history.extend(changes_of(shown))
    except MedQuorumError as error:
        return f"{node.name} shows validators that are not proven: {error}"
    return history


def chain_is_certified(
    chain: Chain, history: ValidatorHistory, before: Certified | None = None
) -> Iterator[str]:
    """Every height names the one before it, and a quorum has signed it (S1). `before` is the
    height before the first of them, None for the genesis.
    """
    for height, block in enumerate(chain.blocks, chain.after + 1):
        parent = history.chain_id if before is None else before.header.hash()
        if block.header.height != height or block.header.parent != parent:
            yield f"{chain.node}: height {height} does not follow the one before it"
        if before is not None and block.header.parent_result != before.result.hash():
            yield f"{chain.node}: height {height} follows another result"
        try:
            history.verify(block)
        except MedQuorumError as error:
            yield f"{chain.node}: the certificate of height {height} does not hold: {error}"
        before = block


def read_transactions(
    node: NodeInfo, chain: Chain, *, before: Mapping[bytes, int] | None = None
) -> dict[bytes, int] | str:
    """The height of every transaction of the chain, or what is wrong with that (S4). `before` are
    those of earlier heights.
    """
    where: dict[bytes, int] = {}
    earlier = {} if before is None else before
    for height, block in enumerate(chain.blocks, chain.after + 1):
        if block.header.tx_count == 0:
            continue
        shown = api.get_as(_TxIds, node.rpc, f"/v1/blocks/{height}", timeout_s=30)
        if shown is None:
            return f"{node.name} does not show the transactions of height {height}"
        ids = [bytes.fromhex(tx_id) for tx_id in shown.tx_ids]
        if merkle.root(ids) != block.header.txs_root:
            return f"{node.name} shows transactions that are not those of height {height}"
        for tx_id in ids:
            there = where.get(tx_id) or earlier.get(tx_id)
            if there is not None:
                return f"{tx_id.hex()} stands at height {there} and at {height}"
            where[tx_id] = height
    return where


def placed_as_told(placed: Mapping[bytes, Placed], where: Mapping[bytes, int]) -> Iterator[str]:
    """What clients were told to be committed stands where they were told (S5)."""
    for tx_id, told in placed.items():
        expected = None if told.state == "expired" else told.height
        if where.get(tx_id) != expected:
            yield f"{tx_id.hex()} was told to be {told.state} at {expected}: {where.get(tx_id)}"


def receipts_hold(
    network: Network,
    nodes: Sequence[NodeInfo],
    where: Mapping[bytes, int],
    *,
    receipts_max: int = RECEIPTS_MAX,
) -> tuple[int, list[str]]:
    """Receipts from all of a history, each from another node in turn, verify without any node (S6);
    how many did, and what is wrong with the others.
    """
    genesis, problems = network.genesis, []
    every = max(1, len(where) // receipts_max)
    chosen = list(where.items())[::every][:receipts_max]
    for number, (tx_id, height) in enumerate(chosen):
        node = nodes[number % len(nodes)]
        answered = api.get(node.rpc, f"/v1/txs/{tx_id.hex()}/receipt", timeout_s=30)
        if answered is None or answered[0] != _HTTP_OK:
            problems.append(f"{node.name} has no receipt of {tx_id.hex()}")
            continue
        try:
            verified = verify_receipt(answered[1], genesis)
        except MedQuorumError as error:
            problems.append(f"{node.name}: the receipt of {tx_id.hex()} does not hold: {error}")
            continue
        if (verified.tx_id, verified.height) != (tx_id, height):
            problems.append(f"{node.name}: the receipt of {tx_id.hex()} is another one's")
    return len(chosen) - len(problems), problems


@dataclass(frozen=True, slots=True)
class Conviction:
    """Two signed votes of one validator that contradict each other."""

    validator: str
    kind: str


def read_evidence(network: Network, node: NodeInfo) -> tuple[list[Conviction], list[str]]:
    """What a node that has ended recorded against validators, and what of it proves nothing."""
    log = WriteAheadLog.open(network.directory.node(node.index).evidence)
    records = log.records
    log.close()
    convictions, problems = [], []
    for record in records:
        try:
            evidence = decode_evidence(record)
            accusation = verify_evidence(
                evidence, network.genesis.chain_id(), network.genesis.engine
            )
        except MedQuorumError as error:
            problems.append(f"{node.name}: evidence that proves nothing: {error}")
            continue
        convictions.append(Conviction(accusation.validator.hex(), accusation.kind.value))
    return convictions, problems
