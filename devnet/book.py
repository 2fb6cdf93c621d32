"""What the demonstration leaves: its steps, a receipt for each, and the transactions themselves.

<network>/demo/receipts/07-consent.json         proves the step, without any node
<network>/demo/transactions/07-consent.msgpack  what was sent; it can be sent again by hand
<network>/demo/story.json                       all steps, for programs
<network>/demo/import.journal                   which patient has which pseudonym; kept
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click
import msgspec

from devnet.errors import StateError
from medquorum.answers import TxStatus
from medquorum.client import Client
from medquorum.codec import Wire
from medquorum.errors import VerificationError
from medquorum.genesis import Genesis
from medquorum.keys import SigningKey
from medquorum.receipt import VerifiedReceipt, verify_receipt

_WAIT_S: Final = 30.0


class Step(msgspec.Struct, frozen=True):
    """One step. `latency_ms` is from sending to the certified commit, 0 if it was not measured;
    `receipt` and `txid` are empty for a step that is no transaction.
    """

    number: int
    name: str
    who: str
    what: str
    txid: str = ""
    height: int = 0
    latency_ms: float = 0.0
    receipt: str = ""


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody of the story: how they are called, their key, and the node they talk to."""

    name: str
    key: SigningKey
    client: Client


@dataclass(frozen=True, slots=True)
class Proven:
    """A receipt file that was verified."""

    file: Path
    receipt: VerifiedReceipt


class Book:
    """Collects the steps of one telling, and prints each as it happens."""

    def __init__(self, directory: Path, echo: Callable[[str], None] = click.echo) -> None:
        self.directory = directory
        self.receipts = directory / "receipts"
        self.transactions = directory / "transactions"
        self.steps: list[Step] = []
        self._echo = echo

    def open(self) -> None:
        """Begin a new telling: what the last one left goes, the journal of the import stays."""
        for folder in (self.receipts, self.transactions):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)

    def say(self, text: str = "") -> None:
        """A line between steps."""
        self._echo(text)

    @property
    def next(self) -> int:
        """The number of the next step."""
        return len(self.steps) + 1

    def tell(self, name: str, who: str, what: str) -> Step:
        """A step that is no transaction."""
        return self._add(Step(self.next, name, who, what))

    async def act(
        self, name: str, person: Person, what: str, operations: Sequence[tuple[str, Wire]]
    ) -> TxStatus:
        """A step that is one transaction: sign, send, wait for the certified commit, keep the
        receipt. Raises StateError if it was rejected.
        """
        builder = await person.client.builder()
        for type_, body in operations:
            builder.operation(type_, body)
        tx = builder.signer(person.key.public).build().sign(person.key).complete()
        sent = time.monotonic()
        status = await person.client.submit(tx, wait="committed", timeout_s=_WAIT_S)
        latency_ms = (time.monotonic() - sent) * 1000
        if status.state != "committed":
            raise StateError(f"{person.name}: {what}: {status.state} {status.code}")
        step = await self.keep(
            Step(self.next, name, person.name, what, tx.id.hex(), status.height or 0, latency_ms),
            person.client,
        )
        (self.transactions / f"{_stem(step)}.msgpack").write_bytes(tx.raw)
        return status

    async def keep(self, step: Step, client: Client) -> Step:
        """A step that a committed transaction proves, perhaps somebody else's: keep its receipt."""
        file = self.receipts / f"{_stem(step)}.json"
        file.write_bytes(await client.receipt_file(bytes.fromhex(step.txid)))
        return self._add(msgspec.structs.replace(step, receipt=file.name))

    def verify(self, genesis: Genesis) -> list[Proven]:
        """Verify every receipt against the genesis, from the files alone. Raises
        VerificationError.
        """
        proven = []
        for step in self.steps:
            if step.receipt:
                file = self.receipts / step.receipt
                receipt = verify_receipt(file.read_bytes(), genesis)
                if receipt.tx_id.hex() != step.txid or not receipt.succeeded:
                    raise VerificationError("receipt_tx", f"{file.name} proves something else")
                proven.append(Proven(file, receipt))
        return proven

    def close(self) -> None:
        """Write the steps down."""
        text = msgspec.json.format(msgspec.json.encode(self.steps), indent=2)
        (self.directory / "story.json").write_bytes(text + b"\n")

    def _add(self, step: Step) -> Step:
        self.steps.append(step)
        number = click.style(f"{step.number:>2}", bold=True)
        self._echo(f"{number}  {step.who:<26}{step.what}")
        if step.txid:
            latency = f"   {step.latency_ms:.0f} ms" if step.latency_ms else ""
            trail = f"{'':30}tx {step.txid[:16]}…   height {step.height}{latency}"
            self._echo(click.style(trail, dim=True))
        return step


def _stem(step: Step) -> str:
    return f"{step.number:02}-{step.name}"
