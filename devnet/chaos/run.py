"""Makes one history: setup, start, load, perturb, wait, test, stop.

    verdict = asyncio.run(make_history(NetworkDir(path), scenario, say=print))

Everything that is judged is judged from outside (checks.py). Whatever happens, no process that was
started here is left behind.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import aiohttp
import msgspec

from devnet import api
from devnet.chaos import checks
from devnet.chaos.faults import Faults
from devnet.chaos.limits import RECOVER_S, SETTLE_S
from devnet.chaos.proxy import Proxy
from devnet.chaos.recovery import Watch
from devnet.chaos.registers import Registers, Teller, open_registers
from devnet.chaos.scenario import AnyStep, Scenario, disturbances
from devnet.chaos.verdict import Verdict
from devnet.economy import endow
from devnet.layout import NetworkDir
from devnet.load import Plan, run_load, window_of
from devnet.loadbook import Report
from devnet.manifest import DEFAULT_FILE, load_manifest
from devnet.netfile import NodeInfo
from devnet.network import Network
from devnet.sim.linearizability import first_problem
from medquorum.client import Client

ACCOUNTS: Final = 8
CONVICTS: Final = "equivocate"
"""The lie that leaves proof of itself."""


@dataclass(slots=True)
class History:
    """A history while it is made."""

    network: Network
    scenario: Scenario
    faults: Faults
    say: Callable[[str], None]
    verdict: Verdict
    watch: Watch
    registers: Registers | None = None
    began: float = 0.0

    @property
    def honest(self) -> list[NodeInfo]:
        """The nodes whose word counts."""
        return [node for node in self.network.nodes if node.index not in self.scenario.lying]

    def expect(self) -> None:
        """Watch those that are members now."""
        self.watch.expect([node.url for node in self.honest])


async def make_history(
    directory: NetworkDir, scenario: Scenario, *, say: Callable[[str], None]
) -> Verdict:
    """Make it in a new network in `directory`, which stays. Raises DevnetError, ClientError if not
    even the undisturbed network works.
    """
    verdict = Verdict(name=scenario.name, seed=scenario.seed)
    manifest = load_manifest(
        DEFAULT_FILE,
        name=scenario.name,
        engine=scenario.engine,
        validators=scenario.nodes,
        base_port=0,
    )
    manifest = msgspec.structs.replace(manifest, proxied=True, config=scenario.config)
    now_ms = time.time_ns() // 1_000_000
    network = Network.create(directory, manifest, now_ms=now_ms)
    try:
        ports = [node.p2p for node in network.nodes]
        async with Proxy(ports, random.Random(scenario.seed)) as proxy:
            faults = Faults(network, proxy, say)
            history = History(network, scenario, faults, say, verdict, Watch())
            await _run(history)
    except BaseExceptionGroup as group:
        # One cause is enough to tell; the others followed from it.
        raise _first(group) from group
    finally:
        network.close()
    return verdict


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


async def _run(history: History) -> None:
    async with _stage(history, "start"):
        history.faults.prepare(history.scenario)
        await asyncio.to_thread(_start, history)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        async with _stage(history, "load"):
            await _endow(history)
        history.expect()
        closing = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            load = group.create_task(_load(history))
            watching = group.create_task(history.watch.run(session))
            tellers = [group.create_task(t.run(closing)) for t in _tellers(history, session)]
            async with _stage(history, "perturb"):
                await _perturb(history)
            async with _stage(history, "wait"):
                await _recover(history)
                closing.set()
                _, late = await asyncio.wait([*tellers, load], timeout=RECOVER_S + SETTLE_S)
                for task in late:
                    task.cancel()
            watching.cancel()
            _judge_ends(history, len(late))
        if not load.cancelled():
            _judge_load(history, load.result())
        async with _stage(history, "test"):
            await asyncio.to_thread(_judge, history)
    async with _stage(history, "stop"):
        await asyncio.to_thread(_stop, history)


@asynccontextmanager
async def _stage(history: History, name: str) -> AsyncIterator[None]:
    began = time.monotonic()
    history.say(f"-- {name}")
    try:
        yield
    finally:
        history.verdict.figures.stages_s[name] = round(time.monotonic() - began, 3)


def _start(history: History) -> None:
    network = history.network
    network.start(network.nodes)
    # A liar may well be banned from the beginning.
    network.wait_ready(history.honest, min_peers=len(history.honest) - 1)


async def _endow(history: History) -> None:
    network = history.network
    async with Client(history.honest[0].url, genesis=network.genesis) as client:
        tills = await endow(network, client, ACCOUNTS)
        history.registers = await open_registers(
            client,
            bytes.fromhex(network.chain_id),
            tills[0],
            count=history.scenario.load.registers,
            window=window_of(network),
            linearizable=network.manifest.engine == "raft",
        )


async def _load(history: History) -> Report:
    scenario = history.scenario
    plan = Plan(
        scenario.load.rate, scenario.seconds, accounts=ACCOUNTS, drain_s=RECOVER_S + SETTLE_S
    )
    return await run_load(history.network, plan, through=history.honest)


def _tellers(history: History, session: aiohttp.ClientSession) -> list[Teller]:
    urls = [node.url for node in history.honest]
    if history.registers is None:
        return []
    return [
        Teller(
            number,
            history.registers,
            session,
            urls,
            random.Random(f"{history.scenario.seed} {number}"),
        )
        for number in range(history.scenario.load.clients)
    ]


async def _perturb(history: History) -> None:
    history.began = began = time.monotonic()
    for step in sorted(history.scenario.steps, key=lambda step: step.at):
        await asyncio.sleep(max(0.0, began + step.at - time.monotonic()))
        begins = time.monotonic()
        history.say(f"{begins - began:6.1f} s  {told(step)}")
        await history.faults.carry_out(step)
        history.watch.step(step, begins, told(step))
        history.expect()
    await asyncio.sleep(max(0.0, began + history.scenario.seconds - time.monotonic()))


def told(step: AnyStep) -> str:
    """A step in words."""
    fields: dict[str, object] = msgspec.to_builtins(step)
    rest = " ".join(f"{key}={value}" for key, value in fields.items() if key not in ("at", "do"))
    return f"{fields['do']} {rest}".rstrip()


async def _recover(history: History) -> None:
    """Mend everything, and wait until each honest node has committed something new."""
    watch, figures = history.watch, history.verdict.figures
    await history.faults.mend()
    history.expect()
    mended = time.monotonic()
    if not watch.is_calm():
        watch.ended.append((mended, "everything"))
    await watch.wait_after(mended)
    figures.recoveries, figures.interrupted = watch.recoveries(history.began)
    figures.steps = history.faults.steps
    figures.disturbances = sum(map(disturbances, history.scenario.steps))
    history.verdict.examine(
        "all nodes commit again after everything is mended",
        [
            f"{node.name} did not within {RECOVER_S:.0f} s"
            for node in history.honest
            if node.url in watch.behind(mended)
        ],
    )


def _judge_ends(history: History, late: int) -> None:
    refusals = history.registers.refusals if history.registers is not None else {}
    history.verdict.examine(
        "every write of a client comes to an end",
        [f"{late} did not within {RECOVER_S + SETTLE_S:.0f} s; refused: {dict(refusals)}"]
        if late
        else [],
    )


def _judge_load(history: History, report: Report) -> None:
    figures = history.verdict.figures
    figures.load = report
    figures.lost = len(report.lost)
    history.verdict.examine(
        "nothing that was acknowledged is lost", [f"lost: {tx_id}" for tx_id in report.lost]
    )


def _judge(history: History) -> None:
    """Everything that is seen from the API of honest nodes."""
    network, verdict, figures = history.network, history.verdict, history.verdict.figures
    statuses = {node.name: api.status(node.rpc) for node in history.honest}
    verdict.examine(
        "no honest node halts or stops answering",
        [
            f"{name}: {'no answer' if status is None else status.halted}"
            for name, status in statuses.items()
            if status is None or status.halted is not None
        ],
    )
    height = max((status.height for status in statuses.values() if status is not None), default=0)
    figures.heights = height
    read = [checks.read_chain(checks.caught_up(node, height), height) for node in history.honest]
    chains = [chain for chain in read if isinstance(chain, checks.Chain)]
    verdict.examine("all nodes get to one height", [why for why in read if isinstance(why, str)])
    divergent = list(checks.chains_agree(chains))
    figures.divergent = len(divergent)
    verdict.examine("all nodes have the same blocks and the same results", divergent)
    for chain in chains:
        shown_by = next(node for node in history.honest if node.name == chain.node)
        proven = checks.proven_history(network, shown_by)
        verdict.examine(
            "a quorum has certified every height, and one block only",
            [proven] if isinstance(proven, str) else list(checks.chain_is_certified(chain, proven)),
        )
    if chains:
        _judge_transactions(history, chains[0])
    _judge_history(history)


def _judge_transactions(history: History, chain: checks.Chain) -> None:
    verdict, figures = history.verdict, history.verdict.figures
    node = next(node for node in history.honest if node.name == chain.node)
    where = checks.read_transactions(node, chain)
    if isinstance(where, str):
        verdict.examine("a transaction stands in the chain at most once", [where])
        return
    verdict.examine("a transaction stands in the chain at most once", [])
    figures.transactions = len(where)
    if history.registers is not None:
        verdict.examine(
            "what clients were told is where they were told",
            list(checks.placed_as_told(history.registers.placed, where)),
        )
    figures.receipts, problems = checks.receipts_hold(history.network, history.honest, where)
    verdict.examine("receipts verify without any node", problems)


def _judge_history(history: History) -> None:
    registers, verdict = history.registers, history.verdict
    if registers is None:
        return
    verdict.examine("a final state never changes", registers.contradictions)
    verdict.figures.operations = len(registers.history)
    verdict.figures.looks = registers.looks
    problem = first_problem(registers.history)
    found = []
    if problem is not None:
        register, operations = problem
        found = [f"register {register}", *(str(operation) for operation in operations)]
    verdict.examine("the history of reads and writes is linearizable", found)


def _stop(history: History) -> None:
    """End everything, and read what honest nodes recorded against others."""
    network, verdict = history.network, history.verdict
    history.faults.watch()
    problems = history.faults.unexpected
    for stopped in network.stop(network.nodes):
        if stopped.node in history.honest and not (stopped.was_running and stopped.gracefully):
            problems.append(f"{stopped.node.name} did not end when it was asked to")
    verdict.examine("nodes end when they are asked to, and only then", problems)
    lies = {liar.node: liar.lie for liar in history.scenario.liars}
    liars = {node.validator_key: lies[node.index] for node in network.nodes if node.index in lies}
    kinds: Counter[str] = Counter()
    false, missing = [], []
    for node in history.honest:
        convictions, unproven = checks.read_evidence(network, node)
        kinds.update(conviction.kind for conviction in convictions)
        false += unproven
        false += [
            f"{node.name} convicts an honest validator of {conviction.kind}"
            for conviction in convictions
            if conviction.validator not in liars
        ]
        convicted = {conviction.validator for conviction in convictions}
        missing += [
            f"{node.name} has no evidence against a validator that contradicts itself"
            for key, lie in liars.items()
            if lie == CONVICTS and key not in convicted
        ]
    verdict.figures.convictions = dict(kinds)
    verdict.examine("only liars are convicted, and with proof", false)
    verdict.examine("who contradicts itself is convicted by all", missing)
