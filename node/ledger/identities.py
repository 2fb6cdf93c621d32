"""Who is who: the rows of the identity namespace, and the look-ups that every module may use.

Written by types/identity (and genesis) only. Keys and suspensions change with a height: what a
block changes holds from the next height on, so within one block every transaction sees the same
keys, in whatever order they stand.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Annotated, Final

from msgspec import Meta

from medquorum.codec import Bytes32, Hash, Height, Name, TimeMs, Wire
from medquorum.keys import PublicKey
from node.ledger.codes import Code
from node.ledger.context import Signer, View
from node.ledger.errors import TxError
from node.ledger.limits import HOLDS_PER_ROLE_MAX
from node.ledger.tables import Table

NAMESPACE: Final = "identity"
KEM_KEY_BYTES_MAX: Final = 2048
GATEWAY_URI_CHARS_MAX: Final = 200

MaybeId = Annotated[bytes, Meta(max_length=32)]
"""An id of 32 bytes, or no bytes at all for nobody."""
KemKey = Annotated[bytes, Meta(max_length=KEM_KEY_BYTES_MAX)]
"""A public key to which record keys are wrapped (HPKE), or nothing."""


class Chain(Wire, frozen=True):
    """Which chain this is, for statements that are signed outside of transactions."""

    chain_id: Hash


class Org(Wire, frozen=True):
    """A member organisation.

    It is suspended from `suspended_from` until before `suspended_until`; 0 is 'not'.
    """

    kind: Name
    legal_hash: Hash
    jurisdiction: Name
    gateway_uri: Annotated[str, Meta(max_length=GATEWAY_URI_CHARS_MAX)]
    root_key: PublicKey
    registered: Height
    suspended_from: Height
    suspended_until: Height

    def suspended(self, height: int) -> bool:
        """Whether the organisation is suspended at `height`."""
        if self.suspended_from == 0 or height < self.suspended_from:
            return False
        return self.suspended_until == 0 or height < self.suspended_until


class Actor(Wire, frozen=True):
    """A person or a system that signs.

    Who it is in real life is known to its organisation alone.
    """

    org: Bytes32
    kind: Name
    key: PublicKey
    kem: KemKey
    attest_hash: Hash
    enrolled: Height


class KeyBinding(Wire, frozen=True):
    """Whose key this is. It signs from `from_height` until before `until_height`; 0 is 'no end'.

    An organisation's root key has no actor. A key is bound once and for ever: a key that ended
    never comes back. `compromised_from` is the height from which its holder no longer vouches for
    what it signed, 0 for never: such transactions stand, and reviewers can find them.
    """

    actor: MaybeId
    org: Bytes32
    from_height: Height
    until_height: Height
    compromised_from: Height


class Credential(Wire, frozen=True):
    """A role of an actor at the organisation `scope`, for [not_before_ms, not_after_ms)."""

    actor: Bytes32
    role: Name
    scope: Bytes32
    issuer: Bytes32
    not_before_ms: TimeMs
    not_after_ms: TimeMs
    evidence_hash: Hash
    issued: Height
    revoked: Height
    reason: Name


class Hold(Wire, frozen=True):
    """One credential that is not revoked, as the role check needs it."""

    credential: Bytes32
    scope: Bytes32
    not_before_ms: TimeMs
    not_after_ms: TimeMs


class Holds(Wire, frozen=True):
    """The credentials of one actor for one role.

    Those that expired are left out when the next one comes.
    """

    holds: Annotated[tuple[Hold, ...], Meta(max_length=HOLDS_PER_ROLE_MAX)]


class OrgRef(Wire, frozen=True):
    """Which organisation it is."""

    org: Bytes32


class Since(Wire, frozen=True):
    """Present since this height."""

    height: Height


class CarriedOut(Wire, frozen=True):
    """A decision of the consortium was carried out here, at this height.

    It cannot be carried out again.
    """

    height: Height


CHAIN = Table(b"i", "chain", key=(), value=Chain, meaning="the chain id")
ORGS = Table(b"o", "orgs", key=("org",), value=Org, meaning="the member organisations")
GATEWAYS = Table(
    b"g",
    "gateways",
    key=("sha256_of_uri",),
    value=OrgRef,
    meaning="endpoints in use: no two members name the same",
)
ACTORS = Table(b"a", "actors", key=("actor",), value=Actor, meaning="people and systems that sign")
ORG_ACTORS = Table(
    b"m", "org_actors", key=("org", "actor"), value=Since, meaning="the actors of an organisation"
)
KEYS = Table(
    b"k", "keys", key=("key",), value=KeyBinding, meaning="whose key it is, and for which heights"
)
CREDENTIALS = Table(
    b"c", "credentials", key=("credential",), value=Credential, meaning="every credential issued"
)
ROLES = Table(
    b"r", "roles", key=("actor", "role"), value=Holds, meaning="the roles that an actor holds"
)
CARRIED_OUT = Table(
    b"d",
    "carried_out",
    key=("proposal",),
    value=CarriedOut,
    meaning="decisions that were carried out here",
)
TABLES = (CHAIN, ORGS, GATEWAYS, ACTORS, ORG_ACTORS, KEYS, CREDENTIALS, ROLES, CARRIED_OUT)


def org_of(view: View, org: bytes) -> Org | None:
    """The organisation, or None."""
    return ORGS.look_up(view.read(NAMESPACE), org)


def actor_of(view: View, actor: bytes) -> Actor | None:
    """The actor, or None."""
    return ACTORS.look_up(view.read(NAMESPACE), actor)


def binding_of(view: View, key: bytes) -> KeyBinding | None:
    """What the key is or was bound to, or None if it never was."""
    return KEYS.get(view.read(NAMESPACE), key)


def signer_of_key(view: View, key: bytes, height: int) -> Signer:
    """Who signs with this key at `height`, as far as the view knows: the next height is decided.

    E_ROLE if it belongs to nobody (or not yet), E_KEY_REVOKED if it was rotated away or revoked.
    """
    binding = binding_of(view, key)
    if binding is None or height < binding.from_height:
        raise TxError(Code.ROLE, "no actor holds this key")
    if binding.until_height != 0 and height >= binding.until_height:
        raise TxError(Code.KEY_REVOKED, "the key was rotated away or revoked")
    return Signer(key, binding.actor, binding.org)


def role_holds(view: View, actor: bytes, role: str) -> tuple[Hold, ...]:
    """The actor's credentials for the role, whether or not they are in time."""
    row = ROLES.look_up(view.read(NAMESPACE), actor, role)
    return () if row is None else row.holds


def gateway_key(uri: str) -> bytes:
    """How endpoints are filed: by their hash, so that keys have one length."""
    return sha256(uri.encode()).digest()
