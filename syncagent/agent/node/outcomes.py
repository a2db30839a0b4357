"""What is known of each artifact's deployment on this node: kept, counted, remembered. Pure.

An outcome is about the bytes of one digest at one path. It is dropped as soon as this node is to
hold other bytes there; of what has no outcome nothing is claimed (`Unknown`). What is `Pending`
waits beside its outcome: since when the bytes are there, until when the runtime may answer.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from enum import Enum, auto
from itertools import islice
from typing import TYPE_CHECKING

from syncagent.agent.effects import Remember
from syncagent.core.artifact import Kind, kind_of
from syncagent.core.exempt import Because
from syncagent.core.outcome import Deployment, Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from syncagent.agent.node.observing import Observing
    from syncagent.agent.node.state import State
    from syncagent.core.artifact import ArtifactPath, TreeName
    from syncagent.core.digest import Digest
    from syncagent.core.runtime import About


class Taking(Enum):
    """How a kind of runtime takes up a kind of artifact."""

    HOT = auto()
    """while it runs"""
    AT_START = auto()
    """when it starts; no deployer watches it"""
    NEVER = auto()


WHOLE_S = 1.5
"""By how much a time may lie where a file system or a log counts whole seconds."""
COARSE_S = 0.05
"""... and where it does not: a kernel's file times lag some milliseconds."""
LET_GO = "the runtime has let go of it, though its file is there"
"""Why something is Pending whose file was gone for a moment: what came back may be other bytes."""
STRAYED = "the runtime goes by other bytes than the revision's, which are there now"
"""Why nothing is claimed of a version that was deployed: "now" is when that was said."""
LOADING = "its tenant is being loaded"
"""Why something of a tenant is Pending that no commit waits for."""
PUT_BACK = "the runtime put its own version back"
MOVED_AWAY = "the runtime moved it away before it was a revision's"
"""Why a version is held back that is not known to have been refused: another may have been."""
_POLLS = frozenset({"synapse", "carbon"})
"""Kinds of runtime whose deployers watch folders by kind of artifact, each on its own."""
_NOT_IN_APACHE = frozenset({Kind.INBOUND_ENDPOINT, Kind.PLAN})


def taking(about: About, kind: Kind) -> Taking:
    """Return how the runtime takes up what is of `kind`; whatever is told by a program may be all.

    >>> from syncagent.core.runtime import About
    >>> [taking(About("synapse", "", answers=True), kind).name for kind in (Kind.API, Kind.ROOT)]
    ['HOT', 'AT_START']
    """
    if about.kind not in _POLLS:
        return Taking.HOT
    if kind is Kind.ROOT:
        return Taking.AT_START
    never = kind is Kind.FILE or (about.kind == "synapse" and kind in _NOT_IN_APACHE)
    return Taking.NEVER if never else Taking.HOT


_ORDER = (
    Deployment.REJECTED,
    Deployment.RESTART_REQUIRED,
    Deployment.UNKNOWN,
    Deployment.PENDING,
    Deployment.DORMANT,
    Deployment.DEPLOYED,
)
"""States from the one that needs a person most to the one that needs nobody."""


@dataclass(slots=True)
class Wait:
    """An answer that is waited for.

    `came` is the wall time from which a saying is about these bytes, `due` the instant at which the
    runtime had time enough; None while it can't answer.
    """

    came: float
    due: float | None = None
    there: float = 0.0
    """Wall time at which they were surely there: a commit begins to write long before its end."""
    updated: bool = False
    unclear_from: float | None = None
    """From this wall time to `came` a saying may be about these bytes or those before."""
    tries: int = 0
    """How often the file was to be touched for the runtime to look again."""
    shown: bool = False
    """Whether it was touched indeed: the disk may refuse, and other bytes may be there."""
    asked: bool = False
    missed: bool = False
    """Whether the runtime may take these bytes for some of its own, and not look at them."""
    others_from: float | None = None
    """Wall time from which other bytes were seen in their place: what is said then is of those."""
    lost: bool = False
    """The runtime has lost track of the file: if it does not take these bytes, it can't."""
    loading_since: float = 0.0
    """Wall time at which its tenant was heard to be loaded: it is loaded with it."""
    found: bool = False
    """Whether it was not this node that wrote them."""

    @property
    def loaded_by(self) -> float:
        """The wall time from which a runtime that starts has met these bytes, and no others."""
        return max(self.came, self.there)

    def is_older(self, at: float) -> bool:
        """Tell whether what was said at this wall time is no (clear) answer."""
        return at < self.came

    def is_unclear(self, at: float) -> bool:
        """Tell whether what was said at this wall time may have been the answer.

        Where a log counts whole seconds, what it says of the second in which the bytes came.
        """
        return not before(at, self.came if self.unclear_from is None else self.unclear_from)


def before(at: float, floor: float) -> bool:
    """Tell whether a saying is of before `floor`; its log may count whole seconds, or thousandths."""
    return at + (1.0 if at.is_integer() else 0.001) <= floor


def well_before(mtime: float, at: float) -> bool:
    """Tell whether a file was surely written before something was said."""
    whole = mtime.is_integer() or at.is_integer()
    return mtime + (WHOLE_S if whole else COARSE_S) < at


@dataclass(slots=True)
class Going:
    """A deletion that the runtime has not confirmed."""

    kind: Kind
    name: str
    came: float
    due: float | None


class Outcomes:
    """The outcomes of this node. `answered` is told of each one that waits for nothing more."""

    def __init__(self, state: State, observing: Observing) -> None:
        self.state = state
        self.observing = observing
        self._kinds = state.settings.tree_kinds
        self.known: dict[ArtifactPath, Outcome] = {}
        self.waits: dict[ArtifactPath, Wait] = {}
        self.going: dict[ArtifactPath, Going] = {}
        self.answered: Callable[[Outcome, float], None] = lambda _outcome, _now: None
        self._tally: Counter[Deployment] = Counter()
        self._unsaved: dict[ArtifactPath, Outcome | None] = {}

    # --- what is remembered -----------------------------------------------------------------

    def load(self) -> None:
        """Take what was remembered, as far as it is about what this node holds."""
        for outcome in self.state.outcomes:
            if not self.counts(outcome):
                self._unsaved[outcome.path] = None
                continue
            self.known[outcome.path] = outcome
            self._tally[outcome.state] += 1
            if outcome.state is Deployment.PENDING:
                # Whether it was there before is not known any more: an update is the heavier guess.
                since = self.state.wall() if outcome.reason == LOADING else 0.0
                wait = Wait(outcome.at, updated=True, loading_since=since)
                self.waits[outcome.path] = wait
        self._load_refused()

    def _load_refused(self) -> None:
        """Take what the ledger says was refused, where a power cut took the outcome itself.

        Not what is there still, or again: it may have been tried once more. When it was refused is
        lost too, so only a later start of the runtime is a reason to try it again.
        """
        at = self.state.wall()
        for path, exemption in self.state.exempt.items():
            known, wanted = self.known.get(path), exemption.wanted
            here = exemption.here.digest if exemption.here is not None else None
            refused = exemption.because is Because.REJECTED and here != wanted
            if not refused or exemption.detail in {PUT_BACK, MOVED_AWAY}:
                continue
            if wanted is not None and (known is None or known.state is not Deployment.REJECTED):
                made = known or Outcome(path, wanted, Deployment.UNKNOWN)
                made = replace(made, state=Deployment.REJECTED, reason=exemption.detail, at=at)
                self.put(replace(made, excerpt=""), 0.0)

    def save(self, mark: str | None = None) -> None:
        """Have remembered what has changed, and up to where the runtime was heard."""
        if not self._unsaved and mark is None:
            return
        kept = tuple(outcome for outcome in self._unsaved.values() if outcome is not None)
        gone = tuple(path for path, outcome in self._unsaved.items() if outcome is None)
        self._unsaved = {}
        self.state.do(Remember(kept, gone, mark))

    # --- what is so -------------------------------------------------------------------------

    def kind(self, path: ArtifactPath) -> Kind:
        """Return what is at `path`, by its place."""
        return kind_of(self._kinds[path.tree], path.path)

    def is_owed(self, path: ArtifactPath) -> bool:
        """Tell whether a word on what is known of `path` is waited for, since just that was put there."""
        return path in self.waits and self.known[path].reason != LET_GO

    def counts(self, outcome: Outcome) -> bool:
        """Tell whether an outcome is about what this node holds, or was to hold and could not."""
        exemption = self.state.exempt.get(outcome.path)
        if exemption is not None and exemption.because is Because.REJECTED:
            return outcome.digest == exemption.wanted
        entry = self.state.base.get(outcome.path)
        return entry is not None and entry.digest == outcome.digest

    def tally(self) -> Mapping[Deployment, int]:
        """Return how many artifacts are in each state; together they are all of this node's."""
        found = {state: self._tally[state] for state in Deployment}
        known = sum(found.values()) - found[Deployment.UNKNOWN]
        found[Deployment.UNKNOWN] = max(0, self.total() - known)
        return found

    def total(self) -> int:
        """Return how many artifacts this node has, with those that its runtime moved away."""
        base = self.state.base
        away = sum(
            1
            for path, exemption in self.state.exempt.items()
            if exemption.here is None and path in self.known and path not in base
        )
        return len(base) + away

    def not_deployed(self) -> list[Outcome]:
        """Return what is not Deployed, as far as anything is known of it, what is bad first."""
        found = [o for o in self.known.values() if o.state is not Deployment.DEPLOYED]
        return sorted(found, key=lambda outcome: (_ORDER.index(outcome.state), outcome.path))

    def unheard(self, at_most: int) -> list[tuple[ArtifactPath, Digest]]:
        """Return artifacts of which nothing was ever heard or concluded."""
        left = self.total() - len(self.known)
        if left <= 0 or at_most <= 0:
            return []
        found = ((p, e.digest) for p, e in self.state.base if p not in self.known)
        return list(islice(found, min(left, at_most)))

    def among(self, tree: TreeName, state: Deployment) -> list[Outcome]:
        """Return the outcomes of a tree that are in `state`."""
        return [o for o in self.known.values() if o.path.tree == tree and o.state is state]

    # --- what becomes so --------------------------------------------------------------------

    def put(self, outcome: Outcome, now: float, wait: Wait | None = None) -> None:
        """Take a new outcome; `wait` where it is Pending."""
        assert (outcome.state is Deployment.PENDING) == (wait is not None), "only Pending waits"
        path = outcome.path
        before = self.known.get(path)
        if before is not None:
            self._tally[before.state] -= 1
        self.known[path] = outcome
        self._tally[outcome.state] += 1
        if wait is not None:
            self.waits[path] = wait
        else:
            self.waits.pop(path, None)
        if before != outcome:
            self._unsaved[path] = outcome
            self.state.changed = True
        if wait is None:
            self.answered(outcome, now)

    def turn(self, path: ArtifactPath, now: float, state: Deployment, reason: str) -> None:
        """Conclude something of an artifact without a word of the runtime."""
        known = self.known[path]
        at = self.state.wall()
        self.put(replace(known, state=state, reason=reason, excerpt="", at=at), now)

    def owe(self, known: Outcome, since: float, reason: str, now: float) -> None:
        """Wait again for bytes that the runtime had taken, for what it says after `since`."""
        self.wait_again(known.path, Wait(since), reason, now)

    def wait_again(self, path: ArtifactPath, wait: Wait, reason: str, now: float) -> None:
        """Wait (again) for what the runtime says of the bytes that an outcome is about."""
        known = self.known[path]
        pending = replace(known, state=Deployment.PENDING, reason=reason, excerpt="", at=wait.came)
        self.put(pending, now, wait)

    def drop(self, path: ArtifactPath) -> None:
        """Forget what is known of `path`: other bytes are to be there, or none."""
        outcome = self.known.pop(path, None)
        self.waits.pop(path, None)
        if outcome is not None:
            self._tally[outcome.state] -= 1
            self._unsaved[path] = None
            self.state.changed = True

    def tend(self, paths: Iterable[ArtifactPath] | None = None) -> None:
        """Drop what is not about what this node holds (any more); None: of all paths."""
        for path in list(self.known if paths is None else paths):
            outcome = self.known.get(path)
            if outcome is not None and not self.counts(outcome):
                self.drop(path)
