"""From a certificate to a durable height (docs/spec/raft.md, rules D1 to D4)."""

from __future__ import annotations

from consensus.engine import Decided
from consensus.held import Block
from consensus.messages import DecidedMessage
from consensus.raft import blocks, evidence, twin
from consensus.raft.core import Core
from consensus.raft.messages import Decision, ack_bytes
from medquorum.certificate import CommitCertificate
from medquorum.invariants import require


def holds(core: Core, certificate: CommitCertificate) -> bool:
    """Whether a majority acknowledged this, in one term of this height (rule D1)."""
    state = core.state
    if certificate.engine != "raft" or certificate.height != state.height:
        return False
    signers = state.members.signers(certificate.signers)
    if len(signers) < state.members.quorum or len(signers) != len(certificate.signatures):
        return False
    message = ack_bytes(
        core.chain_id,
        state.height,
        certificate.round,
        certificate.block_hash,
        certificate.result_hash,
    )
    return all(
        core.verify(signer, message, signature)
        for signer, signature in zip(signers, certificate.signatures, strict=True)
    )


def decide(core: Core, certificate: CommitCertificate) -> None:
    """Take a certificate that holds. From here on we say nothing new at this height (D2)."""
    require(core.state.decision is None, "decided twice")
    twin.check_decision(core, certificate)
    core.state.decision = certificate


def _take(core: Core, peer: bytes, certificate: CommitCertificate) -> bool:
    """Whether `certificate` is, now, what we hold this height to be decided by."""
    known = core.state.decision
    said = (certificate.block_hash, certificate.result_hash)
    if known is not None and (known.block_hash, known.result_hash) == said:
        core.drop("decided")
        return True
    if not holds(core, certificate):
        core.blame(peer, "decided_certificate")
        return False
    evidence.check_decision(core, certificate)
    if known is not None:
        core.halt(
            "two_certificates",
            f"height {core.state.height}: block {known.block_hash.hex()} and block"
            f" {certificate.block_hash.hex()} are both certified",
        )
        return False
    decide(core, certificate)
    return True


def on_decision(core: Core, peer: bytes, message: Decision) -> None:
    """The leader has a majority (rule D1)."""
    if _take(core, peer, message.certificate):
        blocks.seek(core)


def on_decided(core: Core, peer: bytes, message: DecidedMessage) -> None:
    """A peer shows us the decision with its block (rule D1)."""
    certificate, block_hash = message.certificate, message.header.hash()
    if certificate.block_hash != block_hash:
        core.blame(peer, "decided_block")
        return
    if _take(core, peer, certificate):
        blocks.keep(core, Block(block_hash, message.header, message.body, peer))


def finish(core: Core) -> bool:
    """Hand the decision out once our own execution agrees with it, else halt (rules D4, X1)."""
    state, certificate = core.state, core.state.decision
    if certificate is None or state.finished:
        return False
    block_hash = certificate.block_hash
    result = state.blocks.results.get(block_hash)
    own = state.signed_results.get(block_hash, b"") if result is None else result.hash()
    if own not in (b"", certificate.result_hash):
        core.halt(
            "divergence",
            f"height {state.height}, block {block_hash.hex()}: a majority certified result"
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
