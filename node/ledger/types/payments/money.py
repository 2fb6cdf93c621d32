"""How money moves: the only code that changes a balance.

Every movement takes from one side exactly what it gives to the other, so that at every height

    sum of balances = minted - burned        (invariant S9)

Money that waits for a condition will stand on accounts of its own kind: the sum stays the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from msgspec.structs import replace

from medquorum.codec import INT_MAX
from node.ledger.access import signer_of_actor, signer_with_role, signers_with_role
from node.ledger.codes import Code
from node.ledger.context import Context, View
from node.ledger.errors import TxError, refuse_unless
from node.ledger.params import param
from node.ledger.roles import Role
from node.ledger.tables import ReadableState
from node.ledger.txtype import Param
from node.ledger.types.payments.bodies import AccountKind
from node.ledger.types.payments.limits import DAY_MS, MINT_SIGNERS
from node.ledger.types.payments.rows import (
    ACCOUNTS,
    EMPTY_SUPPLY,
    NAMESPACE,
    SUPPLY,
    Account,
    Supply,
)

SPEND_DAILY_MAX: Final = Param(
    "pay.spend_daily_max",
    default=10_000_000_000,
    minimum=0,
    maximum=INT_MAX,
    summary="Minor units that may leave one patient account on one UTC day",
)


def load_account(state: ReadableState, acct: bytes) -> Account:
    """The account, which must exist and not be closed (E_NOTFOUND, E_STATE)."""
    account = ACCOUNTS.get(state, acct)
    if account is None:
        raise TxError(Code.NOT_FOUND, "no such account")
    if account.closed != 0:
        raise TxError(Code.STATE, "the account is closed")
    return account


def refuse_frozen(account: Account, time_ms: int) -> None:
    """Refuse E_FROZEN while the account is frozen."""
    if account.frozen_until_ms > time_ms:
        raise TxError(Code.FROZEN, "the account is frozen")


def require_spender(ctx: Context, account: Account) -> None:
    """The transaction is signed by whoever may spend from the account.

    Credit of an authority was minted by two persons, so two of them also let it out.
    """
    match account.kind:
        case AccountKind.PATIENT:
            signer_of_actor(ctx, account.holder[0])
        case AccountKind.HOSPITAL:
            signer_with_role(ctx, Role.BILLING, account.org)
        case AccountKind.INSURER:
            signer_with_role(ctx, Role.INSURER, account.org)
        case AccountKind.AUTHORITY:
            signers_with_role(ctx, Role.MINT_AUTHORITY, MINT_SIGNERS, account.org)


def debited(account: Account, amount: int) -> Account:
    """The account with `amount` less on it (E_BALANCE)."""
    if account.balance < amount:
        raise TxError(Code.BALANCE, "the balance is too small")
    return replace(account, balance=account.balance - amount)


def credited(account: Account, amount: int) -> Account:
    """The account with `amount` more on it (E_LIMIT if that is too large a number)."""
    if account.balance > INT_MAX - amount:
        raise TxError(Code.LIMIT, "the balance would overflow")
    return replace(account, balance=account.balance + amount)


def spent(view: View, account: Account, amount: int) -> Account:
    """The account after `amount` left it by its spender's will: frozen and daily limits apply.

    The account's own limit holds for every kind, the chain's for patients only: hospitals and
    insurers settle sums that no limit for persons could fit.
    """
    refuse_frozen(account, view.time_ms)
    today = view.time_ms // DAY_MS
    spent_today = amount + (account.spent if account.day == today else 0)
    if account.daily_limit != 0:
        refuse_unless(spent_today <= account.daily_limit, Code.LIMIT, "the account's daily limit")
    if account.kind is AccountKind.PATIENT:
        chain_limit = param(view, SPEND_DAILY_MAX.name)
        refuse_unless(spent_today <= chain_limit, Code.LIMIT, "the daily limit of this chain")
    return replace(debited(account, amount), day=today, spent=spent_today)


def load_supply(state: ReadableState) -> Supply:
    """The supply row; before anything happened, zeros."""
    return SUPPLY.get(state) or EMPTY_SUPPLY


@dataclass(frozen=True, slots=True)
class SupplyCheck:
    """The two sides of invariant S9."""

    balances: int
    minted: int
    burned: int

    @property
    def holds(self) -> bool:
        """Whether no money appeared or vanished."""
        return self.balances == self.minted - self.burned


def check_supply(view: View) -> SupplyCheck:
    """Add up every balance. Costs one read an account: for tests, audits and bounded queries."""
    state = view.read(NAMESPACE)
    supply = load_supply(state)
    balances = sum(account.balance for _, account in ACCOUNTS.rows(state))
    return SupplyCheck(balances, supply.minted, supply.burned)
