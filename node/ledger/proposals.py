"""What can be proposed: one structure a kind, and the checks that its content must pass.

Content is checked twice (proposal_checks.py): when it is proposed, so that nobody votes on what
cannot happen, and when it is carried out.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Annotated, Final, TypeAlias

from msgspec import Meta

from medquorum.codec import U16, U53, Bytes32, Hash, Height, Name, TimeMs, Wire, decode
from medquorum.errors import DecodeError
from medquorum.evidence import Evidence
from medquorum.keys import PublicKey, Signature
from node.ledger import identities, membership
from node.ledger.codes import Code
from node.ledger.decisions import CONTENT_BYTES_MAX, Draft
from node.ledger.errors import TxError
from node.ledger.identities import GATEWAY_URI_CHARS_MAX

VALIDATORS_FLOOR: Final = 4
"""A chain that has this many validators tolerates one fault, and is not voted back below."""
NEVER_PAUSED: Final = frozenset({identities.NAMESPACE, membership.NAMESPACE})
"""Without these two nobody could end a pause or revoke a key."""

GatewayUri = Annotated[
    str,
    Meta(
        max_length=GATEWAY_URI_CHARS_MAX,
        pattern=r"^(https://[a-z0-9][a-z0-9.\-]*(:[0-9]{1,5})?(/[A-Za-z0-9_.\-/]*)?)?(?![\s\S])",
    ),
]
"""The https address of an organisation's gateway:

host, port and path, no query and no user. May be empty.
"""


class ProposalKind(StrEnum):
    """What a proposal is about."""

    PARAM_SET = "param_set"
    VALIDATOR_ADD = "validator_add"
    VALIDATOR_REMOVE = "validator_remove"
    VALIDATOR_REPLACE = "validator_replace"
    VALIDATOR_SUSPEND = "validator_suspend"
    VALIDATOR_REINSTATE = "validator_reinstate"
    OBSERVER_ADD = "observer_add"
    OBSERVER_REMOVE = "observer_remove"
    ACTIVATE = "activate"
    PAUSE = "pause"
    UNPAUSE = "unpause"
    ORG_REGISTER = "org_register"
    ORG_SUSPEND = "org_suspend"
    ORG_REINSTATE = "org_reinstate"
    ORG_ROOT_REPLACE = "org_root_replace"


class ParamSet(Wire, frozen=True):
    """Set a parameter, from the height after the one that carries it out."""

    name: Name
    value: U53


class ValidatorAdd(Wire, frozen=True):
    """Let a daemon of `org` vote.

    `possession` is the vote key's signature that it belongs to `org`.
    """

    key: PublicKey
    node_key: PublicKey
    org: Bytes32
    possession: Signature


class ValidatorRemove(Wire, frozen=True):
    """Take the vote away."""

    key: PublicKey


class ValidatorReplace(Wire, frozen=True):
    """Give a validator another vote key and node key; it keeps its place in the order."""

    key: PublicKey
    new_key: PublicKey
    new_node_key: PublicKey
    possession: Signature


class ValidatorSuspend(Wire, frozen=True):
    """Take the vote away from a validator that contradicted itself; the evidence names it."""

    evidence: Evidence


class ValidatorReinstate(Wire, frozen=True):
    """Let the organisation whose validator `key` was suspended vote again, with another vote key,
    at the end of the order.
    """

    key: PublicKey
    org: Bytes32
    new_key: PublicKey
    new_node_key: PublicKey
    possession: Signature


class ObserverAdd(Wire, frozen=True):
    """Let a daemon of `org` connect and follow."""

    node_key: PublicKey
    org: Bytes32


class ObserverRemove(Wire, frozen=True):
    """Let it follow no longer."""

    node_key: PublicKey


class Activate(Wire, frozen=True):
    """Run a module (version 0) or a type's version from `height` on, with the code of this hash."""

    name: Name
    version: U16
    height: Height
    code_hash: Hash


class PauseModule(Wire, frozen=True):
    """Stop a module from the next height until the block time `until_ms`.

    What is unstoppable goes on.
    """

    module: Name
    until_ms: TimeMs


class UnpauseModule(Wire, frozen=True):
    """End a pause with the next height."""

    module: Name


class OrgRegister(Wire, frozen=True):
    """Admit an organisation. `possession` is the root key's signature that it belongs to `org`."""

    org: Bytes32
    kind: Name
    legal_hash: Hash
    jurisdiction: Name
    gateway_uri: GatewayUri
    root_key: PublicKey
    possession: Signature


class OrgSuspend(Wire, frozen=True):
    """Suspend an organisation from the next height on."""

    org: Bytes32


class OrgReinstate(Wire, frozen=True):
    """End a suspension with the next height."""

    org: Bytes32


class OrgRootReplace(Wire, frozen=True):
    """Give an organisation that lost its root key another one."""

    org: Bytes32
    new_key: PublicKey
    possession: Signature


ValidatorChange: TypeAlias = (
    ValidatorAdd | ValidatorRemove | ValidatorReplace | ValidatorSuspend | ValidatorReinstate
)
GovernanceContent: TypeAlias = (
    ParamSet
    | ValidatorChange
    | ObserverAdd
    | ObserverRemove
    | Activate
    | PauseModule
    | UnpauseModule
)
OrgContent: TypeAlias = OrgRegister | OrgSuspend | OrgReinstate | OrgRootReplace
Content: TypeAlias = GovernanceContent | OrgContent

VALIDATOR_CHANGES: Final = frozenset(
    {
        ProposalKind.VALIDATOR_ADD,
        ProposalKind.VALIDATOR_REMOVE,
        ProposalKind.VALIDATOR_REPLACE,
        ProposalKind.VALIDATOR_SUSPEND,
        ProposalKind.VALIDATOR_REINSTATE,
    }
)
"""The kinds whose content is a ValidatorChange."""

CONTENTS: Final[Mapping[ProposalKind, type[Content]]] = MappingProxyType(
    {
        ProposalKind.PARAM_SET: ParamSet,
        ProposalKind.VALIDATOR_ADD: ValidatorAdd,
        ProposalKind.VALIDATOR_REMOVE: ValidatorRemove,
        ProposalKind.VALIDATOR_REPLACE: ValidatorReplace,
        ProposalKind.VALIDATOR_SUSPEND: ValidatorSuspend,
        ProposalKind.VALIDATOR_REINSTATE: ValidatorReinstate,
        ProposalKind.OBSERVER_ADD: ObserverAdd,
        ProposalKind.OBSERVER_REMOVE: ObserverRemove,
        ProposalKind.ACTIVATE: Activate,
        ProposalKind.PAUSE: PauseModule,
        ProposalKind.UNPAUSE: UnpauseModule,
        ProposalKind.ORG_REGISTER: OrgRegister,
        ProposalKind.ORG_SUSPEND: OrgSuspend,
        ProposalKind.ORG_REINSTATE: OrgReinstate,
        ProposalKind.ORG_ROOT_REPLACE: OrgRootReplace,
    }
)


def content_of(draft: Draft) -> Content:
    """The decoded content.

    E_SCHEMA for an unknown kind or content that is not the kind's structure.
    """
    if draft.kind not in tuple(ProposalKind):
        raise TxError(Code.SCHEMA, f"there are no proposals of kind {draft.kind}")
    try:
        content: Content = decode(
            CONTENTS[ProposalKind(draft.kind)], draft.content, size_max=CONTENT_BYTES_MAX
        )
    except DecodeError as error:
        raise TxError(Code.SCHEMA, f"content of {draft.kind}: {error}") from None
    return content
