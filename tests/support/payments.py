"""A small economy for tests of payments: an authority, two hospitals, an insurer, patients."""

from __future__ import annotations

from node.ledger.roles import OrgKind, Role
from node.ledger.types.payments import MODULE
from node.ledger.types.payments.bodies import (
    AccountKind,
    AccountOpen,
    InvoiceIssue,
    InvoicePay,
    Memo,
    Mint,
    ReserveAttest,
    Transfer,
)
from node.ledger.types.payments.money import check_supply
from node.ledger.types.payments.rows import ACCOUNTS, INVOICES, NAMESPACE, Account, Invoice
from tests.support.ledger import HOUR_MS, Ledger, OrgHandle, Person, some_id

DAY_MS = 24 * HOUR_MS
RESERVE = 1_000_000
ATTEST = some_id("reserve report")


class Economy:
    """Accounts of every kind, a reserve of RESERVE, and nothing minted yet."""

    def __init__(self, params: dict[str, int] | None = None, ledger: Ledger | None = None) -> None:
        self.ledger = ledger = ledger or Ledger(MODULE, params=params)
        self.authority_org = ledger.org(OrgKind.AUTHORITY)
        self.hospital_org = ledger.org()
        self.insurer_org = ledger.org(OrgKind.INSURER)
        self.minters = [ledger.person(self.authority_org, Role.MINT_AUTHORITY) for _ in range(2)]
        self.officers = [ledger.person(self.authority_org, Role.COMPLIANCE) for _ in range(2)]
        self.auditor = ledger.person(self.authority_org, Role.AUDITOR)
        self.clerk = ledger.person(self.hospital_org, Role.BILLING)
        self.second_clerk = ledger.person(self.hospital_org, Role.BILLING)
        self.adjuster = ledger.person(self.insurer_org, Role.INSURER)
        self.patients = [ledger.patient(self.hospital_org) for _ in range(2)]
        self.authority = self.open(AccountKind.AUTHORITY, self.authority_org)
        self.hospital = self.open(AccountKind.HOSPITAL, self.hospital_org)
        self.insurer = self.open(AccountKind.INSURER, self.insurer_org)
        self.wallets = [
            self.open(AccountKind.PATIENT, self.hospital_org, patient) for patient in self.patients
        ]
        self.attest()

    def open(
        self,
        kind: AccountKind,
        org: OrgHandle,
        holder: Person | None = None,
        *,
        daily_limit: int = 0,
    ) -> bytes:
        acct = self.ledger.fresh_id("acct")
        holders = () if holder is None else (holder.id,)
        body = AccountOpen(acct, kind, org.id, holders, (), daily_limit)
        by = [org.key] if holder is None else [self.clerk.key, holder.key]
        self.ledger.accept(self.ledger.op("pay.acct.open", body), by=by)
        return acct

    def attest(self, amount: int = RESERVE, attest_hash: bytes = ATTEST) -> None:
        valid_until_ms = self.ledger.time_ms + 30 * DAY_MS
        body = ReserveAttest(self.authority_org.id, attest_hash, amount, valid_until_ms)
        self.ledger.accept(self.ledger.op("pay.reserve.attest", body), by=self.auditor)

    def mint(self, amount: int) -> None:
        body = Mint(self.authority, amount, ATTEST, self.ledger.fresh_id("ref"))
        self.ledger.accept(self.ledger.op("pay.mint", body), by=self.minters)

    def fund(self, acct: bytes, amount: int) -> None:
        """Mint and hand out."""
        self.mint(amount)
        body = Transfer(self.authority, acct, amount, Memo.DEPOSIT)
        self.ledger.accept(self.ledger.op("pay.transfer", body), by=self.minters)

    def invoice(self, payer_share: int, insurer_share: int = 0) -> bytes:
        """An invoice of the hospital to the first patient."""
        inv = self.ledger.fresh_id("inv")
        body = self.invoice_body(inv, payer_share, insurer_share)
        self.ledger.accept(self.ledger.op("pay.invoice.issue", body), by=self.clerk)
        return inv

    def invoice_body(self, inv: bytes, payer_share: int, insurer_share: int = 0) -> InvoiceIssue:
        return InvoiceIssue(
            inv=inv,
            payee=self.hospital,
            payer=self.wallets[0],
            insurer=(self.insurer,) if insurer_share else (),
            lines_root=some_id("lines"),
            total=payer_share + insurer_share,
            payer_share=payer_share,
            insurer_share=insurer_share,
            due_ms=self.ledger.time_ms + 30 * DAY_MS,
        )

    def pay(self, inv: bytes, amount: int, patient: int = 0) -> None:
        body = InvoicePay(inv, self.wallets[patient], amount)
        op = self.ledger.op("pay.invoice.pay", body)
        self.ledger.accept(op, by=self.patients[patient])

    def account(self, acct: bytes) -> Account:
        row = ACCOUNTS.get(self.ledger.space(NAMESPACE), acct)
        assert row is not None
        return row

    def balance(self, acct: bytes) -> int:
        return self.account(acct).balance

    def invoice_row(self, inv: bytes) -> Invoice:
        row = INVOICES.get(self.ledger.space(NAMESPACE), inv)
        assert row is not None
        return row

    def conserved(self) -> bool:
        return check_supply(self.ledger.view()).holds
