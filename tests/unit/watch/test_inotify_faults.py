"""What keeps inotify from being believed is said: lost events, lost roots, watches not to be had."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from watchdog.observers.inotify_c import WatchDescriptor

from syncagent.core.artifact import TreeKind, TreeName
from syncagent.core.errors import DiskError
from syncagent.core.events import HintKind, WatchTrouble
from syncagent.core.ignore import Ignore
from syncagent.core.settings import TreeSettings, WatchMode
from syncagent.fsio import OsFS
from syncagent.watch.inotify import PROBE_PREFIX, Reader, TreeWatch
from syncagent.watch.watcher import Watcher
from tests.fakes.inbox import Inbox

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from watchdog.observers.inotify_c import CallbackId, InotifyEvent, Mask, WatchCallback

TREE = TreeName("synapse")
QUEUE_LENGTH = Path("/proc/sys/fs/inotify/max_queued_events")
REPOSITORY = Path(__file__).resolve().parents[3]


def settings(root: Path, mode: WatchMode = WatchMode.INOTIFY) -> TreeSettings:
    return TreeSettings(TREE, TreeKind.GENERIC, str(root), watch=mode)


@pytest.fixture
def inbox() -> Inbox:
    return Inbox()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    made = tmp_path / "tree"
    made.mkdir()
    return made


@pytest.fixture
def watcher(root: Path, inbox: Inbox) -> Iterator[Watcher]:
    made = Watcher(OsFS(), [settings(root)], post=inbox.post, poll_s=2.0)
    yield made
    inbox.gate.set()
    made.stop()


def test_a_storm_that_overflows_the_queue_is_a_fault_and_new_folders_are_watched(
    watcher: Watcher, root: Path, inbox: Inbox
) -> None:
    watcher.start(TREE)
    inbox.gate.clear()  # the reader stalls on its first hint
    files = int(QUEUE_LENGTH.read_text()) + 3_616  # 20,000 with the usual queue
    for n in range(files):
        os.close(os.open(root / f"{n}.xml", os.O_CREAT | os.O_WRONLY))
    (root / "unseen").mkdir()
    (root / "unseen" / "below").mkdir()
    inbox.gate.set()
    assert inbox.wait_fault().trouble is WatchTrouble.OVERFLOW
    (root / "unseen" / "below" / "a.xml").write_text("<a/>")
    inbox.wait_hint("unseen/below/a.xml", HintKind.WRITTEN)
    assert watcher.folders(TREE) == 3


def test_folders_that_went_while_events_were_lost_give_their_watches_back(
    watcher: Watcher, root: Path, inbox: Inbox, tmp_path: Path
) -> None:
    (root / "moved" / "below").mkdir(parents=True)
    watcher.start(TREE)
    assert watcher.folders(TREE) == 3
    inbox.gate.clear()
    for n in range(int(QUEUE_LENGTH.read_text()) + 100):
        os.close(os.open(root / f"{n}.xml", os.O_CREAT | os.O_WRONLY))
    (root / "moved").rename(tmp_path / "elsewhere")
    inbox.gate.set()
    inbox.wait_fault()
    assert watcher.folders(TREE) == 1


def test_a_moved_root_is_a_fault_and_the_watch_is_silent(
    watcher: Watcher, root: Path, inbox: Inbox, tmp_path: Path
) -> None:
    (root / "api").mkdir()
    watcher.start(TREE)
    root.rename(tmp_path / "away")
    fault = inbox.wait_fault()
    assert fault.trouble is WatchTrouble.ROOT_MOVED
    (tmp_path / "away" / "api" / "a.xml").write_text("<a/>")
    root.mkdir()
    watcher.start(TREE)
    (root / "b.xml").write_text("<b/>")
    inbox.wait_hint("b.xml", HintKind.WRITTEN)
    assert "api/a.xml" not in {path for path, _ in inbox.hints}
    assert len(inbox.faults) == 1


def test_a_removed_root_is_a_fault(watcher: Watcher, root: Path, inbox: Inbox) -> None:
    (root / "api").mkdir()
    (root / "api" / "a.xml").write_text("<a/>")
    watcher.start(TREE)
    shutil.rmtree(root)
    fault = inbox.wait_fault()
    assert (fault.trouble, fault.detail) == (WatchTrouble.ROOT_MOVED, f"{root} was deleted")
    with pytest.raises(DiskError) as caught:
        watcher.start(TREE)
    assert caught.value.errno_name == "ENOENT"


def test_a_root_that_is_a_file_or_a_link_is_a_disk_error(
    watcher: Watcher, root: Path, tmp_path: Path
) -> None:
    root.rmdir()
    root.write_text("a file")
    with pytest.raises(DiskError) as caught:
        watcher.start(TREE)
    assert caught.value.errno_name == "ENOTDIR"
    root.unlink()
    root.symlink_to(tmp_path)
    with pytest.raises(DiskError) as caught:
        watcher.start(TREE)
    assert caught.value.errno_name == "ENOTDIR"


class FewWatches(Reader):
    """A reader whose user has three watches left."""

    left = 3

    def add(self, path: str, watch: TreeWatch) -> tuple[WatchDescriptor, CallbackId]:
        if self.left == 0:
            raise OSError(errno.ENOSPC, "inotify watch limit reached")
        self.left -= 1
        return super().add(path, watch)


def test_a_tree_with_too_few_watches_is_polled_and_says_why(root: Path, inbox: Inbox) -> None:
    (root / "api" / "sub" / "below").mkdir(parents=True)
    watcher = Watcher(
        OsFS(),
        [settings(root, WatchMode.AUTO)],
        post=inbox.post,
        poll_s=0.01,
        make_reader=FewWatches,
    )
    try:
        how = watcher.start(TREE)
        assert how.startswith("poll ")
        assert "watch limit" in how
        (root / "api" / "a.xml").write_text("<a/>")
        inbox.wait_hint("api/a.xml")
        assert not inbox.faults
    finally:
        watcher.stop()


def test_where_inotify_is_forced_a_missing_watch_is_a_fault(root: Path, inbox: Inbox) -> None:
    for name in ("a", "b", "c"):
        (root / name).mkdir()
    watcher = Watcher(OsFS(), [settings(root)], post=inbox.post, poll_s=2.0, make_reader=FewWatches)
    try:
        assert watcher.start(TREE) == "inotify"
        assert inbox.wait_fault().trouble is WatchTrouble.WATCH_FAILED
    finally:
        watcher.stop()


def test_a_new_folder_that_can_not_be_watched_is_a_fault(root: Path, inbox: Inbox) -> None:
    watcher = Watcher(OsFS(), [settings(root)], post=inbox.post, poll_s=2.0, make_reader=FewWatches)
    try:
        watcher.start(TREE)
        for name in ("a", "b", "c"):
            (root / name).mkdir()
        fault = inbox.wait_fault()
        assert fault.trouble is WatchTrouble.WATCH_FAILED
        assert "watch limit" in fault.detail
    finally:
        watcher.stop()


class NoWatches(FewWatches):
    """A reader whose user has no watch left."""

    left = 0


@pytest.mark.parametrize("mode", [WatchMode.AUTO, WatchMode.INOTIFY])
def test_without_a_watch_for_the_root_the_tree_is_polled_or_not_started(
    root: Path, inbox: Inbox, mode: WatchMode
) -> None:
    watcher = Watcher(
        OsFS(), [settings(root, mode)], post=inbox.post, poll_s=0.01, make_reader=NoWatches
    )
    try:
        if mode is WatchMode.AUTO:
            assert "max_user_watches" in watcher.start(TREE)
        else:
            with pytest.raises(DiskError) as caught:
                watcher.start(TREE)
            assert caught.value.errno_name == "ENOSPC"
    finally:
        watcher.stop()


class Unreadable(Reader):
    """A reader that may not watch one folder, as watchdog says it."""

    def add_callback(
        self, path: bytes, mask: Mask, callback: WatchCallback, id_: CallbackId
    ) -> WatchDescriptor:
        if path.endswith(b"/secret"):
            return WatchDescriptor(-1)
        return super().add_callback(path, mask, callback, id_)


def test_a_folder_that_may_not_be_read_is_a_fault_and_the_others_are_watched(
    root: Path, inbox: Inbox
) -> None:
    for name in ("a", "secret", "z"):
        (root / name).mkdir()
    watcher = Watcher(OsFS(), [settings(root)], post=inbox.post, poll_s=2.0, make_reader=Unreadable)
    try:
        watcher.start(TREE)
        fault = inbox.wait_fault()
        assert fault.trouble is WatchTrouble.WATCH_FAILED
        assert "secret" in fault.detail
        assert watcher.folders(TREE) == 3
    finally:
        watcher.stop()


@pytest.mark.parametrize(("code", "believed"), [(errno.EROFS, True), (errno.EIO, False)])
def test_a_root_that_can_not_be_written_is_believed_and_a_broken_one_is_not(
    root: Path, inbox: Inbox, code: int, believed: bool
) -> None:
    fs = OsFS()

    def refuse(path: str, flags: int, mode: int = 0o777) -> int:
        if PROBE_PREFIX in path:
            raise OSError(code, os.strerror(code), path)
        return os.open(path, flags, mode)

    fs.open = refuse
    watcher = Watcher(fs, [settings(root, WatchMode.AUTO)], post=inbox.post, poll_s=2.0)
    try:
        if believed:
            assert watcher.start(TREE) == "inotify"
        else:
            with pytest.raises(DiskError) as caught:
                watcher.start(TREE)
            assert caught.value.errno_name == "EIO"
            fs.open = os.open
            watcher.start(TREE)
        (root / "a.xml").write_text("")
        (root / "z.xml").write_text("")
        inbox.wait_hint("z.xml", HintKind.WRITTEN)
        assert inbox.hints.count(("a.xml", HintKind.WRITTEN)) == 1  # one watch, not two
    finally:
        watcher.stop()


def test_a_start_that_failed_half_way_leaves_no_watch_behind(root: Path, inbox: Inbox) -> None:
    fs = OsFS()

    def refuse(path: str) -> list[str]:
        raise OSError(errno.EIO, os.strerror(errno.EIO), path)

    working, fs.listdir = fs.listdir, refuse
    watcher = Watcher(fs, [settings(root)], post=inbox.post, poll_s=2.0)
    try:
        with pytest.raises(DiskError):
            watcher.start(TREE)
        fs.listdir = working
        watcher.start(TREE)
        (root / "a.xml").write_text("")
        (root / "z.xml").write_text("")
        inbox.wait_hint("z.xml", HintKind.WRITTEN)
        assert inbox.hints.count(("a.xml", HintKind.WRITTEN)) == 1
    finally:
        watcher.stop()


class NoInstances(Reader):
    """A reader whose user has no inotify instance left."""

    def __init__(self, died: Callable[[], None]) -> None:
        raise OSError(errno.EMFILE, "inotify instance limit reached")


def test_without_an_inotify_instance_the_tree_is_polled(root: Path, inbox: Inbox) -> None:
    watcher = Watcher(
        OsFS(),
        [settings(root, WatchMode.AUTO)],
        post=inbox.post,
        poll_s=0.01,
        make_reader=NoInstances,
    )
    try:
        assert "max_user_instances" in watcher.start(TREE)
    finally:
        watcher.stop()


class DeafReader(Reader):
    """A reader on a file system that reports nothing: events never arrive."""

    def handle_event(self, event: InotifyEvent) -> None:
        return


def test_a_tree_whose_probe_is_not_reported_is_polled(root: Path, inbox: Inbox) -> None:
    watcher = Watcher(
        OsFS(),
        [settings(root, WatchMode.AUTO)],
        post=inbox.post,
        poll_s=0.01,
        make_reader=DeafReader,
    )
    try:
        assert watcher.start(TREE).endswith(" s (inotify reports nothing here)")
        (root / "a.xml").write_text("<a/>")
        inbox.wait_hint("a.xml")
    finally:
        watcher.stop()
    assert [path.name for path in root.iterdir()] == ["a.xml"]  # no probe stays


def test_the_probe_is_not_hinted_and_no_artifact(
    watcher: Watcher, root: Path, inbox: Inbox
) -> None:
    watcher.start(TREE)
    (root / "z").write_text("")
    inbox.wait_hint("z", HintKind.WRITTEN)
    assert {path for path, _ in inbox.hints} == {"z"}
    assert Ignore(TreeKind.GENERIC).hides(f"{PROBE_PREFIX}1.part")


class CountingReader(Reader):
    """A reader that counts what the kernel reports, before anything is made of it."""

    count = 0

    def handle_event(self, event: InotifyEvent) -> None:
        type(self).count += 1
        super().handle_event(event)


def test_reading_and_listing_a_tree_wakes_nobody(root: Path, inbox: Inbox) -> None:
    # Else each scan would fill the queue, and its overflow would ask for the next scan.
    for n in range(50):
        (root / f"d{n}").mkdir()
        (root / f"d{n}" / "a.xml").write_text("<a/>")
    watcher = Watcher(
        OsFS(), [settings(root)], post=inbox.post, poll_s=2.0, make_reader=CountingReader
    )
    try:
        watcher.start(TREE)
        (root / "before").write_text("")
        inbox.wait_hint("before", HintKind.WRITTEN)
        counted = CountingReader.count
        for path in sorted(root.rglob("*.xml")):
            path.read_text()
        (root / "after").write_text("")
        inbox.wait_hint("after", HintKind.WRITTEN)
        assert CountingReader.count - counted == 2  # the file `after`: created, closed
    finally:
        watcher.stop()


class DyingReader(Reader):
    """A reader whose thread fails at a certain file."""

    def handle_event(self, event: InotifyEvent) -> None:
        if event.name == b"poison":
            raise RuntimeError("poisoned")
        super().handle_event(event)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_dead_reader_is_a_fault_of_every_tree_and_starting_again_mends_it(
    root: Path, inbox: Inbox
) -> None:
    watcher = Watcher(
        OsFS(), [settings(root)], post=inbox.post, poll_s=2.0, make_reader=DyingReader
    )
    try:
        watcher.start(TREE)
        (root / "poison").write_text("")
        assert inbox.wait_fault().trouble is WatchTrouble.DIED
        watcher.start(TREE)
        (root / "a.xml").write_text("<a/>")
        inbox.wait_hint("a.xml", HintKind.WRITTEN)
    finally:
        watcher.stop()


# In a namespace of its own.

CHILD = """
import subprocess, sys
from pathlib import Path
from syncagent.core.artifact import TreeKind, TreeName
from syncagent.core.events import HintKind
from syncagent.core.ignore import Ignore
from syncagent.core.settings import TreeSettings, WatchMode
from syncagent.fsio import OsFS
from syncagent.watch.watcher import Watcher
from tests.fakes.inbox import Inbox

TREE, root, inbox = TreeName("synapse"), Path(sys.argv[1]), Inbox()

def watch(mode=WatchMode.AUTO):
    tree = TreeSettings(TREE, TreeKind.GENERIC, str(root), watch=mode)
    return Watcher(OsFS(), [tree], post=inbox.post, poll_s=0.01)

def run(*words):
    subprocess.run(words, check=True)
"""


def in_namespace(flags: str, script: str, root: Path) -> list[str]:
    """Run `script` after `CHILD` in a new namespace; return the lines that it prints."""
    able = subprocess.run(["unshare", flags, "true"], capture_output=True, text=True, check=False)
    if able.returncode != 0:
        reason = f"no namespace can be made here: {able.stderr.strip()}"
        if os.environ.get("SYNCAGENT_REQUIRE_ALL") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    done = subprocess.run(
        ["unshare", flags, sys.executable, "-c", CHILD + textwrap.dedent(script), str(root)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.needs_root
@pytest.mark.parametrize("lazily", [[], ["-l"]], ids=["umount", "lazy"])
def test_an_unmounted_root_is_one_fault_and_can_be_watched_again(
    root: Path, lazily: list[str]
) -> None:
    script = f"""
        run("mount", "-t", "tmpfs", "tmpfs", str(root))
        for name in ("a", "b", "c"):
            (root / name).mkdir()
        watcher = watch()
        print(watcher.start(TREE))
        run("umount", *{lazily!r}, str(root))
        print(inbox.wait_fault().trouble)
        run("mount", "-t", "tmpfs", "tmpfs", str(root))
        print(watcher.start(TREE))
        (root / "a.xml").write_text("<a/>")
        inbox.wait_hint("a.xml", HintKind.WRITTEN)
        watcher.stop()
        print(len(inbox.faults), len([k for _, k in inbox.hints if k is HintKind.DELETED]))
    """
    assert in_namespace("-m", script, root) == ["inotify", "unmounted", "inotify", "1 0"]


@pytest.mark.needs_root
def test_an_unmount_under_the_poller_is_one_fault_and_no_deletion(root: Path) -> None:
    script = """
        run("mount", "-t", "tmpfs", "tmpfs", str(root))
        for n in range(50):
            (root / f"{n}.xml").write_text("<a/>")
        watcher = watch(WatchMode.POLL)
        print(watcher.start(TREE).endswith(" s (by settings)"))
        run("umount", str(root))
        print(inbox.wait_fault().trouble)
        watcher.stop()
        print(len(inbox.faults), len(inbox.hints))
    """
    assert in_namespace("-m", script, root) == ["True", "unmounted", "1 0"]


@pytest.mark.needs_root
def test_a_real_watch_limit_turns_the_tree_into_a_polled_one(root: Path) -> None:
    for n in range(100):
        (root / f"d{n}").mkdir()
    script = """
        limit = Path("/proc/sys/user/max_inotify_watches")  # of this user namespace alone
        limit.write_text("50")
        watcher = watch()
        print(watcher.start(TREE))
        (root / "d99" / "a.xml").write_text("<a/>")
        inbox.wait_hint("d99/a.xml")
        watcher.stop()
        watcher = watch(WatchMode.INOTIFY)
        print(watcher.start(TREE), inbox.wait_fault().trouble)
        watcher.stop()
    """
    polled, forced = in_namespace("-Ur", script, root)
    assert polled.startswith("poll ")
    assert "watch limit reached" in polled
    assert forced == "inotify watch-failed"
