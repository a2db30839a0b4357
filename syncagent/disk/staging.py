"""Bytes on their way in: written beside the tree, verified, made durable; nothing live changes.

A file waits under a hash of its path (a 255-byte name leaves no room for a suffix), with mode,
owner and mtime as it will have when live, because all of that must be durable before the rename.

Filling is common and must be cheap. Where a tree's top folder is missing or empty, its files wait
in a staged folder under their own names, and the commit makes the folder live by one rename.

Up to `EACH_MAX` files are synced one by one; beyond that one `syncfs` per mount costs less. A
failed sync is never repeated on the same file, since the kernel may have dropped the dirty pages
and would report success: the file is written anew, once.
"""

from __future__ import annotations

import errno
import stat
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from syncagent.core.digest import digest_of
from syncagent.core.errors import DiskError
from syncagent.disk.places import Ground, fill_name, open_stage, own_by, slot_name, txid_of
from syncagent.disk.refusal import disk_error
from syncagent.fsio import O_CONTENT, O_FOLDER, O_NEW

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable

    from syncagent.core.artifact import ArtifactPath, TreeName
    from syncagent.core.intent import Step
    from syncagent.disk.places import Place, Places
    from syncagent.fsio import OsFS
    from syncagent.ports import Clock

EACH_MAX = 8
"""Files that are synced one by one: fsync 0.13 ms and more each, syncfs writes everybody's data."""

SECOND_NS = 1_000_000_000
_NEW_MODE = 0o666

Fill = tuple["TreeName", str]
"""A tree and the top folder that is staged as a whole."""


@dataclass(slots=True)
class _Shape:
    """What staged files are given: mode bits, owner, mtime (ns; None: when they were written).

    `natural`: in this folder a new file has that mode and owner by itself, as the first one had.
    """

    mode: int
    owner: os.stat_result
    mtime_ns: int | None
    natural: bool = False


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A staged file that is not durable yet; `content` is held to write it anew."""

    fd: int
    stage_fd: int
    name: str
    content: bytes
    shape: _Shape


@dataclass(slots=True)
class Batch:
    """What was staged under one txid: names relative to each tree's stage folder."""

    txid: int
    grounds: dict[TreeName, Ground] = field(default_factory=dict)
    slots: dict[ArtifactPath, str] = field(default_factory=dict)
    fills: dict[Fill, dict[str, _Shape]] = field(default_factory=dict)
    waiting: list[_Waiting] = field(default_factory=list)
    many: bool = False
    sealed: bool = False

    def close(self, fs: OsFS) -> None:
        """Close what is open; what was written stays."""
        waiting, self.waiting = self.waiting, []
        grounds, self.grounds = self.grounds, {}
        with ExitStack() as stack:
            for ground in grounds.values():
                stack.callback(ground.close)
            for one in waiting:
                stack.callback(fs.close, one.fd)

    def whole(self, paths: Iterable[ArtifactPath]) -> frozenset[Fill]:
        """Return the fills that are all of `paths` below their folder, and nothing else.

        Only these may become live in one rename.
        """
        wanted = set(paths)
        whole = set(self.fills)
        for path, name in self.slots.items():
            if (path in wanted) != ("/" in name):
                whole.discard((path.tree, path.path.partition("/")[0]))
        return frozenset(whole)


class Staging:
    """Writes, seals and drops staged bytes. One thread at a time."""

    def __init__(self, fs: OsFS, places: Places, clock: Clock) -> None:
        self._fs = fs
        self._places = places
        self._clock = clock
        self._batches: dict[int, Batch] = {}

    def batch(self, txid: int) -> Batch | None:
        """Return what this process staged under `txid`."""
        return self._batches.get(txid)

    def stage(self, txid: int, items: Iterable[tuple[Step, bytes]]) -> None:
        """Write `items`. Raises DiskError; `discard` then cleans up."""
        batch = self._batches.setdefault(txid, Batch(txid))
        batch.sealed = False
        for step, content in items:
            assert step.after is not None, "only bytes that become live are staged"
            if len(content) != step.after.size or digest_of(content) != step.after.digest:
                raise DiskError(f"the bytes that came for {step.path} are not {step.after.digest}")
            try:
                self._write(batch, self._ground(batch, step.path.tree), step, content)
            except OSError as error:
                raise disk_error(f"{step.path} can't be staged", error) from error

    def seal(self, txid: int) -> None:
        """Make what is staged durable. Raises DiskError."""
        batch = self._batches.setdefault(txid, Batch(txid))
        if batch.sealed:
            return
        try:
            if not batch.many:
                self._sync_each(batch)
            elif not self._sync_all(batch):
                self._sync_again(batch)
            batch.close(self._fs)
        except OSError as error:
            raise disk_error("what is staged can't be made durable", error) from error
        batch.sealed = True

    def discard(self, txid: int) -> None:
        """Drop what was staged under `txid`. Raises DiskError if something stays behind."""
        batch = self._batches.pop(txid, None)
        try:
            if batch is not None:
                batch.close(self._fs)
        except OSError as error:
            raise disk_error("a staged file can't be closed", error) from error
        finally:
            self.sweep(txid)

    def drop(self) -> None:
        """Drop everything that was ever staged. Raises DiskError if something stays behind."""
        batches, self._batches = self._batches, {}
        try:
            for batch in batches.values():
                batch.close(self._fs)
        except OSError as error:
            raise disk_error("a staged file can't be closed", error) from error
        finally:
            self.sweep()

    def sweep(self, txid: int | None = None) -> None:
        """Remove staged names of `txid`, or of every transaction. Raises DiskError."""
        places = self._places.possible() if txid is None else self._places.within_reach()
        for place in places:
            if txid is None and self._places.is_common(place.tree):
                continue  # another node may be staging there
            try:
                self._sweep(place, txid)
            except FileNotFoundError:
                continue  # bytes never waited there
            except OSError as error:
                raise disk_error(f"{place.stage} can't be tidied", error) from error

    def _sweep(self, place: Place, txid: int | None, but: int | None = None) -> None:
        fd = open_stage(self._fs, place)
        try:
            for name in self._fs.listdir(fd):
                owner = txid_of(name)
                if owner not in {None, but} and txid in {None, owner}:
                    remove_all(self._fs, fd, name)
        finally:
            self._fs.close(fd)

    # Writing.

    def _ground(self, batch: Batch, tree: TreeName) -> Ground:
        ground = batch.grounds.get(tree)
        if ground is None:
            place = self._places.of(tree)
            if self._places.is_common(tree):
                # Whoever writes is alone in that: what else waits there was interrupted on some node.
                self._sweep(place, None, but=batch.txid)
            ground = batch.grounds[tree] = Ground(self._fs, place)
        return ground

    def _write(self, batch: Batch, ground: Ground, step: Step, content: bytes) -> None:
        top, slash, rest = step.path.path.partition("/")
        if slash and step.expected is None and self._fills(batch, ground, top):
            name, shape = self._below_fill(batch, ground, top, rest)
        else:
            name = slot_name(batch.txid, step.path)
            shape = self._shape(ground, step.path.path)
        fd = self._create(ground.stage_fd, name, content, shape)
        batch.waiting.append(_Waiting(fd, ground.stage_fd, name, content, shape))
        batch.slots[step.path] = name
        batch.many = batch.many or len(batch.slots) > EACH_MAX
        if batch.many:
            while batch.waiting:
                self._fs.close(batch.waiting.pop().fd)

    def _shape(self, ground: Ground, path: str) -> _Shape:
        live = ground.live(path)
        now_s = int(self._clock.wall())
        if live is None or not stat.S_ISREG(live.st_mode):
            folder = ground.nearest_folder(path.rpartition("/")[0])
            return _Shape(folder.st_mode & _NEW_MODE, folder, now_s * SECOND_NS)
        mtime_s = max(now_s, live.st_mtime_ns // SECOND_NS + 1)
        return _Shape(stat.S_IMODE(live.st_mode), live, mtime_s * SECOND_NS)

    def _create(self, stage_fd: int, name: str, content: bytes, shape: _Shape) -> int:
        fs = self._fs
        first_mode = shape.mode & _NEW_MODE
        try:
            fd = fs.open(name, O_NEW, first_mode, dir_fd=stage_fd)
        except FileExistsError:
            remove_all(fs, stage_fd, name)
            fd = fs.open(name, O_NEW, first_mode, dir_fd=stage_fd)
        try:
            fs.write_all(fd, content)
            if not shape.natural:
                self._fit(fd, shape)
            if shape.mtime_ns is not None:
                fs.utime(fd, ns=(shape.mtime_ns, shape.mtime_ns))
        except BaseException:
            fs.close(fd)
            raise
        return fd

    def _fit(self, fd: int, shape: _Shape) -> None:
        """Give a new file its mode and owner; take note if it had them already."""
        made = self._fs.fstat(fd)
        shape.natural = (stat.S_IMODE(made.st_mode), made.st_uid, made.st_gid) == (
            shape.mode,
            shape.owner.st_uid,
            shape.owner.st_gid,
        )
        if not shape.natural:
            own_by(self._fs, fd, made, shape.owner)
            self._fs.fchmod(fd, shape.mode)

    # Filling.

    def _fills(self, batch: Batch, ground: Ground, top: str) -> bool:
        place = ground.place
        if (place.tree, top) in batch.fills:
            return True
        if place.inside:
            return False
        live = ground.live(top)
        if live is None:
            live = self._fs.fstat(ground.root_fd)
        elif not stat.S_ISDIR(live.st_mode) or not self._is_empty(ground.folder(top)):
            return False
        name = fill_name(batch.txid, place.tree, top)
        batch.fills[place.tree, top] = {"": self._make_staged(ground.stage_fd, name, live)}
        return True

    def _is_empty(self, fd: int) -> bool:
        with self._fs.scandir(fd) as found:
            return next(found, None) is None

    def _below_fill(self, batch: Batch, ground: Ground, top: str, rest: str) -> tuple[str, _Shape]:
        tree = ground.place.tree
        name = fill_name(batch.txid, tree, top)
        made = batch.fills[tree, top]
        folder = rest.rpartition("/")[0]
        if folder not in made:
            parts = folder.split("/")
            for count in range(1, len(parts) + 1):
                below = "/".join(parts[:count])
                if below not in made:
                    above = self._fs.stat(
                        f"{name}/{below}".rpartition("/")[0], dir_fd=ground.stage_fd
                    )
                    made[below] = self._make_staged(ground.stage_fd, f"{name}/{below}", above)
        return f"{name}/{rest}", made[folder]

    def _make_staged(self, stage_fd: int, name: str, like: os.stat_result) -> _Shape:
        fs = self._fs
        try:
            fs.mkdir(name, 0o700, dir_fd=stage_fd)
        except FileExistsError:
            remove_all(fs, stage_fd, name)
            fs.mkdir(name, 0o700, dir_fd=stage_fd)
        fd = fs.open(name, O_FOLDER, dir_fd=stage_fd)
        try:
            own_by(fs, fd, fs.fstat(fd), like)
            fs.fchmod(fd, stat.S_IMODE(like.st_mode))
        finally:
            fs.close(fd)
        return _Shape(like.st_mode & _NEW_MODE, like, None)

    # Sealing.

    def _sync_each(self, batch: Batch) -> None:
        while batch.waiting:
            one = batch.waiting[-1]
            try:
                self._fs.fsync(one.fd)
            except OSError as error:
                if error.errno not in {errno.EIO, errno.ENOSPC, errno.EDQUOT}:
                    raise
                self._write_anew(batch)
            self._fs.close(batch.waiting.pop().fd)
        self._sync_folders(batch)

    def _write_anew(self, batch: Batch) -> None:
        failed = batch.waiting.pop()
        self._fs.close(failed.fd)
        self._fs.unlink(failed.name, dir_fd=failed.stage_fd)
        fd = self._create(failed.stage_fd, failed.name, failed.content, failed.shape)
        batch.waiting.append(
            _Waiting(fd, failed.stage_fd, failed.name, failed.content, failed.shape)
        )
        self._fs.fsync(fd)

    def _sync_folders(self, batch: Batch) -> None:
        for (tree, top), folders in batch.fills.items():
            name = fill_name(batch.txid, tree, top)
            for folder in folders:
                self._sync_name(
                    batch.grounds[tree].stage_fd, f"{name}/{folder}".rstrip("/"), O_FOLDER
                )
        done: set[str] = set()
        for ground in batch.grounds.values():
            if ground.place.stage not in done:
                self._fs.fsync_folder(ground.stage_fd)
                done.add(ground.place.stage)

    def _sync_all(self, batch: Batch) -> bool:
        done: set[int] = set()
        for ground in batch.grounds.values():
            device = ground.place.root_key[0]
            if device in done:
                continue
            try:
                self._fs.syncfs(ground.stage_fd)
            except OSError as error:
                if error.errno == errno.ENOSYS:
                    return False
                raise
            done.add(device)
        return True

    def _sync_again(self, batch: Batch) -> None:
        for path, name in batch.slots.items():
            self._sync_name(batch.grounds[path.tree].stage_fd, name, O_CONTENT)
        self._sync_folders(batch)

    def _sync_name(self, stage_fd: int, name: str, flags: int) -> None:
        fd = self._fs.open(name, flags, dir_fd=stage_fd)
        try:
            (self._fs.fsync_folder if flags == O_FOLDER else self._fs.fsync)(fd)
        finally:
            self._fs.close(fd)


def remove_all(fs: OsFS, folder_fd: int, name: str) -> None:
    """Remove `name` and all below it from one of our own folders; quiet if it is not there."""
    try:
        fs.unlink(name, dir_fd=folder_fd)
    except FileNotFoundError:
        return
    except (IsADirectoryError, PermissionError):
        fd = fs.open(name, O_FOLDER, dir_fd=folder_fd)
        try:
            for below in fs.listdir(fd):
                remove_all(fs, fd, below)
        finally:
            fs.close(fd)
        fs.rmdir(name, dir_fd=folder_fd)
