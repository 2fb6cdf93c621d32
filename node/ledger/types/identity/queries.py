"""What can be asked about organisations, actors, keys and credentials."""

from __future__ import annotations

from typing import Final

import msgspec

from node.ledger.context import View
from node.ledger.identities import (
    ACTORS,
    CREDENTIALS,
    KEYS,
    NAMESPACE,
    ORG_ACTORS,
    ORGS,
    ROLES,
    Actor,
    Org,
)
from node.ledger.limits import PAGE_DEFAULT
from node.ledger.paging import PageLimit, take
from node.ledger.txtype import Query


class OrgParams(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Of id.org."""

    org: bytes


class OrgsParams(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Of id.orgs: all organisations, paged."""

    limit: PageLimit = PAGE_DEFAULT
    cursor: bytes = b""


class OrgAnswer(msgspec.Struct, kw_only=True):
    """An organisation. `status` is active or suspended at the height asked about."""

    org: bytes
    kind: str
    legal_hash: bytes
    jurisdiction: str
    gateway_uri: str
    root_key: bytes
    registered: int
    status: str


class OrgsAnswer(msgspec.Struct, kw_only=True):
    """A page of organisations."""

    items: tuple[OrgAnswer, ...]
    next_cursor: bytes


class ActorParams(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Of id.actor."""

    actor: bytes


class ActorsParams(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Of id.actors: those of one organisation, paged."""

    org: bytes
    limit: PageLimit = PAGE_DEFAULT
    cursor: bytes = b""


class ActorAnswer(msgspec.Struct, kw_only=True):
    """An actor, with the roles that count at the time asked about."""

    actor: bytes
    org: bytes
    kind: str
    key: bytes
    kem: bytes
    attest_hash: bytes
    enrolled: int
    roles: tuple[str, ...]


class ActorsAnswer(msgspec.Struct, kw_only=True):
    """A page of actors."""

    items: tuple[ActorAnswer, ...]
    next_cursor: bytes


class KeyParams(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Of id.key."""

    key: bytes


class KeyAnswer(msgspec.Struct, kw_only=True):
    """Whose key it is. `status` is pending, active or revoked at the height asked about."""

    key: bytes
    actor: bytes
    org: bytes
    from_height: int
    until_height: int
    compromised_from: int
    status: str


class CredentialParams(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Of id.credential."""

    credential: bytes


class CredentialsParams(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Of id.credentials: those of one actor that are not revoked; an expired one may be missing."""

    actor: bytes


class CredentialAnswer(msgspec.Struct, kw_only=True):
    """A credential. `status` is pending, valid, expired or revoked at the time asked about."""

    credential: bytes
    actor: bytes
    role: str
    scope: bytes
    issuer: bytes
    not_before_ms: int
    not_after_ms: int
    evidence_hash: bytes
    issued: int
    revoked: int
    reason: str
    status: str


class CredentialsAnswer(msgspec.Struct, kw_only=True):
    """All of them: their number is bounded by that of the roles."""

    items: tuple[CredentialAnswer, ...]


def _org(params: OrgParams, view: View) -> OrgAnswer | None:
    row = ORGS.get(view.read(NAMESPACE), params.org)
    return None if row is None else _shown_org(params.org, row, view)


def _orgs(params: OrgsParams, view: View) -> OrgsAnswer:
    rows, cursor = take(ORGS.rows(view.read(NAMESPACE), after=params.cursor), params.limit)
    items = tuple(_shown_org(org, row, view) for org, row in rows)
    return OrgsAnswer(items=items, next_cursor=cursor)


def _shown_org(org: bytes, row: Org, view: View) -> OrgAnswer:
    return OrgAnswer(
        org=org,
        kind=row.kind,
        legal_hash=row.legal_hash,
        jurisdiction=row.jurisdiction,
        gateway_uri=row.gateway_uri,
        root_key=row.root_key,
        registered=row.registered,
        status="suspended" if row.suspended(view.height) else "active",
    )


def _actor(params: ActorParams, view: View) -> ActorAnswer | None:
    row = ACTORS.get(view.read(NAMESPACE), params.actor)
    return None if row is None else _shown_actor(params.actor, row, view)


def _actors(params: ActorsParams, view: View) -> ActorsAnswer:
    state = view.read(NAMESPACE)
    rows, cursor = take(ORG_ACTORS.rows(state, params.org, after=params.cursor), params.limit)
    found = ((actor, ACTORS.get(state, actor)) for actor, _ in rows)
    items = tuple(_shown_actor(actor, row, view) for actor, row in found if row is not None)
    return ActorsAnswer(items=items, next_cursor=cursor)


def _shown_actor(actor: bytes, row: Actor, view: View) -> ActorAnswer:
    roles = tuple(
        key.rstrip(b"\0").decode()
        for key, holds in ROLES.rows(view.read(NAMESPACE), actor)
        if any(hold.not_before_ms <= view.time_ms < hold.not_after_ms for hold in holds.holds)
    )
    return ActorAnswer(
        actor=actor,
        org=row.org,
        kind=row.kind,
        key=row.key,
        kem=row.kem,
        attest_hash=row.attest_hash,
        enrolled=row.enrolled,
        roles=roles,
    )


def _key(params: KeyParams, view: View) -> KeyAnswer | None:
    row = KEYS.get(view.read(NAMESPACE), params.key)
    if row is None:
        return None
    status = "active"
    if view.height < row.from_height:
        status = "pending"
    elif row.until_height != 0 and view.height >= row.until_height:
        status = "revoked"
    return KeyAnswer(
        key=params.key,
        actor=row.actor,
        org=row.org,
        from_height=row.from_height,
        until_height=row.until_height,
        compromised_from=row.compromised_from,
        status=status,
    )


def _credential(params: CredentialParams, view: View) -> CredentialAnswer | None:
    row = CREDENTIALS.get(view.read(NAMESPACE), params.credential)
    if row is None:
        return None
    status = "valid"
    if row.revoked != 0:
        status = "revoked"
    elif view.time_ms >= row.not_after_ms:
        status = "expired"
    elif view.time_ms < row.not_before_ms:
        status = "pending"
    return CredentialAnswer(
        credential=params.credential,
        actor=row.actor,
        role=row.role,
        scope=row.scope,
        issuer=row.issuer,
        not_before_ms=row.not_before_ms,
        not_after_ms=row.not_after_ms,
        evidence_hash=row.evidence_hash,
        issued=row.issued,
        revoked=row.revoked,
        reason=row.reason,
        status=status,
    )


def _credentials(params: CredentialsParams, view: View) -> CredentialsAnswer:
    held = (
        _credential(CredentialParams(credential=hold.credential), view)
        for _, holds in ROLES.rows(view.read(NAMESPACE), params.actor)
        for hold in holds.holds
    )
    return CredentialsAnswer(items=tuple(answer for answer in held if answer is not None))


QUERIES: Final = (
    Query("id.org", OrgParams, _org, "An organisation."),
    Query("id.orgs", OrgsParams, _orgs, "All organisations."),
    Query("id.actor", ActorParams, _actor, "An actor and their roles."),
    Query("id.actors", ActorsParams, _actors, "The actors of an organisation."),
    Query("id.key", KeyParams, _key, "Whose key it is, and whether it signs."),
    Query("id.credential", CredentialParams, _credential, "A credential."),
    Query("id.credentials", CredentialsParams, _credentials, "The credentials of an actor."),
)
