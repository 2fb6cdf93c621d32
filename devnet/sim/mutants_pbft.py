"""Known bugs for the PBFT engine. A simulator that does not find them proves nothing."""

from __future__ import annotations

from typing import Any, Final

from consensus.engine import HeightStarted
from consensus.messages import (
    AcceptedRecord,
    CommittedRecord,
    PreparedRecord,
    RoundChangedRecord,
)
from consensus.pbft import evidence as evidence_rules
from consensus.pbft import members, proofs, proposing, recovery, rounds, timers, turns, voting
from consensus.pbft.proofs import CertificateBook
from consensus.pbft.tally import CommitTally
from consensus.pbft.turns import Turns
from devnet.sim.mutants_node import Mutant
from devnet.sim.patching import Patch
from medquorum.quorum import faulty, quorum
from node import recent


def quorum_one_too_small(patch: Patch) -> None:
    """A certificate with a vote too few."""
    patch.set(members, "quorum", lambda engine, n: max(1, quorum(engine, n) - 1))


def quorum_of_2f_plus_1(patch: Patch) -> None:
    """Right for n = 4, 7 and 10 only."""
    patch.set(members, "quorum", lambda _engine, n: 2 * faulty(n) + 1)


def no_fence_after_round_change(patch: Patch) -> None:
    """Votes in a round that it has given up."""
    patch.set(voting, "is_fenced", lambda _state: False)


def _forget(patch: Patch, *kinds: type) -> None:
    true = recovery._apply

    def apply(core: Any, record: Any) -> None:
        if not isinstance(record, kinds):
            true(core, record)

    patch.set(recovery, "_apply", apply)


def prepared_forgotten_on_restart(patch: Patch) -> None:
    """The prepared certificate is not read back."""
    _forget(patch, PreparedRecord, CommittedRecord)


def accepted_forgotten_on_restart(patch: Patch) -> None:
    """What it prepared for is not read back."""
    _forget(patch, AcceptedRecord, PreparedRecord, CommittedRecord)


def fence_forgotten_on_restart(patch: Patch) -> None:
    """Its wish for a later round is not read back."""
    _forget(patch, RoundChangedRecord)


def duplicate_signers_counted(patch: Patch) -> None:
    """One signer, many votes."""
    patch.set(
        proofs, "are_distinct", lambda known, signers: all(s in known.position for s in signers)
    )


def justification_not_checked(patch: Patch) -> None:
    """Whatever the proposer of a later round proposes."""
    for module in (proposing, rounds):
        patch.set(module, "justification_fault", lambda *_: "")


def highest_prepared_not_demanded(patch: Patch) -> None:
    """A later round may propose something else than what was prepared."""
    patch.set(proofs, "_certificate_fault", lambda *_: "")


def prepared_not_verified(patch: Patch) -> None:
    """Believes any prepared certificate."""

    def learn(self: CertificateBook, certificate: Any) -> Any:
        self.add(certificate)
        return certificate

    patch.set(CertificateBook, "learn", learn)


def commit_before_own_execution(patch: Patch) -> None:
    """Signs a result that somebody else says."""
    true = voting.result_to_sign

    def result_to_sign(core: Any) -> bytes:
        for key in core.state.members.keys:
            for vote in core.state.commits.of(key):
                if vote.block_hash == core.state.accepted:
                    return bytes(vote.result_hash)
        return true(core)

    patch.set(voting, "result_to_sign", result_to_sign)


def commits_counted_without_result(patch: Patch) -> None:
    """Counts COMMITs by block alone."""

    def signatures(
        self: Any, round_: int, block_hash: bytes, _result_hash: bytes
    ) -> dict[bytes, bytes]:
        return {
            signer: signature
            for choice, votes in self._by_choice.items()
            if choice[:2] == (round_, block_hash)
            for signer, signature in votes.items()
        }

    patch.set(CommitTally, "signatures", signatures)


def round_timer_not_capped(patch: Patch) -> None:
    """Doubles for ever."""
    patch.set(timers, "round_ms", lambda _timing, base_ms, round_: base_ms << min(round_, 40))


def evidence_ignored(patch: Patch) -> None:
    """Sees a contradiction and says nothing."""
    patch.set(evidence_rules, "report", lambda *_: None)


def votes_are_never_said_again(patch: Patch) -> None:
    """What the network loses is lost."""
    patch.set(timers, "say_again", lambda _core: None)


def commit_after_round_change(patch: Patch) -> None:
    """Has given up the round, and COMMITs in it all the same."""
    patch.set(voting, "is_fenced", lambda state: state.fenced and not voting.is_prepared(state))


def commit_without_prepared(patch: Patch) -> None:
    """COMMITs as soon as it has executed."""
    patch.set(voting, "is_prepared", lambda state: len(state.accepted) > 0)


def any_proposer(patch: Patch) -> None:
    """Whoever speaks first proposes."""
    patch.set(proposing, "_proposal_fault", lambda *_: "")


def turns_from_own_certificate(patch: Patch) -> None:
    """Passes over whoever led the last height if its own certificate took more than one round."""

    def local(started: HeightStarted) -> Turns:
        order = true(started).order
        return Turns((*order[1:], order[0]), ()) if started.parent_round > 0 else Turns(order, ())

    true = turns.turns_of
    patch.function("consensus.pbft.engine", "turns_of", local)


def turns_forgotten_on_restart(patch: Patch) -> None:
    """Knows of misses only what it has seen since it runs."""
    true = recent.RecentProposers.__init__

    def load(self: Any, blocks: Any, _tip: int, validators: Any) -> None:
        true(self, blocks, 0, validators)

    patch.set(recent.RecentProposers, "__init__", load)


def everybody_passed_over(patch: Patch) -> None:
    """Passes over as many as miss, without a limit."""
    patch.set(turns, "quorum", lambda _engine, _n: 1)


PBFT: Final = (
    Mutant("quorum one too small", quorum_one_too_small),
    Mutant("quorum of 2f + 1", quorum_of_2f_plus_1),
    Mutant("no fence after a round change", no_fence_after_round_change),
    Mutant("commit after round change", commit_after_round_change),
    Mutant("prepared certificate forgotten on restart", prepared_forgotten_on_restart),
    Mutant("accepted block forgotten on restart", accepted_forgotten_on_restart),
    Mutant("fence forgotten on restart", fence_forgotten_on_restart),
    Mutant("vote counted twice per sender", duplicate_signers_counted),
    Mutant("justification not checked", justification_not_checked),
    Mutant("highest prepared not demanded", highest_prepared_not_demanded, seeds_max=2_000),
    Mutant("prepared certificate not verified", prepared_not_verified),
    Mutant("commit before own execution", commit_before_own_execution),
    Mutant("commits counted without their result", commits_counted_without_result),
    Mutant("commit without a prepared certificate", commit_without_prepared),
    Mutant("round timer not capped", round_timer_not_capped),
    Mutant("evidence ignored", evidence_ignored),
    Mutant("votes are never said again", votes_are_never_said_again),
    Mutant("proposals of anybody", any_proposer),
    Mutant("turns from a certificate of its own", turns_from_own_certificate),
    Mutant("turns forgotten on restart", turns_forgotten_on_restart),
    Mutant("more passed over than may be down", everybody_passed_over),
)
