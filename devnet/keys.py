"""The keys and ids of a development network, all derived from names.

The same names give the same keys on every machine, so examples and bug reports can be repeated, and
everybody knows all of them: they protect nothing. A node accepts them, in the clear, only on a
chain whose name begins with `devnet-`.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from devnet.manifest import GATEWAY
from medquorum.kem import KemKey
from medquorum.keys import SigningKey

BANNER: Final = "DEVNET KEYS \N{EN DASH} PUBLIC. Everybody has them. Never put anything real here."


@dataclass(frozen=True, slots=True)
class DevnetKeys:
    """The keys of the network of this name. Names of organisations and actors are the manifest's,
    but any other may be used as well, for instance for patients.
    """

    network: str

    def seed(self, *name: str) -> bytes:
        """32 bytes for a name of several parts."""
        return sha256(":".join(("devnet", self.network, *name)).encode()).digest()

    def node(self, index: int) -> SigningKey:
        """The transport key of node `index`."""
        return SigningKey(self.seed("node", str(index)))

    def validator(self, index: int) -> SigningKey:
        """The key with which node `index` votes."""
        return SigningKey(self.seed("validator", str(index)))

    def org(self, org: str) -> SigningKey:
        """The root key of an organisation: its administrator."""
        return SigningKey(self.seed("org", org))

    def actor(self, org: str, actor: str) -> SigningKey:
        """The signing key of an actor of an organisation."""
        return SigningKey(self.seed("actor", org, actor))

    def actor_kem(self, org: str, actor: str) -> KemKey:
        """The key to which records are wrapped for the actor."""
        return KemKey(self.seed("kem", org, actor))

    def gateway(self, org: str) -> SigningKey:
        """The signing key of a hospital's vault: that of its gateway actor."""
        return self.actor(org, GATEWAY)

    def gateway_kem(self, org: str) -> KemKey:
        """The key to which records are wrapped for a hospital's vault."""
        return self.actor_kem(org, GATEWAY)

    def org_id(self, org: str) -> bytes:
        """The organisation on the chain."""
        return self.seed("org-id", org)

    def actor_id(self, org: str, actor: str) -> bytes:
        """The actor on the chain."""
        return self.seed("actor-id", org, actor)

    def credential_id(self, org: str, actor: str, role: str) -> bytes:
        """The credential on the chain that gives an actor a role."""
        return self.seed("credential-id", org, actor, role)
