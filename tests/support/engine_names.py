"""Puts effects of engines into words, with short names for keys, blocks and results."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import assert_never

from consensus.checkpoints import CheckpointedRecord, ResultRecord, SaidRecord
from consensus.engine import Build, CatchUp, Effects, Execute, Request, Validate
from consensus.messages import (
    AcceptedRecord,
    BlockRecord,
    BlockRequest,
    BlockResponse,
    Commit,
    CommittedRecord,
    DecidedMessage,
    EnteredRecord,
    HaltedRecord,
    Justification,
    LogRecord,
    Message,
    Prepare,
    PreparedCertificate,
    PreparedRecord,
    Proposal,
    ProposedRecord,
    ReleasedRecord,
    RoundChange,
    RoundChangedRecord,
    RoundProof,
    Status,
)
from consensus.pbft.members import Members
from consensus.pbft.proofs import signers_of
from consensus.raft.messages import RaftMessage, RaftRecord
from consensus.results import ResultGroup
from tests.support import raft_names


@dataclass(slots=True)
class Names:
    """Who is who."""

    members: Members
    hashes: dict[bytes, str] = field(default_factory=dict)

    def of(self, thing: bytes) -> str:
        """The name of a key or a hash."""
        if thing in self.members.position:
            return f"v{self.members.position[thing]}"
        return self.hashes.get(thing, "?")

    def list(self, keys: tuple[bytes, ...]) -> str:
        """Several names."""
        return ",".join(sorted(self.of(key) for key in keys))

    def signers(self, bitmap: bytes) -> str:
        """The names in a bitmap."""
        return self.list(signers_of(self.members, bitmap))

    def certificate(self, known: PreparedCertificate) -> str:
        """What was prepared, and by whom."""
        signers = self.list(signers_of(self.members, known.signers))
        return f"prepared {self.of(known.block_hash)} in {known.round} by {signers}"

    def justification(self, proof: Justification) -> str:
        """Who wanted a round, and what is prepared."""
        if len(proof.entries) == 0:
            return ""
        wanted = " because of " + ",".join(self.of(entry.signer) for entry in proof.entries)
        return wanted + "".join(f", {self.certificate(known)}" for known in proof.certificate)

    def group(self, known: ResultGroup) -> str:
        """Who computed what."""
        block, result = self.of(known.block_hash), self.of(known.result_hash)
        return f"{block} {result} in {known.round} by {self.list(known.signers)}"

    def message(self, message: Message) -> str:
        """A message in one line."""
        if isinstance(message, RaftMessage):
            return raft_names.message_text(self.of, message, self.signers)
        match message:
            case Proposal():
                proof = self.justification(message.justification)
                return f"PROPOSAL {place(message)} {self.of(message.header.hash())}{proof}"
            case Prepare():
                return f"PREPARE {place(message)} {self.of(message.block_hash)}"
            case Commit():
                block, result = self.of(message.block_hash), self.of(message.result_hash)
                return f"COMMIT {place(message)} {block} {result}"
            case RoundChange():
                claims = "".join(f" {self.certificate(c)}" for c in message.certificate)
                return f"ROUND_CHANGE {place(message)}{claims}"
            case RoundProof():
                return f"PROOF {place(message)}{self.justification(message.justification)}"
            case Status():
                return f"STATUS {place(message)}"
            case DecidedMessage():
                known = message.certificate
                by = self.list(signers_of(self.members, known.signers))
                block, result = self.of(known.block_hash), self.of(known.result_hash)
                return f"DECIDED {message.height} {block} {result} in {known.round} by {by}"
            case BlockRequest():
                return f"BLOCK? {message.height} {self.of(message.block_hash)}"
            case BlockResponse():
                return f"BLOCK {message.height} {self.of(message.header.hash())}"
            case _:
                assert_never(message)

    def record(self, record: LogRecord) -> str:
        """A log record in one line."""
        if isinstance(record, RaftRecord):
            return raft_names.record_text(self.of, record)
        match record:
            case BlockRecord():
                return f"block {self.of(record.header.hash())}"
            case ProposedRecord():
                return f"proposed {place(record)} {self.of(record.block_hash)}"
            case AcceptedRecord():
                return f"accepted {place(record)} {self.of(record.block_hash)}"
            case PreparedRecord():
                return self.certificate(record.certificate)
            case CommittedRecord():
                block, result = self.of(record.block_hash), self.of(record.result_hash)
                return f"committed {place(record)} {block} {result}"
            case RoundChangedRecord():
                return f"wanted {place(record)}"
            case EnteredRecord():
                return f"entered {place(record)}{self.justification(record.justification)}"
            case SaidRecord():
                return f"said {place(record)} phase {record.phase}"
            case ResultRecord():
                return f"result {self.of(record.block_hash)} {self.of(record.result_hash)}"
            case CheckpointedRecord():
                return "checkpointed"
            case HaltedRecord():
                return f"halted {record.reason}"
            case ReleasedRecord():
                return "released"
            case _:
                assert_never(record)

    def request(self, request: Request) -> str:
        """A request in one line."""
        match request:
            case Build():
                return f"build {request.height}/{request.round}"
            case Validate():
                holders = f" from {self.list(request.holders)}" if request.holders else ""
                certified = " certified" if request.certified else ""
                return f"validate {self.of(request.header.hash())}{holders}{certified}"
            case Execute():
                return f"execute {self.of(request.header.hash())}"
            case CatchUp():
                return f"catch up to {request.height} from {self.of(request.peer)}"
            case _:
                assert_never(request)

    def effects(self, effects: Effects) -> Iterator[str]:
        """Effects, one a line, in the order in which they are obeyed."""
        for record in effects.persist:
            yield f"log {self.record(record)}"
        for send in effects.send:
            to = "all" if send.to is None else self.of(send.to)
            verb = "pass on" if send.passed_on else "send again" if send.again else "send"
            yield f"{verb} to {to}: {self.message(send.message)}"
        for timer in effects.timers:
            kind = timer.timer.kind.name.lower()
            yield f"timer {kind} {timer.timer.height}/{timer.timer.round} {timer.delay_ms} ms"
        for request in effects.requests:
            yield self.request(request)
        if effects.decided is not None:
            block = self.of(effects.decided.header.hash())
            result = self.of(effects.decided.result.hash())
            known = effects.decided.certificate
            by = self.list(signers_of(self.members, known.signers))
            yield f"DECIDED {known.height} {block} {result} in {known.round} by {by}"
        for evidence in effects.evidence:
            yield f"EVIDENCE {evidence.kind} of {self.of(evidence.validator)}"
        for fault in effects.faults:
            yield f"BLAMES {self.of(fault.peer)} for {fault.reason}"
        for reason in effects.dropped:
            yield f"drops {reason}"
        for read in effects.reads:
            yield f"READ #{read.context} {'refused' if read.height is None else read.height}"
        if effects.halt is not None:
            yield f"HALTS {effects.halt.reason}"


def place(thing: object) -> str:
    """Height and round."""
    return f"{getattr(thing, 'height', '')}/{getattr(thing, 'round', '')}"
