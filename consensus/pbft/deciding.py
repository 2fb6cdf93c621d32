"""From a certificate to a durable height (docs/spec/pbft.md, rules C4, C5, C8)."""

from __future__ import annotations

from collections.abc import Iterable

from consensus.engine import Decided
from consensus.held import Block
from consensus.messages import Commit, DecidedMessage
from consensus.pbft import blocks, evidence, twin
from consensus.pbft.core import Core
from consensus.pbft.twin import COMMIT_PHASE, PREPARE_PHASE
from medquorum.certificate import CommitCertificate


def decide(core: Core, certificate: CommitCertificate) -> None:
    """Take a certificate that holds. From here on we cast no vote at this height (rule C8)."""
    if core.state.decision is not None:
        return
    state = core.state
    state.decision = certificate
    state.pending_proof = None
    core.heard = {
        (signer, PREPARE_PHASE) for votes in state.prepares.values() for signer in sorted(votes)
    }
    core.heard |= {
        (signer, COMMIT_PHASE) for signer in state.members.keys if state.commits.of(signer)
    }
    name_diverging(core, (vote for key in state.members.keys for vote in state.commits.of(key)))
    if certificate.block_hash not in core.state.blocks.seen:
        blocks.seek(core)


def name_diverging(core: Core, votes: Iterable[Commit]) -> None:
    """Report, once each, who signed another result of the decided block than the certified one."""
    state, decision = core.state, core.state.decision
    for vote, certificate in [] if decision is None else [(vote, decision) for vote in votes]:
        if vote.block_hash != certificate.block_hash or vote.signer in state.diverging:
            continue
        if vote.result_hash != certificate.result_hash:
            state.diverging.add(vote.signer)
            core.drop("result_not_certified")
            core.out.diverging.append(vote.signer)


def on_decided(core: Core, peer: bytes, message: DecidedMessage) -> None:
    """A peer shows a certificate for our height (rule C4)."""
    state, certificate = core.state, message.certificate
    block_hash = message.header.hash()
    if certificate.block_hash != block_hash:
        core.blame(peer, "decided_block")
        return
    if state.decision is not None and block_hash in state.blocks.seen:
        core.drop("decided")
        return
    if not state.book.commit_holds(certificate):
        core.blame(peer, "decided_certificate")
        return
    blocks.keep(core, Block(block_hash, message.header, message.body, peer))
    twin.check_decision(core, certificate)
    evidence.check_decision(core, certificate)
    decide(core, certificate)


def finish(core: Core) -> bool:
    """Hand the decision out once our own execution agrees with it, else halt (rule C5)."""
    state, certificate = core.state, core.state.decision
    if certificate is None or state.finished:
        return False
    block_hash = certificate.block_hash
    result = state.blocks.results.get(block_hash)
    own = state.signed_results.get(block_hash, b"") if result is None else result.hash()
    if own not in (b"", certificate.result_hash):
        core.halt(
            "divergence",
            f"height {state.height}, block {block_hash.hex()}: a quorum certified result"
            f" {certificate.result_hash.hex()}, we computed {own.hex()}",
        )
        return True
    if result is None or block_hash not in state.blocks.valid:
        return False
    block = state.blocks.seen[block_hash]
    state.finished = True
    core.out.decided = Decided(block.header, block.body, result, certificate)
    return True


def decided_message(core: Core) -> DecidedMessage | None:
    """What shows others that this height is decided, as soon as we hold it whole."""
    state, certificate = core.state, core.state.decision
    if certificate is None or certificate.block_hash not in state.blocks.valid:
        return None
    block = state.blocks.seen[certificate.block_hash]
    return DecidedMessage(state.height, block.header, block.body, certificate)
