"""A mount's process that hangs, ends, is asked for what it can't do: nobody waits for ever."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest

from syncagent.agent.wiring.clock import SystemClock
from syncagent.core.artifact import ArtifactPath, TreeKind, TreeName
from syncagent.core.digest import digest_of
from syncagent.core.errors import DiskError, RefusedError
from syncagent.core.events import WatchTrouble
from syncagent.core.intent import Intent, Keep, Step
from syncagent.core.manifest import Entry
from syncagent.core.revision import REVISION_ZERO
from syncagent.core.settings import Limits, TreeSettings, WatchMode
from syncagent.core.snapshot import Condition, Seen, Unread
from syncagent.core.verdict import Problem
from syncagent.disk.local_part import LocalPart
from syncagent.mounts.protocol import ACT
from syncagent.mounts.watching import MountedHints
from tests.fakes.examiner import KeepingExaminer
from tests.fakes.inbox import DEADLINE_S, Inbox
from tests.fakes.mounts import Mount

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from syncagent.core.snapshot import Snapshot
    from syncagent.ports import Examiner

TREE = TreeName("synapse")
A = ArtifactPath(TREE, "api/A.xml")
SOON_S = 0.2


class Played(LocalPart):
    """A part whose touches hang until they may go on, and some of whose files can't be read."""

    gate = threading.Event()
    unreadable: dict[str, int]

    def touch(self, path: ArtifactPath, digest: str) -> bool:  # type: ignore[override]
        assert self.gate.wait(DEADLINE_S)
        return True

    def scan(self, tree: TreeName, examiner: Examiner) -> Snapshot:
        snapshot = super().scan(tree, examiner)
        return type(snapshot)(
            snapshot.tree,
            snapshot.condition,
            {path: self._now(path, what) for path, what in snapshot.files.items()},
            snapshot.folders,
            ignore=snapshot.ignore,
        )

    def look(
        self, tree: TreeName, paths: Sequence[str], examiner: Examiner
    ) -> Mapping[str, Seen | Unread | None]:
        seen = super().look(tree, paths, examiner)
        return {path: self._now(path, what) for path, what in seen.items()}  # type: ignore[misc]

    def _now(self, path: str, what: Seen | Unread | None) -> Seen | Unread | None:
        left = self.unreadable.get(path, 0)
        if left == 0:
            return what
        self.unreadable[path] = left - 1
        return Unread(Problem("unreadable", "it can't be read: Input/output error (EIO)"))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "synapse"
    (root / "api").mkdir(parents=True)
    (root / A.path).write_bytes(b"<a/>")
    return root


@pytest.fixture
def mount(root: Path, tmp_path: Path) -> Iterator[Mount]:
    Played.gate = threading.Event()
    Played.unreadable = {}
    tree = TreeSettings(TREE, TreeKind.SYNAPSE, str(root), watch=WatchMode.POLL)
    made = Mount((tree,), SystemClock(), str(tmp_path / "cache"), poll_s=0.01, make_part=Played)
    yield made
    Played.gate.set()
    made.stop()


def until(what: Callable[[], bool]) -> None:
    """Wait until something is true; fail after the deadline."""
    by = time.monotonic() + DEADLINE_S
    while not what():
        assert time.monotonic() < by
        threading.Event().wait(0.01)


def touches(mount: Mount) -> bool:
    try:
        touch(mount)
    except DiskError:
        return False
    return True


def touch(mount: Mount) -> None:
    mount.part.touch(A, digest_of(b"<a/>"))


def test_who_asks_what_hangs_is_answered_in_time(mount: Mount) -> None:
    args: list[object] = [TREE, A.path.encode(), bytes(16)]
    with pytest.raises(DiskError, match="in time") as raised:
        mount.process.ask(ACT, "touch", args, within_s=SOON_S)
    assert raised.value.errno_name == "ETIMEDOUT"
    with pytest.raises(DiskError, match="not done yet"):
        touch(mount)
    assert mount.part.scan(TREE, KeepingExaminer()).condition is Condition.GOOD
    assert mount.launched == 1, "beside what hangs, never a second one"
    Played.gate.set()
    until(lambda: touches(mount))


def test_a_tree_that_is_shunned_ends_all_waiting_but_that_of_its_looks(mount: Mount) -> None:
    ended = threading.Event()
    raised: list[DiskError] = []

    def wait() -> None:
        try:
            touch(mount)
        except DiskError as error:
            raised.append(error)
        ended.set()

    threading.Thread(target=wait, daemon=True).start()
    assert not ended.wait(SOON_S)
    mount.part.shun(TREE, "it does not answer")
    assert ended.wait(DEADLINE_S)
    assert "it does not answer" in str(raised)
    with pytest.raises(DiskError, match="left alone"):
        touch(mount)
    with pytest.raises(DiskError, match="left alone"):
        mount.part.look(TREE, (), KeepingExaminer())
    assert mount.part.read(A, digest_of(b"<a/>")) is None
    assert mount.part.kept() == ()
    assert mount.part.sweep(older_than_s=0.0, bytes_max=0) == 0
    with pytest.raises(RefusedError):
        mount.part.kept_bytes("k1-0000000000000000")
    assert mount.part.scan(TREE, KeepingExaminer()).condition is Condition.GOOD
    mount.part.shun(TREE, "")
    assert mount.part.read(A, digest_of(b"<a/>")) == b"<a/>"


def test_a_process_that_ends_is_started_again_and_knows_what_is_trusted(
    mount: Mount, root: Path
) -> None:
    inbox = Inbox()
    hints = MountedHints(mount.process, inbox.post)
    assert hints.start(TREE) == "poll 0.01 s (by settings)"
    identity = mount.part.identity_of(TREE)
    mount.part.trust(TREE, identity)
    mount.part.take_limits(Limits(file_bytes=3))
    mount.thread.kill()
    assert inbox.wait_fault().trouble is WatchTrouble.DIED
    until(lambda: mount.launched == 2)
    until(lambda: mount.part.identity_of(TREE) == identity)
    root.rename(root.with_name("before"))
    root.mkdir()
    assert mount.part.scan(TREE, KeepingExaminer()).condition is Condition.REPLACED
    root.rmdir()
    root.with_name("before").rename(root)
    what = mount.part.scan(TREE, KeepingExaminer()).files[A.path]
    assert isinstance(what, Unread)
    assert what.problem.code == "too-large"
    assert hints.start(TREE)
    hints.stop()


def test_a_scan_whose_process_ends_believes_nothing(mount: Mount) -> None:
    class Ending(KeepingExaminer):
        def take(self, path: ArtifactPath, digest: str, content: bytes) -> None:  # type: ignore[override]
            mount.process.stop(DEADLINE_S)

    mount.part.scan(TREE, Ending())
    snapshot = mount.part.scan(TREE, KeepingExaminer())
    assert snapshot.condition is Condition.UNREADABLE
    assert str(mount.process.name) in snapshot.reason
    assert mount.part.read(A, digest_of(b"<a/>")) is None


def test_what_can_not_be_read_for_a_moment_is_looked_at_again(mount: Mount) -> None:
    Played.unreadable = {A.path: 2}
    what = mount.part.scan(TREE, KeepingExaminer()).files[A.path]
    assert isinstance(what, Seen)


def test_what_stays_unreadable_is_looked_at_again_only_once(mount: Mount) -> None:
    Played.unreadable = {A.path: 100}
    assert isinstance(mount.part.scan(TREE, KeepingExaminer()).files[A.path], Unread)
    asked = 100 - Played.unreadable[A.path]
    assert asked == 3, "the scan, and two looks"
    assert isinstance(mount.part.scan(TREE, KeepingExaminer()).files[A.path], Unread)
    seen = mount.part.look(TREE, [A.path], KeepingExaminer())
    assert isinstance(seen[A.path], Unread)
    assert 100 - Played.unreadable[A.path] == asked + 2
    Played.unreadable = {}
    assert isinstance(mount.part.scan(TREE, KeepingExaminer()).files[A.path], Seen)
    Played.unreadable = {A.path: 1}
    assert isinstance(mount.part.look(TREE, [A.path], KeepingExaminer())[A.path], Seen)


def test_a_scan_tells_only_what_differs_and_means_all_of_it(mount: Mount, root: Path) -> None:
    (root / "api/B.xml").write_bytes(b"<b/>")
    first = mount.part.scan(TREE, KeepingExaminer())
    assert mount.part.scan(TREE, KeepingExaminer()) is first
    (root / "api/B.xml").unlink()
    (root / "new").mkdir()
    (root / "new/C.xml").write_bytes(b"<c/>")
    second = mount.part.scan(TREE, KeepingExaminer())
    assert second.files.keys() == {A.path, "new/C.xml"}
    assert second.folders == {"", "api", "new"}
    assert second.tells_absence("api/B.xml")
    assert not second.tells_absence(A.path)


def test_bytes_that_are_wanted_are_shown_though_nothing_changed(mount: Mount) -> None:
    first = KeepingExaminer()
    mount.part.scan(TREE, first)
    assert first.shown == {A.path: b"<a/>"}
    again = KeepingExaminer(wanted={digest_of(b"<a/>")})
    mount.part.scan(TREE, again)
    assert again.shown == {A.path: b"<a/>"}
    wanting = KeepingExaminer(wanted={digest_of(b"<a/>")})
    assert isinstance(mount.part.look(TREE, [A.path], wanting)[A.path], Seen)
    assert wanting.shown == {A.path: b"<a/>"}


def test_an_intent_that_was_not_staged_there_changes_nothing(mount: Mount) -> None:
    step = Step(A, digest_of(b"<a/>"), Entry(digest_of(b"<b/>"), 4))
    with pytest.raises(DiskError, match="not staged"):
        mount.part.ready(Intent(1, REVISION_ZERO, (step,)))


def test_kept_bytes_are_listed_and_swept(mount: Mount) -> None:
    kept = mount.part.keep(A, b"<k/>", Keep.DRIFT, "by hand")
    assert mount.part.kept() == (kept,)
    assert mount.part.kept_bytes(kept.id) == b"<k/>"
    assert mount.part.sweep(older_than_s=1000.0, bytes_max=0) == 1
    with pytest.raises(RefusedError):
        mount.part.kept_bytes(kept.id)
