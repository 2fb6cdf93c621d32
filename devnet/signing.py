"""Transactions for load, made and signed in processes of their own: signing must not slow down
whoever measures.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from secrets import token_bytes
from typing import Final

from devnet.economy import BALANCE, Till
from devnet.keys import DevnetKeys
from medquorum.codec import Wire, encode
from medquorum.transaction import Operation, build, sign
from node.ledger.types.payments.bodies import AccountKind, AccountOpen, Memo, Transfer
from node.ledger.types.records.bodies import AnchorRecord
from node.ledger.types.records.classes import Confidentiality, RecordClass

PATIENTS: Final = 16
"""Pseudonyms of each hospital whose records load anchors (devnet/wards.py)."""
_SIZE_BUCKET: Final = 12


class Kind(StrEnum):
    """What load consists of."""

    TRANSFER = "transfer"
    """Moves credit between two accounts: two rows that exist change."""
    ACCOUNT = "account"
    """Opens an account: the state grows."""
    REFUSED = "refused"
    """Asks for more than there is: executed, rejected, and final all the same."""
    ANCHOR = "anchor"
    """Anchors a record of a patient: three rows are new."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """All that a signing process needs to know."""

    network: str
    chain_id: bytes
    clerks: tuple[tuple[str, str], ...]
    """(organisation, billing actor) of each hospital, in the order of its transactions."""
    accounts: int
    mix: tuple[tuple[Kind, int], ...]
    operations: int = 1
    """Of one transaction, all of the same kind."""


@dataclass(frozen=True, slots=True)
class Signed:
    """A transaction, ready to be sent. `org` is the position of its hospital in the recipe."""

    tx_id: bytes
    raw: bytes
    org: int


def make(recipe: Recipe, count: int, valid_until: int) -> list[Signed]:
    """`count` transactions, of the hospitals in turn."""
    keys = DevnetKeys(recipe.network)
    tills = [Till(keys, org, clerk) for org, clerk in recipe.clerks]
    roots = [keys.org(till.org) for till in tills]
    clerks = [keys.actor(till.org, till.clerk) for till in tills]
    gateways = [keys.gateway(till.org) for till in tills]
    draw = random.Random(token_bytes(16))
    kinds = draw.choices(
        [kind for kind, _ in recipe.mix], [weight for _, weight in recipe.mix], k=count
    )
    made = []
    for number, kind in enumerate(kinds):
        org = number % len(tills)
        key = {Kind.ACCOUNT: roots, Kind.ANCHOR: gateways}.get(kind, clerks)[org]
        unsigned = build(
            chain_id=recipe.chain_id,
            nonce=token_bytes(16),
            valid_until=valid_until,
            operations=[
                Operation(name, 1, encode(body))
                for name, body in (
                    _operation(kind, draw, tills[org], recipe.accounts)
                    for _ in range(recipe.operations)
                )
            ],
            signers=[key.public],
        )
        tx = sign(unsigned, [key])
        made.append(Signed(tx.id, tx.raw, org))
    return made


def _operation(kind: Kind, draw: random.Random, till: Till, accounts: int) -> tuple[str, Wire]:
    match kind:
        case Kind.ACCOUNT:
            org = till.keys.org_id(till.org)
            return "pay.acct.open", AccountOpen(
                token_bytes(32), AccountKind.HOSPITAL, org, (), (), 0
            )
        case Kind.TRANSFER | Kind.REFUSED:
            source, target = draw.sample(range(accounts), 2)
            amount = 1 if kind is Kind.TRANSFER else BALANCE * accounts + 1
            body = Transfer(till.account(source), till.account(target), amount, Memo.SETTLEMENT)
            return "pay.transfer", body
        case Kind.ANCHOR:
            patient = patient_of(till.keys, till.org, draw.randrange(PATIENTS))
            return "rec.anchor", AnchorRecord(
                rec_id=token_bytes(32),
                pid=patient,
                record_class=RecordClass.OBSERVATION,
                confidentiality=Confidentiality.N,
                commitment=token_bytes(32),
                ct_hash=token_bytes(32),
                size_bucket=_SIZE_BUCKET,
                custodian=till.keys.org_id(till.org),
                fhir_type="observation",
            )


def patient_of(keys: DevnetKeys, org: str, number: int) -> bytes:
    """The pseudonym of patient `number` of a hospital, among those whose records load anchors."""
    return keys.seed("patient", org, str(number))


def parse_mix(text: str) -> Mapping[Kind, int]:
    """`transfer=8,account=2`. Raises ValueError that says what is wrong."""
    mix: dict[Kind, int] = {}
    for part in text.split(","):
        name, _, weight = part.strip().partition("=")
        if name not in tuple(Kind):
            raise ValueError(f"{name!r} is none of {', '.join(Kind)}")
        if not weight.isdecimal():
            raise ValueError(f"{part.strip()!r} is not KIND=WEIGHT")
        mix[Kind(name)] = int(weight)
    if not sum(mix.values()):
        raise ValueError("all weights are 0")
    return mix
