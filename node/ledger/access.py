"""Who may do this? The checks that transaction types make on their signers.

A check is about actors, never about keys: a person with two keys is one person. Every function that
demands something raises TxError when it is not so. An organisation's root key counts as an
ORG_ADMIN of its organisation, and as nothing else.
"""

from __future__ import annotations

from node.ledger.codes import Code
from node.ledger.context import Context, Signer, View
from node.ledger.errors import TxError, refuse_unless
from node.ledger.identities import Org, org_of, role_holds
from node.ledger.roles import Role


def has_role(view: View, actor: bytes, role: str, org: bytes | None = None) -> bool:
    """Whether the actor holds the role now, at `org` if given: in time and not revoked.

    Says nothing about the organisation: a suspended one keeps its credentials.
    """
    return _standing(view, actor, role, org) is None


def signer_with_role(
    ctx: Context, role: str, org: bytes | None = None, *, other_than: bytes = b""
) -> Signer:
    """The first signer who holds the role at `org`, or at their own organisation if None.

    The actor `other_than` does not count. E_ROLE; E_EXPIRED if all that is missing is time.
    """
    problem = Code.ROLE
    for signer in ctx.signers:
        if signer.actor == other_than != b"":
            continue
        refusal = _refusal(ctx, signer, role, org)
        if refusal is None:
            return signer
        if refusal is Code.EXPIRED:
            problem = refusal
    raise _nobody(role, 1, problem)


def signers_with_role(
    ctx: Context, role: str, count: int, org: bytes | None = None
) -> tuple[Signer, ...]:
    """The first `count` signers who hold the role and are different people. E_ROLE or E_EXPIRED.

    Two keys of one actor count once; so do two root keys of one organisation.
    """
    return tuple(_candidates(ctx, role, count, org)[:count])


def signers_in_roles(ctx: Context, first: str, second: str, org: bytes) -> tuple[Signer, Signer]:
    """Two different people, one in each role at `org`. E_ROLE or E_EXPIRED.

    Whoever holds both roles fills the one that the other person cannot.
    """
    seconds = _candidates(ctx, second, 1, org)
    for one in _candidates(ctx, first, 1, org):
        for other in seconds:
            if _person(one) != _person(other):
                return one, other
    raise TxError(Code.ROLE, f"two different people must sign, as {first} and as {second}")


def signer_of_actor(ctx: Context, actor: bytes) -> Signer:
    """The signer who is this actor. E_ROLE if they did not sign."""
    if actor != b"":
        for signer in ctx.signers:
            if signer.actor == actor:
                return signer
    raise TxError(Code.ROLE, "the actor concerned did not sign")


def require_org_active(view: View, org: bytes) -> Org:
    """The organisation, if it is a member and not suspended. E_NOTFOUND, E_ORG."""
    row = org_of(view, org)
    if row is None:
        raise TxError(Code.NOT_FOUND, "no such organisation")
    refuse_unless(not row.suspended(view.height), Code.ORG, "the organisation is suspended")
    return row


def _person(signer: Signer) -> tuple[bytes, bytes]:
    return (signer.actor, b"") if signer.actor != b"" else (b"", signer.org)


def _candidates(ctx: Context, role: str, count: int, org: bytes | None) -> list[Signer]:
    """Those who hold the role, one signer a person, in order of signing; at least `count`."""
    found: dict[tuple[bytes, bytes], Signer] = {}
    problem = Code.ROLE
    for signer in ctx.signers:
        refusal = _refusal(ctx, signer, role, org)
        if refusal is None:
            found.setdefault(_person(signer), signer)
        elif refusal is Code.EXPIRED:
            problem = refusal
    if len(found) < count:
        raise _nobody(role, count, problem)
    return list(found.values())


def _nobody(role: str, count: int, problem: Code) -> TxError:
    return TxError(problem, f"{count} with the role {role} must sign, each another person")


def _refusal(ctx: Context, signer: Signer, role: str, org: bytes | None) -> Code | None:
    if signer.actor == b"":
        is_admin = role == Role.ORG_ADMIN and (org is None or signer.org == org)
        return None if is_admin else Code.ROLE
    # A role counts at the organisation of its holder, unless the caller asks about another one.
    return _standing(ctx, signer.actor, role, signer.org if org is None else org)


def _standing(view: View, actor: bytes, role: str, org: bytes | None) -> Code | None:
    problem = Code.ROLE
    now_ms = view.time_ms
    for hold in role_holds(view, actor, role):
        if org is not None and hold.scope != org:
            continue
        if hold.not_before_ms <= now_ms < hold.not_after_ms:
            return None
        problem = Code.EXPIRED
    return problem
