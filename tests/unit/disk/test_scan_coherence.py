"""Whatever happens to a tree, what is remembered never makes a scan say anything else."""

from __future__ import annotations

import os
import shutil
import threading
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from syncagent.core.digest import digest_of
from syncagent.core.snapshot import Condition, Seen
from tests.fakes.examiner import KeepingExaminer
from tests.fakes.eyes import TREE, Eyes, codes

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pytest

# No two names that differ in case alone: which of them stays is just what memory decides.
FOLDERS = st.sampled_from(["", "api/", "apis/", "api/deep/", "sequences/"])
NAMES = st.sampled_from(["a.xml", "c.xml", "b.xml", "con.xml", "x.back", "deep", ".h.xml"])
PATHS = st.tuples(FOLDERS, NAMES).map("".join)
CONTENTS = st.sampled_from([b"", b"one", b"two"])


def put(root: Path, path: str, content: bytes) -> None:
    where = root / path
    if not where.is_dir():
        where.parent.mkdir(parents=True, exist_ok=True)
        where.unlink(missing_ok=True)
        where.write_bytes(content)


def rewrite_quietly(root: Path, path: str, content: bytes) -> None:
    """Change bytes in place and put the mtime back."""
    where = root / path
    if where.is_file() and not where.is_symlink():
        status = where.stat()
        where.write_bytes(content)
        os.utime(where, ns=(status.st_atime_ns, status.st_mtime_ns))


def remove(root: Path, path: str, _: bytes) -> None:
    where = root / path
    if where.is_dir() and not where.is_symlink():
        shutil.rmtree(where)
    else:
        where.unlink(missing_ok=True)


def link(root: Path, path: str, _: bytes) -> None:
    where = root / path
    if not os.path.lexists(where):
        where.parent.mkdir(parents=True, exist_ok=True)
        where.symlink_to("a.xml")


def move_folder(root: Path, path: str, _: bytes) -> None:
    folder = path.partition("/")[0]
    if "/" in path and (root / folder).is_dir() and not os.path.lexists(root / "moved"):
        (root / folder).rename(root / "moved")


ACTIONS: list[Callable[[Path, str, bytes], None]] = [
    put,
    put,
    rewrite_quietly,
    remove,
    link,
    move_folder,
]
STEPS = st.lists(st.tuples(st.sampled_from(ACTIONS), PATHS, CONTENTS, st.booleans()), max_size=12)


def attempt(root: Path, act: Callable[[Path, str, bytes], None], path: str, content: bytes) -> None:
    try:
        act(root, path, content)
    except (NotADirectoryError, FileExistsError):
        return  # a file stands where the path wants a folder: nothing happens then


@given(STEPS)
@settings(max_examples=120, deadline=None)
def test_a_scan_that_remembers_says_what_one_that_does_not_says(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[object, str, bytes, bool]]
) -> None:
    eyes = Eyes(tmp_path_factory.mktemp("t"))
    for act, path, content, looks in steps:
        attempt(eyes.tree, act, path, content)
        if looks:
            eyes.look(path)
        warm = eyes.scan()
        remembering = eyes.looking
        cold = eyes.fresh().scan(TREE, KeepingExaminer())
        eyes.looking = remembering
        assert codes(warm) == codes(cold)
        assert dict(warm.files) == dict(cold.files)
        assert warm.folders == cold.folders
        assert warm.condition is Condition.GOOD


NUMBERS = [f"api/{number}.xml" for number in range(8)]
VERSIONS = [bytes([letter]) * 3_000 for letter in b"abcd"]
DIGESTS = {digest_of(version) for version in VERSIONS}


class Watcher(threading.Thread):
    """Looks again and again until told to stop; collects what can't be."""

    def __init__(self, look: Callable[[], dict[str, object]], done: threading.Event) -> None:
        super().__init__()
        self.act, self.done = look, done
        self.faults: list[str] = []
        self.looks = 0

    def run(self) -> None:
        while not self.done.is_set():
            try:
                found = self.act()
            except RuntimeError as error:
                self.faults.append(str(error))
                return
            self.looks += 1
            for path, what in found.items():
                if what is None:
                    self.faults.append(f"{path} was called absent")
                if isinstance(what, Seen) and what.entry.digest not in DIGESTS:
                    self.faults.append(f"{path} was torn")


def test_scans_looks_and_saves_beside_a_writer_only_ever_show_whole_versions(
    tmp_path: Path,
) -> None:
    eyes = Eyes(tmp_path, ahead_s=0.0)
    for name in NUMBERS:
        eyes.put(name, VERSIONS[0])
    eyes.scan()
    done = threading.Event()

    def scan() -> dict[str, object]:
        snapshot = eyes.scan()
        eyes.looking.save_cache()
        absent = {name: None for name in NUMBERS if snapshot.tells_absence(name)}
        return {**snapshot.files, **absent}

    def look() -> dict[str, object]:
        return {**eyes.look(*NUMBERS)}

    watchers = [Watcher(scan, done), Watcher(look, done), Watcher(look, done)]
    for watcher in watchers:
        watcher.start()
    for turn in range(400):
        part = eyes.tree / f"{turn}.part"
        part.write_bytes(VERSIONS[turn % 4])
        part.replace(eyes.tree / NUMBERS[turn % 8])
    done.set()
    for watcher in watchers:
        watcher.join(timeout=60)
        assert watcher.faults == []
        assert watcher.looks > 0
    final = eyes.scan()
    for name in NUMBERS:
        assert final.files[name].entry.digest == digest_of((eyes.tree / name).read_bytes())
