"""Recognises votes under our key that are not ours: a twin, or a memory that we lost (rule X4)."""

from __future__ import annotations

from typing import Final

from consensus.limits import SAID_ROUNDS_MAX
from consensus.raft.core import Core
from consensus.raft.messages import ACK_PHASE, RaftVote, raft_payload, raft_phase
from medquorum.certificate import CommitCertificate

TWIN: Final = "twin"


def check_vote(core: Core, vote: RaftVote) -> None:
    """Somebody shows us a vote that our key signed: did we say it?"""
    core.drop("own_vote")
    _check(core, vote.term, raft_phase(vote), raft_payload(vote))


def check_decision(core: Core, certificate: CommitCertificate) -> None:
    """The same for our ack in a certificate that holds."""
    if core.me in core.state.members.signers(certificate.signers):
        payload = (certificate.block_hash, certificate.result_hash)
        _check(core, certificate.round, ACK_PHASE, payload)


def _check(core: Core, term: int, phase: int, payload: tuple[bytes, ...]) -> None:
    state = core.state
    if not core.votes or term + SAID_ROUNDS_MAX <= state.last_said[0]:
        return
    if state.said.get((term, phase)) == payload:
        return
    core.halt(
        TWIN,
        f"our key signed something at height {state.height}, term {term}, phase {phase}"
        " that is not in our log",
    )
