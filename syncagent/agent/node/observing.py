"""Looking at the trees: when, and what is believed afterwards.

Events only mark dirty (`core.settle`); a scan every `safety_scan_s` is the truth behind them. A tree
that can't be believed is scanned more often until it can, and shows a hold meanwhile.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from syncagent.agent.effects import Look, Scan, StartWatch
from syncagent.agent.node.roots import Roots
from syncagent.agent.node.settled import Settled
from syncagent.agent.node.stalling import Stalling
from syncagent.agent.node.treeholds import hold_tree
from syncagent.agent.node.treeview import TreeView
from syncagent.core.artifact import ArtifactPath, kind_of
from syncagent.core.crosscheck import Index
from syncagent.core.events import Hinted, HintKind, WatchTrouble
from syncagent.core.settle import Settling
from syncagent.core.snapshot import NO_FOLDER, Condition, Seen

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from syncagent.agent.node.state import State
    from syncagent.agent.results import Looked, Scanned, Watching
    from syncagent.core.artifact import Kind, TreeName
    from syncagent.core.digest import Digest
    from syncagent.core.events import WatchFault
    from syncagent.core.manifest import Manifest
    from syncagent.core.plan import Unknown
    from syncagent.core.verdict import Examined, Facts

BAD_TREE_SCAN_S = 5.0
"""How often a tree is looked at that can't be believed: it resumes by itself."""
REWATCH_S = 5.0
ASK_S = 3.0
"""How often to ask, at least, whether a polled tree still answers: with `STALL_S` 13 s until it shows."""
TOLD = "inotify"
"""How a watch calls itself that needs no asking."""


class Observing:
    """The node's eyes. Times are instants of this node's clock."""

    def __init__(self, state: State) -> None:
        self._state = state
        limits = state.settings.limits
        self._settling = Settling(
            written_s=limits.settle_written_s,
            created_s=limits.settle_created_s,
            cap_s=limits.settle_cap_s,
        )
        self.views = {tree.name: TreeView(tree.name, tree.kind) for tree in state.settings.trees}
        self.index = Index(Settled(self.views))
        self.doubts: Collection[ArtifactPath] = frozenset()
        """Where a difference may turn out to be the runtime's own (`restores`): it waits a moment."""
        self._stalling = Stalling(state)
        self._rewatch: dict[TreeName, float] = {}
        self._roots = Roots(state)
        base = state.base
        for view in self.views.values():
            self._watched(view, view.watch)
            view.rebase(base)

    # --- what arrives -----------------------------------------------------------------------

    def start(self) -> None:
        """Ask for watches and first scans; trust the roots that the ledger knows."""
        for name in self.views:
            self._roots.trust(name)
            self._state.do(StartWatch(name))

    def settings_changed(self, now: float) -> None:
        """Wait by the quiet times of the settings as they are now."""
        limits = self._state.settings.limits
        self._settling.retune(
            written_s=limits.settle_written_s,
            created_s=limits.settle_created_s,
            cap_s=limits.settle_cap_s,
        )
        for view in self.views.values():
            view.next_scan_at = min(view.next_scan_at, now + limits.safety_scan_s)

    def hinted(self, event: Hinted, now: float) -> None:
        """Take a hint."""
        view = self.views.get(event.tree)
        if view is not None:
            self._settling.hint(event, now)
            if event.seen_here:
                view.heard_here(event.path, now, deleted=event.kind is HintKind.DELETED)

    def faulted(self, event: WatchFault, now: float) -> None:
        """Take a watcher's fault: scan, and watch again where it can't see any more."""
        if event.tree not in self.views:
            return
        self._settling.fault(event.tree, now)
        self._state.event(
            "watch-fault", tree=event.tree, trouble=event.trouble, detail=event.detail
        )
        if event.trouble not in {WatchTrouble.OVERFLOW, WatchTrouble.WATCH_FAILED}:
            self.views[event.tree].watch = f"lost ({event.trouble})"
            self._rewatch[event.tree] = now + 1.0

    def watching(self, result: Watching, now: float) -> None:
        """Take how a tree is watched; one that is not is tried again and polled by scans."""
        view = self.views[result.tree]
        self._watched(view, result.how if not result.fault else f"scans only ({result.fault})")
        if result.fault:
            self._rewatch[result.tree] = now + REWATCH_S
        self._state.changed = True

    def looked(self, result: Looked, now: float) -> None:
        """Take what a look saw."""
        view = self.views[result.tree]
        if self._stalling.came_late(view, now):
            return
        differing = len(view.differing)
        again = view.take_look(result.seen, now)
        self._state.changed |= len(view.differing) != differing
        for path in result.seen:
            if path not in again:
                self._learn(view, path, result.examined.get(path))
        if any(
            not isinstance(what, Seen) and what is not None and what.problem.code == NO_FOLDER
            for what in result.seen.values()
        ):
            self.want_scan(result.tree, now)
        if not view.absence_is_whole:
            self.want_scan(result.tree, now)
        self._look_again(result.tree, again, now)

    def scanned(self, result: Scanned, now: float) -> None:
        """Take what a scan saw."""
        view = self.views[result.tree]
        if self._stalling.came_late(view, now):
            return
        self._stalling.answered(view, now)
        known = result.examined.items() <= view.examined.items()
        if known and view.take_same(result.snapshot, result.started):
            view.next_scan_at = now + self._state.settings.limits.safety_scan_s
        else:
            self._take_scan(view, result, now)
        if result.started < view.wanted_at:
            # It was asked for while this one was under way, which may have passed what changed.
            view.next_scan_at = min(view.next_scan_at, now)

    def _take_scan(self, view: TreeView, result: Scanned, now: float) -> None:
        before = (view.condition, view.reason)
        known, differing = set(view.files), len(view.differing)
        again = view.take_scan(result.snapshot, result.started, now)
        self._state.changed |= len(view.differing) != differing
        if (view.condition, view.reason) != before:
            self._state.event(
                "tree", tree=view.name, condition=view.condition or "", why=view.reason
            )
        hold_tree(self._state, view)
        limits = self._state.settings.limits
        whole = view.ready and not view.unlisted
        every = limits.safety_scan_s if whole else BAD_TREE_SCAN_S
        view.next_scan_at = view.confirm_at or now + every
        if view.ready and not view.absence_is_whole:
            view.next_scan_at = view.confirm_at or now
        if not view.ready:
            return
        if before[0] not in {None, Condition.GOOD}:
            # What is watched may be what lay there meanwhile: an empty mount point, say.
            self._rewatch[view.name] = now
        for path in known - view.files.keys():
            self.index.forget(ArtifactPath(view.name, path))
        for path, examined in result.examined.items():
            fresh = path in view.files and path not in again
            if fresh and view.examined.get(path) is not examined:
                self._learn(view, path, examined)
        self._look_again(result.tree, again, now)
        self._roots.learn(view.name, result)

    def committed(
        self, paths: Iterable[tuple[ArtifactPath, Examined | None]], base: Manifest
    ) -> None:
        """Take what this node's own commit has done; `base` is what the node stands on now."""
        by_tree: dict[TreeName, list[str]] = {}
        for path, examined in paths:
            view = self.views[path.tree]
            by_tree.setdefault(path.tree, []).append(path.path)
            entry = base.get(path)
            view.committed(path.path, entry)
            self._learn(view, path.path, examined if entry else None)
        for name, view in self.views.items():
            view.rebase(base, by_tree.get(name, ()))

    def rebase(self, base: Manifest, paths: Iterable[ArtifactPath] | None) -> None:
        """Take a new base that needed no commit here; only `paths` can have changed (None: all)."""
        by_tree: dict[TreeName, list[str]] = {}
        for path in paths or ():
            by_tree.setdefault(path.tree, []).append(path.path)
        for name, view in self.views.items():
            view.rebase(base, None if paths is None else by_tree.get(name, ()))

    # --- what is due ------------------------------------------------------------------------

    def tick(self, now: float) -> None:
        """Ask for the looks, scans and watches that are due."""
        self._stalling.awake(self.views.values(), now)
        for view in self.views.values():
            if self._stalling.notice(view, now):
                hold_tree(self._state, view)
        for name, at in list(self._rewatch.items()):
            if now >= at and not self.views[name].late:
                del self._rewatch[name]
                self._state.do(StartWatch(name))
        self._look_where_it_settled(now)
        for view in self.views.values():
            if not view.busy and now >= view.next_scan_at:
                self._begin(view, Scan(view.name), now)
            elif now >= self._ask_at(view):
                self._begin(view, Look(view.name, ()), now)

    def _look_where_it_settled(self, now: float) -> None:
        due = self._settling.due(now)
        for name in due.scans:
            self.views[name].next_scan_at = min(self.views[name].next_scan_at, now)
        for name, paths in due.paths.items():
            self.look_at(name, paths, now)

    def look_at(self, name: TreeName, paths: tuple[str, ...], now: float) -> None:
        """Look at paths now; as soon as it can be, while the tree is being looked at."""
        view = self.views[name]
        if view.condition is Condition.STALLED:
            return  # a scan of everything comes first
        if view.busy or not view.ready:
            self._look_again(name, paths, now)
        else:
            self._begin(view, Look(name, paths), now)

    def _begin(self, view: TreeView, look: Look | Scan, now: float) -> None:
        self._stalling.began(view, now, asking=isinstance(look, Look) and not look.paths)
        self._state.do(look)

    def next_at(self, now: float) -> float:
        """Return when `tick` has something to do next."""
        views = self.views.values()
        instants = [min(v.next_scan_at, self._ask_at(v)) for v in views if not v.busy]
        instants.extend(at for view in views if (at := self._stalling.due(view)))
        instants.extend(at for name, at in self._rewatch.items() if not self.views[name].late)
        settling = self._settling.next_at()
        if settling is not None:
            # A tree that is being looked at can't be looked at yet: its result wakes the loop.
            busy = any(view.busy and not view.late for view in views)
            instants.append(max(settling, now + 0.05) if busy else settling)
        return min(instants, default=now + 60.0)

    def _ask_at(self, view: TreeView) -> float:
        """Return when to ask whether the tree is there: a walk that hangs posts no hint.

        A kernel that reports its own changes needs no asking; what others serve may stop to answer.
        """
        if view.busy or not view.ready or view.watch.startswith(TOLD):
            return float("inf")
        return view.started + min(self._state.settings.limits.poll_s, ASK_S)

    def silent(self, name: TreeName, reason: str) -> None:
        """Take that a tree did not answer before this node began."""
        view = self.views[name]
        view.stall(reason)
        hold_tree(self._state, view)

    def want_scan(self, name: TreeName, now: float) -> None:
        """Have a tree scanned as soon as it is not being looked at."""
        view = self.views[name]
        view.next_scan_at = view.wanted_at = now

    def want_scans(self, now: float) -> None:
        """Have all trees scanned."""
        for name in self.views:
            self.want_scan(name, now)

    # --- what is believed -------------------------------------------------------------------

    def absence_is_whole(self, name: TreeName) -> bool:
        """Tell whether all that is gone from a tree is known, and none of it the runtime's maybe."""
        view = self.views[name]
        if not view.absence_is_whole:
            return False
        return not any(p.tree == name and p.path not in view.files for p in self.doubts)

    @property
    def ready(self) -> bool:
        """True if every tree was scanned and can be believed."""
        return all(view.ready for view in self.views.values())

    @property
    def hangs(self) -> bool:
        """True if a look hangs: whoever goes through all trees would hang with it."""
        return any(view.late for view in self.views.values())

    @property
    def begun(self) -> bool:
        """True if it is known of every tree whether it can be believed."""
        return all(view.condition is not None for view in self.views.values())

    def unready(self, trees: Iterable[TreeName]) -> tuple[TreeName, ...]:
        """Return those of the trees of this node that can't be believed (yet), in their order."""
        asked = set(trees)
        return tuple(name for name, view in self.views.items() if name in asked and not view.ready)

    @property
    def quiet(self) -> bool:
        """True if nothing is being looked at, settling, in doubt, or waiting to be confirmed."""
        return self._settling.next_at() is None and all(
            view.resting and not self._doubted(view) for view in self.views.values()
        )

    def scans_begun(self, since: float) -> bool:
        """Tell whether every tree has been scanned by a scan that began at or after `since`."""
        return all(
            view.condition is not None and (not view.ready or view.scanned_at >= since)
            for view in self.views.values()
        )

    def observed(self, path: ArtifactPath) -> Digest | Unknown | None:
        """Return what is at `path`."""
        return self.views[path.tree].observed(path.path)

    def examined(self, path: ArtifactPath) -> Examined | None:
        """Return the verdict on what is at `path`, None if it has none (yet)."""
        return self.views[path.tree].examined.get(path.path)

    def hinted_at(self, path: ArtifactPath) -> float | None:
        """Return since when something is known to have happened at `path` that nobody looked at."""
        return self._settling.hinted_at(path.tree, path.path)

    def facts(self, name: TreeName) -> Iterable[tuple[ArtifactPath, Facts]]:
        """Return what the artifacts of a tree declare, as far as they were read."""
        view = self.views[name]
        return ((ArtifactPath(name, path), known.facts) for path, known in view.examined.items())

    def differing(self) -> tuple[ArtifactPath, ...]:
        """Return the paths where observed differs from base, sorted; not what is in doubt."""
        return tuple(
            where
            for name, view in sorted(self.views.items())
            if view.ready
            for path in sorted(view.differing)
            if (where := ArtifactPath(name, path)) not in self.doubts
        )

    def _doubted(self, view: TreeView) -> bool:
        return any(ArtifactPath(view.name, path) in self.doubts for path in view.differing)

    def artifacts(self, trees: Iterable[TreeName]) -> dict[ArtifactPath, tuple[Kind, Facts]]:
        """Return all that is known of what is in some trees."""
        return {
            ArtifactPath(view.name, path): (kind_of(view.kind, path), examined.facts)
            for view in (self.views[name] for name in trees)
            for path, examined in view.examined.items()
        }

    # --- details ----------------------------------------------------------------------------

    def _learn(self, view: TreeView, path: str, examined: Examined | None) -> None:
        """Remember a verdict; without one, forget what was known if the file is gone."""
        where = ArtifactPath(view.name, path)
        if examined is not None:
            view.learn(path, examined)
            if examined.valid:
                self.index.take(where, self._kind(where), examined.facts)
                return
        if path not in view.files or (examined is not None and path not in view.base):
            # A refused artifact's last good version stays in the manifest, with its names.
            self.index.forget(where)

    def _watched(self, view: TreeView, how: str) -> None:
        settings = self._state.settings
        marked = any(tree.mark for tree in settings.trees if tree.name == view.name)
        view.watched(how, marked=marked, poll_s=settings.limits.poll_s)

    def _kind(self, path: ArtifactPath) -> Kind:
        return kind_of(self.views[path.tree].kind, path.path)

    def _look_again(self, name: TreeName, paths: Iterable[str], now: float) -> None:
        for path in paths:
            self._settling.hint(Hinted(name, path, HintKind.WRITTEN), now)

    def accept_root(self, name: TreeName, now: float) -> None:
        """A person's word: whatever folder is found next is the tree."""
        self._roots.accept(name, now)
        self._state.alarm(f"tree {name}", None)
        self.want_scan(name, now)
