"""Writes the statement of a disaster recovery from what a node has, and reads from its sign state
what may be lost by it (docs/spec/disaster-recovery.md, section 4).
"""

from __future__ import annotations

from collections.abc import Sequence

from consensus.messages import LogRecord
from medquorum.recovery import (
    Authority,
    RecoveredValidator,
    RecoveryStatement,
)
from medquorum.recovery_file import RecoveryFile
from node.chain import Chain
from node.errors import RecoveryRefusedError
from node.halts import standing
from node.ledger.errors import TxError
from node.ledger.identities import KEYS, NAMESPACE, org_of
from node.ledger.recoveries import recoveries_so_far, require_recoverable
from node.probation import voting_from
from node.receipts import certified_at, history_before


def propose_recovery(
    chain: Chain, validators: Sequence[RecoveredValidator], reason: str
) -> RecoveryFile:
    """A statement, not signed, that continues the highest certified height that is here.

    Raises RecoveryRefusedError if the state forbids these validators or there is no block yet;
    VerificationError if the new keys are not good ones.
    """
    tip = chain.tip
    block = certified_at(chain.blocks, tip.height)
    if block is None:
        raise RecoveryRefusedError("recovery_height", "there is no certified block yet")
    view = chain.view()
    statement = RecoveryStatement(
        chain_id=chain.chain_id,
        counter=recoveries_so_far(view) + 1,
        height=tip.height,
        block_hash=tip.block_hash,
        result_hash=tip.result_hash,
        validators=tuple(validators),
        reason=reason,
    )
    try:
        require_recoverable(view, statement)
    except TxError as error:
        raise RecoveryRefusedError("recovery_state", str(error)) from None
    replaced = chain.blocks.validators(tip.height + 1)
    file = RecoveryFile(
        statement=statement,
        block=block,
        history=history_before(chain.blocks, tip.height + 1),
        sub_roots=chain.state.sub_roots(),
        authorities=_authorities(chain, [validator.org for validator in replaced.validators]),
        signatures={},
        transaction=None,
    )
    file.verify(chain.genesis)
    return file


def _authorities(chain: Chain, orgs: Sequence[bytes]) -> tuple[Authority, ...]:
    """The root keys of these organisations that may sign, each with its proof."""
    view = chain.view()
    found: list[Authority] = []
    for org in dict.fromkeys(orgs):
        row = org_of(view, org)
        if row is None:
            continue
        binding = KEYS.get(view.read(NAMESPACE), row.root_key)
        value, proof = chain.state.proof(NAMESPACE, KEYS.key(row.root_key))
        ended = binding is None or 0 < binding.until_height <= chain.tip.height + 1
        if value is not None and not ended:
            found.append(Authority(row.root_key, value, proof.siblings))
    return tuple(sorted(found, key=lambda authority: authority.key))


def may_have_been_certified(
    last_vote: tuple[int, int, int] | None, records: Sequence[LogRecord], tip_height: int
) -> int:
    """The height above the tip at which this validator may have signed a result, which is what
    certificates are made of: those who are lost may hold the certificate. 0 if there is none.
    """
    signed = standing(records).signed_height
    if signed > tip_height:
        return signed
    if last_vote is not None and voting_from(last_vote, tip_height, records) > tip_height + 1:
        # It voted up there, and its log does not tell what.
        return last_vote[0]
    return 0
