"""What this machine's own processes do on the share, told to the node: a process of its own watches.

In the form `shadow` a node looks after a tree of its own, and the share is looked after by its keeper,
on the manager's machine. What somebody writes to the share on another machine the keeper would learn
by its next poll only; the kernel of that machine knows at once. So each node watches the share by
inotify, for hints and nothing else: nothing is read there, polled or written, and nothing is missed
without it. The process may hang in the mount like any other; then there are no hints.

It holds a lock in the state folder, so that there is one of it however often an agent is started.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import pickle
import subprocess
import sys
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from syncagent.agent.wiring.tether import die_with_parent
from syncagent.core.artifact import TreeName
from syncagent.core.events import Hinted, HintKind, ShareHinted, WatchFault, WatchTrouble
from syncagent.core.ignore import Ignore
from syncagent.disk.identity import identify
from syncagent.disk.mark import owner_of
from syncagent.fsio import OsFS
from syncagent.watch.inotify import Reader, TreeWatch
from syncagent.watch.target import Target

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from syncagent.core.events import ShellEvent
    from syncagent.core.settings import Settings, TreeSettings

LOG = logging.getLogger("syncagent")

AGAIN_S: Final = 5.0
"""How often it is looked whether a share that could not be watched is there."""
_GOES_ON: Final = frozenset({WatchTrouble.OVERFLOW, WatchTrouble.WATCH_FAILED})
"""After these a watch still tells what it sees."""
_LINE_BYTES_MAX: Final = 1 << 16
_END_S: Final = 2.0
_LOCK_FLAGS: Final = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
_BEGIN: Final = """
import sys
sys.path[:] = sys.argv[2:]
from syncagent.agent.wiring.share_watch import main
main(int(sys.argv[1]))
"""


class ShareWatch:
    """Has a process watch the share of `settings`, if it has one, and posts what it tells."""

    def __init__(
        self, settings: Settings, state_dir: str, post: Callable[[ShellEvent], None]
    ) -> None:
        self._trees = settings.share_trees if settings.shadow else ()
        self._lock = f"{state_dir}/share-watch.lock"
        self._post = post
        self._ended = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        # The kernel ends the process with the thread that started it.
        self._thread = threading.Thread(target=self._run, name="share-watch", daemon=True)

    def start(self) -> None:
        """Begin."""
        if self._trees:
            self._thread.start()

    def stop(self) -> None:
        """End; a process that hangs is left to the kernel."""
        self._ended.set()
        process = self._process
        if process is not None:
            process.kill()
        if self._thread.ident is not None:
            self._thread.join(_END_S)

    def _run(self) -> None:
        while not self._ended.is_set():
            try:
                self._listen()
            except OSError as error:
                LOG.warning("the share is not watched: %s", error)
            self._ended.wait(AGAIN_S)

    def _listen(self) -> None:
        """Start the process and pass on what it says, until it ends. Raises OSError."""
        flags = ["-I", "-B"] if sys.dont_write_bytecode else ["-I"]
        command = [sys.executable, *flags, "-c", _BEGIN, str(os.getpid()), *sys.path]
        process = subprocess.Popen(  # noqa: S603 - our own program, nobody else's words
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self._process = process
        assert process.stdin is not None, "started with pipes"
        assert process.stdout is not None, "started with pipes"
        if self._ended.is_set():
            process.kill()
        with process.stdin as told, process.stdout as said:
            told.write(pickle.dumps((self._lock, self._trees)))
            told.flush()
            while line := said.readline(_LINE_BYTES_MAX):
                tree, path, kind = json.loads(line)
                self._post(ShareHinted(TreeName(tree), path, HintKind(kind)))
        process.kill()
        with suppress(subprocess.TimeoutExpired):
            process.wait(_END_S)


def main(parent: int) -> None:
    """Be the process: watch what standard input names, say on standard output what is seen."""
    die_with_parent(parent)
    lock, trees = pickle.load(sys.stdin.buffer)  # noqa: S301 - from our own agent
    fs = OsFS()
    fd = fs.open(lock, _LOCK_FLAGS, 0o600)
    try:
        fs.flock(fd)
    except BlockingIOError:
        return  # an earlier one hangs in the share: this one would too
    Watching(fs, trees, say).run()


def say(event: Hinted) -> None:
    """Say one line, whole; the end of who listens is the end of this process."""
    line = json.dumps([event.tree, event.path, event.kind.value])
    try:
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()
    except OSError:
        os._exit(1)


class Watching:
    """Watches trees of a share for as long as the process lives."""

    def __init__(
        self, fs: OsFS, trees: Sequence[TreeSettings], seen: Callable[[Hinted], None]
    ) -> None:
        self._fs = fs
        self._trees = {tree.name: tree for tree in trees}
        self._seen = seen
        self._reader: Reader | None = None
        self.lost = set(self._trees)
        """Trees that are not watched, since they are not there or can't be."""
        self._changed = threading.Condition()

    def run(self) -> None:
        """Keep every tree watched; does not return."""
        while True:
            self.attach()
            with self._changed:
                self._changed.wait(AGAIN_S)

    def attach(self) -> None:
        """Watch what is not watched and is there."""
        for name in tuple(self.lost):
            tree = self._trees[name]
            try:
                # A folder without its mark is not the share: nobody's writes there are of interest.
                identify(self._fs, tree.path, owner_of(tree))
                target = Target(name, tree.path, Ignore(tree.kind, tree.ignore))
                watch = TreeWatch(self._living_reader(), self._fs, target, self._take)
                self.lost.discard(name)
                watch.attach()
            except OSError as error:
                self.lost.add(name)
                if error.errno in {errno.ENOSPC, errno.EMFILE}:
                    return

    def end(self) -> None:
        """Watch nothing any more."""
        if self._reader is not None:
            self._reader.stop()
            self._reader.join(_END_S)

    def _living_reader(self) -> Reader:
        if self._reader is None or self._reader.dead:
            self._reader = Reader(self._died)
            self._reader.start()
        return self._reader

    def _take(self, event: ShellEvent) -> None:
        if isinstance(event, Hinted):
            self._seen(event)
        elif isinstance(event, WatchFault) and event.trouble not in _GOES_ON:
            self._lose({event.tree})

    def _died(self) -> None:
        self._lose(set(self._trees))

    def _lose(self, names: set[TreeName]) -> None:
        with self._changed:
            self.lost |= names
            self._changed.notify()
