"""Recognises votes under our key that are not ours: a twin, or a memory that we lost (rule X4)."""

from __future__ import annotations

from typing import Final

from consensus.limits import SAID_ROUNDS_MAX
from consensus.messages import Justification, PreparedCertificate, Vote, vote_payload, vote_phase
from consensus.pbft.core import Core
from consensus.pbft.proofs import signers_of
from medquorum.certificate import CommitCertificate

TWIN: Final = "twin"
PREPARE_PHASE: Final = 2
COMMIT_PHASE: Final = 3


def check_vote(core: Core, vote: Vote) -> None:
    """Somebody shows us a vote that our key signed: did we say it?"""
    core.drop("own_vote")
    _check(core, vote.round, vote_phase(vote), vote_payload(vote))


def check_justification(core: Core, round_: int, justification: Justification) -> None:
    """The same for our entry in a justification that holds."""
    for entry in justification.entries:
        if entry.signer == core.me:
            payload = tuple(
                part for claim in entry.prepared for part in (claim.round, claim.block_hash)
            )
            _check(core, round_, 0, payload)


def check_prepared(core: Core, certificate: PreparedCertificate) -> None:
    """The same for our PREPARE in a certificate that holds."""
    if core.me in signers_of(core.state.members, certificate.signers):
        _check(core, certificate.round, PREPARE_PHASE, (certificate.block_hash,))


def check_decision(core: Core, certificate: CommitCertificate) -> None:
    """The same for our COMMIT in a certificate that holds."""
    if core.me in signers_of(core.state.members, certificate.signers):
        payload = (certificate.block_hash, certificate.result_hash)
        _check(core, certificate.round, COMMIT_PHASE, payload)


def _check(core: Core, round_: int, phase: int, payload: tuple[bytes | int, ...]) -> None:
    state = core.state
    if not core.votes or round_ + SAID_ROUNDS_MAX <= state.last_said[0]:
        return
    if state.said.get((round_, phase)) == payload:
        return
    core.halt(
        TWIN,
        f"our key signed something at height {state.height}, round {round_}, phase {phase}"
        " that is not in our log",
    )
