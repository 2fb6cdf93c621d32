"""What must hold of validators that obey the rules, in an arithmetic of its own."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from consensus.engine import Decided, Effects, Send
from consensus.messages import (
    Commit,
    LogRecord,
    Message,
    PreparedRecord,
    RoundChange,
    commit_bytes,
    vote_position,
)
from consensus.raft.messages import Ack, Append, ack_bytes
from devnet.model.world import CHAIN_ID, make_result, verify
from medquorum.block import ValidatorSet
from medquorum.certificate import unpack_signers
from medquorum.quorum import EngineName


class Violation(Exception):  # noqa: N818 - what was found, not an error of the search
    """A promise is broken."""


class Choice(NamedTuple):
    """What a COMMIT or an ack stands for; `round` is its round or term."""

    round: int
    block_hash: bytes
    result_hash: bytes


@dataclass(slots=True)
class Ledger:
    """What one validator has said at the height, crashes included."""

    said: dict[tuple[int, int], bytes] = field(default_factory=dict)
    """(round, phase) to a digest of what was said there."""

    last: tuple[int, int] = (-1, 0)
    prepared: int = -1
    """The last round in which it recorded that a quorum prepared."""

    choices: set[Choice] = field(default_factory=set)
    """What it helped to decide."""

    def write(self, record: LogRecord) -> None:
        """The prepared round only grows."""
        if isinstance(record, PreparedRecord):
            if record.certificate.round <= self.prepared:
                raise Violation("the prepared round went back")
            self.prepared = record.certificate.round

    def say(self, send: Send, validators: ValidatorSet) -> None:
        """One vote a position, in ascending order; a wish owns up; a result is the true one."""
        position = vote_position(send.message)
        if position is None:
            return
        place = (position.round, position.phase)
        if self.said.setdefault(place, position.digest) != position.digest:
            raise Violation(f"two votes at {place}")
        if not send.again:
            if place < self.last:
                raise Violation(f"{place} is said for the first time after {self.last}")
            self.last = place
        match send.message:
            case RoundChange(prepared=prepared):
                claimed = [claim.round for claim in prepared]
                if claimed != [round_ for round_ in (self.prepared,) if round_ >= 0]:
                    raise Violation("a wish hides what is prepared")
            case Commit() | Ack():
                true = make_result(send.message.block_hash, validators.hash()).hash()
                if send.message.result_hash != true:
                    raise Violation("a result was signed that was not computed")
                choice = choice_of(send.message)
                self.choices |= {choice} if choice is not None else set()
            case _:
                return


def check_effects(effects: Effects, honest: frozenset[bytes], *, by_honest: bool) -> None:
    """Nobody who obeys the rules is convicted or blamed, or stops."""
    for evidence in effects.evidence:
        if evidence.validator in honest:
            raise Violation(f"an honest validator is convicted of {evidence.kind}")
    if not by_honest:
        return
    for fault in effects.faults:
        if fault.peer in honest:
            raise Violation(f"an honest validator is blamed: {fault.reason}")
    if effects.halt is not None:
        raise Violation(f"a halt: {effects.halt.reason}")


def check_decided(engine: EngineName, decided: Decided, keys: tuple[bytes, ...]) -> None:
    """A decision has a certificate: distinct signers, enough of them, of this block and result."""
    known, n = decided.certificate, len(keys)
    needed = -(-2 * n // 3) if engine == "pbft" else n // 2 + 1
    if (known.block_hash, known.result_hash) != (decided.header.hash(), decided.result.hash()):
        raise Violation("a decision that its certificate does not name")
    signers = [keys[place] for place in unpack_signers(known.signers, n)]
    payload = (CHAIN_ID, known.height, known.round, known.block_hash, known.result_hash)
    signed = commit_bytes(*payload) if engine == "pbft" else ack_bytes(*payload)
    good = [
        verify(signer, signed, signature)
        for signer, signature in zip(signers, known.signatures, strict=True)
    ]
    if len(signers) < needed or not all(good):
        raise Violation("a decision without a certificate")


def choice_of(message: Message) -> Choice | None:
    """What a vote helps to decide, if it is one that does."""
    match message:
        case Commit():
            return Choice(message.round, message.block_hash, message.result_hash)
        case Ack():
            return Choice(message.term, message.block_hash, message.result_hash)
        case _:
            return None


def possible(votes: Iterable[tuple[bytes, Message]], needed: int) -> dict[Choice, set[bytes]]:
    """The choices that `needed` validators stand for: a certificate that could exist counts."""
    found: dict[Choice, set[bytes]] = {}
    for signer, message in votes:
        choice = choice_of(message)
        if choice is not None:
            found.setdefault(choice, set()).add(signer)
    return {choice: signers for choice, signers in found.items() if len(signers) >= needed}


def check_agreement(votes: Iterable[tuple[bytes, Message]], needed: int) -> frozenset[Choice]:
    """All possible certificates name one block and one result. Returns what they choose."""
    said = list(votes)
    choices = possible(said, needed)
    outcomes = {choice[1:] for choice in choices}
    if len(outcomes) > 1:
        raise Violation("two certificates of one height are possible")
    _check_leaders(said, choices)
    return frozenset(choices)


def _check_leaders(votes: list[tuple[bytes, Message]], choices: dict[Choice, set[bytes]]) -> None:
    """One leader a term, and it sends what may be decided in a lower term already."""
    leaders: dict[int, bytes] = {}
    for signer, message in votes:
        if not isinstance(message, Append):
            continue
        if leaders.setdefault(message.term, signer) != signer:
            raise Violation(f"two leaders in term {message.term}")
        for choice in choices:
            if choice.round < message.term and choice.block_hash != message.header.hash():
                raise Violation(f"the leader of term {message.term} lacks what may be decided")
