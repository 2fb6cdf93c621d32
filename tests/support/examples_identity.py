"""Good examples of the identity module's types."""

from __future__ import annotations

from medquorum.keys import SigningKey, possession_bytes
from node.ledger.proposals import (
    OrgRegister,
    OrgReinstate,
    OrgRootReplace,
    OrgSuspend,
    ProposalKind,
)
from node.ledger.roles import Role
from node.ledger.types.identity.bodies import (
    ActorEnrol,
    CarryOut,
    CredentialIssue,
    CredentialRevoke,
    KemSet,
    KeyRevoke,
    KeyRotate,
)
from tests.support.examples import Example
from tests.support.governance import decide
from tests.support.ledger import Ledger, OrgHandle, some_id, some_key

DAY_MS = 24 * 60 * 60 * 1000


def possession(ledger: Ledger, owner: bytes, key: SigningKey) -> bytes:
    """The key's own signature that it belongs to `owner`."""
    return key.sign(possession_bytes(ledger.chain_id, owner, key.public))


def admission(ledger: Ledger, name: str = "newcomer", uri: str = "https://new.test") -> OrgRegister:
    """A hospital that wants to become a member."""
    root = some_key(f"{name} root")
    org = some_id(name)
    signature = possession(ledger, org, root)
    return OrgRegister(org, "hospital", some_id(f"{name} legal"), "cn", uri, root.public, signature)


def enrolment(
    ledger: Ledger, org: OrgHandle, name: str = "recruit", kind: str = "staff"
) -> ActorEnrol:
    """Somebody whom `org` enrols."""
    actor, key = some_id(name), some_key(name)
    signature = possession(ledger, actor, key)
    return ActorEnrol(actor, org.id, kind, key.public, b"", some_id("attest"), signature)


def issuance(ledger: Ledger, actor: bytes, org: bytes, role: str) -> CredentialIssue:
    """A role for a year."""
    until_ms = ledger.time_ms + 365 * DAY_MS
    return CredentialIssue(
        ledger.fresh_id(), actor, role, org, ledger.time_ms, until_ms, some_id("evidence")
    )


def rotation(ledger: Ledger, owner: bytes, old: SigningKey, overlap: int = 0) -> KeyRotate:
    """A successor for `old`."""
    new = some_key("successor")
    signature = possession(ledger, owner, new)
    return KeyRotate(old.public, new.public, overlap, signature)


def _register(ledger: Ledger) -> Example:
    proposal = decide(ledger, ProposalKind.ORG_REGISTER, admission(ledger))
    return Example(ledger.op("id.org.register", CarryOut(proposal)), [ledger.founders[0]])


def _suspend(ledger: Ledger) -> Example:
    proposal = decide(ledger, ProposalKind.ORG_SUSPEND, OrgSuspend(ledger.org().id))
    return Example(ledger.op("id.org.suspend", CarryOut(proposal)), [ledger.founders[0]])


def _reinstate(ledger: Ledger) -> Example:
    org = ledger.org()
    ledger.suspend(org)
    proposal = decide(ledger, ProposalKind.ORG_REINSTATE, OrgReinstate(org.id))
    return Example(ledger.op("id.org.reinstate", CarryOut(proposal)), [ledger.founders[0]])


def _root_replace(ledger: Ledger) -> Example:
    org = ledger.org()
    key = some_key("new root")
    content = OrgRootReplace(org.id, key.public, possession(ledger, org.id, key))
    proposal = decide(ledger, ProposalKind.ORG_ROOT_REPLACE, content)
    return Example(ledger.op("id.org.root_replace", CarryOut(proposal)), [ledger.founders[0]])


def _enrol(ledger: Ledger) -> Example:
    org = ledger.org()
    return Example(ledger.op("id.actor.enrol", enrolment(ledger, org)), [org])


def _kem(ledger: Ledger) -> Example:
    person = ledger.person()
    return Example(ledger.op("id.kem.set", KemSet(person.id, b"\x01" * 1216)), [person])


def _rotate(ledger: Ledger) -> Example:
    person = ledger.person()
    return Example(ledger.op("id.key.rotate", rotation(ledger, person.id, person.key)), [person])


def _revoke_key(ledger: Ledger) -> Example:
    org = ledger.org()
    lost = ledger.person(org)
    officer = ledger.person(org, Role.PRIVACY_OFFICER)
    return Example(ledger.op("id.key.revoke", KeyRevoke(lost.key.public, 0)), [org, officer])


def _issue(ledger: Ledger) -> Example:
    person = ledger.person()
    body = issuance(ledger, person.id, person.org.id, Role.CLINICIAN)
    return Example(ledger.op("id.cred.issue", body), [person.org])


def _revoke_credential(ledger: Ledger) -> Example:
    person = ledger.person()
    credential = ledger.grant(person, Role.CLINICIAN)
    return Example(ledger.op("id.cred.revoke", CredentialRevoke(credential, "left")), [person.org])


EXAMPLES = {
    "id.org.register": _register,
    "id.org.suspend": _suspend,
    "id.org.reinstate": _reinstate,
    "id.org.root_replace": _root_replace,
    "id.actor.enrol": _enrol,
    "id.kem.set": _kem,
    "id.key.rotate": _rotate,
    "id.key.revoke": _revoke_key,
    "id.cred.issue": _issue,
    "id.cred.revoke": _revoke_credential,
}
