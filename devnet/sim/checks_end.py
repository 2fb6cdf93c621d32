"""What is compared when a run is over: receipts, and whole states, key by key (S3, S6)."""

from __future__ import annotations

from devnet.sim.checks import Checker
from devnet.sim.machine import Machine
from medquorum.errors import MedQuorumError
from medquorum.receipt import verify_receipt
from node.receipts import receipt_file


def check_receipts(checker: Checker, machine: Machine, limit: int) -> None:
    """Receipts of committed transactions verify; changed or made-up ones do not (S6)."""
    if machine.node is None:
        return
    world, blocks = checker.world, machine.node.chain.blocks
    known = sorted(tx for tx, place in checker.where.items() if place[0] <= blocks.tip())
    for tx_id in world.rng.sample(known, min(limit, len(known))):
        data = receipt_file(blocks, tx_id)
        if data is None:
            world.fail(f"S6: {machine.name} has no receipt of {tx_id.hex()[:16]}")
            continue
        height, _, code = checker.where[tx_id]
        proven = verify_receipt(data, checker.genesis)
        if (proven.height, proven.code) != (height, code):
            world.fail(f"S6: a receipt says {proven.height} {proven.code}")
        _check_forged(checker, data)
    if receipt_file(blocks, bytes(32)) is not None:
        world.fail("S6: there is a receipt of nothing")


def _check_forged(checker: Checker, data: bytes) -> None:
    place = checker.world.rng.randrange(len(data))
    forged = data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
    try:
        verify_receipt(forged, checker.genesis)
    except MedQuorumError:
        return
    if forged.split() != data.split():
        checker.world.fail("S6: a changed receipt verifies")


def check_equal_states(checker: Checker, machines: list[Machine]) -> None:
    """Machines of equal height have the same state, pair by pair (S3)."""
    found: dict[int, tuple[str, bytes]] = {}
    for machine in machines:
        if machine.node is None or not checker.is_honest(machine):
            continue
        chain = machine.node.chain
        spaces = tuple(
            pair
            for module in machine.registry.modules
            for pair in chain.state.scan(module.name, b"", b"\xff" * 64)
        )
        digest = repr(spaces).encode()
        name, other = found.setdefault(chain.tip.height, (machine.name, digest))
        if other != digest:
            checker.world.fail(f"S3: {machine.name} and {name} differ at {chain.tip.height}")
