"""The journal of an import: which resource became which record, and which patient has which
pseudonym where.

It is the only place that ties pseudonyms to the patients of the hospital's own system, so it is
readable by its owner alone and never leaves the machine. It is what makes an import repeatable: a
transaction is written here, durably, before it is sent, and a resource that stands here is never
imported again.

    resources   (identity, digest)   record, version, hospital, pseudonym; the transaction
    patients    (identity, hospital) pseudonym; the transaction that registered it
    batches     transactions that were signed, until their end is known, then what became of them
    owners      encounters and patients of the files and the organisations that they name, made
                anew by each run
    aliases     what bundles call their resources, made anew by each run
    refusals    of the last run
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from node.fhir.errors import JournalError
from node.fhir.files import Refused

_FORMAT: Final = "medquorum/import-journal/v1"
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS batches (
    id INTEGER PRIMARY KEY, hospital BLOB NOT NULL, kind TEXT NOT NULL, txid BLOB NOT NULL,
    raw BLOB NOT NULL, height INTEGER) STRICT;
CREATE INDEX IF NOT EXISTS open_batches ON batches (hospital) WHERE height IS NULL;
CREATE TABLE IF NOT EXISTS patients (
    identity TEXT NOT NULL, hospital BLOB NOT NULL, pid BLOB NOT NULL UNIQUE,
    batch INTEGER REFERENCES batches, PRIMARY KEY (identity, hospital)) STRICT;
CREATE INDEX IF NOT EXISTS patients_of_batch ON patients (batch);
CREATE TABLE IF NOT EXISTS resources (
    identity TEXT NOT NULL, digest BLOB NOT NULL, type TEXT NOT NULL, rec_id BLOB NOT NULL,
    version INTEGER NOT NULL, hospital BLOB NOT NULL, pid BLOB NOT NULL,
    confidentiality INTEGER NOT NULL, batch INTEGER REFERENCES batches,
    PRIMARY KEY (identity, digest)) STRICT;
CREATE INDEX IF NOT EXISTS resources_of_batch ON resources (batch);
CREATE INDEX IF NOT EXISTS resources_by_record ON resources (rec_id, version);
CREATE TABLE IF NOT EXISTS owners (
    identity TEXT PRIMARY KEY, file TEXT NOT NULL, provider TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS aliases (
    file TEXT NOT NULL, url TEXT NOT NULL, type TEXT NOT NULL, identity TEXT NOT NULL,
    PRIMARY KEY (file, url)) STRICT;
CREATE INDEX IF NOT EXISTS aliases_by_type ON aliases (file, type);
CREATE TABLE IF NOT EXISTS refusals (
    file TEXT NOT NULL, position INTEGER NOT NULL, offset INTEGER NOT NULL, reason TEXT NOT NULL,
    type TEXT NOT NULL, resource TEXT NOT NULL, detail TEXT NOT NULL) STRICT;
"""


@dataclass(frozen=True, slots=True)
class Row:
    """A resource that became, or becomes, version `version` of a record."""

    identity: str = field(repr=False)
    digest: bytes
    type: str
    rec_id: bytes
    version: int
    hospital: bytes
    pid: bytes
    confidentiality: int


@dataclass(frozen=True, slots=True)
class Batch:
    """A signed transaction. `kind` is "register" or "anchor"."""

    id: int
    kind: str
    tx_id: bytes
    raw: bytes = field(repr=False)


class Journal:
    """The journal at `path`, for one chain, held by one process. Used from one thread at a time."""

    def __init__(self, path: Path, chain_id: bytes) -> None:
        """Open or create. Raises JournalError."""
        self._path = path
        try:
            # SQLite gives its own side files the mode of this one.
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            path.chmod(0o600)
            self._db = sqlite3.connect(
                path, timeout=0, isolation_level=None, check_same_thread=False
            )
        except OSError as error:
            raise JournalError(f"{path}: {error.strerror}") from None
        try:
            self._open(chain_id)
        except sqlite3.OperationalError as error:
            self._db.close()
            raise JournalError(f"{path}: in use by another import? ({error})") from None
        except sqlite3.DatabaseError as error:
            self._db.close()
            raise JournalError(f"{path}: not a journal, or damaged ({error})") from None
        except JournalError:
            self._db.close()
            raise

    def _open(self, chain_id: bytes) -> None:
        # Exclusive: a second import waits for nothing and is told. Full: on disk when it returns.
        self._db.execute("PRAGMA locking_mode = EXCLUSIVE")
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        self._db.executescript(_SCHEMA)
        with self.together():
            for name, value in (("format", _FORMAT.encode()), ("chain", chain_id)):
                self._db.execute("INSERT OR IGNORE INTO meta VALUES (?, ?)", (name, value))
                stored = self._db.execute("SELECT value FROM meta WHERE name = ?", (name,))
                if stored.fetchone() != (value,):
                    raise JournalError(f"{self._path} is the journal of another {name}")

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()

    @contextmanager
    def together(self) -> Iterator[None]:
        """What is written inside is written at once, or not at all. Nested ones join the outer."""
        if self._db.in_transaction:
            yield
            return
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def begin_run(self) -> None:
        """Forget what only the last run needed, and what was planned and never sent."""
        with self.together():
            self._db.execute("DELETE FROM owners")
            self._db.execute("DELETE FROM aliases")
            self._db.execute("DELETE FROM refusals")
            self._db.execute("DELETE FROM resources WHERE batch IS NULL")

    def set_owner(self, identity: str, file: str, provider: str) -> None:
        """An encounter or a patient names an organisation, or none. The first word counts."""
        self._db.execute(
            "INSERT OR IGNORE INTO owners VALUES (?, ?, ?)", (identity, file, provider)
        )

    def owner(self, identity: str) -> tuple[str, str] | None:
        """The file of an encounter or patient, and the organisation that it names there."""
        row = self._db.execute("SELECT file, provider FROM owners WHERE identity = ?", (identity,))
        found: tuple[str, str] | None = row.fetchone()
        return found

    def set_alias(self, file: str, url: str, type_: str, identity: str) -> None:
        """A bundle calls one of its resources `url`. If it calls two so, the name means nothing."""
        self._db.execute(
            "INSERT INTO aliases VALUES (?, ?, ?, ?) ON CONFLICT (file, url)"
            " DO UPDATE SET type = '', identity = '' WHERE identity != excluded.identity",
            (file, url, type_, identity),
        )

    def alias(self, file: str, url: str) -> tuple[str, str] | None:
        """Type and identity of what the bundle `file` calls `url`."""
        row = self._db.execute(
            "SELECT type, identity FROM aliases WHERE file = ? AND url = ?", (file, url)
        )
        found: tuple[str, str] | None = row.fetchone()
        return found

    def only_alias(self, file: str, type_: str) -> str | None:
        """The identity of the one resource of this type in a bundle, if it is one."""
        rows = self._db.execute(
            "SELECT identity FROM aliases WHERE file = ? AND type = ? LIMIT 2", (file, type_)
        ).fetchall()
        return rows[0][0] if len(rows) == 1 else None

    def pid(self, identity: str, hospital: bytes) -> bytes | None:
        """The pseudonym of a patient at a hospital."""
        row = self._db.execute(
            "SELECT pid FROM patients WHERE identity = ? AND hospital = ?", (identity, hospital)
        )
        found: tuple[bytes] | None = row.fetchone()
        return None if found is None else found[0]

    def add_pid(self, identity: str, hospital: bytes, pid: bytes) -> None:
        """A pseudonym that is not registered yet."""
        self._db.execute("INSERT INTO patients VALUES (?, ?, ?, NULL)", (identity, hospital, pid))

    def pids_of(self, identity: str) -> dict[bytes, bytes]:
        """The pseudonyms of a patient, by hospital."""
        rows = self._db.execute(
            "SELECT hospital, pid FROM patients WHERE identity = ?", (identity,)
        )
        return dict(rows.fetchall())

    def patients(self) -> list[str]:
        """The identities of all patients, sorted."""
        rows = self._db.execute("SELECT DISTINCT identity FROM patients ORDER BY identity")
        return [identity for (identity,) in rows]

    def most_recorded(self, hospital: bytes, types: Sequence[str]) -> tuple[str, bytes, int] | None:
        """Of the patients of a hospital, one known at others too if there is one, the one with the
        most anchored records of these types: identity, pseudonym and how many.
        """
        row = self._db.execute(
            "SELECT patients.identity, patients.pid, COUNT(*) AS count,"
            " (SELECT COUNT(*) > 1 FROM patients AS all_pids"
            "  WHERE all_pids.identity = patients.identity) AS elsewhere"
            " FROM resources JOIN patients ON resources.pid = patients.pid"
            " JOIN batches ON resources.batch = batches.id"
            " WHERE resources.hospital = ? AND height IS NOT NULL"
            " AND type IN (SELECT value FROM json_each(?))"
            " GROUP BY patients.pid ORDER BY elsewhere DESC, count DESC, patients.identity LIMIT 1",
            (hospital, json.dumps(types)),
        )
        found: tuple[str, bytes, int, int] | None = row.fetchone()
        return None if found is None else found[:3]

    def transactions_of(self, pid: bytes) -> list[tuple[str, bytes, int]]:
        """What put a pseudonym and its records on the chain: kind, transaction id and height."""
        rows = self._db.execute(
            "SELECT DISTINCT kind, txid, height FROM batches WHERE height IS NOT NULL AND ("
            " id IN (SELECT batch FROM patients WHERE pid = ?)"
            " OR id IN (SELECT batch FROM resources WHERE pid = ?)) ORDER BY batches.id",
            (pid, pid),
        )
        return rows.fetchall()

    def unregistered(self, pids: Iterable[bytes]) -> list[bytes]:
        """Those of `pids` that no transaction has registered."""
        return [
            pid
            for pid in dict.fromkeys(pids)
            if self._db.execute(
                "SELECT 1 FROM patients WHERE pid = ? AND batch IS NULL", (pid,)
            ).fetchone()
        ]

    def known(self, identity: str, digest: bytes) -> bool:
        """Whether this content of this resource was imported, or is planned."""
        row = self._db.execute(
            "SELECT 1 FROM resources WHERE identity = ? AND digest = ?", (identity, digest)
        )
        return row.fetchone() is not None

    def head(self, identity: str) -> Row | None:
        """The newest version of a resource."""
        row = self._db.execute(
            "SELECT identity, digest, type, rec_id, version, hospital, pid, confidentiality"
            " FROM resources WHERE identity = ? ORDER BY version DESC LIMIT 1",
            (identity,),
        )
        found = row.fetchone()
        return None if found is None else Row(*found)

    def plan(self, row: Row) -> None:
        """A record that is on its way. It is forgotten when the run ends before it was sent."""
        self._db.execute(
            "INSERT INTO resources VALUES (?, ?, ?, ?, ?, ?, ?, ?, NULL)",
            (
                row.identity, row.digest, row.type, row.rec_id, row.version, row.hospital, row.pid,
                row.confidentiality,
            ),
        )  # fmt: skip

    def forget(self, rows: Iterable[Row]) -> None:
        """Records that were refused: the next run tries again."""
        with self.together():
            self._db.executemany(
                "DELETE FROM resources WHERE identity = ? AND digest = ?",
                [(row.identity, row.digest) for row in rows],
            )

    def stage_registration(
        self, hospital: bytes, tx_id: bytes, raw: bytes, pids: Sequence[bytes]
    ) -> Batch:
        """Write down a signed registration before it is sent."""
        with self.together():
            batch = self._stage(hospital, "register", tx_id, raw)
            self._db.executemany(
                "UPDATE patients SET batch = ? WHERE pid = ?", [(batch.id, pid) for pid in pids]
            )
        return batch

    def stage_anchors(
        self, hospital: bytes, tx_id: bytes, raw: bytes, rows: Sequence[Row]
    ) -> Batch:
        """Write down signed anchors before they are sent."""
        with self.together():
            batch = self._stage(hospital, "anchor", tx_id, raw)
            self._db.executemany(
                "UPDATE resources SET batch = ? WHERE identity = ? AND digest = ?",
                [(batch.id, row.identity, row.digest) for row in rows],
            )
        return batch

    def open_batches(self, hospital: bytes) -> list[Batch]:
        """What was sent, perhaps, and whose end is not known."""
        rows = self._db.execute(
            "SELECT id, kind, txid, raw FROM batches WHERE hospital = ? AND height IS NULL"
            " ORDER BY id",
            (hospital,),
        )
        return [Batch(*row) for row in rows.fetchall()]

    def close_batch(self, batch: Batch, height: int) -> None:
        """It was committed."""
        self._db.execute("UPDATE batches SET height = ? WHERE id = ?", (height, batch.id))

    def drop_batch(self, batch: Batch) -> None:
        """It can never be committed: what it was to do is yet to do."""
        with self.together():
            self._db.execute("UPDATE patients SET batch = NULL WHERE batch = ?", (batch.id,))
            self._db.execute("DELETE FROM resources WHERE batch = ?", (batch.id,))
            self._db.execute("DELETE FROM batches WHERE id = ?", (batch.id,))

    def unstage(self, batch: Batch) -> None:
        """It was rejected in this run, which holds its records and decides what becomes of them."""
        with self.together():
            self._db.execute("UPDATE patients SET batch = NULL WHERE batch = ?", (batch.id,))
            self._db.execute("UPDATE resources SET batch = NULL WHERE batch = ?", (batch.id,))
            self._db.execute("DELETE FROM batches WHERE id = ?", (batch.id,))

    def records(self) -> Iterator[tuple[Row, bytes | None, int | None]]:
        """Every record with its transaction and the height of its commit."""
        rows = self._db.execute(
            "SELECT identity, digest, type, rec_id, version, resources.hospital, pid,"
            " confidentiality, txid, height FROM resources"
            " LEFT JOIN batches ON resources.batch = batches.id ORDER BY identity, version"
        )
        for *row, tx_id, height in rows:
            yield Row(*row), tx_id, height

    def refuse(self, refused: Refused) -> None:
        """Keep a refusal for the report."""
        self._db.execute(
            "INSERT INTO refusals VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                refused.file.label, refused.position, refused.offset, refused.reason.value,
                refused.type, refused.resource, refused.detail,
            ),
        )  # fmt: skip

    def refusals(self) -> Iterator[tuple[str, int, int, str, str, str, str]]:
        """The refusals of the last run, in the order of the files."""
        yield from self._db.execute("SELECT * FROM refusals ORDER BY rowid")

    def _stage(self, hospital: bytes, kind: str, tx_id: bytes, raw: bytes) -> Batch:
        cursor = self._db.execute(
            "INSERT INTO batches (hospital, kind, txid, raw) VALUES (?, ?, ?, ?)",
            (hospital, kind, tx_id, raw),
        )
        return Batch(cursor.lastrowid or 0, kind, tx_id, raw)
