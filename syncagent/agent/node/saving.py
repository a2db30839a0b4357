"""What the runtime saved itself: it holds it at once, and writes it into its file a moment later. Pure.

Whoever saves an artifact in Carbon's console or by its admin services, as a Publisher does, changes what
the runtime serves at once. Its log says that something of that name was added, updated or removed;
then a thread of its own writes the file, within seconds, and marks it, so that the deployer passes over
that change: it never says a word of it. The very same line stands beside the deployer's own, where
a file was deployed. So bytes are taken for what was saved only if all of this is so:

- it was said of this kind, name and tree, and no deployer has spoken of that artifact beside it or
  since;
- the file was written after it was said, within the time that the thread may take, and not by this
  node; that time is over, and no other version was seen there within it: somebody else may write
  before the thread does, and what is written after it is passed over too;
- it was not saved again after the file was written: then the file is about to be written anew.

What can't be told is who wrote, of two that did so between two looks at the file, a moment after it was
saved. The log of a tenant that is being loaded says the same of all that it has, so only those that are
known to be loaded count. What this node writes over a file that was saved a moment ago is passed over.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from syncagent.agent.node.outcomes import COARSE_S, WHOLE_S
from syncagent.core.outcome import Deployment
from syncagent.core.runtime import Heard, Saying
from syncagent.core.snapshot import Seen

if TYPE_CHECKING:
    from collections.abc import Callable

    from syncagent.agent.node.loading import Loading
    from syncagent.agent.node.outcomes import Outcomes
    from syncagent.core.artifact import ArtifactPath, Kind, TreeName
    from syncagent.core.digest import Digest

SAYINGS = frozenset({Saying.SAVED, Saying.DROPPED})
WRITTEN_S = 6.0
"""A file is written this soon after: Carbon's thread looks every 5 s for what there is to write."""
BESIDE_S = 1.0
"""A deployer's own word follows so soon, or never: it logs the two within milliseconds."""
SAVES_MAX = 2_000

_Key = tuple["TreeName", "Kind", str]


@dataclass(slots=True)
class _Save:
    """What was said last of an artifact's place in the configuration; `since` is an instant."""

    heard: Heard
    since: float
    versions: set[Digest] = field(default_factory=set)
    """What was seen in its file that may have been written since."""

    def may_be(self, seen: Seen) -> bool:
        """Tell whether a file was written when the runtime may have done it."""
        written, at = seen.mtime_ns / 1e9, self.heard.at
        # The file gets the time of a draft of it, which may count whole seconds.
        lag = WHOLE_S if written.is_integer() or at.is_integer() else COARSE_S
        return at - lag <= written <= at + WRITTEN_S


class Saving:
    """Tells what the runtime wrote because it holds it already. Instants are of this node's clock."""

    def __init__(
        self, outcomes: Outcomes, loading: Loading, name_of: Callable[[ArtifactPath], str]
    ) -> None:
        self._state = outcomes.state
        self._about = outcomes.state.runtime_about
        self._outcomes = outcomes
        self._loading = loading
        self._name_of = name_of
        self._saves: dict[_Key, _Save] = {}
        self._next_at: float | None = None

    def said(self, heard: Heard, now: float) -> None:
        """Take that an artifact is saved, or dropped."""
        if heard.tree is None or heard.kind is None or not self._loading.is_loaded(heard.tree):
            return
        if len(self._saves) >= SAVES_MAX:
            del self._saves[next(iter(self._saves))]
        key = (heard.tree, heard.kind, heard.name)
        self._saves.pop(key, None)
        self._saves[key] = _Save(heard, now)
        for path in self._outcomes.observing.index.named(*key):
            self.seen(path)  # its line may be read late
        self.look()

    def spoke(self, path: ArtifactPath, at: float) -> None:
        """A deployer has said something of `path`: it holds that now, and it was said beside it.

        Who has that name need not be known yet: all of its kind that was said beside it may be it.
        """
        own = self._key(path)
        for key, save in list(reversed(self._saves.items())):
            if save.heard.at < at - BESIDE_S:
                break
            if key[:2] == own[:2] and save.heard.at <= at + BESIDE_S:
                del self._saves[key]
        known = self._saves.get(own)
        if known is not None and known.heard.at <= at:
            del self._saves[own]

    def seen(self, path: ArtifactPath) -> None:
        """The file at `path` was looked at."""
        save = self._saves.get(self._key(path)) if self._saves else None
        there = self._outcomes.observing.views[path.tree].files.get(path.path)
        if save is not None and isinstance(there, Seen) and save.may_be(there):
            save.versions.add(there.entry.digest)

    def look(self) -> None:
        """Something waits that may have been saved, or dropped: see to it at the next tick."""
        if self._saves:
            self._next_at = float("-inf")

    def passes_over(self, path: ArtifactPath, came: float) -> bool:
        """Tell whether the runtime may take bytes that came at a wall time for its own write."""
        save = self._saves.get(self._key(path))
        until = WRITTEN_S + self._about.scan_s
        return save is not None and save.heard.at <= came <= save.heard.at + until

    def next_at(self) -> float | None:
        """Return when `tick` has something to do."""
        return self._next_at

    def tick(self, now: float) -> None:
        """Conclude what the runtime holds, and has let go of."""
        if self._next_at is None or now < self._next_at:
            return
        self._next_at = None
        for path in list(self._outcomes.waits):
            self._saved(path, now)
        for path, gone in list(self._outcomes.going.items()):
            save = self._saves.get((path.tree, gone.kind, gone.name))
            if save is None or save.heard.saying is not Saying.DROPPED:
                continue
            alone = self._is_over(save.since + BESIDE_S, now)
            if gone.came - WRITTEN_S <= save.heard.at and alone:
                del self._outcomes.going[path]
                self._state.changed = True

    def _saved(self, path: ArtifactPath, now: float) -> None:
        """Conclude that the runtime holds what is at `path`, if it does."""
        save, wait = self._saves.get(self._key(path)), self._outcomes.waits[path]
        if save is None or save.heard.saying is not Saying.SAVED or wait.tries or not wait.found:
            return
        over = now + max(0.0, save.heard.at + WRITTEN_S - self._state.wall())
        if not self._is_over(max(over, save.since + BESIDE_S), now):
            return
        there = self._outcomes.observing.views[path.tree].files.get(path.path)
        known = self._outcomes.known[path]
        if not isinstance(there, Seen) or not save.may_be(there):
            return
        if there.entry.digest == known.digest and save.versions == {known.digest}:
            excerpt, at = save.heard.excerpt, max(save.heard.at, there.mtime_ns / 1e9)
            taken = replace(known, state=Deployment.DEPLOYED, reason="", excerpt=excerpt, at=at)
            self._outcomes.put(taken, now)

    def _is_over(self, until: float, now: float) -> bool:
        """Tell whether an instant is reached; if not, have it seen to then."""
        if now < until:
            self._next_at = until if self._next_at is None else min(self._next_at, until)
        return now >= until

    def _key(self, path: ArtifactPath) -> _Key:
        return path.tree, self._outcomes.kind(path), self._name_of(path)
