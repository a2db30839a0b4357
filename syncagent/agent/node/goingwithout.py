"""What a node goes without when it refuses one artifact of a revision: that, and what hangs on it.

Another node took it: its runtime speaks another dialect of Synapse, or its agent is of another
version. The rest of the revision is no worse for it. But who uses what is refused would meet its
version before or nothing; and what belongs to the same group as the version that stays (an API's own
sequences) stays with it. Many at once are no artifacts' fault: then nothing of the revision is taken.

What it refuses may be its own: bytes that it has held since before it joined, or before its validation
was as strict. Nobody puts those back once they are gone; what is there instead stays there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from syncagent.agent.node import leftout
from syncagent.agent.node.job import Why
from syncagent.core.artifact import kind_of
from syncagent.core.exempt import Because, Exemption, Exemptions
from syncagent.core.groups import groups
from syncagent.core.snapshot import Seen
from syncagent.core.verdict import Problem, Refused

if TYPE_CHECKING:
    from collections.abc import Iterable

    from syncagent.agent.node.job import Job
    from syncagent.agent.node.observing import Observing
    from syncagent.agent.node.state import State
    from syncagent.core.artifact import ArtifactPath
    from syncagent.core.manifest import Manifest

LEFT_MAX = 20
"""Who refuses more than this of one revision does not understand it."""


def leave(job: Job, refused: Iterable[Refused], state: State, observing: Observing) -> bool:
    """Note in the job what validation refused of it; return whether it may go on without that."""
    rows = {row.path: row.problem for row in refused}
    many = len(job.left.keys() | rows.keys()) > LEFT_MAX
    if job.whole or many or job.why not in {Why.OFFER, Why.REPAIR}:
        return False
    withheld = state.withheld if job.withheld is None else job.withheld
    for step in job.steps:
        if step.path in rows and step.after == state.base.get(step.path):
            seen = observing.views[step.path.tree].files.get(step.path.path)
            job.instead[step.path] = seen.entry if isinstance(seen, Seen) else None
            if step.path in state.exempt:
                job.lift |= {step.path}
            elif step.path in withheld:
                del rows[step.path]  # the revision's version was not even tried
                job.forced |= {step.path}
    job.left.update(rows)
    job.leaving = True
    return True


def leave_the_rest(job: Job, state: State, observing: Observing) -> None:
    """Add what hangs on what the job leaves out, now that all of it is known; tell all of that."""
    job.leaving = False
    moves = {step.path: step.after is None for step in job.steps if step.path not in job.left}
    for path in _beside(job, observing):
        if path in moves:
            del moves[path]
            job.left[path] = Problem("waits", "it goes with what is refused here")
    fresh = [Refused(path, problem) for path, problem in job.left.items()]
    while fresh:
        without = leftout.names(fresh, job, observing)
        fresh = leftout.waiting_for(without, moves.items(), job, observing)
        for row in fresh:
            del moves[row.path]
            job.left[row.path] = row.problem
    for path, problem in sorted(job.left.items()):
        job.examined.pop(path, None)
        state.event("refused", path=str(path), reason=problem.reason)


def _beside(job: Job, observing: Observing) -> set[ArtifactPath]:
    """Return what is in one group with a version that stays."""
    trees = {path.tree for path in job.left}
    known = {
        path: (kind_of(observing.views[tree].kind, path.path), facts)
        for tree in trees
        for path, facts in observing.facts(tree)
    }
    by_path = groups(known)
    stopped = {by_path[path] for path in job.left if path in by_path}
    return {path for path, group in by_path.items() if group in stopped} - job.left.keys()


def exemptions(job: Job, rows: Manifest, held: Manifest) -> Exemptions:
    """Return where this node stays as it is, though `rows` say otherwise, once the job is done."""
    return {
        path: Exemption(path, Because.REFUSED, entry.digest if entry else None, here, 0.0, why)
        for path, why in ((path, problem.reason) for path, problem in job.left.items())
        if (entry := rows.get(path)) != (here := job.instead.get(path, held.get(path)))
    }


def left_out(state: State) -> list[Refused]:
    """Return what this node goes without of the revision on which it stands."""
    return [
        Refused(path, Problem("refused-here", f"not taken here: {exemption.detail}"))
        for path, exemption in sorted(state.exempt.items())
        if exemption.because is Because.REFUSED
    ]
