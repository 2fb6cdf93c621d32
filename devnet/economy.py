"""Accounts with money on them, between which load can move it.

The smallest real business of the ledger: one operation, one signature, two accounts that change.
Doing it twice is harmless.
"""

from __future__ import annotations

from dataclasses import dataclass
from secrets import token_bytes
from typing import Final

import msgspec

from devnet.errors import StateError
from devnet.keys import DevnetKeys
from devnet.network import Network
from devnet.people import enrol, submit
from medquorum.client import Client
from medquorum.codec import Wire
from medquorum.errors import ProblemError
from node.ledger.roles import OrgKind, Role
from node.ledger.types.payments.bodies import (
    AccountKind,
    AccountOpen,
    Memo,
    Mint,
    ReserveAttest,
    Transfer,
)

BALANCE: Final = 1_000_000
"""What an account starts with. A transfer moves 1."""
PER_TX: Final = 200
"""Operations of one transaction while accounts are opened and filled."""
RESERVE: Final = 10**15
_DAY_MS: Final = 24 * 60 * 60 * 1000


@dataclass(frozen=True, slots=True)
class Till:
    """A hospital's accounts and who may spend from them. Everything is derived from names."""

    keys: DevnetKeys
    org: str
    clerk: str

    def account(self, number: int) -> bytes:
        """Account `number` of the hospital."""
        return self.keys.seed("account", self.org, str(number))


def tills(network: Network) -> list[Till]:
    """Those of all hospitals. Raises StateError for one without billing staff."""
    return [
        Till(network.keys, org.name, _actor_with(network, org.name, Role.BILLING, 1)[0])
        for org in network.manifest.hospitals
    ]


async def endow(network: Network, client: Client, accounts: int) -> list[Till]:
    """Make sure that every hospital has so many accounts, with money. Raises StateError,
    ClientError.
    """
    await enrol(network, client)
    found = tills(network)
    for till in found:
        for first in range(0, accounts, PER_TX):
            await _fill(network, client, till, range(first, min(first + PER_TX, accounts)))
    return found


async def _fill(network: Network, client: Client, till: Till, numbers: range) -> None:
    """Open and fill some accounts, unless the last of them is there: they are opened together."""
    keys = network.keys
    org = keys.org_id(till.org)
    balance = await _balance(client, till.account(numbers[-1]))
    if balance is None:
        opened: list[tuple[str, Wire]] = [
            (
                "pay.acct.open",
                AccountOpen(till.account(n), AccountKind.HOSPITAL, org, (), (), 0),
            )
            for n in numbers
        ]
        await submit(client, opened, [keys.org(till.org)])
    if not balance:
        source, minters = await _mint(network, client, BALANCE * len(numbers))
        given: list[tuple[str, Wire]] = [
            ("pay.transfer", Transfer(source, till.account(n), BALANCE, Memo.DEPOSIT))
            for n in numbers
        ]
        await submit(client, given, [keys.actor(_authority(network), name) for name in minters])


async def _mint(network: Network, client: Client, amount: int) -> tuple[bytes, list[str]]:
    """New money on the authority's account; the account, and the two who may spend from it."""
    keys, authority = network.keys, _authority(network)
    org = keys.org_id(authority)
    account = keys.seed("account", authority)
    if await _balance(client, account) is None:
        body = AccountOpen(account, AccountKind.AUTHORITY, org, (), (), 0)
        await submit(client, [("pay.acct.open", body)], [keys.org(authority)])
        report = keys.seed("reserve-report")
        until_ms = (await client.status()).time_ms + 30 * _DAY_MS
        attested = ReserveAttest(org, report, RESERVE, until_ms)
        auditor = _actor_with(network, authority, Role.AUDITOR, 1)[0]
        await submit(client, [("pay.reserve.attest", attested)], [keys.actor(authority, auditor)])
    minters = _actor_with(network, authority, Role.MINT_AUTHORITY, 2)
    minted = Mint(account, amount, keys.seed("reserve-report"), token_bytes(32))
    await submit(client, [("pay.mint", minted)], [keys.actor(authority, name) for name in minters])
    return account, minters


class _Account(msgspec.Struct):
    balance: int


async def _balance(client: Client, account: bytes) -> int | None:
    """The balance, None for an account that does not exist."""
    try:
        answer = await client.query("pay.account", acct=account)
    except ProblemError as problem:
        if problem.code == "not_found":
            return None
        raise
    return None if answer.result is None else msgspec.convert(answer.result, _Account).balance


def _authority(network: Network) -> str:
    for org in network.manifest.organisations:
        if org.kind is OrgKind.AUTHORITY:
            return org.name
    raise StateError("the manifest has no authority that could issue credit")


def _actor_with(network: Network, org: str, role: Role, count: int) -> list[str]:
    found = [actor.name for actor in network.manifest.org(org).actors if role in actor.roles]
    if len(found) < count:
        raise StateError(f"load needs {count} of {org} with the role {role}; the manifest has none")
    return found[:count]
