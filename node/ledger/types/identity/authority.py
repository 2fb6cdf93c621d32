"""Who may act for an organisation, or for a key, in matters of identity."""

from __future__ import annotations

from collections.abc import Container

from node.ledger.access import signer_with_role, signers_in_roles
from node.ledger.context import Context, Signer
from node.ledger.errors import TxError
from node.ledger.roles import Role


def require_admin_or_registrar(ctx: Context, org: bytes, other_than: bytes = b"") -> Signer:
    """An administrator or a registrar of `org`, not the actor `other_than`. E_ROLE, E_EXPIRED."""
    try:
        return signer_with_role(ctx, Role.ORG_ADMIN, org, other_than=other_than)
    except TxError:
        return signer_with_role(ctx, Role.REGISTRAR, org, other_than=other_than)


def require_holder_or_officers(ctx: Context, keys: Container[bytes], org: bytes) -> None:
    """One of `keys` signed; or an administrator and a privacy officer of `org`, two people.

    E_ROLE.
    """
    if not any(signer.key in keys for signer in ctx.signers):
        signers_in_roles(ctx, Role.ORG_ADMIN, Role.PRIVACY_OFFICER, org)
