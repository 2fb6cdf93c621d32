"""A ledger in memory for tests: the real executor, with people to sign.

    ledger = Ledger(RECORDS)                      # the identity and governance modules are always
    there hospital = ledger.org()                       # an admitted hospital with a root key
    doctor = ledger.person(hospital, Role.CLINICIAN) ledger.accept(ledger.op("rec.anchor",
    Anchor(...)), by=doctor) ledger.refuse(Code.ROLE, ledger.op("rec.anchor", Anchor(...)),
    by=nurse) ledger.accept(op, by=[doctor, senior])        # several signers
    ledger.block(ledger.tx(op1, by=a), ledger.tx(op2, by=b)) ledger.pass_time(hours=4)
    # runs what falls due ledger.query("rec.history", rec_id=...)

Every block that refuses all of its transactions must leave the state as it was, or the test fails.
Organisations and people are written straight into the state, so that a test of payments needs no
ceremony of enrolment.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

import msgspec

from medquorum.block import Event, Header, TxOutcome, Validator, ValidatorSet
from medquorum.codec import Wire, encode
from medquorum.genesis import Genesis, GenesisOrg, GenesisParam
from medquorum.hashing import EMPTY_HASH
from medquorum.keys import SigningKey, derive_seed
from medquorum.transaction import Operation, Transaction, build, sign
from node.ledger import identities
from node.ledger.codes import OK, Code
from node.ledger.executor import Execution, Executor
from node.ledger.genesis import genesis_changes
from node.ledger.identities import Actor, Hold, Holds, KeyBinding, Org
from node.ledger.overlay import BlockOverlay, NamespaceState, StateView
from node.ledger.registry import Registry
from node.ledger.roles import OrgKind, Role
from node.ledger.txtype import Module
from node.ledger.types import BUILT_IN

START_MS = 1_800_000_000_000
BLOCK_MS = 1_000
FAR_MS = 4_000_000_000_000
HOUR_MS = 3_600_000

Changes = Mapping[str, Mapping[bytes, bytes | None]]


class MemoryState:
    """Committed state in a dictionary."""

    def __init__(self) -> None:
        self.spaces: dict[str, dict[bytes, bytes]] = {}

    def get(self, namespace: str, key: bytes) -> bytes | None:
        return self.spaces.get(namespace, {}).get(key)

    def scan(
        self, namespace: str, start: bytes, stop: bytes, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        space = self.spaces.get(namespace, {})
        keys = sorted((key for key in space if start <= key < stop), reverse=reverse)
        return iter([(key, space[key]) for key in keys])

    def apply(self, changes: Changes) -> None:
        for namespace, rows in changes.items():
            space = self.spaces.setdefault(namespace, {})
            for key, value in rows.items():
                if value is None:
                    space.pop(key, None)
                else:
                    space[key] = value

    def digest(self) -> bytes:
        """A hash of all that is in it: equal for equal states, whatever the order of writing."""
        return sha256(
            encode(
                tuple(
                    (namespace, tuple(sorted(space.items())))
                    for namespace, space in sorted(self.spaces.items())
                    if space
                )
            )
        ).digest()

    def copy(self) -> MemoryState:
        other = MemoryState()
        other.spaces = {namespace: dict(space) for namespace, space in self.spaces.items()}
        return other


@dataclass(frozen=True, slots=True)
class OrgHandle:
    """An organisation of the test, and its root key, which signs too."""

    id: bytes
    key: SigningKey


@dataclass(frozen=True, slots=True)
class Person:
    """An actor of the test with a key."""

    id: bytes
    key: SigningKey
    org: OrgHandle


By = OrgHandle | Person | SigningKey


def some_id(name: str) -> bytes:
    """A 32-byte id that is the same in every run."""
    return sha256(b"test id " + name.encode()).digest()


def some_key(name: str) -> SigningKey:
    """A signing key that is the same in every run."""
    return SigningKey(derive_seed(b"tests", name))


def founding(params: Mapping[str, int] | None = None, validators: int = 4) -> Genesis:
    """A genesis of as many hospitals as validators, `founder 0` and so on, each operating one."""
    names = [f"founder {number}" for number in range(validators)]
    return Genesis(
        1,
        "test",
        START_MS,
        "pbft",
        tuple(GenesisParam(name, value) for name, value in sorted((params or {}).items())),
        tuple(
            GenesisOrg(
                some_id(name),
                "hospital",
                some_id(name + " legal"),
                "cn",
                some_key(name + " root").public,
                f"https://{number}.test",
            )
            for number, name in enumerate(names)
        ),
        tuple(
            Validator(
                some_key(name + " validator").public, some_key(name + " node").public, some_id(name)
            )
            for name in names
        ),
    )


class Ledger:
    """A chain of blocks executed one after the other."""

    def __init__(
        self,
        *modules: Module,
        params: Mapping[str, int] | None = None,
        validators: int = 4,
        third_party: Sequence[Module] = (),
        code_hashes: Mapping[str, bytes] | None = None,
    ) -> None:
        names = {module.name for module in BUILT_IN}
        extra = [module for module in modules if module.name not in names]
        self.registry = Registry([*BUILT_IN, *extra], third_party, code_hashes)
        self.executor = Executor(self.registry)
        self.genesis = founding(params, validators)
        self.chain_id = self.genesis.chain_id()
        self.state = MemoryState()
        self.state.apply(genesis_changes(self.genesis, self.registry))
        self.validators: ValidatorSet = self.genesis.validator_set()
        self.height = 0
        self.time_ms = START_MS
        self.last: Execution | None = None
        self.events: list[Event] = []
        self._counter = 0
        self.founders = tuple(
            OrgHandle(some_id(f"founder {n}"), some_key(f"founder {n} root"))
            for n in range(validators)
        )

    # Who is there.

    def org(self, kind: str = OrgKind.HOSPITAL, jurisdiction: str = "cn") -> OrgHandle:
        """An admitted organisation."""
        name = self._fresh("org")
        handle = OrgHandle(some_id(name), some_key(name + " root"))
        row = Org(kind, some_id(name + " legal"), jurisdiction, "", handle.key.public, 0, 0, 0)
        self._write(
            identities.NAMESPACE,
            {
                identities.ORGS.key(handle.id): encode(row),
                identities.KEYS.key(handle.key.public): encode(KeyBinding(b"", handle.id, 0, 0, 0)),
            },
        )
        return handle

    def person(
        self, org: OrgHandle | None = None, *roles: str, kind: str = "staff", kem: bytes = b""
    ) -> Person:
        """An enrolled actor of `org` (a new hospital if None) with these roles there."""
        org = org or self.org()
        name = self._fresh(kind)
        person = Person(some_id(name), some_key(name), org)
        row = Actor(org.id, kind, person.key.public, kem, some_id(name + " attest"), 0)
        self._write(
            identities.NAMESPACE,
            {
                identities.ACTORS.key(person.id): encode(row),
                identities.ORG_ACTORS.key(org.id, person.id): encode(identities.Since(0)),
                identities.KEYS.key(person.key.public): encode(
                    KeyBinding(person.id, org.id, 0, 0, 0)
                ),
            },
        )
        for role in roles:
            self.grant(person, role)
        return person

    def patient(self, org: OrgHandle | None = None) -> Person:
        """A patient with keys of their own, whose actor id is their pseudonym."""
        return self.person(org, Role.PATIENT, kind="patient")

    def second_key(self, person: Person) -> SigningKey:
        """Another key of the same actor, as during the overlap of a rotation."""
        key = some_key(self._fresh("second key"))
        binding = KeyBinding(person.id, person.org.id, 0, 0, 0)
        self._write(identities.NAMESPACE, {identities.KEYS.key(key.public): encode(binding)})
        return key

    def grant(
        self,
        person: Person,
        role: str,
        *,
        scope: bytes | None = None,
        not_before_ms: int = 0,
        not_after_ms: int = FAR_MS,
    ) -> bytes:
        """Give a role at `scope` (the person's organisation if None).

        Returns the credential's id.
        """
        credential = some_id(self._fresh("credential"))
        at = scope or person.org.id
        earlier = identities.role_holds(self.view(), person.id, role)
        holds = Holds((*earlier, Hold(credential, at, not_before_ms, not_after_ms)))
        row = identities.Credential(
            person.id, role, at, at, not_before_ms, not_after_ms, some_id("evidence"), 0, 0, "none"
        )
        self._write(
            identities.NAMESPACE,
            {
                identities.ROLES.key(person.id, role): encode(holds),
                identities.CREDENTIALS.key(credential): encode(row),
            },
        )
        return credential

    def ungrant(self, person: Person, role: str) -> None:
        """Take the role away."""
        self._write(identities.NAMESPACE, {identities.ROLES.key(person.id, role): None})

    def suspend(self, org: OrgHandle) -> None:
        """Suspend the organisation from the next block on."""
        row = identities.org_of(self.view(), org.id)
        assert row is not None
        suspended = msgspec.structs.replace(row, suspended_from=self.height + 1, suspended_until=0)
        self._write(identities.NAMESPACE, {identities.ORGS.key(org.id): encode(suspended)})

    def fresh_id(self, label: str = "id") -> bytes:
        """A 32-byte id that nothing has yet."""
        return some_id(self._fresh(label))

    # What happens.

    def op(self, name: str, body: Wire, version: int = 1) -> Operation:
        """An operation."""
        return Operation(name, version, encode(body))

    def tx(self, *operations: Operation, by: By | Sequence[By]) -> Transaction:
        """A signed transaction with a fresh nonce."""
        self._counter += 1
        keys = [who if isinstance(who, SigningKey) else who.key for who in _listed(by)]
        body = build(
            chain_id=self.chain_id,
            nonce=self._counter.to_bytes(16, "big"),
            valid_until=self.height + 100,
            operations=operations,
            signers=[key.public for key in keys],
        )
        return sign(body, keys)

    def header(self, transactions: Sequence[Transaction], time_ms: int) -> Header:
        """The header of the next block. Its parents are made up: execution does not read them."""
        return Header(
            1,
            self.chain_id,
            self.height + 1,
            time_ms,
            self.validators.validators[0].key,
            EMPTY_HASH,
            EMPTY_HASH,
            self.validators.hash(),
            EMPTY_HASH,
            len(transactions),
        )

    def block(self, *transactions: Transaction, after_ms: int = BLOCK_MS) -> tuple[TxOutcome, ...]:
        """Execute the next block and commit it."""
        header = self.header(transactions, self.time_ms + after_ms)
        before = self.state.digest()
        execution = self.executor.execute(self.state, header, transactions, self.validators)
        self.state.apply(execution.changes)
        self.height, self.time_ms = header.height, header.time_ms
        self.validators = execution.next_validators
        self.last = execution
        self.events.extend(execution.events)
        if transactions and all(outcome.code != OK for outcome in execution.outcomes):
            ran_due_work = "due" in execution.changes
            assert ran_due_work or self.state.digest() == before, "a refusal changed the state"
        return execution.outcomes

    def accept(self, *operations: Operation, by: By | Sequence[By]) -> tuple[Event, ...]:
        """One block with one transaction, which must succeed. Returns the block's events."""
        outcome = self.block(self.tx(*operations, by=by))[0]
        assert outcome.code == OK, f"operation {outcome.operation} was refused with {outcome.code}"
        assert self.last is not None
        return self.last.events

    def refuse(self, code: Code, *operations: Operation, by: By | Sequence[By]) -> None:
        """One block with one transaction, which must be refused with `code` and change nothing."""
        outcome = self.block(self.tx(*operations, by=by))[0]
        assert outcome.code == code, f"expected {code}, the outcome was {outcome.code}"

    def pass_time(self, *, ms: int = 0, hours: int = 0, days: int = 0) -> tuple[Event, ...]:
        """An empty block so much later. Returns the events of what fell due."""
        self.block(after_ms=ms + hours * HOUR_MS + days * 24 * HOUR_MS)
        assert self.last is not None
        return self.last.events

    # What can be seen.

    def view(self) -> StateView:
        """The state after the last block, at its height and time."""
        return StateView(self.state, height=self.height, time_ms=self.time_ms)

    def query(self, name: str, **params: object) -> object:
        """The result of a query at the current height; parameters as the structure's fields."""
        query = self.registry.query(name)
        assert query is not None, f"there is no query {name}"
        return query.run(query.params(**params), self.view())

    def space(self, namespace: str) -> NamespaceState:
        """The key space of a module, for reading rows with its tables.

        What is written to it is lost.
        """
        return BlockOverlay(self.state).namespace(namespace)

    def event_types(self) -> list[str]:
        """The types of all events of the last block, in their order."""
        assert self.last is not None
        return [event.type for event in self.last.events]

    def _write(self, namespace: str, rows: Mapping[bytes, bytes | None]) -> None:
        self.state.apply({namespace: rows})

    def _fresh(self, label: str) -> str:
        self._counter += 1
        return f"{label} {self._counter}"


def attributes(event: Event) -> dict[str, bytes | int | str]:
    """The attributes of an event by name."""
    return {attribute.name: attribute.value for attribute in event.attributes}


def _listed(by: By | Sequence[By]) -> Sequence[By]:
    return [by] if isinstance(by, OrgHandle | Person | SigningKey) else by
