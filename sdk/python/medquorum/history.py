"""Which validators spoke for a chain at which height, proven from its genesis.

Every header names the validators that vote on it, and every result names those that vote on the
next height. So whoever knows the genesis can follow the few heights at which the set changed, each
certified by the set before it, and reach the set of any height. Where more validators were lost
than the engine bears, organisations have named the next set (recovery.py): such a height is part of
the history like the others, and counted.

What this cannot do: validators that left long ago can still sign. If a quorum of a former set gives
its keys away (or loses them), somebody can write another history from that height on, and this
module cannot tell the two apart. A holder of proofs defends against it by remembering one recent
block hash from a source of their own, and comparing (docs/spec/receipt.md).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from medquorum.block import Header, Result, ValidatorSet
from medquorum.certificate import CommitCertificate, verify_certificate
from medquorum.errors import VerificationError
from medquorum.genesis import Genesis
from medquorum.limits import HISTORY_CHANGES_MAX
from medquorum.recovery import Recovery, verify_recovery


@dataclass(frozen=True, slots=True)
class Certified:
    """A header with what came of it and the signatures over both. Not verified by being built."""

    header: Header
    result: Result
    certificate: CommitCertificate


@dataclass(frozen=True, slots=True)
class SetChange:
    """A height after which another validator set votes than before: `validators`.

    Its result names that set, or `recovery` does, whatever the result says.
    """

    at: Certified
    validators: ValidatorSet
    recovery: Recovery | None = None


class ValidatorHistory:
    """The validator sets of one chain, as far as they were proven. Grows by `extend`; never
    shrinks.
    """

    __slots__ = ("_changes", "_recovered", "chain_id", "engine")

    def __init__(self, genesis: Genesis) -> None:
        self.chain_id = genesis.chain_id()
        self.engine = genesis.engine
        # (height of the change, the set that votes after it), ascending. The genesis is height 0.
        self._changes: list[tuple[int, ValidatorSet]] = [(0, genesis.validator_set())]
        self._recovered: list[int] = []

    @property
    def height(self) -> int:
        """The height of the last known change, 0 if there is none."""
        return self._changes[-1][0]

    def recoveries(self, height: int) -> int:
        """How many recoveries the validators of `height` owe their votes to: after how many
        disasters organisations have named the set.
        """
        return sum(1 for at in self._recovered if at < height)

    def knows(self, change: SetChange) -> bool:
        """Whether a change is, or lies below, what is known here already."""
        height = change.at.header.height
        if height == self.height and change.recovery is not None:
            return height in self._recovered
        return height <= self.height

    def is_whole_at(self, certified: Certified) -> bool:
        """Whether no change after this height is missing here: its result, or a recovery, names the
        set that is known to vote next.
        """
        height = certified.header.height
        if height in self._recovered:
            return True
        return self.validators_at(height + 1).hash() == certified.result.next_validators_hash

    def extend(self, changes: Iterable[SetChange]) -> None:
        """Verify changes in ascending order, after those already known. Raises VerificationError;
        what held before it stays.
        """
        for change in changes:
            if len(self._changes) > HISTORY_CHANGES_MAX:
                raise VerificationError(
                    "history_length", f"more than {HISTORY_CHANGES_MAX} changes"
                )
            if change.recovery is None:
                self._change(change)
            else:
                self._recover(change, change.recovery)

    def _change(self, change: SetChange) -> None:
        header = change.at.header
        if header.height <= self.height:
            raise VerificationError("history_order", "the changes do not ascend")
        self._verify_under(change.at, self._changes[-1][1])
        after = change.validators.hash()
        if change.at.result.next_validators_hash != after:
            raise VerificationError("history_set", "the result names another set")
        if after == header.validators_hash:
            raise VerificationError("history_change", "the set did not change here")
        self._changes.append((header.height, change.validators))

    def _recover(self, change: SetChange, recovery: Recovery) -> None:
        """The height may be one that changed the set: then that change comes before this one."""
        header, result = change.at.header, change.at.result
        height = header.height
        if height < max(self.height, 1) or height in self._recovered:
            raise VerificationError("history_order", "the changes do not ascend")
        self._verify_under(change.at, self.validators_at(height))
        after = verify_recovery(
            recovery,
            header=header,
            result=result,
            validators=self._changes[-1][1],
            counter=len(self._recovered) + 1,
        )
        if after != change.validators:
            raise VerificationError("history_set", "the recovery names another set")
        self._changes.append((height, after))
        self._recovered.append(height)

    def validators_at(self, height: int) -> ValidatorSet:
        """The set that votes on `height`, if no change is missing between the last known one and
        it.
        """
        return next(known for at, known in reversed(self._changes) if at < height)

    def verify(self, certified: Certified) -> None:
        """Raise VerificationError unless this chain's validators of that height certified it.

        `certificate_validators` may mean that a change of the set is still unknown here: extend,
        and verify again.
        """
        height = certified.header.height
        if height < 1:
            raise VerificationError("history_height", "the genesis has no certificate")
        self._verify_under(certified, self.validators_at(height))

    def _verify_under(self, certified: Certified, validators: ValidatorSet) -> None:
        if certified.header.chain_id != self.chain_id:
            raise VerificationError("chain_id", "the header belongs to another chain")
        verify_certificate(
            engine=self.engine,
            header=certified.header,
            result=certified.result,
            certificate=certified.certificate,
            validators=validators,
        )
