"""A mount's own process, at work: it looks at the trees there and acts on them, as it is asked.

Each lane of requests has a thread, so that a call that hangs holds up its own lane only; whoever asks
sees that no answer comes. Nothing here waits for anything but the file system and the socket: when
the socket ends, `serve` returns, whatever hangs.

A scan's answer names only what differs from the one before, if the agent still has that. Bytes that a
look has read are sent along, so that the agent judges them without asking again.

A file that can't be read for a moment (EIO, ESTALE: a server that failed over, a file that was
replaced on another machine) is looked at again after `AGAIN_S`, with everything opened anew from the root; one
that stays like that is asked in vain only once.
"""

from __future__ import annotations

import queue
import socket
import threading
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from syncagent.core.artifact import ArtifactPath, TreeName
from syncagent.core.digest import Digest, from_raw, to_raw
from syncagent.core.errors import ProtocolError, SyncagentError
from syncagent.core.intent import Keep
from syncagent.core.settings import Limits
from syncagent.core.snapshot import Condition, Seen, Snapshot, Unread
from syncagent.core.wire.fields import bytes_of, items_of, whole_of
from syncagent.core.wire.intents import (
    kept_row,
    pack_written,
    step_of,
    str_of,
    unpack_written,
)
from syncagent.mounts.protocol import (
    BAD,
    CHANGED,
    DONE,
    FAILED,
    SAME,
    TOOK,
    WHOLE,
    error_out,
    event_out,
    look_out,
    maybe_text,
    path_in,
    path_out,
    paths_in,
    paths_out,
    receive,
    send,
    word_in,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from syncagent.core.events import ShellEvent
    from syncagent.ports import Hints, Part

    Verb = Callable[[int, list[object]], object]
    _Wish = tuple[int, Verb, list[object]]

AGAIN_S: Final = (0.2, 1.0, 5.0)
"""Pauses before an unreadable file is looked at again: together less than a look may take."""
UNREADABLE = "unreadable"


class _Shown:
    """Sends what a look has read, if `all_of_it` also of what is known."""

    def __init__(self, take: Callable[[list[object]], None], *, all_of_it: bool) -> None:
        self._take = take
        self._all = all_of_it

    def wants(self, path: ArtifactPath, digest: Digest) -> bool:  # noqa: ARG002 - a port
        return self._all

    def take(self, path: ArtifactPath, digest: Digest, content: bytes) -> None:
        self._take([path_out(path.path), to_raw(digest), content])


class Server:
    """Serves a part of a disk, and what watches its trees, over a socket.

    Nothing is carried out before `clear` is set: who asks waits meanwhile.
    """

    def __init__(
        self,
        link: socket.socket,
        part: Part,
        hints: Hints,
        *,
        again_s: tuple[float, ...] = AGAIN_S,
        clear: threading.Event | None = None,
    ) -> None:
        self._link = link
        self._sending = threading.Lock()
        self._part = part
        self._hints = hints
        self._again_s = again_s
        self._clear = clear
        self._lanes: dict[str, queue.SimpleQueue[_Wish | None]] = {}
        self._sent: dict[TreeName, tuple[int, Snapshot]] = {}
        self._hopeless: dict[TreeName, frozenset[str]] = {}
        self._verbs: dict[str, Verb] = {
            "scan": self._scan,
            "look": self._look,
            "read": self._read,
            "identity": lambda _number, args: part.identity_of(_tree(args[0])),
            "trust": lambda _number, args: part.trust(_tree(args[0]), maybe_text(args[1])),
            "limits": self._limits,
            "save-cache": lambda _number, _args: part.save_cache(),
            "stage": self._stage,
            "write-back": lambda _number, args: part.write_back(whole_of(args[0])),
            "seal": lambda _number, args: part.seal(whole_of(args[0])),
            "discard": lambda _number, args: part.discard(whole_of(args[0])),
            "drop": lambda _number, _args: part.drop(),
            "ready": self._ready,
            "carry-out": self._carry_out,
            "touch": lambda _number, args: part.touch(_path(args), _digest(args[2])),
            "keep": self._keep,
            "kept": lambda _number, _args: [kept_row(kept) for kept in part.kept()],
            "kept-bytes": lambda _number, args: part.kept_bytes(str_of(args[0])),
            "sweep": self._sweep,
            "watch": lambda _number, args: hints.start(_tree(args[0])),
            "unwatch": lambda _number, _args: hints.stop(),
        }

    def serve(self) -> None:
        """Carry out requests until the socket ends. Raises ProtocolError and OSError."""
        try:
            while (message := receive(self._link)) is not None:
                number, lane, verb, args = items_of(message, 4)
                do = self._verbs.get(str_of(verb))
                if do is None:
                    raise ProtocolError(f"{verb!r} is not known here")
                self._lane(str_of(lane)).put((whole_of(number), do, items_of(args)))
        finally:
            for each in self._lanes.values():
                each.put(None)

    def post(self, event: ShellEvent) -> None:
        """Pass on what a watcher tells. From any thread."""
        self._send(event_out(event))

    # Private.

    def _lane(self, name: str) -> queue.SimpleQueue[_Wish | None]:
        lane = self._lanes.get(name)
        if lane is None:
            lane = self._lanes[name] = queue.SimpleQueue()
            threading.Thread(target=self._run, args=(lane,), name=name, daemon=True).start()
        return lane

    def _run(self, lane: queue.SimpleQueue[_Wish | None]) -> None:
        try:
            if self._clear is not None:
                self._clear.wait()
            while (wish := lane.get()) is not None:
                number, do, args = wish
                try:
                    self._send([number, DONE, do(number, args)])
                except (SyncagentError, OSError) as error:
                    self._send([number, FAILED, error_out(error)])
        finally:
            # Only what nobody is prepared for comes here: the process ends, and a new one begins.
            with suppress(OSError):
                self._link.shutdown(socket.SHUT_RDWR)

    def _send(self, message: list[object]) -> None:
        """Send, if anybody still listens: otherwise the process is about to end."""
        with self._sending:
            try:
                send(self._link, message)
            except OSError:
                return

    def _shown(self, number: int, *, all_of_it: bool) -> _Shown:
        return _Shown(lambda row: self._send([number, TOOK, row]), all_of_it=all_of_it)

    # Looking.

    def _scan(self, number: int, args: list[object]) -> object:
        tree, have = _tree(args[0]), whole_of(args[1])
        shown = self._shown(number, all_of_it=False)
        snapshot = self._part.scan(tree, shown)
        if snapshot.condition is not Condition.GOOD:
            self._sent.pop(tree, None)
            return [BAD, 0, snapshot.condition.value, path_out(snapshot.reason)]
        snapshot = self._insist(snapshot, shown)
        known = self._sent.get(tree)
        if known is None or known[0] != have:
            self._sent[tree] = (have + 1, snapshot)
            rows = [look_out(path, what) for path, what in snapshot.files.items()]
            return [WHOLE, have + 1, rows, [], *_folders(snapshot)]
        before = known[1]
        if before is snapshot or before == snapshot:
            return [SAME, have]
        self._sent[tree] = (have + 1, snapshot)
        old, new = before.files, snapshot.files
        rows = [look_out(path, what) for path, what in new.items() if old.get(path) != what]
        gone = paths_out(old.keys() - new.keys())
        return [CHANGED, have + 1, rows, gone, *_folders(snapshot)]

    def _insist(self, snapshot: Snapshot, shown: _Shown) -> Snapshot:
        """Look again at what could not be read for a moment."""
        tree = snapshot.tree
        bad = _unreadable(snapshot.files)
        again = bad - self._hopeless.get(tree, frozenset())
        if again:
            files = {**snapshot.files, **self._look_again(tree, again, shown)}
            snapshot = replace(snapshot, files=files)
            bad = _unreadable(files)
        self._hopeless[tree] = frozenset(bad)
        return snapshot

    def _look_again(
        self, tree: TreeName, paths: set[str], shown: _Shown
    ) -> dict[str, Seen | Unread]:
        """Return what became of unreadable files; what is gone meanwhile stays as it was seen."""
        found: dict[str, Seen | Unread] = {}
        for pause_s in self._again_s:
            threading.Event().wait(pause_s)
            seen = self._part.look(tree, sorted(paths), shown)
            found |= {path: what for path, what in seen.items() if what is not None}
            paths = paths & _unreadable(seen)
            if not paths:
                break
        return found

    def _look(self, number: int, args: list[object]) -> object:
        tree, paths = _tree(args[0]), paths_in(args[1])
        shown = self._shown(number, all_of_it=bool(args[2]))
        seen = dict(self._part.look(tree, paths, shown))
        again = _unreadable(seen) - self._hopeless.get(tree, frozenset())
        if again:
            seen |= self._look_again(tree, again, shown)
        return [look_out(path, what) for path, what in seen.items()]

    def _read(self, _number: int, args: list[object]) -> object:
        return self._part.read(_path(args), _digest(args[2]))

    def _limits(self, _number: int, args: list[object]) -> object:
        limits = replace(Limits(), file_bytes=whole_of(args[0]), tree_files=whole_of(args[1]))
        self._part.take_limits(limits)
        return None

    # Acting.

    def _stage(self, _number: int, args: list[object]) -> object:
        items = [(step_of(row), bytes_of(content)) for row, content in map(_pair, args[1:])]
        self._part.stage(whole_of(args[0]), items)
        return None

    def _ready(self, _number: int, args: list[object]) -> object:
        asked = unpack_written(bytes_of(args[0]))
        return pack_written(self._part.ready(asked.intent))

    def _carry_out(self, _number: int, args: list[object]) -> object:
        written = unpack_written(bytes_of(args[0]))
        kept = self._part.carry_out(written, again=bool(args[1]))
        return [kept_row(one) for one in kept]

    def _keep(self, _number: int, args: list[object]) -> object:
        content, reason, detail = bytes_of(args[2]), word_in(Keep, args[3]), path_in(args[4])
        return kept_row(self._part.keep(_path(args), content, reason, detail))

    def _sweep(self, _number: int, args: list[object]) -> object:
        older_than_s, bytes_max = args
        if not isinstance(older_than_s, int | float):
            raise ProtocolError("a number of seconds was expected")
        return self._part.sweep(older_than_s=older_than_s, bytes_max=whole_of(bytes_max))


def _tree(value: object) -> TreeName:
    return TreeName(str_of(value))


def _path(args: list[object]) -> ArtifactPath:
    return ArtifactPath(_tree(args[0]), path_in(args[1]))


def _digest(value: object) -> Digest:
    try:
        return from_raw(bytes_of(value))
    except ValueError as error:
        raise ProtocolError(str(error)) from error


def _pair(row: object) -> tuple[object, object]:
    step, content = items_of(row, 2)
    return step, content


def _folders(snapshot: Snapshot) -> list[object]:
    return [paths_out(snapshot.folders), paths_out(snapshot.unlisted)]


def _unreadable(seen: Mapping[str, Seen | Unread | None]) -> set[str]:
    return {
        path
        for path, what in seen.items()
        if isinstance(what, Unread) and what.problem.code == UNREADABLE
    }
