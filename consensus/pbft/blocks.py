"""Getting hold of blocks: fetching, validating, executing (docs/spec/pbft.md, section 5)."""

from __future__ import annotations

from collections.abc import Iterator

from consensus.engine import BODY_MISMATCH, Execute, Send, Validate
from consensus.held import Block
from consensus.limits import BLOCKS_MAX, RESULTS_MAX, VALIDATIONS_PER_ROUND_MAX
from consensus.messages import BlockRequest, BlockResponse, PreparedCertificate
from consensus.pbft.core import Core
from consensus.pbft.proofs import signers_of
from consensus.pbft.state import HeightState
from medquorum.block import Result


def keep(core: Core, block: Block) -> None:
    """Remember a block. One that is valid or being validated is not replaced."""
    blocks = core.state.blocks
    if block.hash in blocks.valid or block.hash in blocks.validating:
        return
    blocks.seen[block.hash] = block
    _forget_old(core.state)


def _forget_old(state: HeightState) -> None:
    needed = {
        state.accepted,
        state.blocks.executing,
        *(hash_ for hash_, _ in _certified(state)),
        *([] if state.prepared is None else [state.prepared.block_hash]),
        *([] if state.candidate is None else [state.candidate.header.hash()]),
    }
    spare = [hash_ for hash_ in state.blocks.seen if hash_ not in needed]
    for hash_ in spare[: max(0, len(spare) - BLOCKS_MAX)]:
        _discard(state, hash_)


def _discard(state: HeightState, block_hash: bytes) -> None:
    blocks = state.blocks
    del blocks.seen[block_hash]
    blocks.valid.discard(block_hash)
    blocks.validating.pop(block_hash, None)
    # The log may hold another body for this hash: if the block comes back, it is logged again.
    blocks.logged.discard(block_hash)


def _certified(state: HeightState) -> Iterator[tuple[bytes, tuple[bytes, ...]]]:
    """Blocks that a quorum prepared or decided and that we need, each with its likely holders."""
    if state.decision is not None:
        yield state.decision.block_hash, signers_of(state.members, state.decision.signers)
        return
    certificates: list[PreparedCertificate] = [*state.justification.certificate]
    if state.pending_proof is not None:
        certificates.extend(state.pending_proof.justification.certificate)
    for wish in state.round_changes.values():
        if wish.round > state.round:
            certificates.extend(wish.certificate)
    for certificate in certificates:
        if certificate.block_hash not in state.blocks.refused:
            yield certificate.block_hash, signers_of(state.members, certificate.signers)


def seek(core: Core) -> None:
    """Ask one likely holder for each block that we need and lack, another one each time."""
    blocks = core.state.blocks
    blocks.sought += 1
    asked: set[bytes] = set()
    for block_hash, signers in _certified(core.state):
        holders = [signer for signer in signers if signer != core.me]
        if block_hash in blocks.seen or block_hash in asked or len(holders) == 0:
            continue
        asked.add(block_hash)
        holder = holders[blocks.sought % len(holders)]
        core.out.send.append(Send(holder, BlockRequest(core.state.height, block_hash)))


def ask_for(core: Core, peer: bytes, block_hash: bytes) -> None:
    """Ask the peer that named a block for it, if we lack it (rule R7)."""
    if block_hash not in core.state.blocks.seen:
        core.reply(peer, BlockRequest(core.state.height, block_hash))


def on_block_request(core: Core, peer: bytes, request: BlockRequest) -> None:
    """Hand out a block that we have checked."""
    blocks = core.state.blocks
    if request.block_hash not in blocks.valid:
        core.drop("block_unknown")
        return
    block = blocks.seen[request.block_hash]
    core.reply(peer, BlockResponse(request.height, block.header, block.body))


def on_block_response(core: Core, peer: bytes, response: BlockResponse) -> None:
    """Take a block that we need. Whether the body belongs to it, Validate will tell."""
    block_hash = response.header.hash()
    needed = any(block_hash == hash_ for hash_, _ in _certified(core.state))
    if not needed or block_hash in core.state.blocks.seen:
        core.drop("block_not_needed")
        return
    keep(core, Block(block_hash, response.header, response.body, peer))


def validate_certified(core: Core) -> bool:
    """Have certified blocks checked: claims count, and decisions finish, only with them."""
    blocks = core.state.blocks
    for block_hash, holders in _certified(core.state):
        block = blocks.seen.get(block_hash)
        if block is not None and request_validation(core, block, holders, certified=True):
            return True
    return False


def request_validation(
    core: Core, block: Block, holders: tuple[bytes, ...], *, certified: bool
) -> bool:
    """Have a block checked (rule P5), unless it is or was. False if nothing was asked."""
    blocks, state = core.state.blocks, core.state
    if block.hash in blocks.valid:
        return False
    pending = blocks.validating.get(block.hash)
    if pending is not None:
        if pending.certified or not certified:
            return False
        blocks.doubted.add(block.hash)
    if not certified:
        if state.validations >= VALIDATIONS_PER_ROUND_MAX:
            return False
        state.validations += 1
    others = tuple(
        key for key in dict.fromkeys((block.source, *holders)) if key not in (b"", core.me)
    )
    request = Validate(block.header, block.body, others, certified)
    blocks.validating[block.hash] = request
    core.ask(request)
    return True


def on_validated(core: Core, block_hash: bytes, reason: str) -> None:
    """The answer to Validate."""
    state, blocks = core.state, core.state.blocks
    request = blocks.validating.pop(block_hash, None)
    if request is None:
        core.drop("validation_not_asked")
        return
    doubted = block_hash in blocks.doubted
    blocks.doubted.discard(block_hash)
    if reason == "":
        blocks.valid.add(block_hash)
        return
    source = blocks.seen[block_hash].source
    if reason == BODY_MISMATCH and source != b"":
        core.blame(source, BODY_MISMATCH)
    else:
        core.drop("block_refused")
        if doubted:
            return  # It was perhaps the answer to the uncertified request: ask once more.
        if state.decision is not None and state.decision.block_hash == block_hash:
            core.halt("certified_block_refused", f"block {block_hash.hex()}: {reason}")
            return
        if request.certified:
            blocks.refused.add(block_hash)
    if state.candidate is not None and state.candidate.header.hash() == block_hash:
        state.candidate = None
    _discard(state, block_hash)


def execute(core: Core) -> bool:
    """Have a block executed as soon as we stand by it, one at a time (rule C1)."""
    state, blocks = core.state, core.state.blocks
    wanted = _to_execute(state)
    if wanted not in blocks.valid or wanted in blocks.results or wanted == blocks.executing:
        return False
    blocks.executing = wanted
    block = blocks.seen[wanted]
    core.ask(Execute(block.header, block.body))
    return True


def _to_execute(state: HeightState) -> bytes:
    if state.decision is not None:
        return state.decision.block_hash
    if len(state.accepted) > 0:
        return state.accepted
    # What is prepared comes back in the next round; meanwhile a running execution goes on.
    if state.prepared is not None and len(state.blocks.executing) == 0:
        return state.prepared.block_hash
    return b""


def on_executed(core: Core, block_hash: bytes, result: Result) -> None:
    """The answer to Execute. A block has one result for ever (rule C6)."""
    state, blocks = core.state, core.state.blocks
    if block_hash != blocks.executing:
        core.drop("execution_replaced")
        return
    blocks.executing = b""
    result_hash = result.hash()
    signed = state.signed_results.get(block_hash, result_hash)
    if signed != result_hash:
        core.halt(
            "nondeterminism",
            f"block {block_hash.hex()} gave result {result_hash.hex()}, before {signed.hex()}",
        )
        return
    blocks.results[block_hash] = result
    needed = {state.accepted, block_hash}
    if state.prepared is not None:
        needed.add(state.prepared.block_hash)
    spare = [hash_ for hash_ in blocks.results if hash_ not in needed]
    for hash_ in spare[: max(0, len(blocks.results) - RESULTS_MAX)]:
        del blocks.results[hash_]
