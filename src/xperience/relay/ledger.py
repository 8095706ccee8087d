"""The ledger: what is known of every file, in SQLite on the scratch volume.

A state is committed after its effect, and every effect can be repeated, so that a kill -9 at any moment costs work and
never bytes. TRUNCATE journal with synchronous=FULL: works on every file system, 10⁴ commits a job are nothing.
"""

import os
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from enum import StrEnum
from pathlib import Path
from urllib.parse import quote

from xperience.common.errors import BadDataError, ConfigurationError, NoSpaceError, TryAgainError
from xperience.relay.ledger_tables import BATCHES, DIFFERENT_TOTALS, SCHEMA_VERSION, TABLES, TOTALS
from xperience.relay.plan import Batch


class State(StrEnum):
    """Where a file is, in order."""

    PLANNED = "planned"
    DOWNLOADING = "downloading"
    DOWNLOADED = "downloaded"  # sha256 equal to the hub's
    SENDING = "sending"
    SENT = "sent"
    VERIFIED = "verified"  # the store's own hash equals the one of the read that matched the hub's
    RELEASED = "released"  # scratch copy gone


ON_SCRATCH = (State.DOWNLOADING, State.DOWNLOADED, State.SENDING, State.SENT, State.VERIFIED)
ARRIVED = (State.VERIFIED, State.RELEASED)


@dataclass(frozen=True, slots=True)
class LedgerFile:
    """One row: identity at the hub, place in the plan, state, and what was computed and recorded on the way."""

    path: str
    position: int
    batch: int
    size_bytes: int
    hub_sha256: str | None
    hub_git_sha1: str | None
    state: State
    sha256: str | None
    md5: str | None
    multipart_etag: str | None
    digest_part_bytes: int | None
    execute_id: str | None
    job_id: int | None
    verified_how: str | None
    etag: str | None
    part_bytes: int | None
    version_id: str | None
    downloads: int
    sends: int
    download_started_at: float | None
    downloaded_at: float | None
    send_started_at: float | None
    verified_at: float | None


COLUMNS = tuple(field.name for field in fields(LedgerFile))


@dataclass(frozen=True, slots=True)
class LedgerBatch:
    """One batch; Unix times of its first start and, once every file is so far, of its last end."""

    index: int
    files: int
    size_bytes: int
    arrived_files: int
    download_started_at: float | None
    downloaded_at: float | None
    send_started_at: float | None
    verified_at: float | None


class Ledger:
    """Thread-safe; several processes may have it open, each leg writes its own states."""

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self.path = path
        self._lock = threading.RLock()
        with self._named_errors():
            self._open(read_only)

    def _open(self, read_only: bool) -> None:
        if read_only:
            # A kill -9 may leave a transaction to be rolled back, and only a writer can do that.
            mode = "rw" if os.access(self.path, os.W_OK) else "ro"
            address = f"file:{quote(str(self.path))}?mode={mode}"
            self._db = sqlite3.connect(address, uri=True, check_same_thread=False, timeout=60)
        else:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(self.path, check_same_thread=False, timeout=60, isolation_level=None)
            self._db.execute("PRAGMA journal_mode=TRUNCATE")
            self._db.execute("PRAGMA synchronous=FULL")
        verdict = self._db.execute("PRAGMA quick_check(1)").fetchone()[0]
        if verdict != "ok":
            raise sqlite3.DatabaseError(verdict)
        if not read_only:
            self._upgrade()
        version = self._version()
        if version != SCHEMA_VERSION:
            raise ConfigurationError(
                "ledger has another schema", where=str(self.path),
                why=f"version {version}, this program writes {SCHEMA_VERSION}",
                fix="Finish the job with the program that began it, or move the ledger away: a new one is rebuilt "
                "from what the store holds.",
            )  # fmt: skip
        # A run that believed a wrong total would end too early or never.
        if any(count for (count,) in self._db.execute(DIFFERENT_TOTALS).fetchall()):
            raise sqlite3.DatabaseError("its totals are not those of its files")

    def _version(self) -> int:
        return int(self._db.execute("PRAGMA user_version").fetchone()[0])

    def _upgrade(self) -> None:
        """Bring a new ledger, or one of an older program, to this schema; one of a newer program stays as it is."""
        if self._version() >= SCHEMA_VERSION:
            return
        with self._transaction():
            version = self._version()  # two processes may have opened it at once
            if version < 1:
                for statement in TABLES.split(";"):
                    self._db.execute(statement)
            if version < SCHEMA_VERSION:
                for statement in TOTALS:
                    self._db.execute(statement)
                self._db.execute(f"PRAGMA user_version={SCHEMA_VERSION}")

    @contextmanager
    def _named_errors(self) -> Iterator[None]:
        """SQLite's errors as ours, with what to do."""
        try:
            yield
        except sqlite3.OperationalError as error:
            text = str(error)
            if "full" in text:
                raise NoSpaceError("ledger cannot be written", where=str(self.path), why=text) from error
            if "locked" in text or "busy" in text:
                raise TryAgainError("ledger is locked", where=str(self.path), why=text) from error
            if not any(words in text for words in ("readonly", "unable to open", "disk I/O")):
                raise self._damaged(text) from error  # a changed schema, text that is no UTF-8, …
            raise ConfigurationError(
                "ledger cannot be used", where=str(self.path), why=text,
                fix="The scratch volume has to be writable by this user.",
            ) from error  # fmt: skip
        except (sqlite3.DatabaseError, ValueError, OverflowError) as error:
            raise self._damaged(str(error)) from error

    def _damaged(self, why: str) -> BadDataError:
        return BadDataError(
            "ledger is damaged", where=str(self.path), why=why,
            fix="Move it away and run again: it is rebuilt by verifying what the store holds; nothing is released.",
        )  # fmt: skip

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock, self._named_errors():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:  # SQLite has rolled back already where it found no room
                    self._db.execute("ROLLBACK")
                raise

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            self._db.close()

    def bind(self, **job: str) -> None:
        """Remember what this ledger is of (repository, revision, store); ConfigurationError where it is of another."""
        with self._transaction() as db:
            known = dict(db.execute("SELECT name, value FROM job").fetchall())
            for name, value in job.items():
                if known.get(name, value) != value:
                    raise ConfigurationError(
                        f"ledger belongs to another {name.replace('_', ' ')}", where=str(self.path),
                        why=f"it says {known[name]}, this run {value}", fix="Use another --relay-root for another job.",
                    )  # fmt: skip
                db.execute("INSERT OR IGNORE INTO job VALUES (?, ?)", (name, value))

    def job(self) -> dict[str, str]:
        """What `bind` remembered."""
        with self._lock, self._named_errors():
            return dict(self._db.execute("SELECT name, value FROM job").fetchall())

    def load(self, batches: Iterable[Batch]) -> None:
        """Bring the plan in: new files are planned, known ones keep their state, those no longer selected go.

        A file whose identity changed starts anew.
        """
        rows: list[tuple[str, int, int, int | None, str | None, str | None]] = []
        for batch in batches:
            for file in batch.files:
                rows.append((file.path, len(rows), batch.index, file.size_bytes, file.sha256, file.git_sha1))
        with self._transaction() as db:
            db.execute("CREATE TEMP TABLE IF NOT EXISTS selected (path TEXT PRIMARY KEY)")
            db.execute("DELETE FROM selected")
            db.executemany("INSERT INTO selected VALUES (?)", [(row[0],) for row in rows])
            db.execute("DELETE FROM file WHERE path NOT IN (SELECT path FROM selected)")
            db.executemany(
                "DELETE FROM file WHERE path = ? AND (size_bytes <> ? OR hub_sha256 IS NOT ? OR hub_git_sha1 IS NOT ?)",
                [(path, size, sha256, git) for path, _, _, size, sha256, git in rows],
            )
            db.executemany(
                "INSERT INTO file (path, position, batch, size_bytes, hub_sha256, hub_git_sha1, state)"
                " VALUES (?, ?, ?, ?, ?, ?, 'planned')"
                " ON CONFLICT (path) DO UPDATE SET position = excluded.position, batch = excluded.batch",
                rows,
            )

    def files(self, *states: State) -> list[LedgerFile]:
        """Rows in plan order; all, or those in the given states."""
        wanted = f" WHERE state IN ({','.join('?' * len(states))})" if states else ""
        return self._select(f"{wanted} ORDER BY position", states)

    def first(self, state: State) -> LedgerFile | None:
        """The first file in this state, in plan order."""
        rows = self._select(" WHERE state = ? ORDER BY position LIMIT 1", (state,))
        return rows[0] if rows else None

    def first_fitting(self, state: State, batch: int, most_bytes: int) -> LedgerFile | None:
        """The first file of a batch in this state that has at most so many bytes; no later batch is looked at."""
        where = (
            " WHERE state = ? AND batch = ? AND size_bytes <= ? AND position < ifnull("
            "(SELECT position FROM file WHERE state = ? AND batch > ? ORDER BY position LIMIT 1), 9e18)"
            " ORDER BY position LIMIT 1"
        )
        rows = self._select(where, (state, batch, most_bytes, state, batch))
        return rows[0] if rows else None

    def file(self, path: str) -> LedgerFile:
        """One row; BadDataError where there is none."""
        rows = self._select(" WHERE path = ?", (path,))
        if not rows:
            raise BadDataError("file is not in the ledger", where=path)
        return rows[0]

    def _select(self, where: str, values: tuple[str | int, ...]) -> list[LedgerFile]:
        with self._lock, self._named_errors():
            rows = self._db.execute(f"SELECT {','.join(COLUMNS)} FROM file{where}", values).fetchall()  # noqa: S608
            return [LedgerFile(**{**dict(zip(COLUMNS, row, strict=True)), "state": State(row[6])}) for row in rows]

    def totals(self) -> dict[State, tuple[int, int]]:
        """Files and bytes by state; states without files are there with zeros."""
        with self._lock, self._named_errors():
            found = self._db.execute("SELECT state, files, size_bytes FROM total").fetchall()
            by_state = {State(state): (count, size) for state, count, size in found}
        return {state: by_state.get(state, (0, 0)) for state in State}

    def batches(self) -> list[LedgerBatch]:
        """What became of each batch so far."""
        with self._lock, self._named_errors():
            return [LedgerBatch(*row) for row in self._db.execute(BATCHES).fetchall()]

    def scratch_bytes(self) -> int:
        """Bytes reserved on scratch: every file from its admission to its release."""
        totals = self.totals()
        return sum(totals[state][1] for state in ON_SCRATCH)

    def set(self, path: str, state: State, **columns: str | float | None) -> None:
        """Commit a file's state with the columns that go with it."""
        columns.update(_stamps(state))
        names = "".join(f", {name} = ?" for name in columns)
        counted = {State.DOWNLOADING: ", downloads = downloads + 1", State.SENDING: ", sends = sends + 1"}
        with self._transaction() as db:
            done = db.execute(
                f"UPDATE file SET state = ?{names}{counted.get(state, '')} WHERE path = ?",  # noqa: S608
                (state, *columns.values(), path),
            )
            if done.rowcount != 1:
                raise BadDataError("file is not in the ledger", where=path)

    def record(self, path: str, **columns: str | float | None) -> None:
        """Commit columns of a file without a change of state."""
        names = ", ".join(f"{name} = ?" for name in columns)
        with self._transaction() as db:
            db.execute(f"UPDATE file SET {names} WHERE path = ?", (*columns.values(), path))  # noqa: S608


def _stamps(state: State) -> dict[str, float]:
    column = {
        State.DOWNLOADING: "download_started_at", State.DOWNLOADED: "downloaded_at",
        State.SENDING: "send_started_at", State.VERIFIED: "verified_at",
    }.get(state)  # fmt: skip
    return {column: time.time()} if column else {}
