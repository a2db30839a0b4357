"""The steps of an intent, each of which may be taken again after a crash at any point.

Whether a step was taken is read from its slot, the staged name: a put is not done while the slot
holds the bytes to come; a deletion is not done while there is no slot and something is live. A put
swaps slot and live file in one call (RENAME_EXCHANGE), so what was live cannot slip away between
the look and the rename: it lies in the slot, is verified there, and is kept if it is not what the
revision expected. The slots are dropped only when all of it is durable.

Where a file system cannot swap, the live file is read and, if it has to be kept, kept durably
before the rename; a descriptor held open across the rename catches a write in between.

Live bytes that are right already are not touched. A file never becomes live with an mtime that
is not above the one it replaces: the deployer looks at nothing else.
"""

from __future__ import annotations

import errno
import stat
from typing import TYPE_CHECKING

from syncagent.core.digest import digest_of_parts
from syncagent.core.intent import Keep
from syncagent.disk.displaced import Displaced, digest_at, parts_of, status_of, wanted
from syncagent.disk.places import Ground, fill_name, own_by, slot_name
from syncagent.disk.staging import EACH_MAX, SECOND_NS
from syncagent.fsio import O_CONTENT, O_FOLDER

if TYPE_CHECKING:
    import os
    from collections.abc import Collection, Iterable, Mapping

    from syncagent.core.artifact import ArtifactPath, TreeName
    from syncagent.core.digest import Digest
    from syncagent.core.intent import Kept, Step, Written
    from syncagent.disk.places import Place
    from syncagent.disk.quarantine import Quarantine
    from syncagent.fsio import OsFS

_CANNOT = frozenset({errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP, errno.EPERM})
_RACES_MAX = 16


class Redo:
    """Takes the steps of one intent on the trees in `places`; close it.

    `again` says that an earlier process may have taken some. All methods raise OSError.
    """

    def __init__(
        self,
        fs: OsFS,
        places: Mapping[TreeName, Place],
        quarantine: Quarantine,
        written: Written,
        *,
        again: bool,
    ) -> None:
        self._fs = fs
        self._places = places
        self._quarantine = quarantine
        self._again = again
        self._grounds: dict[TreeName, Ground] = {}
        self._touched: dict[tuple[TreeName, str], None] = {}
        self._found: dict[ArtifactPath, None] = {}
        self._kept: dict[str, Kept] = {}
        self._spread: dict[tuple[TreeName, str], bool] = {}
        self._displaced = Displaced(fs, quarantine, written.intent.txid)
        self._whole = written.whole
        self._txid = written.intent.txid
        # A tree that the settings no longer list is nobody's to finish.
        self._steps = [step for step in written.intent.steps if step.path.tree in places]
        self._puts = [step for step in self._steps if step.after is not None]

    def run(self) -> tuple[Kept, ...]:
        """Take every step, make all of it durable, and return what is kept."""
        try:
            self._make_folders(step for step in self._puts if _fill_of(step) not in self._whole)
            for step in self._steps:
                ground = self._ground(step.path.tree)
                if step.after is None:
                    self._delete(ground, step)
                else:
                    self._put(ground, step)
            if self._again:
                self._remember(self._quarantine.listed(self._txid))
            self._remember(self._quarantine.settle(self._txid))
            self._sync(self._touched, self._found)
        finally:
            self._quarantine.forget()
            grounds, self._grounds = self._grounds, {}
            for ground in grounds.values():
                ground.close()
        return tuple(self._kept.values())

    def _remember(self, kept: Iterable[Kept]) -> None:
        for one in kept:
            self._kept.setdefault(one.id, one)

    def _ground(self, tree: TreeName) -> Ground:
        ground = self._grounds.get(tree)
        if ground is None:
            ground = self._grounds[tree] = Ground(self._fs, self._places[tree])
        return ground

    def _make_folders(self, steps: Iterable[Step]) -> None:
        """Make missing folders, durably: nothing is renamed into a folder that may be lost."""
        folders = {(step.path.tree, step.path.path.rpartition("/")[0]) for step in steps}
        changed: set[tuple[TreeName, str]] = set()
        for tree, folder in sorted(folders):
            _, above = self._ground(tree).make_folder(folder)
            changed.update((tree, parent) for parent in above)
            if self._again:
                changed.update((tree, parent) for parent in _above(folder))
        self._sync(changed, ())

    def _touch(self, step: Step) -> None:
        tree, path = step.path
        folder = path.rpartition("/")[0]
        self._touched[tree, folder] = None
        if self._again:
            # What an earlier process renamed may not be durable in the folders above.
            self._touched.update(((tree, above), None) for above in _above(folder))

    # A put.

    def _put(self, ground: Ground, step: Step) -> None:
        slot = self._slot(ground, step)
        waiting = status_of(self._fs, ground.stage_fd, slot) if slot is not None else None
        if slot is None or waiting is None:
            self._touch(step)
            return
        if self._again and self._holds_other(ground, slot, waiting, step):
            self._displaced.settle(ground, slot, step)
            self._touch(step)
            return
        folder, _, name = step.path.path.rpartition("/")
        folder_fd, above = ground.make_folder(folder)
        for parent in above:
            self._touched[step.path.tree, parent] = None
        for _ in range(_RACES_MAX):
            live = status_of(self._fs, folder_fd, name)
            if live is None:
                done = self._appear(ground, slot, folder_fd, name)
            elif self._is_wanted(folder_fd, name, live, step):
                self._found[step.path] = None
                done = True
            else:
                self._fit(ground.stage_fd, slot, waiting, live)
                done = self._swap(ground, slot, (folder_fd, name), step)
            if done:
                self._touch(step)
                return
        raise OSError(errno.EBUSY, "somebody else keeps writing it", str(step.path))

    def _holds_other(self, ground: Ground, slot: str, waiting: os.stat_result, step: Step) -> bool:
        """Tell whether the slot has what was displaced: the put was done before a crash."""
        return digest_at(self._fs, ground.stage_fd, slot, waiting) != wanted(step)

    def _slot(self, ground: Ground, step: Step) -> str | None:
        """Return the staged name of a put, None if its whole folder has just become live."""
        fill = _fill_of(step)
        if fill not in self._whole:
            return self._plain_slot(ground, step)
        if fill not in self._spread:
            self._spread[fill] = not self._fill(ground, fill[1])
            if self._spread[fill]:
                self._make_folders(one for one in self._puts if _fill_of(one) == fill)
        return self._plain_slot(ground, step) if self._spread[fill] else None

    def _plain_slot(self, ground: Ground, step: Step) -> str:
        plain = slot_name(self._txid, step.path)
        top, _, rest = step.path.path.partition("/")
        if not rest or ground.place.inside:
            return plain
        filled = f"{fill_name(self._txid, step.path.tree, top)}/{rest}"
        if status_of(self._fs, ground.stage_fd, filled) is not None:
            return filled
        return plain

    def _fill(self, ground: Ground, top: str) -> bool:
        """Make a staged top folder live by one rename; False if it has to be spread instead."""
        name = fill_name(self._txid, ground.place.tree, top)
        tree = ground.place.tree
        self._touched[tree, ""] = None
        try:
            self._fs.rename(name, top, src_dir_fd=ground.stage_fd, dst_dir_fd=ground.root_fd)
        except OSError as error:
            if error.errno not in {errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR, errno.ENOENT}:
                raise
            return False
        return True

    def _appear(self, ground: Ground, slot: str, folder_fd: int, name: str) -> bool:
        """Make the slot live where nothing is; False if something has come meanwhile."""
        try:
            self._fs.rename_noreplace(slot, name, src_dir_fd=ground.stage_fd, dst_dir_fd=folder_fd)
        except FileExistsError:
            return False
        except OSError as error:
            if error.errno not in _CANNOT:
                raise
        else:
            return True
        try:
            # The slot stays until all is durable: link and unlink may become so in either order.
            self._fs.link(
                slot,
                name,
                src_dir_fd=ground.stage_fd,
                dst_dir_fd=folder_fd,
                follow_symlinks=False,
            )
        except FileExistsError:
            return False
        except OSError as error:
            if error.errno not in _CANNOT:
                raise
            self._fs.rename(slot, name, src_dir_fd=ground.stage_fd, dst_dir_fd=folder_fd)
        return True

    def _is_wanted(self, folder_fd: int, name: str, live: os.stat_result, step: Step) -> bool:
        assert step.after is not None
        if live.st_size != step.after.size:
            return False
        return digest_at(self._fs, folder_fd, name, live) == step.after.digest

    def _fit(self, stage_fd: int, slot: str, waiting: os.stat_result, live: os.stat_result) -> None:
        """Give the slot the live file's mode and owner and a later mtime, if it lacks them."""
        if not stat.S_ISREG(live.st_mode):
            return
        same = (live.st_mode, live.st_uid, live.st_gid) == (
            waiting.st_mode,
            waiting.st_uid,
            waiting.st_gid,
        )
        if same and waiting.st_mtime_ns > live.st_mtime_ns:
            return
        fs = self._fs
        fd = fs.open(slot, O_CONTENT, dir_fd=stage_fd)
        try:
            own_by(fs, fd, waiting, live)
            fs.fchmod(fd, stat.S_IMODE(live.st_mode))
            mtime_s = max(waiting.st_mtime_ns // SECOND_NS, live.st_mtime_ns // SECOND_NS + 1)
            fs.utime(fd, ns=(mtime_s * SECOND_NS, mtime_s * SECOND_NS))
            fs.fsync(fd)
        finally:
            fs.close(fd)

    def _swap(self, ground: Ground, slot: str, at: tuple[int, str], step: Step) -> bool:
        """Put the slot in the place of what is live; False if that has gone meanwhile."""
        folder_fd, name = at
        try:
            self._fs.exchange(slot, name, src_dir_fd=ground.stage_fd, dst_dir_fd=folder_fd)
        except FileNotFoundError:
            return False
        except OSError as error:
            if error.errno not in _CANNOT:
                raise
            return self._replace(ground, slot, at, step)
        self._displaced.settle(ground, slot, step)
        return True

    def _replace(self, ground: Ground, slot: str, at: tuple[int, str], step: Step) -> bool:
        folder_fd, name = at
        live = status_of(self._fs, folder_fd, name)
        if live is None:
            return False
        if not stat.S_ISREG(live.st_mode):
            # It can be neither read nor replaced by a file in every case: move it aside first.
            self._displaced.take(ground, (folder_fd, name), step, Keep.CONFLICT)
            return False
        fd = self._fs.open(name, O_CONTENT, dir_fd=folder_fd)
        try:
            before = digest_of_parts(parts_of(self._fs, fd))
            reason = self._displaced.reason(step, before)
            if reason is not None:
                self._displaced.take(ground, (folder_fd, name), step, reason)
                self._remember(self._quarantine.settle(self._txid))
            self._fs.rename(slot, name, src_dir_fd=ground.stage_fd, dst_dir_fd=folder_fd)
            self._catch(fd, before, step)
        finally:
            self._fs.close(fd)
        return True

    def _catch(self, fd: int, before: Digest, step: Step) -> None:
        self._fs.lseek(fd, 0, 0)
        if digest_of_parts(parts_of(self._fs, fd)) != before:
            self._fs.lseek(fd, 0, 0)
            content = b"".join(parts_of(self._fs, fd))
            detail = self._displaced.detail
            self._remember([self._quarantine.keep(step.path, content, Keep.CONFLICT, detail)])

    # A deletion.

    def _delete(self, ground: Ground, step: Step) -> None:
        folder, _, name = step.path.path.rpartition("/")
        slot = slot_name(self._txid, step.path)
        try:
            folder_fd = ground.folder(folder)
        except FileNotFoundError:
            return
        self._touch(step)
        if not self._again or status_of(self._fs, ground.stage_fd, slot) is None:
            live = status_of(self._fs, folder_fd, name)
            if live is None or not stat.S_ISREG(live.st_mode):
                return  # a folder or a symlink of that name is not the artifact
            try:
                self._fs.rename(name, slot, src_dir_fd=folder_fd, dst_dir_fd=ground.stage_fd)
            except FileNotFoundError:
                return
        self._displaced.settle(ground, slot, step)

    # Making it durable.

    def _sync(
        self, folders: Collection[tuple[TreeName, str]], files: Collection[tuple[TreeName, str]]
    ) -> None:
        """Make the names in `folders` and the bytes of `files` durable, upper folders first."""
        if len(folders) + len(files) > EACH_MAX and self._sync_all():
            return
        for tree, path in files:
            self._sync_name(tree, path, O_CONTENT)
        for tree, folder in sorted(folders, key=lambda one: one[1].count("/") + bool(one[1])):
            self._sync_name(tree, folder, O_FOLDER)

    def _sync_all(self) -> bool:
        devices: set[int] = set()
        for ground in self._grounds.values():
            device = ground.place.root_key[0]
            if device in devices:
                continue
            try:
                self._fs.syncfs(ground.root_fd)
            except OSError as error:
                if error.errno == errno.ENOSYS:
                    return False
                raise
            devices.add(device)
        return True

    def _sync_name(self, tree: TreeName, path: str, flags: int) -> None:
        try:
            fd = self._fs.openat2(self._grounds[tree].root_fd, path, flags)
        except FileNotFoundError:
            return  # somebody removed it meanwhile: there is no name to keep
        try:
            (self._fs.fsync_folder if flags == O_FOLDER else self._fs.fsync)(fd)
        finally:
            self._fs.close(fd)


def _above(folder: str) -> list[str]:
    """Return the folders above `folder`; "" is the root's."""
    parts = folder.split("/")
    return ["/".join(parts[:count]) for count in range(len(parts))] if folder else []


def _fill_of(step: Step) -> tuple[TreeName, str]:
    """Return the tree and top folder that `step` may be filled with; the root's files have ""."""
    top, slash, _ = step.path.path.partition("/")
    return step.path.tree, top if slash else ""
