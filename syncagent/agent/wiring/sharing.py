"""`init --share`: the marks of a share's trees, and who is right when share and node first meet.

The mark is what a share is known by from then on, so it is put only where a person surely means it:
into a folder that is there, answers, and lies on a file system that other machines can write to.
All that is wrong is said at once, and then nothing is made. A mark that is there is taken, whoever
made it; a node that knew one which is lost puts the same one back.

A share that comes to a cluster which has no revision yet may hold other artifacts than the node it
is set up on. Then a person says which side is right (`Side`); the other side is made equal before
the mark is put, so that an interrupted answer is asked for again.
"""

from __future__ import annotations

import json
import stat
import uuid
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from syncagent.agent.wiring.clock import SystemClock
from syncagent.agent.wiring.reach import silent_trees
from syncagent.agent.wiring.sides import Side, Sides
from syncagent.core.errors import DiskError, SettingsError
from syncagent.core.ledger import Standing
from syncagent.core.settings import SHARE_PREFIX
from syncagent.disk.mark import MARK_NAME, Mark, NoMarkError, owner_of, read_mark, write_mark
from syncagent.disk.places import own_by
from syncagent.fsio import LOCAL_TYPES, O_CONTENT, O_ROOT, OsFS
from syncagent.history.ledger import peek
from syncagent.settings.durable import write_file
from syncagent.settings.gateway import with_new_trees

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from syncagent.agent.hands.carrying import Carried, Gap
    from syncagent.core.desk import JSON
    from syncagent.core.settings import Settings, TreeSettings

ANSWER_S = 10.0
"""How long a mount may take to answer before it counts as hanging."""
_KNOWN_NAME = "shares.json"
_KNOWN_MODE = 0o600
_KNOWN_BYTES_MAX = 1024 * 1024


@dataclass(frozen=True, slots=True)
class _Found:
    """A folder on the share: what it is mounted from, and its mark if it has one.

    `above` is the nearest folder that is there, if this one has to be made yet.
    """

    tree: TreeSettings
    mount: str
    mark: Mark | None
    above: str = ""


def init_share(
    settings: Settings, *, side: Side | None, force: bool, fs: OsFS | None = None
) -> Mapping[str, JSON]:
    """Put marks where they are missing; return `trees`, `differences` and what was `carried`.

    A folder that is missing below a mounted share (a new tenant's) is made. With differences that nobody has decided on (`side` None) nothing is made, and `asks` is true.
    `force` takes folders that are on no shared mount. Raises SettingsError with all that is wrong,
    BusyError if an agent runs where trees have to be changed, StateError, DiskError.
    """
    settings = with_new_trees(settings)
    share = _Share(fs or OsFS(), settings, force=force)
    found = share.look()
    missing = [each.tree for each in found if each.mark is None]
    standing = peek(share.fs, f"{settings.state_dir}/ledger") or Standing()
    fresh = settings.shadow and not standing.revision.number
    _check_side(settings, standing, side, asks=bool(missing))
    sides = Sides(
        share.fs, settings, [each.tree for each in found if not (each.mark or each.above)]
    )
    if side is not None:
        sides.finish(side)
    gaps = sides.gaps() if fresh and missing else ()
    asks = any(gap.rows and gap.there for gap in gaps)
    report: dict[str, JSON] = {
        "trees": [],
        "differences": [_gap_row(gap) for gap in gaps if gap.rows and gap.there],
        "asks": asks and side is None,
        "carried": None,
    }
    if asks and side is None:
        return report
    if asks:
        assert side is not None, "it was asked for"
        report["carried"] = _carried_row(sides.carry(gaps, side))
    known = known_marks(share.fs, settings, standing)
    report["trees"] = [share.mark(each, known) for each in found]
    share.remember({**known, **share.marks})
    return report


def _check_side(settings: Settings, standing: Standing, side: Side | None, *, asks: bool) -> None:
    """Refuse an answer to what is not asked. Raises SettingsError."""
    if side is None:
        return
    if settings.in_place:
        why = 'with form = "in-place" the trees are the share: there is one side only'
    elif standing.revision.number:
        why = (
            f"this cluster has revision {standing.revision.number} already: what the share holds "
            "beside it waits as first contact"
        )
    elif not asks:
        why = f"every folder on the share has its {MARK_NAME}: this was answered before"
    else:
        return
    raise SettingsError(
        f"--from {side} answers nothing: {why}", hint="leave it out; see: syncagent get held"
    )


class _Share:
    """The folders of the share, as this node has them mounted."""

    def __init__(self, fs: OsFS, settings: Settings, *, force: bool) -> None:
        self.fs = fs
        self.marks: dict[str, str] = {}
        self._settings = settings
        self._force = force
        self._clock = SystemClock()

    def look(self) -> list[_Found]:
        """Look at each folder. Raises SettingsError with all that is wrong."""
        trees = self._settings.share_trees
        if not trees:
            raise SettingsError(
                "there is no share to prepare",
                mistakes=('init --share needs cluster.mode = "shared", and a tree',),
                hint="see the chapter Shared mounts of the README",
            )
        silent = silent_trees(self.fs, trees, self._clock, ANSWER_S)
        found, wrong = [], [f"tree {name}: {why}" for name, why in silent.items()]
        for tree in trees:
            if tree.name not in silent:
                try:
                    found.append(self._look_at(tree))
                except (OSError, NoMarkError) as error:
                    wrong.append(_why(tree, error))
        foreign = [each for each in found if each.mark and each.mark.owner != owner_of(each.tree)]
        wrong += [_whose(each) for each in foreign]
        if not self._force:
            wrong += [
                f"tree {each.tree.name}: {each.tree.path} lies on {each.mount}, which only this "
                "machine writes to: is the share mounted?"
                for each in found
                if self._is_local(each.above or each.tree.path)
            ]
        if wrong:
            count = "1 mistake" if len(wrong) == 1 else f"{len(wrong)} mistakes"
            raise SettingsError(
                f"the share can't be prepared: {count}",
                mistakes=tuple(wrong),
                hint="mount the share, or mend the paths; --force takes folders on a local disk",
            )
        return found

    def mark(self, each: _Found, known: Mapping[str, str]) -> dict[str, JSON]:
        """Put the mark if it is missing; return the row that says what was done."""
        tree, mark, did = each.tree, each.mark, "found"
        if mark is None:
            before = known.get(tree.name)
            mark = Mark(before or str(uuid.uuid4()), self._settings.cluster, tree.name)
            did = "put back" if before else "made"
            try:
                if each.above:
                    self._make_folder(tree.path, each.above)
                    did = "made, with its folder,"
                with _opened(self.fs, tree.path) as fd:
                    if not write_mark(self.fs, fd, mark):
                        did = "found"
                    mark = read_mark(self.fs, fd)
            except (OSError, NoMarkError) as error:
                raise DiskError(
                    f"{tree.path}/{MARK_NAME} can't be made: {error}",
                    hint="run this as the gateway's user; the share has to be writable",
                ) from error
        self.marks[tree.name] = mark.uuid
        return {
            "tree": tree.name,
            "path": tree.path,
            "mount": each.mount,
            "uuid": mark.uuid,
            "did": did,
        }

    def remember(self, marks: Mapping[str, str]) -> None:
        """Write down what the share is known by: it may lose its marks. Raises DiskError."""
        path = f"{self._settings.state_dir}/{_KNOWN_NAME}"
        try:
            self.fs.stat(self._settings.state_dir)
        except FileNotFoundError:
            return  # a node that has no state yet takes what it finds
        text = json.dumps(dict(sorted(marks.items())), indent=2) + "\n"
        write_file(self.fs, path, text, _KNOWN_MODE, over=True)

    def _look_at(self, tree: TreeSettings) -> _Found:
        mark, above = None, ""
        try:
            with _opened(self.fs, tree.path) as fd:
                mount_id = self.fs.mount_id(fd)
                with suppress(FileNotFoundError):
                    mark = read_mark(self.fs, fd)
        except FileNotFoundError:
            above = self._nearest(tree.path)
            if self._is_local(above):
                raise  # the share is not mounted, as far as anybody can tell
            with _opened(self.fs, above) as fd:
                mount_id = self.fs.mount_id(fd)
        mount = next((m for m in self.fs.mount_table() if m.mount_id == mount_id), None)
        where = f"{mount.fs_type} {mount.source} at {mount.point}" if mount else "an unknown mount"
        return _Found(tree, where, mark, above)

    def _nearest(self, path: str) -> str:
        """Return the nearest folder above `path` that is there."""
        while True:
            path = path.rpartition("/")[0] or "/"
            try:
                self.fs.stat(path)
            except FileNotFoundError:
                continue
            return path

    def _make_folder(self, path: str, above: str) -> None:
        """Make the folders of `path` below `above`, each with the mode and owner of that."""
        like = self.fs.stat(above)
        made = above.rstrip("/")
        for name in path.removeprefix(f"{made}/").split("/"):
            made = f"{made}/{name}"
            with suppress(FileExistsError):
                self.fs.mkdir(made, 0o700)
                with _opened(self.fs, made) as fd:
                    own_by(self.fs, fd, self.fs.fstat(fd), like)
                    self.fs.fchmod(fd, stat.S_IMODE(like.st_mode))

    def _is_local(self, path: str) -> bool:
        return self.fs.statfs_type(path) in set(LOCAL_TYPES.values())


@contextmanager
def _opened(fs: OsFS, path: str) -> Iterator[int]:
    """Open a folder for as long as the block lasts; a root may be a symlink. Raises OSError."""
    fd = fs.open(path, O_ROOT)
    try:
        yield fd
    finally:
        with suppress(OSError):
            fs.close(fd)


def known_marks(fs: OsFS, settings: Settings, standing: Standing) -> dict[str, str]:
    """Return the uuid by which this node has known each share, as far as it remembers."""
    known: dict[str, str] = {}
    with suppress(OSError, ValueError):
        fd = fs.open(f"{settings.state_dir}/{_KNOWN_NAME}", O_CONTENT)
        try:
            said = json.loads(fs.read_all(fd, _KNOWN_BYTES_MAX))
        finally:
            fs.close(fd)
        known = {str(name): str(text) for name, text in said.items()}
    for name, identity in standing.identities.items():
        if identity.startswith(SHARE_PREFIX):
            known[name] = identity.removeprefix(SHARE_PREFIX)
    return known


def _why(tree: TreeSettings, error: OSError | NoMarkError) -> str:
    if isinstance(error, NoMarkError):
        return f"tree {tree.name}: {tree.path}/{MARK_NAME} is damaged ({error}); take it away"
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return (
            f"tree {tree.name}: there is no folder {tree.path}; mount the share, or make it there"
        )
    return f"tree {tree.name}: {tree.path} can't be opened: {error.strerror}"


def _whose(found: _Found) -> str:
    assert found.mark is not None, "it is another's"
    mark, tree = found.mark, found.tree
    return (
        f"tree {tree.name}: {tree.path} is the tree {mark.tree} of the cluster {mark.cluster} "
        f"already, by its {MARK_NAME}"
    )


def _gap_row(gap: Gap) -> dict[str, JSON]:
    return {
        "tree": gap.tree,
        "node": gap.here,
        "share": gap.there,
        "only_node": gap.count(here=True, there=False),
        "only_share": gap.count(here=False, there=True),
        "differ": gap.count(here=True, there=True),
    }


def _carried_row(carried: Carried) -> dict[str, JSON]:
    return {
        "written": carried.written,
        "removed": carried.removed,
        "kept": carried.kept,
        "refused": [
            {"tree": path.tree, "path": path.path, "reason": why} for path, why in carried.refused
        ],
    }
