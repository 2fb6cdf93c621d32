"""Who signs for a study: committees without its sponsor's people, and pairs of different people."""

from __future__ import annotations

from typing import Final

from node.ledger.access import has_role, signers_with_role
from node.ledger.codes import Code
from node.ledger.context import Context, Signer
from node.ledger.errors import TxError, refuse_unless
from node.ledger.params import param
from node.ledger.roles import Role
from node.ledger.txtype import Param
from node.ledger.types.trials.limits import ETHICS_SIGNERS_MAX
from node.ledger.types.trials.rows import Study

ETHICS_QUORUM: Final = Param(
    "trial.ethics_quorum",
    default=3,
    minimum=1,
    maximum=ETHICS_SIGNERS_MAX,
    summary="Members of an ethics committee who sign a decision together",
)


def require_ethics_quorum(ctx: Context, study: Study) -> None:
    """Enough different committee members signed, and none of them depends on the sponsor.

    Neither its own people nor members whom it appointed decide about its study.

    E_QUORUM if members signed, but too few; E_ROLE if none did or one has an interest in the study.
    """
    signers_with_role(ctx, Role.ETHICS, 1)
    try:
        signers_with_role(ctx, Role.ETHICS, param(ctx, ETHICS_QUORUM.name))
    except TxError as error:
        raise TxError(Code.QUORUM, "too few members of the ethics committee signed") from error
    interested = any(
        has_role(ctx, signer.actor, Role.ETHICS, study.sponsor)
        or (signer.org == study.sponsor and has_role(ctx, signer.actor, Role.ETHICS))
        for signer in ctx.signers
    )
    refuse_unless(not interested, Code.ROLE, "a committee member depends on the sponsor")


def require_two(
    ctx: Context,
    first: tuple[Role, ...],
    first_org: bytes,
    second: tuple[Role, ...],
    second_org: bytes | None = None,
) -> Signer:
    """Two different people signed, each with one of its roles. Returns the first. E_ROLE.

    Somebody who holds both roles fills one of them only, so every pair of signers is tried.
    """
    for one in ctx.signers:
        if not _holds(ctx, one, first, first_org):
            continue
        for other in ctx.signers:
            if other.actor != one.actor and _holds(ctx, other, second, second_org):
                return one
    raise TxError(Code.ROLE, f"needed: {' or '.join(first)}, and another {' or '.join(second)}")


def _holds(ctx: Context, signer: Signer, roles: tuple[Role, ...], org: bytes | None) -> bool:
    return signer.actor != b"" and any(has_role(ctx, signer.actor, role, org) for role in roles)
