"""Counts COMMIT votes of one height, whatever their round (docs/spec/pbft.md, rule C3)."""

from __future__ import annotations

from consensus.limits import COMMITS_PER_SIGNER_MAX
from consensus.messages import Commit
from consensus.results import ResultGroup


class CommitTally:
    """The COMMITs of one height: at most one a signer and round, and only each signer's last."""

    __slots__ = ("_by_choice", "_by_signer")

    def __init__(self) -> None:
        self._by_signer: dict[bytes, dict[int, Commit]] = {}
        self._by_choice: dict[tuple[int, bytes, bytes], dict[bytes, bytes]] = {}

    def of(self, signer: bytes) -> tuple[Commit, ...]:
        """What is kept of a signer."""
        return tuple(self._by_signer.get(signer, {}).values())

    def find(self, signer: bytes, round_: int) -> Commit | None:
        """What a signer committed in a round, if that is kept."""
        return self._by_signer.get(signer, {}).get(round_)

    def add(self, vote: Commit) -> bool:
        """Count a vote. False if it is too old, or its signer has voted in this round already."""
        rounds = self._by_signer.setdefault(vote.signer, {})
        if vote.round in rounds:
            return False
        if len(rounds) >= COMMITS_PER_SIGNER_MAX:
            oldest = min(rounds)
            if vote.round < oldest:
                return False
            self._discard(rounds.pop(oldest))
        rounds[vote.round] = vote
        choice = (vote.round, vote.block_hash, vote.result_hash)
        self._by_choice.setdefault(choice, {})[vote.signer] = vote.signature
        return True

    def signatures(self, round_: int, block_hash: bytes, result_hash: bytes) -> dict[bytes, bytes]:
        """The signatures of one choice, by signer."""
        return self._by_choice.get((round_, block_hash, result_hash), {})

    def groups(self) -> tuple[ResultGroup, ...]:
        """Everything that is kept, by what was chosen."""
        return tuple(
            ResultGroup(*choice, tuple(sorted(signatures)))
            for choice, signatures in sorted(self._by_choice.items())
        )

    def splits(self, n: int, quorum: int) -> bool:
        """Whether some block can get no quorum for any result: too many computed differently.

        Even if everybody who has not spoken yet joined the largest group (rule C7).
        """
        groups: dict[tuple[int, bytes], list[int]] = {}
        for (round_, block_hash, _), signatures in self._by_choice.items():
            groups.setdefault((round_, block_hash), []).append(len(signatures))
        return any(max(sizes) + n - sum(sizes) < quorum for sizes in groups.values())

    def _discard(self, vote: Commit) -> None:
        choice = (vote.round, vote.block_hash, vote.result_hash)
        signatures = self._by_choice[choice]
        del signatures[vote.signer]
        if len(signatures) == 0:
            del self._by_choice[choice]
