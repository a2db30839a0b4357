"""State that lies on a share and goes from host to host: taken over by token, without a lock.

Whoever leads keeps the share's state (ledger, intent, blob packs) in the share's own sibling folder.
The host before may still run, or may have been frozen for hours in the middle of a write; a lock file
on a share proves nothing about it. So nobody ever writes into the folder of another:

- each token has a folder of its own, a *reign*, whose name begins with its epoch. To make it is to
  take over: epochs never come twice, and the name of a newer reign is never taken away.
- what the reign before had is copied (ledger, intent) or moved (packs) into it, the ledger last: a
  reign without a ledger was interrupted, and the next one looks behind it.
- what a former keeper still writes goes into its own folder, or into a file that nobody reads any
  further: it is lost to nobody, since its transactions have not ended there.

Before anything is done to the share's trees the `Fence` is asked: it reads the file `guard` anew,
which an open by name never has from a cache, and lists the reigns, which no late write can undo.
Under a newer one `FencedFS` refuses each rename, so that of a transaction that a frozen keeper had
begun at most the one call goes through before which it was frozen; and that finds no staged bytes,
because the next reign has finished its intent or swept them away.
"""

from __future__ import annotations

import errno
import re
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from syncagent.core.digest import digest_of
from syncagent.core.errors import DiskError, FencedError, StateError
from syncagent.core.guard import Admission, GuardState, judge, refusal
from syncagent.fsio import O_NEW, OsFS
from syncagent.history.durable import (
    FILE_MODE,
    disk_errors,
    is_there,
    make_folder,
    read_if_there,
    replace_durably,
)
from syncagent.history.guard import GUARD_NAME, encode_guard, parse_guard
from syncagent.history.ledger import LEDGER_BYTES_MAX, peek_bytes
from syncagent.history.node_history import BLOBS_NAME, LEDGER_NAME
from syncagent.history.packfile import pack_name, pack_number

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from syncagent.core.revision import Token

INTENT_NAME: Final = "intent"
ASK_EVERY_S: Final = 0.05
"""How old the fence's word may be for a rename: one that was frozen meanwhile is older."""
_REIGN: Final = re.compile(r"e([0-9]{10})-[0-9a-f]{16}")


def reign_name(token: Token) -> str:
    """Return the name of the folder of `token`'s reign: no other token has it."""
    words = "\0".join((token.cluster, str(token.epoch), token.holder, token.incarnation))
    return f"e{token.epoch:010}-{digest_of(words.encode()).removeprefix('xxh3:')[:16]}"


def reigns(fs: OsFS, folder: str) -> list[tuple[int, str]]:
    """Return epoch and name of every reign in `folder`, oldest first. Raises OSError."""
    try:
        names = fs.listdir(folder)
    except FileNotFoundError:
        return []
    return sorted((int(match[1]), match[0]) for name in names if (match := _REIGN.fullmatch(name)))


class Fence:
    """Tells whether a newer keeper has taken over in `folder`. Any thread may ask."""

    def __init__(self, fs: OsFS, folder: str, token: Token) -> None:
        self._fs = fs
        self._folder = folder
        self._token = token
        self._name = reign_name(token)

    def state(self) -> GuardState:
        """Return the highest token that is known here. Raises DiskError, StateError."""
        mine = GuardState(self._token.cluster, self._token)
        with disk_errors(f"read {self._folder}/{GUARD_NAME}"):
            content = read_if_there(self._fs, f"{self._folder}/{GUARD_NAME}")
        found = parse_guard(content) if content is not None else None
        if content is not None and found is None:
            raise StateError(f"the guard {self._folder}/{GUARD_NAME} is damaged")
        if found is not None and found.cluster != self._token.cluster:
            raise StateError(
                f"the share's state in {self._folder} is of cluster {found.cluster!r}, "
                f"the settings say {self._token.cluster!r}",
                hint="two clusters can't keep one share: correct `[cluster] name`, or the share",
            )
        return found if found is not None and found.epoch > self._token.epoch else mine

    def check(self) -> None:
        """Raise FencedError under a newer reign, StateError or DiskError if that can't be known."""
        state = self.state()
        if state.highest != self._token:
            raise FencedError(refusal(state, self._token, judge(state, self._token)))
        with disk_errors(f"look into {self._folder}"):
            found = reigns(self._fs, self._folder)
        rivals = [name for epoch, name in found if epoch >= self._token.epoch]
        if rivals != [self._name]:
            raise FencedError(
                f"another keeper has taken the share over ({self._folder}/{rivals[-1]})"
                if rivals
                else f"the share's state in {self._folder} is not there any more"
            )


class ShareGuard:
    """The guard of a keeper: it knows one token, and re-reads the share before every commit."""

    def __init__(self, fence: Fence, token: Token) -> None:
        self._fence = fence
        self._token = token
        self._mutex = threading.Lock()

    def enrol(self) -> GuardState:
        """Return the state: the reign was made under its token."""
        return self.state()

    def state(self) -> GuardState:
        """Return what was admitted. Raises StateError or DiskError."""
        return self._fence.state()

    def admit(self, token: Token, *, forced: bool = False) -> GuardState:
        """Admit the reign's own token only; see `ports.Guard`.

        A higher one takes a keeper of its own, which whoever holds it starts.
        """
        self._check(token, forced=forced)
        return self.state()

    @contextmanager
    def holding(self, token: Token) -> Iterator[None]:
        """Let commits of the reign's token through, one at a time; see `ports.Guard`."""
        with self._mutex:
            self._check(token)
            yield

    def _check(self, token: Token, *, forced: bool = False) -> None:
        mine = GuardState(self._token.cluster, self._token)
        if judge(mine, token, forced=forced) is not Admission.SAME:
            raise FencedError(
                f"this keeper of the share is of epoch {self._token.epoch}, not of {token.epoch}"
            )
        self._fence.check()


class FencedFS(OsFS):
    """File system calls of a keeper: what gives a name asks the fence first.

    Attached to a fence it raises OSError (ESTALE) under a newer reign.
    """

    def __init__(self) -> None:
        super().__init__()
        self._fence: Fence | None = None
        self._asked = float("-inf")

    def attach(self, fence: Fence) -> None:
        """Ask `fence` from now on."""
        self._fence = fence
        self.rename = self._fenced(self.rename)
        self.replace = self._fenced(self.replace)
        self.link = self._fenced(self.link)

    def exchange(self, a: str, b: str, *, src_dir_fd: int = -1, dst_dir_fd: int = -1) -> None:
        """Swap two names; see `OsFS`."""
        self._ask()
        super().exchange(a, b, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)

    def rename_noreplace(
        self, a: str, b: str, *, src_dir_fd: int = -1, dst_dir_fd: int = -1
    ) -> None:
        """Rename unless `b` exists; see `OsFS`."""
        self._ask()
        super().rename_noreplace(a, b, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)

    def _fenced(self, call: Callable[..., None]) -> Callable[..., None]:
        def fenced(*names: str, **folders: int | bool) -> None:
            self._ask()
            call(*names, **folders)

        return fenced

    def _ask(self) -> None:
        now = time.clock_gettime(time.CLOCK_BOOTTIME)
        if self._fence is None or now - self._asked < ASK_EVERY_S:
            return
        try:
            self._fence.check()
        except (FencedError, StateError, DiskError) as error:
            raise OSError(errno.ESTALE, str(error)) from error
        self._asked = now


@dataclass(frozen=True, slots=True)
class Reign:
    """What a keeper works with: the folder of its reign, its guard, and calls that are fenced."""

    folder: str
    guard: ShareGuard
    fs: FencedFS


def begin_reign(fs: OsFS, folder: str, token: Token) -> Reign:
    """Take the state in `folder` over for `token`. Raises what `take_over` raises."""
    own = take_over(fs, folder, token)
    fence, fenced = Fence(fs, folder, token), FencedFS()
    fenced.attach(fence)
    return Reign(own, ShareGuard(fence, token), fenced)


def take_over(fs: OsFS, folder: str, token: Token) -> str:
    """Make `token`'s reign in `folder` the newest and return its folder, complete.

    Whoever begins again under the same token goes on where it was. Raises FencedError if another
    keeper has a token that is as high, StateError if what it finds is damaged, DiskError.
    """
    fence = Fence(fs, folder, token)
    own = f"{folder}/{reign_name(token)}"
    with disk_errors(f"take the share's state over in {folder}"):
        make_folder(fs, folder)
        newer = [name for epoch, name in reigns(fs, folder) if epoch >= token.epoch]
        if newer in ([], [reign_name(token)]):
            make_folder(fs, own)
        _write_guard(fs, folder, fence, token)
    try:
        fence.check()
    except FencedError as error:
        # Epochs are never given twice, but a cluster whose state was wiped begins at the first again.
        error.hint = (
            f"if this cluster was begun anew: move {folder} away; the share is then met as the trees "
            "of a new node are"
        )
        raise
    with disk_errors(f"take the share's state over in {folder}"):
        if not is_there(fs, f"{own}/{LEDGER_NAME}"):
            _inherit(fs, folder, own, token)
    return own


def _write_guard(fs: OsFS, folder: str, fence: Fence, token: Token) -> None:
    """Say in the guard's file who keeps the share, unless a newer keeper does."""
    if fence.state().highest == token:
        replace_durably(
            fs, f"{folder}/{GUARD_NAME}", encode_guard(GuardState(token.cluster, token))
        )


def _inherit(fs: OsFS, folder: str, own: str, token: Token) -> None:
    """Bring what earlier reigns had into `own`, the ledger last. Raises OSError, StateError."""
    earlier = [name for epoch, name in reversed(reigns(fs, folder)) if epoch < token.epoch]
    _move_packs(fs, [f"{folder}/{name}" for name in reversed(earlier)], own)
    for index, name in enumerate(earlier):
        before = f"{folder}/{name}"
        ledger = _ledger_of(fs, folder, before)
        if ledger is None:
            continue
        intent = read_if_there(fs, f"{before}/{INTENT_NAME}", LEDGER_BYTES_MAX)
        if intent is not None:
            replace_durably(fs, f"{own}/{INTENT_NAME}", intent)
        replace_durably(fs, f"{own}/{LEDGER_NAME}", ledger)
        # The last one stays, for people: with it a mistake of this version could be mended.
        for each in earlier[index + 1 :]:
            _drop(fs, f"{folder}/{each}")
        return


def _ledger_of(fs: OsFS, folder: str, reign: str) -> bytes | None:
    try:
        return peek_bytes(fs, f"{reign}/{LEDGER_NAME}")
    except StateError as error:
        hint = f"move {folder} away: the share is then met as the trees of a new node are"
        raise StateError(str(error), hint=hint) from error


def _move_packs(fs: OsFS, earlier: list[str], own: str) -> None:
    """Move blob packs into `own`, behind them an empty one, so that nobody else appends to the last."""
    blobs = f"{own}/{BLOBS_NAME}"
    make_folder(fs, blobs)
    number = max(map(pack_number, fs.listdir(blobs)), default=0)
    for reign in earlier:
        with suppress(FileNotFoundError):
            for _, name in sorted((pack_number(n), n) for n in fs.listdir(f"{reign}/{BLOBS_NAME}")):
                if pack_number(name):
                    number += 1
                    fs.replace(f"{reign}/{BLOBS_NAME}/{name}", f"{blobs}/{pack_name(number)}")
    fs.close(fs.open(f"{blobs}/{pack_name(number + 1)}", O_NEW, FILE_MODE))
    fs.fsync_dir(blobs)


def _drop(fs: OsFS, reign: str) -> None:
    """Remove what is left of a reign, as far as that goes: it is of no use, and harms nobody."""
    for place in (f"{reign}/{BLOBS_NAME}", reign):
        with suppress(OSError):
            for name in fs.listdir(place):
                with suppress(OSError):
                    fs.unlink(f"{place}/{name}")
            fs.rmdir(place)
