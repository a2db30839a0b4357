"""Bytes that were kept come back, whichever node has them: the manager makes a revision of them.

A person asks on any node. The node that has the bytes puts them into its history; a manager makes
its next revision of them, a worker has its manager do so (`adopt`), under any `writers` setting:
it is a person's wish, not drift. What the manager has by now wins, as over any proposal.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING

from syncagent.agent.effects import Fetch, Reply
from syncagent.agent.node.deciding import idle
from syncagent.agent.node.job import Job, Why
from syncagent.agent.node.rows import not_restored
from syncagent.core.artifact import ArtifactPath, TreeName, path_fault
from syncagent.core.change import Change
from syncagent.core.digest import parse_digest
from syncagent.core.errors import BusyError, RefusedError, SyncagentError, UnreachableError
from syncagent.core.manifest import Entry
from syncagent.core.revision import Revision, RevisionId
from syncagent.core.wire.packing import RAW_BYTES_MAX

if TYPE_CHECKING:
    from collections.abc import Mapping

    from syncagent.agent.node.asking import Answer, Asking
    from syncagent.agent.node.collecting import Collected, Collecting
    from syncagent.agent.node.parts import Parts
    from syncagent.agent.node.peer import Peer
    from syncagent.agent.results import Asked, Fetched
    from syncagent.core.desk import JSON

_NOTE_MAX = 200
_ID = re.compile(r"[a-z][0-9a-f]*(-[0-9a-f]+)?")
"""What the quarantine calls its entries; `gw-2:ID` is no path then, whatever trees there are."""


class Restoring:
    """Takes wishes to restore, from people and from workers."""

    def __init__(self, node: Parts, asking: Asking, collecting: Collecting) -> None:
        self._node = node
        self._asking = asking
        self._collecting = collecting
        self._jobs: dict[int, tuple[int, ArtifactPath, Entry]] = {}

    # --- where the bytes are ----------------------------------------------------------------

    def begin(self, asked: Asked) -> Fetch | None:
        """Return what brings the bytes here; None if another node was asked for them.

        Raises UnreachableError, and BusyError while this node can't make a revision.
        """
        state = self._node.state
        what = str(asked.arguments.get("what", ""))
        name, colon, rest = what.partition(":")
        if colon and _ID.fullmatch(rest):
            peer = next((peer for peer in state.peers.values() if peer.name == name), None)
            if peer is not None and state.leads:
                self._asking.ask(peer, replace(asked, arguments={"what": rest}))
                return None
            what = rest if name == state.me else what
        if state.leads:
            idle(self._node)
        elif state.manager_link is None:
            raise UnreachableError(
                "no manager is connected, and only a manager makes revisions",
                hint="syncagent status says why; try again when one leads",
            )
        return Fetch(asked.request, "kept", json.dumps({"what": what}))

    def fetched(self, what: str, fetched: Fetched, now: float) -> None:
        """Take the bytes' place and digest; where there are none, a worker may have them."""
        error = fetched.error
        if error is not None or not isinstance(fetched.value, dict):
            lost = isinstance(error, RefusedError) and self._node.state.leads
            if lost and self._asking.peer_behind(fetched.request) is None:
                self._search(what, fetched, now)
            else:
                self._node.state.do(Reply(fetched.request, None, error))
            return
        try:
            self._restore(fetched.request, fetched.value, now)
        except SyncagentError as refusal:
            self._node.state.do(Reply(fetched.request, None, refusal))

    def _search(self, what: str, fetched: Fetched, now: float) -> None:
        """Find the worker that kept it, and have it restore it."""

        def then(found: Collected, _now: float) -> None:
            try:
                peer, kept_id = self._holder(what, found, fetched.error)
                self._asking.inquire(peer.link or 0, "restore", {"what": kept_id}, reply)
            except SyncagentError as error:
                self._node.state.do(Reply(fetched.request, None, error))

        def reply(answer: Answer, _now: float) -> None:
            self._node.state.do(Reply(fetched.request, answer.result, answer.error))

        self._collecting.workers("quarantine", now, then)

    def _holder(self, what: str, found: Collected, error: Exception | None) -> tuple[Peer, str]:
        """Return the one worker that kept `what`, and its newest id of it. Raises RefusedError."""
        names: dict[str, str] = {}
        for row in found.rows:
            node, path = str(row["node"]), str(row["path"])
            own = str(row["id"]).removeprefix(f"{node}:")
            if what in {own, path, f"{row['tree']}:{path}"}:
                names.setdefault(node, own)
        if not names:
            silent = "".join(f"; {name}: {why}" for name, why in sorted(found.missing.items()))
            raise RefusedError(
                str(error or f"nothing is kept under {what!r}"),
                hint=f"syncagent get quarantine lists what was kept{silent}",
            )
        if len(names) > 1:
            whole = " or ".join(f"{node}:{own}" for node, own in sorted(names.items()))
            raise RefusedError(
                f"{what!r} was kept by {len(names)} nodes: {', '.join(sorted(names))}",
                hint=f"syncagent restore {whole}",
            )
        ((name, own),) = names.items()
        peer = next((peer for peer in self._node.state.peers.values() if peer.name == name), None)
        if peer is None or peer.link is None:
            raise UnreachableError(f"{name} is not connected any more", hint="syncagent status")
        return peer, own

    # --- what is made of them ---------------------------------------------------------------

    def _restore(self, request: int, row: Mapping[str, object], now: float) -> None:
        """Make fetched bytes (they are in the history now) live, by whom that may be done."""
        node = self._node
        path = ArtifactPath(TreeName(str(row["tree"])), str(row["path"]))
        entry = Entry(parse_digest(str(row["digest"])), int(str(row["size"])))
        before = node.state.standing.manifest.get(path)
        if path.tree not in node.observing.views:
            raise RefusedError(
                f"{node.state.me} does not list the tree {path.tree} any more",
                hint="syncagent restore on a node that does, or list it in the settings",
            )
        if before != entry and not node.state.leads:
            self._hand_over(request, path, before, entry, str(row.get("id", "")))
            return
        if before == entry and node.observing.observed(path) == entry.digest:
            node.state.do(Reply(request, self._result(path, entry)))
            return
        if not node.state.keeps:
            holder = node.state.guard.highest
            raise BusyError(
                f"{node.state.me} is not the manager, which alone writes on a mount of all nodes",
                hint=f"on {holder.holder if holder else 'the manager'}: syncagent restore {path}",
            )
        idle(node)
        if before == entry:
            job = self._repair(path)
        else:
            job = self._own(Change(path, before, entry), str(row.get("id", "")))
        self._jobs[job.txid] = (request, path, entry)
        node.advancing.begin(job, now)

    def _repair(self, path: ArtifactPath) -> Job:
        """Return the job that puts the revision's own bytes back."""
        standing = self._node.state.standing
        return Job(
            self._node.advancing.next_txid(),
            Why.REPAIR,
            standing.revision,
            parent=standing.revision,
            changes=(),
            target=standing.manifest,
            only=frozenset({path}),
        )

    def _own(self, change: Change, what: str) -> Job:
        """Return the job that makes the manager's next revision."""
        node = self._node
        standing, token = node.state.standing, node.state.token
        assert token is not None, "only a manager makes revisions"
        target = standing.manifest.after((change,))
        own = RevisionId(token.epoch, standing.revision.number + 1, target.digest)
        note = f"restore {what or change.path}"
        return Job(
            node.advancing.next_txid(),
            Why.OWN,
            own,
            parent=standing.revision,
            token=token,
            changes=(change,),
            target=target,
            record=Revision(own, standing.revision, (change,), node.state.me, note),
        )

    def job_finished(self, job: Job, fault: str | None) -> None:
        """A job has ended: answer who asked for it."""
        request, path, entry = self._jobs.pop(job.txid, (0, None, None))
        if path is None or entry is None:
            return
        if fault is None:
            self._node.state.do(Reply(request, self._result(path, entry)))
        else:
            self._node.state.do(Reply(request, None, not_restored(path, fault)))

    def _result(self, path: ArtifactPath, entry: Entry) -> dict[str, JSON]:
        number = self._node.state.standing.revision.number
        return {"tree": path.tree, "path": path.path, "digest": entry.digest, "revision": number}

    # --- from a worker to its manager -------------------------------------------------------

    def _hand_over(
        self, request: int, path: ArtifactPath, before: Entry | None, entry: Entry, what: str
    ) -> None:
        """Ask the manager to make a revision of bytes that this worker has in its history."""
        link = self._node.state.manager_link
        if link is None:
            raise UnreachableError("the manager is gone", hint="syncagent status, then try again")
        wish = {
            "tree": path.tree,
            "path": path.path,
            "before": [before.digest, before.size] if before is not None else None,
            "after": [entry.digest, entry.size],
            "what": what,
        }

        def reply(answer: Answer, _now: float) -> None:
            self._node.state.do(Reply(request, answer.result, answer.error))

        self._asking.inquire(link, "adopt", wish, reply)

    def adopt(self, asked: Asked, now: float) -> None:
        """As the manager: make the next revision of a worker's kept bytes. Raises RefusedError."""
        node = self._node
        who = self._asking.peer_behind(asked.request)
        if who is None:
            raise RefusedError("adopt is what a worker asks", hint="syncagent restore ID")
        wish = asked.arguments
        tree, path = TreeName(str(wish.get("tree"))), str(wish.get("path"))
        fault = path_fault(path)
        after = _entry(wish.get("after"))
        if fault is not None or after is None:
            raise RefusedError(f"{tree}:{path}: {fault or 'no bytes are named'}")
        if tree not in node.state.settings.tree_names:
            raise RefusedError(
                f"{node.state.me}, the manager, does not list the tree {tree}",
                hint="list it in the manager's settings",
            )
        if not node.state.settings.apply:
            raise RefusedError(
                f"{node.state.me}, the manager, only observes (apply = false)",
                hint="set node.apply = true in its settings",
            )
        change = Change(ArtifactPath(tree, path), _entry(wish.get("before")), after)
        note = f"restore {str(wish.get('what') or path)[:_NOTE_MAX]}"
        node.proposing.adopt(asked.request, who, change, note, now)


def _entry(value: object) -> Entry | None:
    """Return what a peer says of bytes. Raises RefusedError."""
    if value is None:
        return None
    if isinstance(value, list) and len(value) == 2 and isinstance(value[1], int):  # noqa: PLR2004
        try:
            digest = parse_digest(str(value[0]))
        except ValueError as error:
            raise RefusedError(f"no digest: {value[0]!r}") from error
        if 0 <= value[1] <= RAW_BYTES_MAX:
            return Entry(digest, value[1])
    raise RefusedError(f"no digest and size: {value!r}")
