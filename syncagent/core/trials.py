"""Trials: changes that a runtime has not proved yet, or that one refused. What workers wait for.

The manager's own runtime is the first to try a change. Until it has answered, the change is
withheld from the workers, with everything that changed in the same group: an API and its sequences
go together or not at all. A refusal anywhere withholds the group from whoever has not got it yet.
A trial ends when every runtime that there is has answered; until then it knows what was there
before, for a rollback.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from syncagent.core.artifact import ArtifactPath, TreeName
from syncagent.core.change import Change
from syncagent.core.digest import Digest
from syncagent.core.entry import Entry

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from syncagent.core.manifest import Manifest

NOTE = "trials"
"""The ledger's note that holds them: a manager that starts anew goes on where it was."""
UNPROVEN = ""
"""The name of all groups together that a dead canary has not proved."""


@dataclass(frozen=True, slots=True)
class Trial:
    """One changed path: `before` is the last version that was not refused, `after` what is tried.

    `group` names what it goes together with. `nacked_by` is the node whose runtime refused it,
    `reason` its words.
    """

    path: ArtifactPath
    group: str
    before: Entry | None
    after: Entry | None
    revision: int
    proven: bool = False
    nacked_by: str = ""
    reason: str = ""

    @property
    def change(self) -> Change:
        """The change that is on trial."""
        return Change(self.path, self.before, self.after)


Trials = dict[ArtifactPath, Trial]


def begun(
    trials: Mapping[ArtifactPath, Trial],
    changes: Iterable[Change],
    group_of: Mapping[ArtifactPath, str],
    revision: int,
) -> Trials:
    """Return the trials once `changes` are declared as `revision`; those without a group are none.

    What is tried again before it was proven goes back, if it must, to what was there before both.
    What is taken away untried is on trial until that is declared (see `current`): it may never be.
    """
    made = dict(trials)
    for change in changes:
        group = group_of.get(change.path)
        if group is None:
            continue
        earlier = made.pop(change.path, None)
        unproven = earlier is not None and (not earlier.proven or earlier.nacked_by)
        before = earlier.before if earlier is not None and unproven else change.before
        if before != change.after:
            made[change.path] = Trial(change.path, group, before, change.after, revision)
    return made


def withheld(trials: Mapping[ArtifactPath, Trial], *, nacks_stop: bool) -> frozenset[ArtifactPath]:
    """Return the paths on trial whose group is not proven, or (if `nacks_stop`) was refused."""
    stopped = {
        trial.group
        for trial in trials.values()
        if (trial.nacked_by and nacks_stop) or not (trial.proven or trial.nacked_by)
    }
    return frozenset(path for path, trial in trials.items() if trial.group in stopped)


def stopped_groups(
    trials: Mapping[ArtifactPath, Trial], *, stuck: bool = False
) -> dict[str, list[Trial]]:
    """Return the groups of which a runtime refused something, each with all its trials, sorted.

    If the canary is `stuck`, all others that it has not proved are one group more, named `UNPROVEN`:
    it can't any more, any of them may be what killed it, and a person decides on them once.
    """
    refused = {trial.group for trial in trials.values() if trial.nacked_by}
    unproven = {trial.group for trial in trials.values() if stuck and not trial.proven} - refused
    found: dict[str, list[Trial]] = {name: [] for name in sorted(refused)}
    if unproven:
        found[UNPROVEN] = []
    for _, trial in sorted(trials.items()) if found else ():
        if trial.group in refused:
            found[trial.group].append(trial)
        elif trial.group in unproven:
            found[UNPROVEN].append(trial)
    return found


def current(trials: Mapping[ArtifactPath, Trial], manifest: Manifest, number: int) -> Trials:
    """Return the trials of what `manifest` (of revision `number`) has, or a later one is to have.

    Another node may have led since they were noted, or what they were of was never declared.
    """
    return {
        path: trial
        for path, trial in trials.items()
        if trial.revision > number or manifest.get(path) == trial.after
    }


def proven(trial: Trial) -> Trial:
    """Return the trial as the canary has proved it, or let it pass."""
    return replace(trial, proven=True)


def ties(changes: Iterable[Change]) -> dict[ArtifactPath, ArtifactPath]:
    """Return, for each deletion that may be half of a rename, an addition in the same folder.

    >>> ties(())
    {}
    """
    changes = tuple(changes)
    new: dict[tuple[str, str], ArtifactPath] = {}
    for change in changes:
        if change.before is None and change.after is not None:
            new.setdefault(_folder(change.path), change.path)
    return {
        change.path: new[_folder(change.path)]
        for change in changes
        if change.after is None and _folder(change.path) in new
    }


def _folder(path: ArtifactPath) -> tuple[str, str]:
    return path.tree, path.path.rpartition("/")[0]


def to_note(trials: Mapping[ArtifactPath, Trial]) -> str:
    """Return the text of the ledger's note; empty if there are none."""
    rows = [
        [
            *trial.path,
            trial.group,
            trial.before,
            trial.after,
            trial.revision,
            trial.proven,
            trial.nacked_by,
            trial.reason,
        ]
        for _, trial in sorted(trials.items())
    ]
    return json.dumps(rows, separators=(",", ":")) if rows else ""


def from_note(text: str) -> Trials:
    """Return what `to_note` wrote down. Raises ValueError on any other text."""
    found: Trials = {}
    for tree, name, group, before, after, revision, done, by, reason in json.loads(text or "[]"):
        path = ArtifactPath(TreeName(tree), name)
        found[path] = Trial(path, group, _entry(before), _entry(after), revision, done, by, reason)
    return found


def _entry(row: list[object] | None) -> Entry | None:
    return Entry(Digest(str(row[0])), int(str(row[1]))) if row else None
