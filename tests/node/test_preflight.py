"""A change that would strand the chain is not passed on, unless somebody answers for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from medquorum.codec import decode, encode
from medquorum.keys import possession_bytes
from medquorum.quorum import EngineName
from medquorum.transaction import Transaction
from node.errors import QuorumAtRiskError
from node.forecast import Standing
from node.intake import Admission
from node.ledger.codes import OK
from node.ledger.decisions import APPROVE, REJECT, Draft, proposal_id
from node.ledger.proposals import (
    ObserverAdd,
    ParamSet,
    ProposalKind,
    ValidatorAdd,
    ValidatorRemove,
    ValidatorReplace,
)
from node.ledger.types.governance.bodies import CastVote, Execute, Override, Propose
from node.limits import PREFLIGHT_BEHIND_MAX, PREFLIGHT_SILENT_S
from node.sync import Heard, SyncStatus
from tests.support.cluster import Cluster, key_of, running_cluster
from tests.support.daemon import MSGPACK, LocalNode, local_node

REASON = "site.lost"
LEVEL = Heard(0.1, 0, 0)


@pytest.fixture(params=["pbft", "raft"])
def engine(request: pytest.FixtureRequest) -> EngineName:
    """Both engines keep these promises."""
    name: EngineName = request.param
    return name


def refusal_of(admission: Admission) -> QuorumAtRiskError:
    assert isinstance(admission.refusal, QuorumAtRiskError), admission
    return admission.refusal


def replacement(cluster: Cluster, leaving: int, coming: int) -> ValidatorReplace:
    old = cluster.genesis.validators[leaving]
    return ValidatorReplace(
        old.key,
        key_of(f"vote{coming}").public,
        key_of(f"node{coming}").public,
        cluster.possession(coming, old.org),
    )


async def outcome(cluster: Cluster, at: int, tx: Transaction) -> str:
    """Submit, which must be accepted; how it ended."""
    [admission] = await cluster.submit(at, tx)
    assert admission.refusal is None, admission.refusal
    return (await cluster.node(at).tracker.wait(tx.id, 30)).code


async def test_a_change_that_would_leave_too_few_is_refused_until_somebody_answers_for_it(
    tmp_path: Path, engine: EngineName
) -> None:
    """Four validators, one of them down: nobody may be replaced by one that was never seen."""
    async with running_cluster(tmp_path, 4, start=[0, 1, 2], engine=engine, later=1) as cluster:
        tx = cluster.transaction()
        await cluster.submit(0, tx)
        await cluster.committed([tx])
        content = replacement(cluster, leaving=2, coming=4)
        plain = cluster.decision(ProposalKind.VALIDATOR_REPLACE, content)
        [admission] = await cluster.submit(0, plain)
        found = refusal_of(admission).forecast
        assert (found.ready, found.needed) == (2, 3)
        standings = {seat.validator.key: seat.sighting.standing for seat in found.missing}
        assert standings == {
            cluster.genesis.validators[3].key: Standing.NEVER_SEEN,
            content.new_key: Standing.NEVER_SEEN,
        }
        # A liar who passes it on is not our client: what peers send is the ledger's to judge.
        [by_gossip] = await cluster.node(1).intake.submit([plain.raw], local=False)
        assert by_gossip.refusal is None


async def test_what_is_overridden_is_carried_out_and_on_the_record(
    tmp_path: Path, engine: EngineName
) -> None:
    """A fifth validator that never connected: with one of four down, both engines then wait for
    it, or for the one that is down. That one comes back, and the chain goes on.
    """
    async with running_cluster(tmp_path, 4, start=[0, 1, 2], engine=engine, later=1) as cluster:
        org = cluster.genesis.organisations[0].org
        content = ValidatorAdd(
            key_of("vote4").public, key_of("node4").public, org, cluster.possession(4, org)
        )
        [refused] = await cluster.submit(0, cluster.decision(ProposalKind.VALIDATOR_ADD, content))
        assert refusal_of(refused).forecast.missing[-1].newcomer
        tx = cluster.decision(ProposalKind.VALIDATOR_ADD, content, override=REASON)
        assert await outcome(cluster, 0, tx) == OK
        chain = cluster.node(0).chain
        assert len(chain.tip.validators.validators) == 5
        height = chain.tip.height
        events = {event.type for event in chain.blocks.events(height)}
        assert {"gov.overridden", "gov.executed", "gov.validators_changed"} <= events
        await cluster.start(3)
        assert await outcome(cluster, 3, cluster.transaction()) != ""


async def test_a_removal_that_leaves_one_that_runs_of_two_is_refused_until_answered_for(
    tmp_path: Path, engine: EngineName
) -> None:
    """Three validators, one of them down, and a second one leaves."""
    async with running_cluster(tmp_path, 3, start=[0, 1], engine=engine) as cluster:
        content = ValidatorRemove(cluster.genesis.validators[1].key)
        [refused] = await cluster.submit(
            0, cluster.decision(ProposalKind.VALIDATOR_REMOVE, content)
        )
        found = refusal_of(refused).forecast
        assert (found.ready, found.needed) == (1, 2)
        assert [seat.validator for seat in found.missing] == [cluster.genesis.validators[2]]
        tx = cluster.decision(ProposalKind.VALIDATOR_REMOVE, content, override=REASON)
        assert await outcome(cluster, 0, tx) == OK
        # Now the one that was down is needed. It comes back, and fetches what it missed.
        await cluster.start(2)
        assert await outcome(cluster, 2, cluster.transaction()) != ""


KEY, NODE = key_of("fifth vote"), key_of("fifth node")


def proposing(node: LocalNode, *, override: bool = False, nonce: int = 1) -> Transaction:
    """The only founder proposes a second validator."""
    org = node.genesis.organisations[0].org
    proof = KEY.sign(possession_bytes(node.chain.chain_id, org, KEY.public))
    content = ValidatorAdd(KEY.public, NODE.public, org, proof)
    draft = Draft(str(ProposalKind.VALIDATOR_ADD), encode(content), bytes([nonce]) * 16)
    operations = [node.operation("gov.propose", Propose(org, draft))]
    if override:
        body = Override(org, proposal_id(draft), REASON)
        operations.append(node.operation("gov.override", body))
    return node.transaction(*operations)


@pytest.mark.parametrize(
    ("connected", "heard", "standing"),
    [
        (False, None, Standing.NEVER_SEEN),
        (False, LEVEL, Standing.OFFLINE),
        (True, None, Standing.SILENT),
        (True, Heard(PREFLIGHT_SILENT_S + 0.1, 0, 0), Standing.SILENT),
        (True, Heard(0.1, PREFLIGHT_BEHIND_MAX + 1, 0), Standing.BEHIND),
        (True, Heard(0.1, PREFLIGHT_BEHIND_MAX, 0), None),
        (True, Heard(PREFLIGHT_SILENT_S - 0.1, -3, 0), None),
    ],
)
async def test_who_counts_as_there(
    tmp_path: Path, connected: bool, heard: Heard | None, standing: Standing | None
) -> None:
    async with local_node(tmp_path) as node:
        node.world.links = (NODE.public,) if connected else ()
        node.world.heights = {} if heard is None else {NODE.public: heard}
        [admission] = await node.intake.submit([proposing(node).raw], local=True)
        if standing is None:
            assert admission.pending
            return
        [seat] = refusal_of(admission).forecast.missing
        assert (seat.sighting.standing, seat.newcomer) == (standing, True)
        [overridden] = await node.intake.submit([proposing(node, override=True).raw], local=True)
        assert overridden.pending


async def test_a_node_that_halted_or_is_behind_does_not_count_itself(tmp_path: Path) -> None:
    async with local_node(tmp_path) as node:
        node.world.links, node.world.heights = (NODE.public,), {NODE.public: LEVEL}
        node.world.sync = SyncStatus(1, 2 + PREFLIGHT_BEHIND_MAX)
        [behind] = await node.intake.submit([proposing(node).raw], local=True)
        node.world.sync, node.world.halted = None, "own_result_differs"
        [halted] = await node.intake.submit([proposing(node).raw], local=True)
    seats = [refusal_of(admission).forecast.missing[0] for admission in (behind, halted)]
    assert [seat.sighting.standing for seat in seats] == [Standing.BEHIND, Standing.HALTED]
    assert [seat.newcomer for seat in seats] == [False, False]


async def test_approving_and_carrying_out_are_looked_at_like_proposing(tmp_path: Path) -> None:
    async with local_node(tmp_path) as node:
        node.world.links, node.world.heights = (NODE.public,), {NODE.public: LEVEL}
        tx = proposing(node)
        await node.accept(*tx.body.operations)
        proposal = proposal_id(decode(Propose, tx.body.operations[0].body, size_max=4_096).draft)
        org = node.genesis.organisations[0].org
        approve = node.operation("gov.vote", CastVote(org, proposal, APPROVE))
        reject = node.operation("gov.vote", CastVote(org, proposal, REJECT))
        execute = node.operation("gov.execute", Execute(proposal))
        node.world.links = ()
        for operation in (approve, execute):
            [refused] = await node.intake.submit([node.transaction(operation).raw], local=True)
            assert refusal_of(refused).forecast.missing[0].sighting.standing is Standing.OFFLINE
        [rejected] = await node.intake.submit([node.transaction(reject).raw], local=True)
        assert rejected.pending
        # What was admitted before a restart was looked at then, and is nobody's to ask again.
        [recovered] = await node.intake.submit(
            [node.transaction(approve).raw], local=True, recovered=True
        )
        assert recovered.pending


async def test_the_api_names_who_is_missing_and_looks_ahead_on_request(tmp_path: Path) -> None:
    async with local_node(tmp_path) as node, node.api() as api:
        async with api.post("/v1/txs", data=proposing(node).raw, headers=MSGPACK) as answer:
            assert answer.status == 409
            problem = await answer.json()
        assert problem["code"] == "quorum_at_risk"
        [missing] = problem["missing"]
        assert missing["node_key"] == NODE.public.hex()
        assert missing["standing"] == "never_seen"

        async def ahead(**params: str) -> dict[str, object]:
            async with api.get("/v1/validators/forecast", params=params) as found:
                assert found.status == 200, await found.text()
                document: dict[str, object] = await found.json()
                return document

        today = await ahead()
        assert (today["safe"], today["ready"], today["needed"], today["detail"]) == (True, 1, 1, "")
        more = await ahead(add=NODE.public.hex())
        assert (more["safe"], more["ready"], more["needed"]) == (False, 1, 2)
        founder = node.genesis.validators[0].key.hex()
        swapped = await ahead(replace=founder, by=NODE.public.hex())
        assert (swapped["safe"], swapped["ready"], swapped["needed"]) == (False, 0, 1)
        node.world.links, node.world.heights = (NODE.public,), {NODE.public: LEVEL}
        assert (await ahead(add=NODE.public.hex()))["safe"] is True
        tx = proposing(node)
        await node.accept(*tx.body.operations)
        proposal = proposal_id(decode(Propose, tx.body.operations[0].body, size_max=4_096).draft)
        assert (await ahead(proposal=proposal.hex()))["ready"] == 2


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({"proposal": "00" * 32}, 404),
        ({"proposal": "00"}, 422),
        ({"remove": "01" + "00" * 32}, 404),
        ({"add": "01"}, 422),
        ({"replace": "01" + "00" * 32}, 422),
        ({"by": "01" + "00" * 32}, 422),
        ({"add": "01" + "00" * 32, "remove": "01" + "00" * 32}, 422),
    ],
)
async def test_a_question_that_makes_no_sense_is_refused(
    tmp_path: Path, query: dict[str, str], status: int
) -> None:
    async with (
        local_node(tmp_path) as node,
        node.api() as api,
        api.get("/v1/validators/forecast", params=query) as answer,
    ):
        assert answer.status == status, await answer.text()


async def test_other_decisions_are_nobodys_business(tmp_path: Path) -> None:
    async with local_node(tmp_path) as node:
        org = node.genesis.organisations[0].org
        for kind, content in (
            (ProposalKind.PARAM_SET, ParamSet("tx.window_heights", 500)),
            (ProposalKind.OBSERVER_ADD, ObserverAdd(NODE.public, org)),
        ):
            draft = Draft(str(kind), encode(content), bytes(16))
            tx = node.transaction(node.operation("gov.propose", Propose(org, draft)))
            [admission] = await node.intake.submit([tx.raw], local=True)
            assert admission.pending
