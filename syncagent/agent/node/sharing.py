"""Trees that are themselves a mount of all nodes: what is there is there for everybody.

Who leads watches the mount and declares what is on it, whoever wrote it. A worker stands on a
revision without a step: its trees have the files already, or will when its own kernel has heard of
them. It only reads what it does not see yet into its history, from the manager, and never writes.
Where its view differs from the revision it says so, and nothing else: the manager sees the same
mount, and what one node put right all runtimes would deploy again. So no node goes without an
artifact, and none has it first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from syncagent.agent.node.job import Why
from syncagent.core.artifact import ArtifactPath
from syncagent.core.intent import Step
from syncagent.core.verdict import Problem, Refused

if TYPE_CHECKING:
    from collections.abc import Sequence

    from syncagent.agent.node.job import Job
    from syncagent.agent.node.observing import Observing
    from syncagent.agent.node.state import State
    from syncagent.core.change import Change
    from syncagent.core.desk import JSON
    from syncagent.core.settings import Settings


TXIDS_AN_EPOCH = 1 << 24
"""So many transactions a manager may begin before it meets the numbers of the next."""
NOT_KEPT_IN_PLACE = (1, 2, 3)
"""The promises that can't be kept where others write what is live: README numbers them."""


def mode_fields(settings: Settings) -> dict[str, JSON]:
    """Return what a status says of the mode; its form, and the promises not kept, if it is shared."""
    if settings.mode != "shared":
        return {"mode": settings.mode}
    not_kept: list[JSON] = [*NOT_KEPT_IN_PLACE] if settings.in_place else []
    return {"mode": settings.mode, "form": str(settings.shared.form), "not_kept": not_kept}


def stands_only(state: State, job: Job) -> bool:
    """Tell whether a job leads to what lies in the trees already, so that it has no steps."""
    return state.in_place and job.why in {Why.OFFER, Why.CATCH_UP}


def txid_floor(state: State) -> int:
    """Return what a txid must be above: on one mount no two managers may use the same.

    What is staged and what is kept is named by it.
    """
    return state.guard.epoch * TXIDS_AN_EPOCH if state.in_place else 0


def read_only(state: State, observing: Observing, job: Job, changes: Sequence[Change]) -> None:
    """Give a job no steps, and what to read into the history of how this node's rows change.

    What is seen on the mount is read from there when the job is done.
    """
    job.steps = ()
    # Where a node joins nobody knows what its runtime has met of it: that is concluded.
    job.moves = tuple(changes) if state.standing.revision.number else ()
    job.reads = tuple(
        Step(change.path, None, change.after)
        for change in changes
        if change.after is not None
        and observing.observed(change.path) != change.after.digest
        and not state.has_blob(change.after.digest)
    )


def refused_anyway(observing: Observing) -> dict[ArtifactPath, Refused]:
    """Return what this node would not have taken, and what is live in spite of that.

    The manager took it: its runtime speaks another dialect of Synapse, or its agent is of another
    version.
    """
    found: dict[ArtifactPath, Refused] = {}
    for name, view in observing.views.items():
        for path, examined in view.refused():
            problem = examined.problems[0]
            reason = f"{problem.reason} (it is on the mount, and live all the same)"
            where = ArtifactPath(name, path)
            found[where] = Refused(where, Problem("refused-here", reason, problem.line))
    return found
