"""The share's keeper as its node sees it: started, supervised, ended.

In the form `shadow` the share is one more peer, and a process beside the agent that leads stands
for it: a whole agent over the share's folders (`keeper`). A process, since what hangs in a mount
can be neither ended nor waited for: here only a connection breaks.

The keeper is wanted while this node holds a token, and started by the first attempt to reach the
peer: who catches up on its way to lead meets a share that may know a newer revision. It dies with
this process (and is told so by the end of its standard input), ends when the token goes, and is
started again by the next attempt, whose pauses are those of any peer. One that does not end within
`END_S`, killed or not, hangs in the kernel: it is left, and none is started until it is gone. It
holds the lock of its local folder, so the next process of this node knows it too.

A thread of its own starts the keeper: the kernel takes the death of the thread that started it for
that of its parent.
"""

from __future__ import annotations

import contextlib
import logging
import os
import pickle
import selectors
import subprocess
import sys
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from syncagent.core.errors import UnreachableError
from syncagent.core.settings import (
    SHARE,
    ElectionSettings,
    HttpSettings,
    PeerSettings,
    RuntimeSettings,
    SharedSettings,
    Writers,
)
from syncagent.ssh.stdio import connect
from syncagent.ssh.transport import Pipe

if TYPE_CHECKING:
    from collections.abc import Callable

    from syncagent.core.revision import Token
    from syncagent.core.settings import Settings
    from syncagent.fsio import OsFS
    from syncagent.ssh.links import SshLinks

LOG = logging.getLogger("syncagent")

START_S: Final = 15.0
"""How long a keeper may take until it listens: more, and the share does not answer."""
LOOK_S: Final = 1.0
"""How often its thread looks whether the keeper still runs."""
UP: Final = "up"
"""What a keeper says when it listens; anything else is why it does not."""
END_S: Final = 5.0
"""How long one that was told to end may take before it is killed, and then to be gone."""
_BEGIN: Final = """
import sys
sys.path[:] = sys.argv[2:]
from syncagent.agent.wiring.keeper import main
sys.exit(main(int(sys.argv[1])))
"""


def keeper_settings(settings: Settings) -> Settings:
    """Return what the keeper works by: its trees are the share's folders, its node is the share.

    It is led by the node whose settings these are, and never leads.
    """
    return replace(
        settings,
        node=SHARE,
        state_dir=f"{settings.state_dir}/{SHARE}",
        trees=settings.share_trees,
        mode="push",
        shared=SharedSettings(),
        writers=Writers.ANY,
        listen="",
        gateway_home="",
        peers=(PeerSettings(settings.node, "", ""),),
        election=ElectionSettings(nofailover=True),
        runtime=RuntimeSettings(kind="none"),
        http=HttpSettings(),
    )


class Shadow:
    """Has a keeper of the share while `follow` is told a token. Any thread may call any method.

    Nothing is started before the first `dial`.
    """

    end_s = END_S

    def __init__(self, fs: OsFS, state_dir: str, settings: Settings, links: SshLinks) -> None:
        self._fs = fs
        self._state_dir = state_dir
        self._links = links
        self._changed = threading.Condition()
        self._news = False
        self._settings = settings
        self._token: Token | None = None
        self._asked = False
        """True until who wants to reach the keeper is answered with `_why`."""
        self._stopping = False
        self._why = ""
        """Why the keeper does not run, as who asked is told; empty if it does."""
        self._thread: threading.Thread | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._plan: tuple[Token, Settings] | None = None
        """What the process was started with; None once it was told to end."""

    @property
    def process_id(self) -> int | None:
        """Return which process keeps the share; None if none does."""
        process = self._process
        return process.pid if process is not None else None

    # --- what is wished ---------------------------------------------------------------------

    def follow(self, token: Token | None) -> None:
        """This node holds `token` now: under another one, or none, the keeper that runs ends."""
        if token != self._token:
            with self._changed:
                self._token = token
                self._tell()

    def take_up(self, settings: Settings) -> None:
        """Work by changed settings: if they concern the keeper, it is started anew with them."""
        with self._changed:
            self._settings = settings
            self._tell()

    def dial(self) -> None:
        """Have the keeper started, if it does not run, and connect to it."""
        with self._changed:
            if self._thread is None and not self._stopping:
                self._thread = threading.Thread(target=self._run, name="keeper", daemon=True)
                self._thread.start()
        self._links.dial_beside(SHARE, self._reach)

    def stop(self) -> None:
        """End the keeper; returns when it is gone or can't be ended."""
        with self._changed:
            self._stopping = True
            self._tell()
        if self._thread is not None:
            self._thread.join(3 * self.end_s)

    def _tell(self) -> None:
        self._news = True
        self._changed.notify_all()

    def _reach(self) -> Pipe:
        """Return the pipe to a keeper that listens. Raises UnreachableError."""
        with self._changed:
            self._asked = True
            self._tell()
            answered = self._changed.wait_for(self._is_answered, START_S + 2 * self.end_s)
            why = self._why if answered and not self._asked else "it was not started in time"
        if why:
            raise UnreachableError(f"the share has no keeper: {why}")
        sock = connect(self._fs, f"{self._state_dir}/{SHARE}", self._settings.node)
        return Pipe(sock, sock=sock)

    def _is_answered(self) -> bool:
        return not self._asked or self._stopping

    # --- the thread that has it -------------------------------------------------------------

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._news, LOOK_S)
                asked, self._news = self._asked, False
                token = None if self._stopping else self._token
                plan = (token, keeper_settings(self._settings)) if token is not None else None
            if self._process is not None and (
                self._plan != plan or self._process.poll() is not None
            ):
                self._end(self._process)
            if asked:
                why = self._ensure(plan)
                with self._changed:
                    self._why, self._asked = why, False
                    self._changed.notify_all()
            if self._stopping:
                return

    def _ensure(self, plan: tuple[Token, Settings] | None) -> str:
        """Have a keeper run by `plan`; return why it does not, empty if it does."""
        if plan is None:
            return "this node does not lead"
        if self._process is not None:
            pid = self._process.pid
            hangs = f"the one before (process {pid}) hangs in the share and can't be ended yet"
            return "" if self._plan is not None else hangs
        try:
            process = _started()
        except OSError as error:
            return str(error)
        self._process, self._plan = process, plan
        try:
            word = _first_word(self._fs, process, plan, lambda: self._news)
        except OSError as error:
            word = str(error)
        if word == UP:
            LOG.info("the keeper of the share is up (process %d)", process.pid)
            return ""
        self._end(process)
        return word

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        """End the keeper, by force if need be; one that can't be ended stays in `_process`."""
        told, self._plan = self._plan is None, None
        if process.poll() is not None and not told:
            LOG.warning("the keeper of the share has ended (exit %s)", process.returncode)
        # The end of its input is its word to end in order.
        if not told:
            _close(process)
            if not _gone(process, self.end_s):
                process.kill()
                _gone(process, self.end_s)
        if process.poll() is not None:
            self._process = None
        elif not told:
            LOG.error("the keeper (process %d) hangs in the share, it is left", process.pid)


def _gone(process: subprocess.Popen[bytes], within_s: float) -> bool:
    """Wait for the end of the process, but not for ever; tell whether it has come."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(within_s)
    return process.poll() is not None


def _close(process: subprocess.Popen[bytes]) -> None:
    for pipe in (process.stdin, process.stdout):
        assert pipe is not None, "started with pipes"
        with contextlib.suppress(OSError):
            pipe.close()


def _started() -> subprocess.Popen[bytes]:
    """Start the process. Raises OSError."""
    flags = ["-I", "-B"] if sys.dont_write_bytecode else ["-I"]
    command = [sys.executable, *flags, "-c", _BEGIN, str(os.getpid()), *sys.path]
    return subprocess.Popen(  # noqa: S603 - our own program, nobody else's words
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )


def _first_word(
    fs: OsFS,
    process: subprocess.Popen[bytes],
    plan: tuple[Token, Settings],
    interrupted: Callable[[], bool],
) -> str:
    """Tell the process its plan; return `UP` or why it does not come up. Raises OSError."""
    assert process.stdin is not None, "started with pipes"
    assert process.stdout is not None, "started with pipes"
    process.stdin.write(pickle.dumps(plan))
    process.stdin.flush()
    said, deadline = b"", time.monotonic() + START_S
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while not said.endswith(b"\n"):
            if time.monotonic() >= deadline:
                return f"it did not come up within {START_S:.0f} s: the share does not answer"
            if interrupted():
                return "this node does not lead any more"
            if selector.select(LOOK_S / 4):
                part = fs.read(process.stdout.fileno(), 4096)
                if not part:
                    return "it ended before it was up, see this node's log"
                said += part
    return said.decode(errors="replace").strip()
