"""What only a person decides: approve, reject, restore."""

from __future__ import annotations

from typing import TYPE_CHECKING

from syncagent.agent import rows
from syncagent.agent.declaring import DECLARED_HOLDS
from syncagent.agent.effects import Reply
from syncagent.agent.job import Job, Why
from syncagent.core.artifact import ArtifactPath, TreeName
from syncagent.core.change import Change
from syncagent.core.digest import parse_digest
from syncagent.core.errors import BusyError, RefusedError
from syncagent.core.manifest import Entry
from syncagent.core.revision import Revision, RevisionId
from syncagent.core.safety import HoldReason

if TYPE_CHECKING:
    from syncagent.agent.asking import Asking
    from syncagent.agent.parts import Parts
    from syncagent.agent.results import Asked, Fetched
    from syncagent.core.safety import Hold


class Deciding:
    """Carries out a person's decision, here or on the worker that it concerns."""

    def __init__(self, node: Parts, asking: Asking) -> None:
        self._node = node
        self._asking = asking
        self._jobs: dict[int, tuple[int, ArtifactPath, Entry]] = {}

    # --- holds ------------------------------------------------------------------------------

    def approve(self, asked: Asked, now: float) -> None:
        """Release exactly the set that was shown. Raises RefusedError if there is none."""
        hold = self._hold(asked)
        if hold is None:
            return
        if not hold.approvable:
            raise RefusedError(f"{hold.id} can't be approved: {hold.text}")
        state = self._node.state
        del state.holds[hold.id]
        state.event("approved", id=hold.id, reason=hold.reason)
        if hold.reason is HoldReason.ROOT_REPLACED:
            self._node.observing.accept_root(hold.tree, now)
        else:
            state.approve(hold.set_digest)
            self._node.advancing.reconsider(now)
        self._reply(asked, hold)

    def reject(self, asked: Asked, now: float) -> None:
        """Say no: deletions that wait are undone by putting the files back."""
        hold = self._hold(asked)
        if hold is None:
            return
        if hold.reason not in DECLARED_HOLDS or not self._node.state.leads:
            raise RefusedError(
                f"{hold.id} can only be approved or left: {hold.text}",
                hint="To keep a node out, take it from the peers of the settings.",
            )
        self.may_write()
        state = self._node.state
        del state.holds[hold.id]
        state.event("rejected", id=hold.id, reason=hold.reason)
        job = Job(
            self._node.advancing.next_txid(),
            Why.REPAIR,
            state.standing.revision,
            parent=state.standing.revision,
            changes=(),
            target=state.standing.manifest,
            only=frozenset(hold.paths),
        )
        self._node.advancing.begin(job, now)
        self._reply(asked, hold)

    def _hold(self, asked: Asked) -> Hold | None:
        """Return the hold if it is this node's; pass the request on if it is a worker's."""
        name = str(asked.arguments.get("id", ""))
        hold = self._node.state.holds.get(name)
        if hold is not None:
            return hold
        peer = self._asking.holder(name) if self._node.state.leads else None
        if peer is None:
            self._refuse_elsewhere(name)
            known = ", ".join(sorted(self._node.state.holds)) or "nothing is held"
            raise RefusedError(f"no hold {name!r}", hint=f"syncagent get held ({known})")
        self._asking.ask(peer, asked)
        return None

    def _refuse_elsewhere(self, name: str) -> None:
        """Raise BusyError if the hold is another node's, as the manager's view knows."""
        state = self._node.state
        if state.leads or state.manager_link is None:
            return
        holder = state.guard.highest.holder if state.guard.highest else "the manager"
        for row in rows.listed(state.view, "held"):
            if row.get("id") == name and row.get("node") != state.me:
                where = {str(row.get("node")), holder}
                raise BusyError(
                    f"{name} is held on {row.get('node')}, not on {state.me}",
                    hint=f"decide it on {' or '.join(sorted(where))}",
                )

    def _reply(self, asked: Asked, hold: Hold) -> None:
        result = {"id": hold.id, "released": len(hold.paths), "nodes": [hold.node]}
        self._node.state.do(Reply(asked.request, result))

    # --- restore ----------------------------------------------------------------------------

    def may_write(self) -> None:
        """Raise BusyError unless this node may change its trees by a revision of its own."""
        node = self._node
        if not node.state.leads:
            holder = node.state.guard.highest
            where = f"on {holder.holder}" if holder else "on the manager"
            raise BusyError(f"{node.state.me} is not the manager", hint=f"Do it {where}.")
        if node.advancing.job is not None or node.declaring.busy:
            raise BusyError("a revision is on its way", hint="Try again in a moment.")

    def restore(self, fetched: Fetched, now: float) -> None:
        """Make fetched bytes (they are in the history now) a revision of their own."""
        state = self._node.state
        if fetched.error is not None or not isinstance(fetched.value, dict):
            state.do(Reply(fetched.request, None, fetched.error))
            return
        row = fetched.value
        path = ArtifactPath(TreeName(str(row["tree"])), str(row["path"]))
        entry = Entry(parse_digest(str(row["digest"])), int(row["size"]))
        before = state.standing.manifest.get(path)
        try:
            self.may_write()
            if path.tree not in self._node.observing.views:
                raise RefusedError(f"this node does not list the tree {path.tree}")  # noqa: TRY301
        except (BusyError, RefusedError) as error:
            state.do(Reply(fetched.request, None, error))
            return
        if before == entry and self._node.observing.observed(path) == entry.digest:
            self._done(fetched.request, path, entry)
            return
        job = self._job(path, before, entry, str(row.get("id", "")))
        self._jobs[job.txid] = (fetched.request, path, entry)
        self._node.advancing.begin(job, now)

    def _job(self, path: ArtifactPath, before: Entry | None, entry: Entry, what: str) -> Job:
        node = self._node
        standing, token = node.state.standing, node.state.token
        txid = node.advancing.next_txid()
        if before == entry:
            return Job(
                txid,
                Why.REPAIR,
                standing.revision,
                parent=standing.revision,
                changes=(),
                target=standing.manifest,
                only=frozenset({path}),
            )
        assert token is not None, "only a manager restores"
        changes = (Change(path, before, entry),)
        target = standing.manifest.after(changes)
        own = RevisionId(token.epoch, standing.revision.number + 1, target.digest)
        record = Revision(own, standing.revision, changes, node.state.me, f"restore {what or path}")
        return Job(
            txid,
            Why.OWN,
            own,
            parent=standing.revision,
            token=token,
            changes=changes,
            target=target,
            record=record,
        )

    def job_finished(self, job: Job, fault: str | None) -> None:
        """A job has ended: answer who asked for it."""
        request, path, entry = self._jobs.pop(job.txid, (0, None, None))
        if path is None or entry is None:
            return
        if fault is None:
            self._done(request, path, entry)
        else:
            self._node.state.do(Reply(request, None, RefusedError(f"{path}: {fault}")))

    def _done(self, request: int, path: ArtifactPath, entry: Entry) -> None:
        number = self._node.state.standing.revision.number
        result = {"tree": path.tree, "path": path.path, "digest": entry.digest, "revision": number}
        self._node.state.do(Reply(request, result))
