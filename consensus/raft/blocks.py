"""Validating and executing blocks (docs/spec/raft.md, section 5)."""

from __future__ import annotations

from consensus.engine import BODY_MISMATCH, Execute, Send, Validate
from consensus.headers import misplaced
from consensus.held import Block
from consensus.limits import BLOCKS_MAX, RESULTS_MAX, VALIDATIONS_PER_ROUND_MAX
from consensus.messages import Status
from consensus.raft import terms, timers
from consensus.raft.core import Core
from consensus.raft.state import HeightState, Role
from medquorum.block import Header, Result


def header_fault(core: Core, header: Header) -> str:
    """Why a header does not belong to this height; empty if it does (rule A2)."""
    state = core.state
    fault = misplaced(header, core.chain_id, state.started, state.members.set_hash)
    if fault != "":
        return fault
    if header.proposer not in state.members.position:
        return "header_proposer"
    return ""


def keep(core: Core, block: Block) -> None:
    """Remember a block. One that is valid or being validated is not replaced."""
    blocks = core.state.blocks
    if block.hash in blocks.valid or block.hash in blocks.validating:
        return
    blocks.seen[block.hash] = block
    needed = _needed(core.state) | {block.hash}
    spare = [hash_ for hash_ in blocks.seen if hash_ not in needed]
    for hash_ in spare[: max(0, len(spare) - BLOCKS_MAX)]:
        _discard(core.state, hash_)


def _needed(state: HeightState) -> set[bytes]:
    needed = {state.entry, state.blocks.executing}
    if state.acked is not None:
        needed.add(state.acked.block_hash)
    if state.decision is not None:
        needed.add(state.decision.block_hash)
    return needed


def _discard(state: HeightState, block_hash: bytes) -> None:
    blocks = state.blocks
    del blocks.seen[block_hash]
    blocks.valid.discard(block_hash)
    blocks.validating.pop(block_hash, None)
    # The log may hold another body for this hash: if the block comes back, it is logged again.
    blocks.logged.discard(block_hash)


def seek(core: Core) -> None:
    """Ask one of those who acknowledged it for a decided block that we lack (rule D3)."""
    state = core.state
    if state.decision is None or not state.lacks_block:
        return
    holders = [
        key for key in state.members.signers(state.decision.signers) if key not in (b"", core.me)
    ]
    if len(holders) > 0:
        state.sought += 1
        holder = holders[state.sought % len(holders)]
        core.out.send.append(Send(holder, Status(state.height, state.term)))


def validate(core: Core) -> bool:
    """Have the decided block checked, or the leader's entry (rules A3, D3)."""
    state = core.state
    certified = state.decision is not None
    block_hash = state.entry if state.decision is None else state.decision.block_hash
    block = state.blocks.seen.get(block_hash)
    if block is None or block_hash in state.blocks.valid:
        return False
    pending = state.blocks.validating.get(block_hash)
    if pending is not None:
        if pending.certified or not certified:
            return False
        state.blocks.doubted.add(block_hash)
    if not certified:
        if state.refused or state.validations >= VALIDATIONS_PER_ROUND_MAX:
            return False
        state.validations += 1
    request = Validate(block.header, block.body, _holders(core, block), certified)
    state.blocks.validating[block_hash] = request
    core.ask(request)
    return True


def _holders(core: Core, block: Block) -> tuple[bytes, ...]:
    """Who should have the transactions: the sender, the leader, whoever acknowledged the block."""
    state = core.state
    certificate = b"" if state.decision is None else state.decision.signers
    keys = (block.source, state.leader, *state.members.signers(certificate))
    return tuple(key for key in dict.fromkeys(keys) if key not in (b"", core.me))


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
        if state.decision is not None:
            _discard(state, block_hash)
            return
    else:
        core.drop("block_refused")
        if doubted:
            return  # It was perhaps the answer to the uncertified request: ask once more.
        if state.decision is not None and state.decision.block_hash == block_hash:
            core.halt("certified_block_refused", f"block {block_hash.hex()}: {reason}")
            return
    if block_hash == state.entry:
        refuse_entry(core)


def refuse_entry(core: Core) -> None:
    """We cannot follow a leader whose entry is no good, even if it is alive (rule A5)."""
    state = core.state
    state.refused = True
    if state.role is Role.LEADER:
        terms.resign(core)
    timers.arm_election(core)


def execute(core: Core) -> bool:
    """Have the entry, or what is decided, executed as soon as it is valid (rule A3)."""
    state, blocks = core.state, core.state.blocks
    wanted = state.entry if state.decision is None else state.decision.block_hash
    if wanted not in blocks.valid or wanted in blocks.results or wanted == blocks.executing:
        return False
    blocks.executing = wanted
    block = blocks.seen[wanted]
    core.ask(Execute(block.header, block.body))
    return True


def on_executed(core: Core, block_hash: bytes, result: Result) -> None:
    """The answer to Execute. A block has one result for ever (rule A4)."""
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
    needed = _needed(state) | {block_hash}
    spare = [hash_ for hash_ in blocks.results if hash_ not in needed]
    for hash_ in spare[: max(0, len(blocks.results) - RESULTS_MAX)]:
        del blocks.results[hash_]
