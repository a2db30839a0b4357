"""Records: revisions, events and outcomes, in SQLite. They answer questions; they are not the truth.

They are written without a flush (WAL, `synchronous = NORMAL`): a power cut, or a damaged file, which
is moved aside and begun anew (that is itself an event), may take the last revisions. Some bytes are
named by nothing but the revision that replaced them, so the ledger has each until `save` has made
it durable here, and whoever drops bytes saves first. Outcomes and the mark up to
which the runtime was heard change in one transaction: what is lost of one is lost of the other,
and is read again from the runtime's log. The file is opened at the first use, and `sqlite3` imported then: an agent that is only asked for
its version does not pay for it.
"""

from __future__ import annotations

import json
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Final, TypeVar, cast
from urllib.parse import quote

from syncagent.core.artifact import ArtifactPath, NodeName, TreeName
from syncagent.core.digest import from_raw, to_raw
from syncagent.core.errors import DiskError, ProtocolError
from syncagent.core.outcome import Deployment, Outcome
from syncagent.core.revision import Revision, RevisionId
from syncagent.core.wire.packing import pack, unpack
from syncagent.core.wire.standing import RECORD_BYTES_MAX, pack_changes, parse_changes
from syncagent.history.durable import disk_errors, is_there

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Mapping, Sequence

    from syncagent.core.digest import Digest
    from syncagent.fsio import OsFS

EVENTS_MAX: Final = 20_000
"""Events that `prune` leaves: weeks of an ordinary cluster, about 5 MB."""
BUSY_S: Final = 5.0
"""How long to wait for another process that reads the same file, in seconds."""

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS revisions (
    epoch INTEGER NOT NULL, number INTEGER NOT NULL, at REAL NOT NULL, body BLOB NOT NULL,
    PRIMARY KEY (number, epoch)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS events (
    id INTEGER PRIMARY KEY AUTOINCREMENT, at REAL NOT NULL, what TEXT NOT NULL, fields TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS outcomes (
    tree TEXT NOT NULL, path TEXT NOT NULL, digest BLOB NOT NULL, state TEXT NOT NULL,
    reason TEXT NOT NULL, excerpt TEXT NOT NULL, revision INTEGER NOT NULL, at REAL NOT NULL,
    PRIMARY KEY (tree, path)
);
CREATE TABLE IF NOT EXISTS marks (name TEXT PRIMARY KEY, mark TEXT NOT NULL) WITHOUT ROWID;
PRAGMA user_version = 2;
"""
_OUTCOMES_SINCE: Final = 2
"""Schema of which `outcomes` has this shape; before, the table was there and never written."""
_RUNTIME: Final = "runtime"
_SAVED: Final = "saved"
_DEPLOYMENTS: Final[Mapping[str, Deployment]] = {state.value: state for state in Deployment}

_T = TypeVar("_T")


class Records:
    """The SQLite file at `path`. Any thread may call; one at a time gets in."""

    def __init__(self, fs: OsFS, path: str, wall: Callable[[], float]) -> None:
        self._fs = fs
        self._path = path
        self._wall = wall
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._looking = False

    def look(self) -> None:
        """From now on only read: nothing is made, mended or moved, and writing is a DiskError."""
        self._looking = True

    def record(self, revision: Revision, at: float) -> None:
        """Remember a revision. Raises DiskError."""
        row = (revision.id.epoch, revision.id.number, at, _encode(revision))
        self._run(
            lambda db: db.execute(
                "INSERT OR REPLACE INTO revisions (epoch, number, at, body) VALUES (?, ?, ?, ?)",
                row,
            )
        )

    def save(self, told: Sequence[Revision], at: float) -> None:
        """Remember, durably, all that was recorded and what is missing of `told`, recorded `at`.

        What is older than the oldest one that is remembered was forgotten on purpose. Raises
        DiskError.
        """
        rows = {each.id[:2]: (*each.id[:2], at, _encode(each)) for each in told}

        def run(db: sqlite3.Connection) -> None:
            known = {(*row,) for row in db.execute("SELECT epoch, number FROM revisions")}
            oldest = min(known, default=(0, 0))
            missing = [row for key, row in rows.items() if key not in known and key > oldest]
            db.executemany(
                "INSERT INTO revisions (epoch, number, at, body) VALUES (?, ?, ?, ?)", missing
            )
            # One flush takes along all that was written before, but only where there is a change.
            db.execute("INSERT OR REPLACE INTO marks VALUES (?, random())", (_SAVED,))

        self._run(run, durable=True)

    def revisions(self, limit: int) -> list[tuple[Revision, float]]:
        """Return the newest revisions and when they were recorded, newest first. Raises DiskError."""
        rows = self._run(
            lambda db: db.execute(
                "SELECT body, at FROM revisions ORDER BY epoch DESC, number DESC LIMIT ?", (limit,)
            ).fetchall()
        )
        return [(revision, at) for body, at in rows if (revision := _decode(body)) is not None]

    def revision(self, wanted: RevisionId) -> Revision | None:
        """Return one revision, None if it is not (any more) remembered. Raises DiskError."""
        row = self._run(
            lambda db: db.execute(
                "SELECT body FROM revisions WHERE epoch = ? AND number = ?",
                (wanted.epoch, wanted.number),
            ).fetchone()
        )
        revision = None if row is None else _decode(row[0])
        return revision if revision is not None and revision.id == wanted else None

    def event(self, at: float, what: str, fields: Mapping[str, str | int]) -> None:
        """Remember something that happened. Raises DiskError."""
        self._run(lambda db: _insert_event(db, at, what, fields))

    def events(
        self, after_id: int, limit: int
    ) -> list[tuple[int, float, str, Mapping[str, str | int]]]:
        """Return events with id above `after_id`, oldest first. Raises DiskError."""
        rows = self._run(
            lambda db: db.execute(
                "SELECT id, at, what, fields FROM events WHERE id > ? ORDER BY id LIMIT ?",
                (after_id, limit),
            ).fetchall()
        )
        return [
            (number, at, what, cast("dict[str, str | int]", json.loads(fields)))
            for number, at, what, fields in rows
        ]

    def remember(
        self, outcomes: Sequence[Outcome], gone: Sequence[ArtifactPath], mark: str | None
    ) -> None:
        """Remember outcomes, forget those of `gone`, and move the mark. Raises DiskError."""
        rows = [
            (
                *each.path,
                to_raw(each.digest),
                each.state.value,
                _storable(each.reason),
                _storable(each.excerpt),
                each.revision,
                each.at,
            )
            for each in outcomes
        ]

        def run(db: sqlite3.Connection) -> None:
            db.executemany("DELETE FROM outcomes WHERE tree = ? AND path = ?", gone)
            db.executemany("INSERT OR REPLACE INTO outcomes VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)
            if mark is not None:
                db.execute("INSERT OR REPLACE INTO marks VALUES (?, ?)", (_RUNTIME, mark))

        self._run(run)

    def outcomes(self) -> list[Outcome]:
        """Return what is remembered of each artifact. Raises DiskError."""
        query = "SELECT tree, path, digest, state, reason, excerpt, revision, at FROM outcomes"
        rows = self._run(lambda db: db.execute(query).fetchall() if _has_outcomes(db) else [])
        return [outcome for row in rows if (outcome := _outcome(row)) is not None]

    def runtime_mark(self) -> str | None:
        """Return the mark that was remembered last, None if there is none. Raises DiskError."""
        query = "SELECT mark FROM marks WHERE name = ?"
        row = self._run(
            lambda db: db.execute(query, (_RUNTIME,)).fetchone() if _has_outcomes(db) else None
        )
        return None if row is None else str(row[0])

    def prune(self, *, keep: int, newer_than: float, at_least: int) -> None:
        """Forget all but the newest `keep` revisions, and those not recorded after `newer_than`.

        The newest `at_least` stay in any case. Old events go too. Durable, so that nothing comes
        back whose bytes were dropped. Raises DiskError.
        """

        def run(db: sqlite3.Connection) -> None:
            newest = "SELECT epoch, number FROM revisions ORDER BY epoch DESC, number DESC LIMIT ?"
            db.execute(
                f"DELETE FROM revisions WHERE (epoch, number) NOT IN ({newest})",  # noqa: S608
                (max(keep, at_least),),
            )
            db.execute(
                f"DELETE FROM revisions WHERE at <= ? AND (epoch, number) NOT IN ({newest})",  # noqa: S608
                (newer_than, at_least),
            )
            db.execute(
                "DELETE FROM events WHERE id <= (SELECT max(id) FROM events) - ?", (EVENTS_MAX,)
            )

        self._run(run, durable=True)

    def needed(self) -> set[Digest]:
        """Return the digests that the remembered revisions name, before and after. Raises DiskError."""
        bodies = self._run(lambda db: db.execute("SELECT body FROM revisions").fetchall())
        revisions = [_decode(body) for (body,) in bodies]
        return {
            entry.digest
            for revision in revisions
            if revision is not None
            for change in revision.changes
            for entry in (change.before, change.after)
            if entry is not None
        }

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._drop()

    # Private.

    def _run(self, work: Callable[[sqlite3.Connection], _T], *, durable: bool = False) -> _T:
        """Run `work` in one transaction; begin the file anew, once, if it turns out damaged."""
        import sqlite3  # noqa: PLC0415 - see the module docstring

        with self._lock:
            try:
                return self._attempt(work, durable=durable)
            except sqlite3.OperationalError as error:
                raise self._refused(error) from error
            except sqlite3.DatabaseError as error:
                if self._looking:
                    raise self._refused(error) from error
                self._move_aside(str(error))
            try:
                return self._attempt(work, durable=durable)
            except sqlite3.Error as error:
                raise self._refused(error) from error

    def _attempt(self, work: Callable[[sqlite3.Connection], _T], *, durable: bool = False) -> _T:
        if self._connection is None:
            self._connection = self._open()
        if durable:
            self._connection.execute("PRAGMA synchronous = FULL")
        try:
            with self._connection:
                return work(self._connection)
        finally:
            if durable:
                self._connection.execute("PRAGMA synchronous = NORMAL")

    def _open(self) -> sqlite3.Connection:
        import sqlite3  # noqa: PLC0415 - see the module docstring

        if self._looking:
            # Without a log beside it the file is whole, and SQLite need not make one to read it.
            logged = is_there(self._fs, f"{self._path}-wal")
            place = f"file:{quote(self._path)}?mode=ro{'' if logged else '&immutable=1'}"
            return sqlite3.connect(place, uri=True, timeout=BUSY_S, check_same_thread=False)
        db = sqlite3.connect(self._path, timeout=BUSY_S, check_same_thread=False)
        try:
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = NORMAL")
            if not _has_outcomes(db):
                db.execute("DROP TABLE IF EXISTS outcomes")
            db.executescript(_SCHEMA)
        except sqlite3.Error:
            db.close()
            raise
        return db

    def _drop(self) -> None:
        import sqlite3  # noqa: PLC0415 - see the module docstring

        if self._connection is not None:
            connection, self._connection = self._connection, None
            with suppress(sqlite3.Error):
                connection.close()

    def _move_aside(self, reason: str) -> None:
        self._drop()
        with disk_errors(f"move the damaged {self._path} aside"):
            number = 1
            while is_there(self._fs, f"{self._path}.damaged-{number}"):
                number += 1
            aside = f"{self._path}.damaged-{number}"
            for suffix in ("-wal", "-shm", ""):
                with suppress(FileNotFoundError):
                    self._fs.replace(self._path + suffix, aside + suffix)
        fields = {"reason": reason, "moved_to": aside}
        self._attempt(lambda db: _insert_event(db, self._wall(), "records-rebuilt", fields))

    def _refused(self, error: sqlite3.Error) -> DiskError:
        name = getattr(error, "sqlite_errorname", "") or ""
        return DiskError(f"can't use the records {self._path}: {error}", errno_name=name)


def _insert_event(
    db: sqlite3.Connection, at: float, what: str, fields: Mapping[str, str | int]
) -> None:
    db.execute(
        "INSERT INTO events (at, what, fields) VALUES (?, ?, ?)",
        (at, what, json.dumps(dict(fields), sort_keys=True)),
    )


def _has_outcomes(db: sqlite3.Connection) -> bool:
    (version,) = db.execute("PRAGMA user_version").fetchone()
    return bool(version >= _OUTCOMES_SINCE)


def _storable(text: str) -> str:
    """Return `text` as UTF-8 can hold it: a log may hold anything."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _outcome(row: tuple[str, str, bytes, str, str, str, int, float]) -> Outcome | None:
    """Return the outcome in a row; None for one of a state that this version does not know."""
    tree, path, raw, word, reason, excerpt, revision, at = row
    state = _DEPLOYMENTS.get(word)
    if state is None:
        return None
    where = ArtifactPath(TreeName(tree), path)
    return Outcome(where, from_raw(raw), state, reason, excerpt, revision, at)


def _encode(revision: Revision) -> bytes:
    ids = [
        [each.epoch, each.number, to_raw(each.digest)] for each in (revision.id, revision.parent)
    ]
    released = [to_raw(digest) for digest in revision.released]
    return pack([*ids, revision.author, revision.note, released, pack_changes(revision.changes)])


def _decode(body: bytes) -> Revision | None:
    """Return the revision in `body`; None if it is damaged: a record is no reason to stop."""
    try:
        own, parent, author, note, released, changes = cast(
            "tuple[tuple[int, int, bytes], tuple[int, int, bytes], str, str, list[bytes], object]",
            unpack(body, limit=RECORD_BYTES_MAX),
        )
        return Revision(
            id=RevisionId(own[0], own[1], from_raw(own[2])),
            parent=RevisionId(parent[0], parent[1], from_raw(parent[2])),
            changes=parse_changes(changes),
            author=NodeName(author),
            note=note,
            released=tuple(from_raw(raw) for raw in released),
        )
    except (ProtocolError, TypeError, ValueError, IndexError, AssertionError):
        return None
