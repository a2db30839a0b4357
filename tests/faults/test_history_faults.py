"""One call fails, for every call: the standing is old or new, nothing leaks, the next try works."""

from __future__ import annotations

import errno
import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from syncagent.core.artifact import ArtifactPath, NodeName, TreeName
from syncagent.core.change import Change
from syncagent.core.digest import digest_of
from syncagent.core.errors import BusyError, DiskError, StateError
from syncagent.core.ledger import Standing, StandingChange
from syncagent.core.manifest import Entry
from syncagent.core.revision import RevisionId, Token
from syncagent.core.wire.packing import compress_batch
from syncagent.fsio import OsFS
from syncagent.history.guard import FileGuard
from syncagent.history.home import StateHome
from syncagent.history.node_history import NodeHistory
from tests.fakes.faultyfs import FaultyFS

if TYPE_CHECKING:
    from collections.abc import Callable

CALLS = (
    *("open", "read", "write", "close", "fsync", "fdatasync", "fstat", "lstat", "listdir"),
    *("mkdir", "replace", "unlink", "ftruncate", "lseek"),
)
ERRNOS = (errno.EIO, errno.ENOSPC, errno.EROFS)
CALLS_MAX = 200
SYNAPSE = TreeName("synapse")


class FailingFS(OsFS):
    """An `OsFS` whose call number `fail_at` fails with `code`, and from then on all if `lasting`.

    A failing `close` closes all the same, as Linux does; a failing `write` writes a part.
    """

    __slots__ = ("armed", "code", "count", "fail_at", "fired", "lasting", "trace")

    def __init__(self) -> None:
        super().__init__()
        self.count = self.fail_at = 0
        self.code = errno.EIO
        self.armed = self.fired = self.lasting = False
        self.trace: list[str] = []
        for name in CALLS:
            setattr(self, name, self._counted(name, getattr(self, name)))

    def arm(self, fail_at: int, code: int, *, lasting: bool = False) -> None:
        self.count, self.fail_at, self.code, self.lasting = 0, fail_at, code, lasting
        self.armed, self.fired = True, False
        self.trace.clear()

    def disarm(self) -> None:
        self.armed = False

    def _counted(self, name: str, call: Callable[..., object]) -> Callable[..., object]:
        def counted(*args: object, **more: object) -> object:
            self.count += self.armed
            self.trace.append(name)
            late = self.lasting and self.count > self.fail_at
            if not self.armed or not (self.count == self.fail_at or late):
                return call(*args, **more)
            self.fired = True
            if name == "close":
                call(*args)
            elif name == "write":
                fd, content = args
                assert isinstance(content, bytes | memoryview)
                call(fd, content[: len(content) // 2])
            raise OSError(self.code, os.strerror(self.code))

        return counted


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def content_of(number: int) -> bytes:
    return b"revision %d " % number * 20


def next_change(standing: Standing) -> tuple[StandingChange, tuple[Entry, bytes]]:
    number = standing.revision.number + 1
    content = content_of(number)
    entry = Entry(digest_of(content), len(content))
    change = Change(ArtifactPath(SYNAPSE, f"api/{number}.xml"), None, entry)
    digest = standing.manifest.after([change]).digest
    return StandingChange(RevisionId(1, number, digest), (change,), txid=number), (entry, content)


def with_blob_alongside(history: NodeHistory, standing: Standing) -> None:
    change, item = next_change(standing)
    history.stand(change, [item])


def with_batch_before(history: NodeHistory, standing: Standing) -> None:
    change, item = next_change(standing)
    history.add_blobs(*compress_batch([item]))
    history.stand(change)


def with_compaction(history: NodeHistory, standing: Standing) -> None:
    history._ledger.compact()
    with_blob_alongside(history, standing)


def make(path: Path, fs: OsFS) -> NodeHistory:
    path.mkdir()
    history = NodeHistory(fs, str(path), wall=lambda: 0.0)
    history.load()
    for _ in range(2):
        with_blob_alongside(history, history.standing())
    return history


def all_there(history: NodeHistory, standing: Standing) -> bool:
    return all(
        (content := history.blob(entry.digest)) is not None and digest_of(content) == entry.digest
        for _, entry in standing.manifest
    )


@pytest.mark.parametrize("code", ERRNOS, ids=errno.errorcode.get)
@pytest.mark.parametrize("lasting", [False, True], ids=["once", "from then on"])
@pytest.mark.parametrize("act", [with_blob_alongside, with_batch_before, with_compaction])
def test_a_standing_is_old_or_new_whichever_call_fails(
    tmp_path: Path,
    act: Callable[[NodeHistory, Standing], None],
    code: int,
    lasting: bool,
) -> None:
    for fail_at in range(1, CALLS_MAX):
        fs = FailingFS()
        history = make(tmp_path / f"state-{fail_at}", fs)
        before = history.standing()
        after = before.after(next_change(before)[0])
        files = open_files()
        fs.arm(fail_at, code, lasting=lasting)
        try:
            act(history, before)
            done = True
        except DiskError as error:
            done = False
            assert error.errno_name == errno.errorcode[code]  # noqa: PT017 - it may also succeed
        fired = fs.fired
        fs.disarm()
        assert open_files() <= files, "a descriptor leaked"
        assert history.standing() == (after if done else before)
        if not done:
            with_blob_alongside(history, before)
        assert all_there(history, after)
        history.close()
        again = NodeHistory(OsFS(), str(tmp_path / f"state-{fail_at}"), wall=lambda: 0.0)
        assert again.load() == after
        assert all_there(again, after)
        again.close()
        if not fired:
            assert fail_at > 4
            return
    pytest.fail("the sweep did not end")


def test_a_short_write_is_completed(tmp_path: Path) -> None:
    short = 0
    for k in range(1, CALLS_MAX):
        fs = FaultyFS(OsFS())
        history = make(tmp_path / f"state-{k}", fs)
        before = history.standing()
        fs.calls, fs.k, fs.short_write = 0, k, True
        with_blob_alongside(history, before)
        short += fs.failed == "write"
        history.close()
        again = NodeHistory(OsFS(), str(tmp_path / f"state-{k}"), wall=lambda: 0.0)
        assert again.load() == before.after(next_change(before)[0])
        assert all_there(again, again.standing())
        again.close()
        if fs.calls < k:
            assert short == 2, "a pack and the ledger"
            return
    pytest.fail("the sweep did not end")


@pytest.mark.parametrize("lasting", [False, True], ids=["once", "from then on"])
def test_a_restart_after_a_failed_call_finds_old_or_new(tmp_path: Path, lasting: bool) -> None:
    for fail_at in range(1, CALLS_MAX):
        fs = FailingFS()
        history = make(tmp_path / f"state-{fail_at}", fs)
        before = history.standing()
        after = before.after(next_change(before)[0])
        fs.arm(fail_at, errno.EIO, lasting=lasting)
        try:
            with_batch_before(history, before)
            legal = [after]
        except DiskError:
            legal = [before, after]
        again = NodeHistory(OsFS(), str(tmp_path / f"state-{fail_at}"), wall=lambda: 0.0)
        standing = again.load()
        assert standing in legal
        assert all_there(again, standing)
        again.close()
        fs.disarm()
        history.close()
        if not fs.fired:
            return
    pytest.fail("the sweep did not end")


@pytest.mark.parametrize("code", ERRNOS, ids=errno.errorcode.get)
def test_loading_fails_or_tells_the_truth(tmp_path: Path, code: int) -> None:
    first = make(tmp_path / "state", OsFS())
    expected = first.load()
    first.close()
    fs = FailingFS()
    history = NodeHistory(fs, str(tmp_path / "state"), wall=lambda: 0.0)
    for fail_at in range(1, CALLS_MAX):
        fs.arm(fail_at, code)
        try:
            assert history.load() == expected
        except DiskError as error:
            assert error.errno_name == errno.errorcode[code]  # noqa: PT017 - it may also succeed
        fs.disarm()
        assert history.load() == expected
        assert all_there(history, expected)
        if not fs.fired:
            assert fail_at > 10
            history.close()
            return
    pytest.fail("the sweep did not end")


def token(epoch: int) -> Token:
    return Token("apim", epoch, NodeName("gw-1"), "start-1")


@pytest.mark.parametrize("code", ERRNOS, ids=errno.errorcode.get)
@pytest.mark.parametrize("lasting", [False, True], ids=["once", "from then on"])
def test_admitting_is_done_or_not_whichever_call_fails(
    tmp_path: Path, code: int, lasting: bool
) -> None:
    fs = FailingFS()
    guard = FileGuard(fs, str(tmp_path), "apim")
    guard.enrol()
    epoch = 1
    guard.admit(token(epoch))
    for fail_at in range(1, CALLS_MAX):
        files = open_files()
        fs.arm(fail_at, code, lasting=lasting)
        try:
            guard.admit(token(epoch + 1))
            legal = [epoch + 1]
        except DiskError:
            legal = [epoch, epoch + 1]
        fs.disarm()
        assert open_files() == files
        assert FileGuard(OsFS(), str(tmp_path), "apim").state().epoch in legal
        guard.admit(token(epoch + 1))
        with guard.holding(token(epoch + 1)):
            pass
        epoch += 1
        if not fs.fired:
            assert fail_at > 5
            return
    pytest.fail("the sweep did not end")


def test_a_token_that_is_visible_but_not_durable_does_not_count(tmp_path: Path) -> None:
    """The rename was done, the folder's sync failed: admitting the token again syncs again."""
    fs = FailingFS()
    guard = FileGuard(fs, str(tmp_path), "apim")
    guard.enrol()
    visible = 0
    for epoch in range(1, CALLS_MAX):
        fs.arm(epoch, errno.EIO)
        with suppress(DiskError):
            guard.admit(token(epoch))
            fs.disarm()
        if fs.armed and guard.state().epoch == epoch:
            visible += 1
            fs.arm(0, errno.EIO)
            guard.admit(token(epoch))
            assert "fsync" in fs.trace
        if not fs.fired:
            assert visible > 0
            fs.arm(0, errno.EIO)
            guard.admit(token(epoch))
            assert "fsync" not in fs.trace, "what is durable is not written again"
            return
    pytest.fail("the sweep did not end")


@pytest.mark.parametrize("renew", [False, True], ids=["open", "renew"])
def test_a_home_is_opened_or_not_whichever_call_fails(tmp_path: Path, renew: bool) -> None:
    machine = tmp_path / "machine-id"
    machine.write_text("0123456789abcdef\n")
    verb = StateHome.renew if renew else StateHome.open
    for fail_at in range(1, CALLS_MAX):
        path = tmp_path / f"state-{fail_at}"
        path.mkdir(mode=0o700)
        (path / "former-1").mkdir()
        fs = FailingFS()
        files = open_files()
        fs.arm(fail_at, errno.EIO)
        try:
            verb(str(path), "apim", NodeName("gw-1"), fs, machine_id=str(machine)).close()
        except DiskError as error:
            assert error.errno_name == "EIO"  # noqa: PT017 - it may also succeed
        fs.disarm()
        assert open_files() == files
        verb(str(path), "apim", NodeName("gw-1"), fs, machine_id=str(machine)).close()
        with (
            StateHome.open(str(path), "apim", NodeName("gw-1"), OsFS(), machine_id=str(machine)),
            pytest.raises(BusyError),
        ):
            StateHome.open(str(path), "apim", NodeName("gw-1"), OsFS())
        if not fs.fired:
            assert fail_at > 5
            return
    pytest.fail("the sweep did not end")


def _texts(folder: Path) -> set[str]:
    """Contents of all files below `folder`, but for those that say whose it is now."""
    mine = {"lock", "identity", "identity.tmp"}
    return {
        file.read_text() for file in folder.rglob("*") if file.is_file() and file.name not in mine
    }


def test_a_renewal_that_fails_anywhere_is_recognised_and_loses_nothing(tmp_path: Path) -> None:
    machine = tmp_path / "machine-id"
    machine.write_text("0123456789abcdef\n")
    node = NodeName("gw-1")
    original = tmp_path / "state"
    StateHome.open(str(original), "apim", node, OsFS(), machine_id=str(machine)).close()
    for name in ("ledger", "intent", "records.db"):
        (original / name).write_text(f"the other's {name}")
    (original / "keys").mkdir()
    (original / "keys" / "id").write_text("the other's key")
    for fail_at in range(1, CALLS_MAX):
        copy = tmp_path / f"copy-{fail_at}"
        shutil.copytree(original, copy)
        fs = FailingFS()
        fs.arm(fail_at, errno.EIO)
        with suppress(DiskError):
            StateHome.renew(str(copy), "apim", node, fs, machine_id=str(machine)).close()
        held = _texts(copy)
        assert {"the other's key", "the other's ledger", "the other's intent"} <= held
        if {"ledger", "intent", "records.db", "keys"} & {path.name for path in copy.iterdir()}:
            with pytest.raises(StateError, match="copied"):
                StateHome.open(str(copy), "apim", node, OsFS(), machine_id=str(machine))
        StateHome.renew(str(copy), "apim", node, OsFS(), machine_id=str(machine)).close()
        assert not (copy / "ledger").exists()
        StateHome.open(str(copy), "apim", node, OsFS(), machine_id=str(machine)).close()
        assert _texts(copy) >= held - {""}
        if not fs.fired:
            assert fail_at > 15
            return
    pytest.fail("the sweep did not end")
