"""Engines with one known bug each. A campaign that does not find them proves nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import pytest

from consensus.messages import (
    AcceptedRecord,
    CommittedRecord,
    PbftRecord,
    PreparedCertificate,
    PreparedRecord,
    RoundChangedRecord,
)
from consensus.pbft import proofs, proposing, recovery, replying, rounds, voting
from consensus.pbft.core import Core
from consensus.pbft.proofs import CertificateBook
from consensus.pbft.state import HeightState
from consensus.pbft.tally import CommitTally
from medquorum.quorum import quorum

Mutation: TypeAlias = Callable[[pytest.MonkeyPatch], None]

QUORUM = "consensus.pbft.members.quorum"


def quorum_one_too_small(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(QUORUM, lambda engine, n: max(1, quorum(engine, n) - 1))


def quorum_of_2f_plus_1(patch: pytest.MonkeyPatch) -> None:
    """Right for n = 4, 7, 10 only."""
    patch.setattr(QUORUM, lambda _engine, n: 2 * ((n - 1) // 3) + 1)


def no_fence_after_round_change(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(voting, "is_fenced", lambda _state: False)


def _forget(patch: pytest.MonkeyPatch, *kinds: type) -> None:
    true = recovery._apply

    def apply(core: Core, record: PbftRecord) -> None:
        if not isinstance(record, kinds):
            true(core, record)

    patch.setattr(recovery, "_apply", apply)


def prepared_certificate_forgotten_on_restart(patch: pytest.MonkeyPatch) -> None:
    _forget(patch, PreparedRecord, CommittedRecord)


def accepted_block_forgotten_on_restart(patch: pytest.MonkeyPatch) -> None:
    _forget(patch, AcceptedRecord, PreparedRecord, CommittedRecord)


def signed_result_forgotten_on_restart(patch: pytest.MonkeyPatch) -> None:
    _forget(patch, CommittedRecord)


def fence_forgotten_on_restart(patch: pytest.MonkeyPatch) -> None:
    _forget(patch, RoundChangedRecord)


def duplicate_signers_counted(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(
        proofs, "are_distinct", lambda known, signers: all(s in known.position for s in signers)
    )


def justification_not_checked(patch: pytest.MonkeyPatch) -> None:
    for module in (proposing, rounds):
        patch.setattr(module, "justification_fault", lambda *_: "")


def highest_prepared_not_demanded(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(proofs, "_certificate_fault", lambda *_: "")


def prepared_certificate_not_verified(patch: pytest.MonkeyPatch) -> None:
    def learn(self: CertificateBook, certificate: PreparedCertificate) -> PreparedCertificate:
        self.add(certificate)
        return certificate

    patch.setattr(CertificateBook, "learn", learn)


def commit_before_own_execution(patch: pytest.MonkeyPatch) -> None:
    true = voting.result_to_sign

    def result_to_sign(core: Core) -> bytes:
        for key in core.state.members.keys:
            for vote in core.state.commits.of(key):
                if vote.block_hash == core.state.accepted:
                    return vote.result_hash
        return true(core)

    patch.setattr(voting, "result_to_sign", result_to_sign)


def commits_counted_without_their_result(patch: pytest.MonkeyPatch) -> None:
    def signatures(
        self: CommitTally, round_: int, block_hash: bytes, _result_hash: bytes
    ) -> dict[bytes, bytes]:
        return {
            signer: signature
            for choice, votes in self._by_choice.items()
            if choice[:2] == (round_, block_hash)
            for signer, signature in votes.items()
        }

    patch.setattr(CommitTally, "signatures", signatures)


def commit_on_an_older_certificate(patch: pytest.MonkeyPatch) -> None:
    def is_prepared(state: HeightState) -> bool:
        return state.prepared is not None and state.prepared.block_hash == state.accepted

    patch.setattr(voting, "is_prepared", is_prepared)


def one_result_a_round_only(patch: pytest.MonkeyPatch) -> None:
    true = rounds.enter

    def enter(core: Core, *rest: object) -> None:
        core.state.signed_results.clear()
        true(core, *rest)  # type: ignore[arg-type]  # passed on as they came

    patch.setattr(rounds, "enter", enter)


def laggards_get_no_round_proof(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(replying, "show_round", lambda *_: None)


MUTATIONS: tuple[Mutation, ...] = (
    quorum_one_too_small,
    quorum_of_2f_plus_1,
    no_fence_after_round_change,
    prepared_certificate_forgotten_on_restart,
    accepted_block_forgotten_on_restart,
    signed_result_forgotten_on_restart,
    fence_forgotten_on_restart,
    duplicate_signers_counted,
    justification_not_checked,
    highest_prepared_not_demanded,
    prepared_certificate_not_verified,
    commit_before_own_execution,
    commits_counted_without_their_result,
    commit_on_an_older_certificate,
    one_result_a_round_only,
    laggards_get_no_round_proof,
)
