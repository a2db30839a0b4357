"""What every `Disk` does: the real one on a real folder and on pyfakefs, and the simulation's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import pytest
from pyfakefs.fake_filesystem_unittest import Patcher

from syncagent.core.artifact import ArtifactPath, TreeKind, TreeName
from syncagent.core.digest import digest_of
from syncagent.core.errors import DiskError, RefusedError
from syncagent.core.intent import Intent, Keep, Step
from syncagent.core.manifest import Entry
from syncagent.core.revision import REVISION_ZERO
from syncagent.core.settings import Limits, TreeSettings
from syncagent.core.snapshot import Condition, Seen
from syncagent.disk.node_disk import NodeDisk
from syncagent.fsio import O_CONTENT, OsFS
from syncagent.ports import Instant
from tests.fakes.disk import FakeDisk
from tests.fakes.mounts import Mount, mount_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from syncagent.core.digest import Digest
    from syncagent.ports import Disk

SYNAPSE, PLANS = TreeName("synapse"), TreeName("plans")
START = 1_700_000_000.0


class Clock:
    """A clock that stands unless it is moved."""

    def __init__(self) -> None:
        self.at = START

    def now(self) -> Instant:
        return Instant(self.at)

    def wall(self) -> float:
        return self.at


class Shown:
    """Takes all bytes that a look shows."""

    def __init__(self) -> None:
        self.bytes: dict[ArtifactPath, bytes] = {}

    def wants(self, path: ArtifactPath, digest: Digest) -> bool:
        return True

    def take(self, path: ArtifactPath, digest: Digest, content: bytes) -> None:
        self.bytes[path] = content


@dataclass
class Bench:
    """A disk, and hands that do what an operator does."""

    disk: Disk
    clock: Clock

    def put(self, path: ArtifactPath, content: bytes) -> None:
        assert isinstance(self.disk, FakeDisk)
        self.disk.put(path, content)

    def content(self, path: ArtifactPath) -> bytes | None:
        assert isinstance(self.disk, FakeDisk)
        return self.disk.content(path)

    def mtime_ns(self, path: ArtifactPath) -> int:
        assert isinstance(self.disk, FakeDisk)
        return self.disk.trees[path.tree][path.path][1]

    def restart(self) -> None:
        assert isinstance(self.disk, FakeDisk)
        self.disk.killed()

    def take_root_away(self, tree: TreeName) -> None:
        assert isinstance(self.disk, FakeDisk)
        self.disk.conditions[tree] = Condition.MISSING


class RealBench(Bench):
    """The same on files, through the file system calls that the disk uses."""

    def __init__(self, base: str) -> None:
        self.fs = OsFS()
        self.base = base
        self.clock = Clock()
        for folder in ("", "/gateway", "/gateway/synapse", "/gateway/plans", "/state"):
            self.fs.mkdir(f"{base}{folder}", 0o755)
        self.restart()

    def restart(self) -> None:
        trees = (
            TreeSettings(SYNAPSE, TreeKind.SYNAPSE, f"{self.base}/gateway/synapse"),
            TreeSettings(PLANS, TreeKind.SIDDHI, f"{self.base}/gateway/plans"),
        )
        self.disk = NodeDisk(self.fs, trees, Limits(), f"{self.base}/state", self.clock)

    def _path(self, path: ArtifactPath) -> str:
        return f"{self.base}/gateway/{path.tree}/{path.path}"

    def put(self, path: ArtifactPath, content: bytes) -> None:
        folder = f"{self.base}/gateway/{path.tree}"
        for part in path.path.split("/")[:-1]:
            folder = f"{folder}/{part}"
            if part not in self.fs.listdir(folder.rpartition("/")[0]):
                self.fs.mkdir(folder, 0o755)
        fd = self.fs.open(self._path(path), 0o1 | 0o100 | 0o1000, 0o644)
        self.fs.write_all(fd, content)
        self.fs.close(fd)
        self.fs.utime(self._path(path), ns=(int(self.clock.at * 1e9),) * 2)

    def content(self, path: ArtifactPath) -> bytes | None:
        try:
            fd = self.fs.open(self._path(path), O_CONTENT)
        except FileNotFoundError:
            return None
        content = self.fs.read_all(fd, 1 << 20)
        self.fs.close(fd)
        return content

    def mtime_ns(self, path: ArtifactPath) -> int:
        return self.fs.stat(self._path(path)).st_mtime_ns

    def take_root_away(self, tree: TreeName) -> None:
        self.fs.rename(f"{self.base}/gateway/{tree}", f"{self.base}/gone")


class MountedBench(RealBench):
    """The same, each tree reached over a socket by what runs in a mount's process."""

    def restart(self) -> None:
        clock = self.clock
        trees = (
            TreeSettings(SYNAPSE, TreeKind.SYNAPSE, f"{self.base}/gateway/synapse"),
            TreeSettings(PLANS, TreeKind.SIDDHI, f"{self.base}/gateway/plans"),
        )
        self.stop()
        self.mounts = [mount_of(tree, clock, f"{self.base}/cache") for tree in trees]
        parts = [mount.part for mount in self.mounts]
        self.disk = NodeDisk(self.fs, (), Limits(), f"{self.base}/state", clock, apart=parts)

    mounts: ClassVar[list[Mount]] = []

    def stop(self) -> None:
        for mount in self.mounts:
            mount.stop()


@pytest.fixture(params=["fake", "real", "pyfakefs", "mounted"])
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    match request.param:
        case "fake":
            clock = Clock()
            yield Bench(FakeDisk((SYNAPSE, PLANS), wall=clock.wall), clock)
        case "real":
            yield RealBench(f"{tmp_path}/node")
        case "mounted":
            mounted = MountedBench(f"{tmp_path}/node")
            yield mounted
            mounted.stop()
        case _:
            with Patcher():
                yield RealBench("/node")


def at(tree: TreeName, path: str) -> ArtifactPath:
    return ArtifactPath(tree, path)


def entry(content: bytes) -> Entry:
    return Entry(digest_of(content), len(content))


def step(
    path: ArtifactPath, before: bytes | None, after: bytes | None, keep: Keep | None = None
) -> Step:
    return Step(
        path,
        digest_of(before) if before is not None else None,
        entry(after) if after is not None else None,
        keep,
    )


def carry_out(bench: Bench, txid: int, *steps: tuple[Step, bytes | None]) -> Intent:
    bench.disk.stage(txid, [(one, content) for one, content in steps if content is not None])
    bench.disk.seal(txid)
    return Intent(txid, REVISION_ZERO, tuple(one for one, _ in steps), memo=b"memo")


API = at(SYNAPSE, "api/Pizza.xml")
PLAN = at(PLANS, "p.siddhiql")


def test_a_commit_makes_all_trees_live_in_one_go(bench: Bench) -> None:
    intent = carry_out(
        bench,
        1,
        (step(API, None, b"<api/>"), b"<api/>"),
        (step(PLAN, None, b"plan"), b"plan"),
    )
    assert bench.content(API) is None, "staging shows nothing"
    done = bench.disk.commit(intent)
    assert done.intent == intent
    assert done.kept == ()
    assert (bench.content(API), bench.content(PLAN)) == (b"<api/>", b"plan")
    assert bench.disk.read(API, digest_of(b"<api/>")) == b"<api/>"
    assert bench.disk.read(API, digest_of(b"other")) is None


def test_a_scan_after_a_commit_sees_it_and_nothing_else(bench: Bench) -> None:
    bench.disk.commit(carry_out(bench, 1, (step(API, None, b"<api/>"), b"<api/>")))
    shown = Shown()
    snapshot = bench.disk.scan(SYNAPSE, shown)
    assert snapshot.condition is Condition.GOOD
    assert set(snapshot.files) == {API.path}
    seen = snapshot.files[API.path]
    assert isinstance(seen, Seen)
    assert seen.entry == entry(b"<api/>")
    assert seen.mtime_ns == bench.mtime_ns(API)
    assert shown.bytes == {API: b"<api/>"}
    assert snapshot.folders == {"", "api"}


def test_looking_tells_present_from_absent(bench: Bench) -> None:
    bench.put(API, b"<api/>")
    found = bench.disk.look(SYNAPSE, [API.path, "api/No.xml"], Shown())
    seen = found[API.path]
    assert isinstance(seen, Seen)
    assert seen.entry == entry(b"<api/>")
    assert found["api/No.xml"] is None


def test_an_mtime_rises_by_whole_seconds_even_when_the_clock_stands(bench: Bench) -> None:
    bench.put(API, b"0")
    before = bench.mtime_ns(API)
    for number in range(1, 4):
        old, new = str(number - 1).encode(), str(number).encode()
        bench.disk.commit(carry_out(bench, number, (step(API, old, new), new)))
        after = bench.mtime_ns(API)
        assert after >= before + 1_000_000_000
        assert after % 1_000_000_000 == 0
        before = after


def test_live_bytes_that_are_right_already_are_not_touched(bench: Bench) -> None:
    bench.put(API, b"right")
    before = bench.mtime_ns(API)
    bench.clock.at += 100
    done = bench.disk.commit(carry_out(bench, 1, (step(API, b"wrong", b"right"), b"right")))
    assert done.kept == ()
    assert bench.mtime_ns(API) == before


@pytest.mark.parametrize("after", [b"new", None])
def test_a_third_content_is_kept_as_a_conflict_and_the_step_goes_on(
    bench: Bench, after: bytes | None
) -> None:
    bench.put(API, b"by hand")
    done = bench.disk.commit(carry_out(bench, 1, (step(API, b"old", after), after)))
    assert bench.content(API) == after
    (kept,) = done.kept
    assert (kept.path, kept.reason, kept.size) == (API, Keep.CONFLICT, 7)
    assert kept.digest == digest_of(b"by hand")
    assert bench.disk.kept_bytes(kept.id) == b"by hand"
    assert list(bench.disk.kept()) == [kept]


@pytest.mark.parametrize("after", [b"new", None])
@pytest.mark.parametrize("keep", [Keep.DELETED, Keep.DRIFT, None])
def test_expected_bytes_are_kept_only_if_asked(
    bench: Bench, after: bytes | None, keep: Keep | None
) -> None:
    bench.put(API, b"old")
    done = bench.disk.commit(carry_out(bench, 1, (step(API, b"old", after, keep), after)))
    assert bench.content(API) == after
    assert [(kept.reason, kept.digest) for kept in done.kept] == (
        [(keep, digest_of(b"old"))] if keep else []
    )


def test_a_deletion_of_what_is_gone_is_done(bench: Bench) -> None:
    bench.put(at(SYNAPSE, "api/Other.xml"), b"other")
    done = bench.disk.commit(carry_out(bench, 1, (step(API, b"old", None), None)))
    assert done.kept == ()
    assert bench.content(at(SYNAPSE, "api/Other.xml")) == b"other"


def test_bytes_that_are_not_what_they_should_be_are_not_staged(bench: Bench) -> None:
    with pytest.raises(DiskError):
        bench.disk.stage(1, [(step(API, None, b"right"), b"wrong")])
    bench.disk.discard(1)


def test_what_was_not_staged_is_not_committed(bench: Bench) -> None:
    bench.disk.stage(1, [])
    bench.disk.seal(1)
    with pytest.raises(DiskError):
        bench.disk.commit(Intent(1, REVISION_ZERO, (step(API, None, b"x"),)))
    assert bench.content(API) is None


def test_a_discarded_stage_can_not_be_committed(bench: Bench) -> None:
    intent = carry_out(bench, 1, (step(API, None, b"x"), b"x"))
    bench.disk.discard(1)
    bench.disk.discard(1)
    with pytest.raises(DiskError):
        bench.disk.commit(intent)
    assert bench.content(API) is None


def test_recovery_has_nothing_to_do_after_a_commit_that_is_in_the_ledger(bench: Bench) -> None:
    bench.disk.commit(carry_out(bench, 7, (step(API, None, b"x"), b"x")))
    bench.put(API, b"later by hand")
    bench.restart()
    assert bench.disk.recover(7) is None
    assert bench.content(API) == b"later by hand"


def test_a_commit_that_is_not_in_the_ledger_is_reported_again(bench: Bench) -> None:
    intent = carry_out(bench, 7, (step(API, None, b"x"), b"x"))
    bench.disk.commit(intent)
    before = bench.mtime_ns(API)
    bench.restart()
    done = bench.disk.recover(6)
    assert done is not None
    assert done.intent == intent
    assert bench.mtime_ns(API) == before


def test_an_edit_after_a_commit_outlives_its_late_ledger(bench: Bench) -> None:
    bench.disk.commit(carry_out(bench, 7, (step(API, None, b"x"), b"x")))
    bench.put(API, b"by hand")
    bench.restart()
    assert bench.disk.recover(6) is not None
    assert bench.content(API) == b"by hand"


def test_recovery_of_a_new_node_is_nothing(bench: Bench) -> None:
    assert bench.disk.recover(0) is None


def test_bytes_are_kept_and_given_back(bench: Bench) -> None:
    first = bench.disk.keep(API, b"refused", Keep.REFUSED, "line 3: no name")
    second = bench.disk.keep(API, b"refused", Keep.REFUSED, "again")
    assert first.id != second.id
    assert (first.path, first.size, first.detail) == (API, 7, "line 3: no name")
    assert first.at == int(START)
    bench.restart()
    assert set(bench.disk.kept()) == {first, second}
    assert bench.disk.kept_bytes(second.id) == b"refused"


def test_an_id_that_is_not_kept_is_refused(bench: Bench) -> None:
    for name in ("k1-0123456789abcdef", "", "../../state/intent", "x"):
        with pytest.raises(RefusedError):
            bench.disk.kept_bytes(name)


def test_the_quarantine_lists_newest_first_and_is_swept_oldest_first(bench: Bench) -> None:
    ids = []
    for number in range(4):
        bench.clock.at = START + 10 * number
        ids.append(bench.disk.keep(API, b"x" * 10, Keep.DRIFT, str(number)).id)
    assert [kept.id for kept in bench.disk.kept()] == ids[::-1]
    assert bench.disk.sweep(older_than_s=25, bytes_max=1000) == 1
    assert bench.disk.sweep(older_than_s=1000, bytes_max=10) == 2
    assert [kept.id for kept in bench.disk.kept()] == [ids[3]]
    assert bench.disk.sweep(older_than_s=1000, bytes_max=10) == 0


def test_another_root_than_the_trusted_one_is_neither_believed_nor_changed(bench: Bench) -> None:
    intent = carry_out(bench, 1, (step(API, None, b"x"), b"x"))
    bench.disk.trust(SYNAPSE, "another")
    assert bench.disk.scan(SYNAPSE, Shown()).condition is Condition.REPLACED
    with pytest.raises(DiskError):
        bench.disk.look(SYNAPSE, [API.path], Shown())
    with pytest.raises(DiskError):
        bench.disk.commit(intent)
    assert bench.content(API) is None
    bench.disk.trust(SYNAPSE, bench.disk.identity_of(SYNAPSE))
    assert bench.disk.scan(SYNAPSE, Shown()).condition is Condition.GOOD
    bench.disk.commit(intent)
    assert bench.content(API) == b"x"


def test_a_root_that_is_gone_has_no_identity_and_gets_no_commit(bench: Bench) -> None:
    intent = carry_out(bench, 1, (step(PLAN, None, b"p"), b"p"), (step(API, None, b"x"), b"x"))
    bench.take_root_away(SYNAPSE)
    assert bench.disk.identity_of(SYNAPSE) is None
    assert bench.disk.identity_of(PLANS) is not None
    assert bench.disk.scan(SYNAPSE, Shown()).condition is Condition.MISSING
    with pytest.raises(DiskError):
        bench.disk.commit(intent)
    assert bench.content(PLAN) is None


def test_a_tree_that_is_left_alone_is_only_scanned(bench: Bench) -> None:
    bench.put(API, b"x")
    plan = bench.disk.keep(PLAN, b"old", Keep.DRIFT, "")
    digest = digest_of(b"x")
    intent = carry_out(bench, 1, (step(API, b"x", b"y"), b"y"))
    bench.disk.shun(SYNAPSE, "it does not answer")
    for refused in (
        lambda: bench.disk.commit(intent),
        lambda: bench.disk.look(SYNAPSE, [API.path], Shown()),
        lambda: bench.disk.stage(2, [(step(API, b"x", b"z"), b"z")]),
    ):
        with pytest.raises(DiskError, match="does not answer"):
            refused()
    assert bench.disk.read(API, digest) is None
    assert plan.id in {each.id for each in bench.disk.kept()}
    assert bench.disk.scan(SYNAPSE, Shown()).condition is Condition.GOOD
    assert bench.content(API) == b"x"
    bench.disk.shun(SYNAPSE, "")
    assert bench.disk.read(API, digest) == b"x"
    bench.disk.commit(intent)
    assert bench.content(API) == b"y"


def test_a_touch_raises_the_mtime_by_whole_seconds_and_changes_no_byte(bench: Bench) -> None:
    bench.put(API, b"x")
    for _ in range(3):
        before = bench.mtime_ns(API)
        assert bench.disk.touch(API, digest_of(b"x"))
        after = bench.mtime_ns(API)
        assert after >= before + 1_000_000_000
        assert after % 1_000_000_000 == 0
    seen = bench.disk.look(SYNAPSE, [API.path], Shown())[API.path]
    assert isinstance(seen, Seen)
    assert seen.entry == entry(b"x")
    assert bench.content(API) == b"x"


def test_a_touch_takes_the_clock_s_time_once_that_is_later(bench: Bench) -> None:
    bench.put(API, b"x")
    bench.clock.at += 100.5
    assert bench.disk.touch(API, digest_of(b"x"))
    assert bench.mtime_ns(API) == (int(START) + 100) * 1_000_000_000


def test_other_bytes_are_not_touched(bench: Bench) -> None:
    bench.put(API, b"by hand")
    before = bench.mtime_ns(API)
    assert not bench.disk.touch(API, digest_of(b"x"))
    assert not bench.disk.touch(at(SYNAPSE, "api/No.xml"), digest_of(b"x"))
    assert not bench.disk.touch(at(SYNAPSE, "no/folder/No.xml"), digest_of(b"x"))
    assert bench.mtime_ns(API) == before


def test_what_was_touched_after_it_was_staged_is_replaced_by_something_later(bench: Bench) -> None:
    bench.put(API, b"old")
    intent = carry_out(bench, 1, (step(API, b"old", b"new"), b"new"))
    for _ in range(5):
        assert bench.disk.touch(API, digest_of(b"old"))
    before = bench.mtime_ns(API)
    bench.disk.commit(intent)
    assert bench.content(API) == b"new"
    assert bench.mtime_ns(API) >= before + 1_000_000_000


def test_nothing_is_touched_in_a_tree_that_is_not_believed_or_left_alone(bench: Bench) -> None:
    bench.put(API, b"x")
    before = bench.mtime_ns(API)
    bench.disk.shun(SYNAPSE, "it does not answer")
    with pytest.raises(DiskError, match="does not answer"):
        bench.disk.touch(API, digest_of(b"x"))
    bench.disk.shun(SYNAPSE, "")
    bench.disk.trust(SYNAPSE, "another")
    with pytest.raises(DiskError):
        bench.disk.touch(API, digest_of(b"x"))
    assert bench.mtime_ns(API) == before


def test_writing_back_early_changes_nothing_that_shows(bench: Bench) -> None:
    bench.disk.write_back(1)
    paths = [at(SYNAPSE, f"api/{number}.xml") for number in range(12)]
    steps = [(step(path, None, b"<api/>"), b"<api/>") for path in paths]
    bench.disk.stage(1, steps[:10])
    bench.disk.write_back(1)
    bench.disk.stage(1, steps[10:])
    bench.disk.write_back(1)
    assert not any(map(bench.content, paths))
    bench.disk.seal(1)
    bench.disk.write_back(1)
    bench.disk.commit(Intent(1, REVISION_ZERO, tuple(one for one, _ in steps)))
    assert [bench.content(path) for path in paths] == [b"<api/>"] * 12
