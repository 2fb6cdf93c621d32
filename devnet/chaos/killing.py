"""Kills nodes of a network under load at random moments, round after round, and judges each round.

    series = asyncio.run(kill_rounds(NetworkDir(path), plan, say=print))

A round: load flows; one, several or all nodes get SIGKILL, perhaps once more while they start; they
are started again; and then everything that any node accepted must stand in the chain, every node
must have the same blocks, results and state roots, and receipts must verify without any node. One
network lives through all rounds, so a height that is lost in the tenth is missed in the twentieth.
At the end every node is stopped, and its data checked from the genesis.
"""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

import aiohttp
import msgspec

from devnet import api
from devnet.chaos import checks
from devnet.chaos.killed import Blow, Round, Series, draw
from devnet.chaos.limits import KILL_BATCH_TXS, KILL_READY_S, KILL_RECEIPTS, KILL_SETTLE_S
from devnet.commands.running import bring_up
from devnet.economy import endow
from devnet.errors import DevnetError
from devnet.layout import CHECKOUT, NetworkDir
from devnet.load import Plan, following, make_recipe, window_of
from devnet.loadbook import Book
from devnet.loadclient import Sender, highest
from devnet.manifest import DEFAULT_FILE, load_manifest
from devnet.netfile import NodeInfo
from devnet.network import Launch, Network
from devnet.signing import Recipe, make
from medquorum.client import Client
from medquorum.history import Certified, ValidatorHistory
from medquorum.quorum import EngineName

ACCOUNTS: Final = 8
CONFIG: Final[dict[str, object]] = {"consensus.round_ms": 500}
"""Every other round kills who leads; nodes of one machine need no longer to see that."""
VERIFY: Final = (sys.executable, "-m", "node.cli.main", "verify", "--deep", "--json")


class _Finding(msgspec.Struct):
    part: str
    height: int
    key: str
    detail: str


class _Verified(msgspec.Struct):
    checked: dict[str, int]
    findings: list[_Finding]


@dataclass(frozen=True, slots=True)
class KillPlan:
    """What to do to whom. `rate` is transactions a second, as far as nodes take them."""

    rounds: int
    seed: int
    engine: EngineName = "pbft"
    validators: int = 4
    rate: float = 100.0
    settle_s: float = KILL_SETTLE_S
    """Patience with what was accepted, once all nodes are ready again."""
    launch: Launch | None = None
    """How nodes are started, if in another way than the usual one."""


@dataclass(slots=True)
class Killing:
    """A series while it is made."""

    network: Network
    plan: KillPlan
    sender: Sender
    recipe: Recipe
    history: ValidatorHistory
    book: Book = field(default_factory=Book)
    placed: dict[bytes, int] = field(default_factory=dict)
    """The height of every transaction of the chain so far."""
    last: Certified | None = None
    """The last height that was judged: what follows must name it."""
    judged: int = 0
    accepted: int = 0
    """In earlier rounds."""

    @property
    def nodes(self) -> Sequence[NodeInfo]:
        """All nodes of the network."""
        return self.network.nodes


@dataclass(slots=True)
class Judged:
    """What the nodes show after a round. `lost` are ids of what a node accepted and none has."""

    height: int
    receipts: int = 0
    lost: set[str] = field(default_factory=set)
    problems: list[str] = field(default_factory=list)


async def kill_rounds(
    directory: NetworkDir, plan: KillPlan, *, say: Callable[[Round], None]
) -> Series:
    """Make a network in `directory`, which stays, and kill its nodes; ends early with the first
    round that breaks a promise. Raises DevnetError, ClientError if the undisturbed network fails.
    """
    manifest = load_manifest(
        DEFAULT_FILE, name="kills", engine=plan.engine, validators=plan.validators, base_port=0
    )
    manifest = msgspec.structs.replace(manifest, config=CONFIG)
    network = await asyncio.to_thread(bring_up, directory, manifest)
    if plan.launch is not None:
        network.stop(network.nodes)
        network.launches = {node.index: plan.launch for node in network.nodes}
        network.start(network.nodes)
        network.wait_ready(network.nodes)
    series = Series(seed=plan.seed, engine=plan.engine)
    began = time.monotonic()
    try:
        urls = [node.url for node in network.nodes]
        async with Client(urls[0], genesis=network.genesis) as client:
            tills = await endow(network, client, ACCOUNTS)
        recipe = make_recipe(network, tills, Plan(plan.rate, 1.0, accounts=ACCOUNTS))
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
            sender = Sender(session, urls)
            history = ValidatorHistory(network.genesis)
            killing = Killing(network, plan, sender, recipe, history)
            killing.book.last_height = await highest(session, urls) or 0
            async with following(session, urls, killing.book.last_height, killing.book):
                await _rounds(killing, series, say)
        await asyncio.to_thread(_judge_all, killing, series)
    finally:
        network.close()
    series.seconds = round(time.monotonic() - began, 1)
    return series


async def _rounds(killing: Killing, series: Series, say: Callable[[Round], None]) -> None:
    for number in range(1, killing.plan.rounds + 1):
        rng = random.Random(f"{killing.plan.seed} {number}")
        done = await _round(killing, number, draw(rng, len(killing.nodes)))
        series.add(done)
        say(done)
        if done.problems:
            return


async def _round(killing: Killing, number: int, blow: Blow) -> Round:
    began, unanswered = time.monotonic(), killing.book.unanswered
    judged = Judged(killing.judged)
    closing = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        for at in range(len(killing.nodes)):
            group.create_task(_send(killing, at, closing))
        await asyncio.sleep(blow.after_s)
        struck = time.monotonic()
        try:
            await asyncio.to_thread(_strike_and_start, killing.network, blow)
        except DevnetError as error:
            judged.problems.append(f"a killed node was not started: {error}")
        closing.set()
    if not judged.problems:
        try:
            await asyncio.to_thread(_wait_ready, killing.network)
        except DevnetError as error:
            judged.problems.append(f"a killed node did not come back: {error}")
    back_ms = 1_000 * (time.monotonic() - struck)
    if not judged.problems:
        judged.lost |= await _settle(killing)
    if not judged.problems:
        await asyncio.to_thread(_judge, killing, number, judged)
    accepted = len(killing.book.accepted())
    fresh, killing.accepted = accepted - killing.accepted, accepted
    return Round(
        number=number,
        killed=blow.victims,
        again=blow.again,
        accepted=fresh,
        unanswered=killing.book.unanswered - unanswered,
        lost=len(judged.lost),
        height=judged.height,
        receipts=judged.receipts,
        back_ms=round(back_ms, 1),
        seconds=round(time.monotonic() - began, 2),
        problems=[*judged.problems, *(f"lost: {tx_id}" for tx_id in sorted(judged.lost))],
    )


async def _send(killing: Killing, first: int, closing: asyncio.Event) -> None:
    """Load through one node while it answers, else through the next, until `closing`."""
    book, nodes = killing.book, len(killing.nodes)
    pause_s = KILL_BATCH_TXS * nodes / killing.plan.rate
    while not closing.is_set():
        valid_until = book.last_height + window_of(killing.network)
        signed = await asyncio.to_thread(make, killing.recipe, KILL_BATCH_TXS, valid_until)
        now = time.monotonic()
        for tx in signed:
            book.sent(tx, now)
        book.answered(signed, await killing.sender.send(signed, first))
        await asyncio.sleep(max(0.0, now + pause_s - time.monotonic()))


def _strike_and_start(network: Network, blow: Blow) -> None:
    """Kill at one moment, start, and kill once more who is meant to die while it starts."""
    victims = [network.nodes[index] for index in blow.victims]
    network.kill_together(victims)
    time.sleep(blow.down_s)
    network.start(victims)
    if blow.again:
        time.sleep(blow.again_after_s)
        twice = [network.nodes[index] for index in blow.again]
        network.kill_together(twice)
        network.start(twice)


def _wait_ready(network: Network) -> None:
    network.wait_ready(network.nodes, timeout_s=KILL_READY_S)


async def _settle(killing: Killing) -> set[str]:
    """Until all that was accepted was seen in blocks; what was not, in time."""
    book = killing.book
    with suppress(TimeoutError):
        async with asyncio.timeout(killing.plan.settle_s):
            await book.settled.wait()
    return {entry.tx.tx_id.hex() for entry in book.accepted() if entry.seen == 0.0}


def _judge(killing: Killing, number: int, judged: Judged) -> None:
    """The chain since the last round, as every node shows it; what it shows goes into `judged`."""
    nodes, network = killing.nodes, killing.network
    statuses = [api.status(node.rpc) for node in nodes]
    top = max((status.height for status in statuses if status is not None), default=0)
    read = [
        checks.read_chain(checks.caught_up(node, top), top, after=killing.judged) for node in nodes
    ]
    chains = [chain for chain in read if isinstance(chain, checks.Chain)]
    judged.problems += [why for why in read if isinstance(why, str)]
    judged.problems += checks.chains_agree(chains)
    if judged.problems:
        return
    # Another node each time shows the blocks; what proves them is the same whoever shows them.
    shown_by = number % len(nodes)
    node, chain = nodes[shown_by], chains[shown_by]
    judged.problems += checks.chain_is_certified(chain, killing.history, killing.last)
    where = checks.read_transactions(node, chain, before=killing.placed)
    if isinstance(where, str):
        judged.problems.append(where)
        return
    killing.placed.update(where)
    judged.lost |= {
        entry.tx.tx_id.hex()
        for entry in killing.book.accepted()
        if entry.tx.tx_id not in killing.placed
    }
    judged.receipts, problems = checks.receipts_hold(
        network, nodes, where, receipts_max=KILL_RECEIPTS
    )
    judged.problems += problems
    if chain.blocks:
        killing.last = chain.blocks[-1]
    judged.height = killing.judged = top


def _judge_all(killing: Killing, series: Series) -> None:
    """Receipts from the whole chain; then stop everything, and check every node's data from the
    genesis.
    """
    network = killing.network
    if series.holds:
        series.receipts, problems = checks.receipts_hold(network, killing.nodes, killing.placed)
        series.problems += problems
    for stopped in network.stop(network.nodes):
        if not (stopped.was_running and stopped.gracefully):
            series.problems.append(f"{stopped.node.name} did not end when it was asked to")
    looked_at: Counter[str] = Counter()
    for node in network.nodes:
        home = network.directory.node(node.index).root
        ran = subprocess.run(
            [*VERIFY, "--home", str(home)],
            cwd=CHECKOUT,
            capture_output=True,
            check=False,
        )
        try:
            verified = msgspec.json.decode(ran.stdout, type=_Verified)
        except msgspec.DecodeError:
            series.problems.append(f"{node.name} was not checked: {ran.stderr[-500:]!r}")
            continue
        series.problems += [
            f"{node.name}: {found.part} of height {found.height} {found.key}: {found.detail}"
            for found in verified.findings
        ]
        looked_at.update(verified.checked)
    series.verified = dict(looked_at)
