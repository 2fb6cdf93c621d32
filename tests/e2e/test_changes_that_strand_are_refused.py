"""A change of the validators after which too few would be there to vote: refused by the node, and
carried out on the record by those who answer for it. Over real processes, on both engines.
"""

from __future__ import annotations

import asyncio
import time

import msgspec
import pytest

from devnet import api
from devnet.joining import decide
from devnet.limits import POLL_S, READY_S
from devnet.network import Network
from medquorum.client import Client
from medquorum.connection import Retry
from medquorum.errors import ProblemError
from medquorum.keys import SigningKey, possession_bytes
from medquorum.receipt import verify_receipt
from node.ledger.proposals import ProposalKind, ValidatorAdd
from tests.support.network import assert_agreement, cheap_transaction, client_of, wait_height

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

REASON = "site.lost"
STRANGER = SigningKey(bytes(31) + b"\x07")
"""Of a daemon that does not run."""


class Seat(msgspec.Struct):
    key: str
    standing: str
    newcomer: bool


class Forecast(msgspec.Struct):
    safe: bool
    ready: int
    needed: int
    validators: list[Seat]


class Override(msgspec.Struct):
    org: str
    reason: str
    height: int


class Proposal(msgspec.Struct):
    proposal: str
    status: str
    overrides: list[Override]


class Proposals(msgspec.Struct):
    items: list[Proposal]


def fifth(network: Network) -> ValidatorAdd:
    """A vote for a daemon that nobody has ever seen."""
    org = network.keys.org_id(network.manifest.hospitals[0].name)
    vote_key = SigningKey(bytes(31) + b"\x08")
    proof = vote_key.sign(possession_bytes(bytes.fromhex(network.chain_id), org, vote_key.public))
    return ValidatorAdd(vote_key.public, STRANGER.public, org, proof)


def forecast(network: Network, **change: str) -> Forecast:
    """What the first node foresees."""
    query = "&".join(f"{name}={value}" for name, value in change.items())
    found = api.get_as(Forecast, network.nodes[0].rpc, f"/v1/validators/forecast?{query}")
    assert found is not None
    return found


def heard_of_all(network: Network) -> None:
    """Wait until the first node has heard of every validator: they announce themselves."""
    deadline = time.monotonic() + READY_S
    while forecast(network).ready < len(network.nodes):
        assert time.monotonic() < deadline
        time.sleep(POLL_S)


def standings(found: Forecast) -> dict[str, str]:
    return {seat.key: seat.standing for seat in found.validators}


async def refused_then_overridden(network: Network) -> bytes:
    """Returns the transaction that carried the change out."""
    impatient = Retry(deadline_s=1.0)
    content = fifth(network)
    async with Client(network.nodes[0].url, genesis=network.genesis, retry=impatient) as client:
        with pytest.raises(ProblemError) as caught:
            await decide(network, client, ProposalKind.VALIDATOR_ADD, content)
        assert caught.value.code == "quorum_at_risk"
        assert f"{content.key.hex()[:16]} (new, never seen)" in caught.value.detail
        assert network.nodes[3].validator_key[:16] in caught.value.detail
    async with Client(network.nodes[0].url, genesis=network.genesis) as client:
        status = await decide(network, client, ProposalKind.VALIDATOR_ADD, content, override=REASON)
        found = msgspec.convert((await client.query("gov.proposals")).result, Proposals)
        [proposal] = [item for item in found.items if item.overrides]
        assert proposal.status == "executed"
        [record] = proposal.overrides
        assert (record.reason, record.height) == (REASON, status.height)
        tx_id = bytes.fromhex(status.txid)
        receipt = verify_receipt(await client.receipt_file(tx_id), network.genesis)
        assert "gov.override" in [operation.type for operation in receipt.operations]
        assert "gov.overridden" in [event.type for event in receipt.events]
    return tx_id


def test_what_would_strand_the_chain_is_refused_and_what_is_overridden_is_on_the_record(
    network: Network,
) -> None:
    down = network.nodes[3]
    heard_of_all(network)
    assert forecast(network).safe
    # Nobody is missing yet, but whoever is new has to be there itself.
    early = forecast(network, add=STRANGER.public.hex())
    assert (early.safe, early.ready) == (False, 4)

    network.kill(down)
    with client_of(network, 0) as client:
        # A quorum is left of today's set, so it goes on; and its nodes notice who is gone.
        client.submit(cheap_transaction(network, height=1), wait="committed")
    after = forecast(network, remove=network.nodes[1].validator_key)
    assert standings(after)[down.validator_key] in {"offline", "silent"}
    replaced = forecast(network, replace=network.nodes[2].validator_key, by=STRANGER.public.hex())
    assert (replaced.safe, replaced.ready, replaced.needed) == (False, 2, 3)

    tx_id = asyncio.run(refused_then_overridden(network))

    # Of five validators one is down and one has never been seen. What nobody can decide any more
    # is decided once the one that was down is back.
    network.start([down])
    network.wait_ready([down])
    with client_of(network, 3) as client:
        status = client.submit(cheap_transaction(network, height=1), wait="committed")
        assert status.state == "committed"
        assert client.tx(tx_id).state == "committed"
    wait_height(down, status.height or 0)
    assert_agreement(network)
