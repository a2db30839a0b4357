"""What this node believes of one tree, and how sure it is: presence, absence, difference from base.

Absence needs evidence. A look that was asked for by a hint and finds the folder but not the file
is enough; a scan alone has to be confirmed by a second one at least `confirm_s` later. Until then
the path counts as unchanged. What is gone is acted upon only as a whole (`absence_is_whole`).

Where others serve the files (`careful`) a look is not enough, for a mount that is going away may
list what it likes for a moment: two scans in a row that can be believed have to miss the file, unless
this machine's own kernel told that it was deleted here; then one scan is enough.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from syncagent.core.artifact import ArtifactPath
from syncagent.core.plan import UNKNOWN, Unknown
from syncagent.core.snapshot import Condition, Seen, Unread

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from syncagent.core.artifact import TreeKind, TreeName
    from syncagent.core.digest import Digest
    from syncagent.core.manifest import Entry, Manifest
    from syncagent.core.snapshot import Snapshot
    from syncagent.core.verdict import Examined

CONFIRM_S = 1.0
"""How long apart two scans must begin to conclude that a file is gone."""
CAREFUL_S = 10.0
"""The least of it where others serve the files: a server that is restarted is back by then."""
POLLED = "poll"
"""How a watch calls itself that would not tell of a file system that hangs; its pause follows."""
_BY_A_LOOK = float("inf")


@dataclass(slots=True)
class TreeView:
    """The newest belief about one tree; `base` is this node's rows of it."""

    name: TreeName
    kind: TreeKind
    base: Mapping[str, Entry] = field(default_factory=dict)
    condition: Condition | None = None
    reason: str = ""
    files: dict[str, Seen | Unread] = field(default_factory=dict)
    folders: frozenset[str] = frozenset()
    unlisted: frozenset[str] = frozenset()
    blind: frozenset[str] = frozenset()
    """Folders that two scans in a row could not list: not a moment's race."""
    examined: dict[str, Examined] = field(default_factory=dict)
    invalid: set[str] = field(default_factory=set)
    """Where what was examined last was not valid: see `refused`."""
    careful: bool = False
    """Others serve the files of this tree."""
    confirm_s: float = CONFIRM_S
    """How long apart two scans must begin that miss a file."""
    absent: dict[str, float] = field(default_factory=dict)
    """When the first scan began that missed a file; for ever where only a look has missed it."""
    removed_here: dict[str, float] = field(default_factory=dict)
    """Files of which this machine's kernel told, and when, that a process here deleted them."""
    gone: set[str] = field(default_factory=set)
    gone_at: float = -1.0
    unseen: set[str] = field(default_factory=set)
    differing: set[str] = field(default_factory=set)
    new_since: dict[str, float] = field(default_factory=dict)
    busy: bool = False
    started: float = 0.0
    allowed_s: float = 0.0
    """How long the look under way may take."""
    late: bool = False
    """The look under way is overdue: what it brings is not believed."""
    shunned: bool = False
    """The hands were told to leave this tree alone."""
    scan_s: float = 0.0
    """How long the last scan took."""
    patience_s: float = 0.0
    overtaken: set[str] = field(default_factory=set)
    scans: int = 0
    scanned_at: float = -1.0
    next_scan_at: float = 0.0
    wanted_at: float = -1.0
    """When somebody asked for a scan last: one that began before does not do."""
    confirm_at: float | None = None
    watch: str = "starting"
    _settled_by: Snapshot | None = None
    """The last scan, if everything that is believed follows from it and `base` alone."""

    @property
    def ready(self) -> bool:
        """True if the tree was scanned and can be believed."""
        return self.condition is Condition.GOOD

    @property
    def resting(self) -> bool:
        """True if nothing of this tree is under way or waits to be confirmed, or it is stalled."""
        if self.condition is Condition.STALLED:
            return True
        return not self.busy and self.confirm_at is None and self.absence_is_whole

    @property
    def absence_is_whole(self) -> bool:
        """True if all that is gone is known: a scan began after the last file was missed.

        What is gone is judged as one set. A folder that is being removed, or of which some events
        were lost, must not be judged file by file.
        """
        return not self.absent and self.scanned_at >= self.gone_at

    def unlike_base(self) -> set[str]:
        """Return the paths of base that do not (surely) hold base's bytes."""
        return (self.differing & self.base.keys()) | self.absent.keys() | self.unseen

    def observed(self, path: str) -> Digest | Unknown | None:
        """Return what is at `path`; what is not certain counts as what base says."""
        here = self.files.get(path)
        if isinstance(here, Seen):
            return here.entry.digest
        if here is not None:
            return UNKNOWN
        agreed = self.base.get(path)
        return None if agreed is None or path in self.gone else agreed.digest

    def rebase(self, manifest: Manifest, paths: Iterable[str] | None = None) -> None:
        """Take a new base; only `paths` can have changed (None: all)."""
        before, self.base = self.base, manifest.tree(self.name)
        if self.base is not before:
            self._settled_by = None
        if paths is None:
            paths = self.base.keys() | self.files.keys() | self.differing
        for path in paths:
            self._recheck(path)
            if self.scans and path in self.base and not (path in self.files or path in self.gone):
                self._missed(path)

    def _missed(self, path: str) -> None:
        """A file was seen to go before base had it: that is half of the proof (see `take_scan`)."""
        if self.careful:
            # It may also be that this mount does not show the file yet.
            self.absent.setdefault(path, _BY_A_LOOK)
            self.confirm_at = self.scanned_at
        else:
            self.absent.setdefault(path, self.scanned_at)
            self.confirm_at = self.scanned_at + self.confirm_s
        self.next_scan_at = min(self.next_scan_at, self.confirm_at)

    def take_look(self, seen: Mapping[str, Seen | Unread | None], now: float) -> set[str]:
        """Take what a look saw; return the paths that it was overtaken on: look again."""
        if seen:
            self._settled_by = None
        again = self.overtaken & seen.keys()
        for path, what in seen.items():
            if path in again:
                continue
            if what is None:
                self._not_there(path, now)
            else:
                self._present(path, what, now)
            self._recheck(path)
        self.overtaken.clear()
        self.busy = False
        return again

    def take_same(self, snapshot: Snapshot, started: float) -> bool:
        """Take a scan that changes nothing, in one step; False if `take_scan` has to look at it.

        A scan that sees just what the last one saw returns that one's snapshot (see `Looking`).
        """
        if self._settled_by is not snapshot or not self.ready:
            return False
        self.busy, self.scanned_at = False, started
        self.scans += 1
        return True

    def take_scan(self, snapshot: Snapshot, started: float, now: float) -> set[str]:
        """Take what a scan saw; return the paths that it was overtaken on: look again."""
        self.busy, self._settled_by = False, None
        again = set(self.overtaken)
        self.overtaken.clear()
        self.condition, self.reason = snapshot.condition, snapshot.reason
        self.confirm_at = None
        if snapshot.condition is not Condition.GOOD:
            # Nothing is concluded from it: not presence, not absence, not difference.
            self.unlisted = self.blind = frozenset()
            self._doubt_absence()
            return set()
        kept = {path: self.files[path] for path in again if path in self.files}
        before = self.files
        self.files = {path: what for path, what in snapshot.files.items() if path not in again}
        self.files.update(kept)
        self.folders = snapshot.folders
        self.scans += 1
        self.scanned_at = started
        for path in [path for path in self.examined if path not in self.files]:
            del self.examined[path]
        self._judge_absence(snapshot, started, again)
        unlisted = snapshot.unlisted | self._taken_folders()
        self.blind, self.unlisted = self.unlisted & unlisted, unlisted
        for path in self.new_since.keys() - self.files.keys():
            del self.new_since[path]
        for path in self.files.keys() - before.keys():
            self.new_since.setdefault(path, now)
        self.differing.clear()
        for path in self.base.keys() | self.files.keys():
            self._recheck(path)
        if not (again or self.absent or self.unseen or self.unlisted):
            self._settled_by = snapshot
        return again

    def stall(self, reason: str) -> None:
        """Take that the file system does not answer: nothing is concluded until a scan returns."""
        self.condition, self.reason = Condition.STALLED, reason
        self.shunned = True
        self.confirm_at = None
        self._doubt_absence()
        self.unlisted = self.blind = frozenset()

    def committed(self, path: str, after: Entry | None) -> None:
        """Take what this node's own commit has put at `path`."""
        self._settled_by = None
        if self.busy:
            self.overtaken.add(path)
        if after is None:
            self.files.pop(path, None)
            self.examined.pop(path, None)
            self.gone.add(path)
        else:
            self.files[path] = Seen(after, 0)
            self.gone.discard(path)
            self.absent.pop(path, None)
        self.new_since.pop(path, None)

    def learn(self, path: str, examined: Examined) -> None:
        """Take the verdict on what is at `path`."""
        self.examined[path] = examined
        if examined.valid:
            self.invalid.discard(path)
        else:
            self.invalid.add(path)

    def refused(self) -> Iterable[tuple[str, Examined]]:
        """Return what is there as base says, and not valid."""
        for path in sorted(self.invalid & self.base.keys() - self.differing):
            known = self.examined.get(path)
            if known is not None and not known.valid:
                yield path, known

    def watched(self, how: str, *, marked: bool, poll_s: float) -> None:
        """Take how the tree is watched; `marked` if it lies on a share. `poll_s` is the least pause."""
        self.watch = how
        self.careful = marked or how.startswith(POLLED)
        pause = re.match(rf"{POLLED} ([0-9.]+) s\b", how)
        every_s = max(CAREFUL_S, poll_s, float(pause[1]) if pause else 0.0)
        self.confirm_s = every_s if self.careful else CONFIRM_S

    def heard_here(self, path: str, now: float, *, deleted: bool) -> None:
        """Take that this machine's own kernel told of `path`."""
        if deleted and path in self.base:
            self.removed_here[path] = now
        else:
            self.removed_here.pop(path, None)

    def vanished(self, paths: Iterable[str]) -> set[ArtifactPath]:
        """Return the folders of absent `paths` that are not there any more themselves."""
        folders = {path.rpartition("/")[0] for path in paths}
        return {
            ArtifactPath(self.name, folder)
            for folder in folders
            if folder and folder not in self.folders
        }

    def _not_there(self, path: str, now: float) -> None:
        """A look found no file, in a folder that could be listed."""
        self.files.pop(path, None)
        self.examined.pop(path, None)
        if path not in self.base or path in self.gone:
            self.absent.pop(path, None)
        elif self.careful and path not in self.removed_here:
            self.absent.setdefault(path, _BY_A_LOOK)
        else:
            self.gone.add(path)
            self.gone_at = now
            self.absent.pop(path, None)

    def _was_removed_here(self, path: str, started: float) -> bool:
        """Tell whether one scan is enough: not in the moment in which an editor swaps two files."""
        heard_at = self.removed_here.get(path)
        return self.careful and heard_at is not None and started - heard_at >= CONFIRM_S

    def _doubt_absence(self) -> None:
        """What was missed before the tree could not be believed has to be missed twice again."""
        if self.careful:
            self.absent.clear()

    def _present(self, path: str, what: Seen | Unread, now: float) -> None:
        if path not in self.files:
            self.new_since.setdefault(path, now)
        self.files[path] = what
        self.unseen.discard(path)
        self.gone.discard(path)
        self.absent.pop(path, None)
        self.removed_here.pop(path, None)

    def _judge_absence(self, snapshot: Snapshot, started: float, again: set[str]) -> None:
        """Confirm, begin or end the absence of each base path that the scan did not see."""
        # What is there again, or was dropped from base meanwhile, needs no second scan.
        for path in self.absent.keys() - (self.base.keys() - self.files.keys()):
            del self.absent[path]
        self.gone -= self.files.keys()
        self.gone &= self.base.keys()
        for path in self.removed_here.keys() - (self.base.keys() - self.files.keys()):
            del self.removed_here[path]
        self.unseen.clear()
        for path in self.base.keys() - self.files.keys() - self.gone - again:
            if not snapshot.tells_absence(path):
                self.absent.pop(path, None)
                self.unseen.add(path)
                continue
            since = self.absent[path] = min(self.absent.get(path, started), started)
            if started - since >= self.confirm_s or self._was_removed_here(path, started):
                self.gone.add(path)
                self.gone_at = started
                del self.absent[path]
        if self.absent:
            self.confirm_at = started + self.confirm_s

    def _taken_folders(self) -> set[str]:
        """Return the folders of base at whose name is what can't be read: not even what it is."""
        found = set()
        for path in self.unseen:
            folder = path.rpartition("/")[0]
            while folder and not isinstance(self.files.get(folder), Unread):
                folder = folder.rpartition("/")[0]
            if folder:
                found.add(folder)
        return found

    def _recheck(self, path: str) -> None:
        agreed, here = self.base.get(path), self.files.get(path)
        if agreed is not None and isinstance(here, Seen):
            same = here.entry is agreed or here.entry.digest == agreed.digest
        else:
            same = self.observed(path) == (agreed.digest if agreed else None)
        if same:
            self.differing.discard(path)
            self.new_since.pop(path, None)
        else:
            self.differing.add(path)
