"""What must outlive the process, in one SQLite file: operations, answers, sessions, commits, audit.

The one idea: every method is one transaction, so a process killed at any moment leaves all of an entry or none.
Write-ahead logging with ``synchronous = NORMAL`` keeps every finished transaction when the process dies; a power cut
may cost the last ones but damages nothing (https://www.sqlite.org/pragma.html#pragma_synchronous). The tables are named
``bridge_*``: a TPS may keep its own in the same file. Records are stored as bytes; what they mean others know.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from bridge import model
from bridge.errors import DataDamaged

BUSY_TIMEOUT_S = 10.0

TABLES = """
CREATE TABLE IF NOT EXISTS bridge_operations (
    name TEXT PRIMARY KEY, created TEXT NOT NULL, record BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS bridge_replies (
    request_id TEXT PRIMARY KEY, payload_sha256 TEXT NOT NULL, answer BLOB NOT NULL, answered TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS bridge_sessions (
    name TEXT PRIMARY KEY, patient TEXT NOT NULL, mode TEXT NOT NULL, opened TEXT NOT NULL,
    ended TEXT, ending TEXT);
CREATE TABLE IF NOT EXISTS bridge_commits (
    request_id TEXT PRIMARY KEY, payload_sha256 TEXT NOT NULL, session TEXT NOT NULL, etags TEXT NOT NULL,
    answer BLOB NOT NULL, begun TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS bridge_audit (
    id INTEGER PRIMARY KEY, at TEXT NOT NULL, principal TEXT NOT NULL, method TEXT NOT NULL, resource TEXT NOT NULL,
    outcome TEXT NOT NULL, correlation_id TEXT NOT NULL, details TEXT NOT NULL);
"""


@dataclass(frozen=True)
class Reply:
    """What a request id was answered with."""

    payload_sha256: str
    answer: bytes


@dataclass(frozen=True)
class SessionRecord:
    """That a session existed, and how it ended."""

    name: str
    patient: str
    mode: str
    opened: datetime
    ending: str | None


@dataclass(frozen=True)
class CommitIntent:
    """A commit that was begun, and what would tell afterwards whether it was done."""

    request_id: str
    payload_sha256: str
    session: str
    etags: Mapping[str, str]
    """Plan to be saved -> its etag; structure to be saved -> ''."""
    answer: bytes


class Journal:
    """May be used from any thread.

    Parameters
    ----------
    path : Path or None
        The SQLite file, made when absent; None keeps the journal in memory.
    """

    def __init__(self, path: Path | None) -> None:
        try:
            self._db = sqlite3.connect(
                path or ":memory:", timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
            )
            self._alone = threading.Lock()
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = NORMAL")
            self._db.executescript(TABLES)
        except sqlite3.DatabaseError as error:
            raise DataDamaged(
                f"the journal {path} cannot be used: {error}. Restore it, or start on another."
            ) from error

    def close(self) -> None:
        self._db.close()

    # operations -------------------------------------------------------------------------------------------------
    def put_operation(self, name: str, created: datetime, record: bytes) -> None:
        self._write(
            "INSERT INTO bridge_operations VALUES (?, ?, ?) ON CONFLICT (name) DO UPDATE SET record = excluded.record",
            (name, created.isoformat(), record),
        )

    def operations(self) -> list[bytes]:
        """All records, oldest first."""
        return [row[0] for row in self._rows("SELECT record FROM bridge_operations ORDER BY created, rowid")]

    # answers ----------------------------------------------------------------------------------------------------
    def put_reply(self, request_id: str, reply: Reply, answered: datetime) -> None:
        """Keep an answer; if it was a commit's, the commit is no longer begun but done."""
        with self._alone:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.execute(
                "INSERT INTO bridge_replies VALUES (?, ?, ?, ?)",
                (request_id, reply.payload_sha256, reply.answer, answered.isoformat()),
            )
            self._db.execute("DELETE FROM bridge_commits WHERE request_id = ?", (request_id,))
            self._db.execute("COMMIT")

    def reply(self, request_id: str) -> Reply | None:
        rows = self._rows("SELECT payload_sha256, answer FROM bridge_replies WHERE request_id = ?", (request_id,))
        return Reply(*rows[0]) if rows else None

    # sessions ---------------------------------------------------------------------------------------------------
    def put_session(self, name: str, patient: str, mode: str, opened: datetime) -> None:
        self._write(
            "INSERT INTO bridge_sessions (name, patient, mode, opened) VALUES (?, ?, ?, ?)",
            (name, patient, mode, opened.isoformat()),
        )

    def end_session(self, name: str, ended: datetime, ending: str) -> None:
        self._write(
            "UPDATE bridge_sessions SET ended = ?, ending = ? WHERE name = ?", (ended.isoformat(), ending, name)
        )

    def session(self, name: str) -> SessionRecord | None:
        rows = self._session_rows("WHERE name = ?", (name,))
        return rows[0] if rows else None

    def open_sessions(self) -> list[SessionRecord]:
        """Sessions without an end: after a crash, the ones whose uncommitted work is gone."""
        return self._session_rows("WHERE ended IS NULL ORDER BY opened", ())

    # commits ----------------------------------------------------------------------------------------------------
    def begin_commit(self, intent: CommitIntent, begun: datetime) -> None:
        """Write down what is about to be saved, so that a crash in the middle can be told apart afterwards."""
        self._write(
            "INSERT OR REPLACE INTO bridge_commits VALUES (?, ?, ?, ?, ?, ?)",
            (
                intent.request_id,
                intent.payload_sha256,
                intent.session,
                json.dumps(dict(intent.etags)),
                intent.answer,
                begun.isoformat(),
            ),
        )

    def drop_commit(self, request_id: str) -> None:
        """The commit was not done."""
        self._write("DELETE FROM bridge_commits WHERE request_id = ?", (request_id,))

    def begun_commits(self) -> list[CommitIntent]:
        rows = self._rows("SELECT request_id, payload_sha256, session, etags, answer FROM bridge_commits")
        return [CommitIntent(row[0], row[1], row[2], json.loads(row[3]), row[4]) for row in rows]

    # audit ------------------------------------------------------------------------------------------------------
    def put_audit(self, entry: model.AuditEntry) -> None:
        self._write(
            "INSERT INTO bridge_audit (at, principal, method, resource, outcome, correlation_id, details)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                entry.when.isoformat(),
                entry.principal,
                entry.method,
                entry.resource,
                entry.outcome,
                entry.correlation_id,
                json.dumps(dict(entry.details), sort_keys=True),
            ),
        )

    def audit(self) -> list[model.AuditEntry]:
        """All entries, oldest first."""
        rows = self._rows(
            "SELECT at, principal, method, resource, outcome, correlation_id, details FROM bridge_audit ORDER BY id"
        )
        return [
            model.AuditEntry(datetime.fromisoformat(row[0]), row[1], row[2], row[3], row[4], row[5], json.loads(row[6]))
            for row in rows
        ]

    def _session_rows(self, where: str, values: Sequence[object]) -> list[SessionRecord]:
        rows = self._rows(f"SELECT name, patient, mode, opened, ending FROM bridge_sessions {where}", values)
        return [SessionRecord(row[0], row[1], row[2], datetime.fromisoformat(row[3]), row[4]) for row in rows]

    def _write(self, statement: str, values: Sequence[object]) -> None:
        with self._alone:
            self._db.execute(statement, values)

    def _rows(self, statement: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        with self._alone, closing(self._db.execute(statement, values)) as cursor:
            return cursor.fetchall()
