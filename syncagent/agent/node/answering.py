"""What people ask the node: the desk's verbs, at once, after a fetch, or when it has come true."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING

from syncagent.agent.effects import Fetch, Reply
from syncagent.agent.node import rows
from syncagent.agent.node.asking import Asking
from syncagent.agent.node.collecting import Collecting
from syncagent.agent.node.deciding import Deciding
from syncagent.agent.node.describing import Describing
from syncagent.agent.node.directing import Directing
from syncagent.agent.node.handing import Handing
from syncagent.agent.node.restoring import Restoring
from syncagent.agent.node.waiting import Waiting, Wish
from syncagent.core.errors import SettingsError, SyncagentError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from syncagent.agent.node.job import Job
    from syncagent.agent.node.parts import Parts
    from syncagent.agent.results import Asked, Fetched
    from syncagent.core.desk import JSON
    from syncagent.core.wire.messages import Answered, Ask


class Answering:
    """Answers requests. Every request gets exactly one reply."""

    def __init__(self, node: Parts) -> None:
        self._node = node
        self.asking = Asking(node)
        self.waiting = Waiting(node, self.asking)
        self.deciding = Deciding(node, self.asking)
        self.collecting = Collecting(node, self.asking)
        self.restoring = Restoring(node, self.asking, self.collecting)
        self.directing = Directing(node, self.asking)
        self.describing = Describing(node, self.asking)
        self.handing = Handing(node, self.asking)
        self._fetches: dict[int, Callable[[Fetched, float], None]] = {}
        self._verbs: dict[str, Callable[[Asked, float], None]] = {
            "status": self._say(node.reporting.status),
            "nodes": self._say(lambda now: node.reporting.status(now)["nodes"]),
            "artifacts": self._say(
                lambda _now: list(
                    rows.artifact_rows(node.state, node.observing, node.deploying.here)
                )
            ),
            "held": self._say(lambda now: node.reporting.status(now)["held"]),
            "refused": self._say(lambda _now: list(node.reporting.refused())),
            "progress": self._say(lambda _now: self._progress()),
            "strangers": self._say(lambda _now: self._strangers()),
            "describe": self.describing.describe,
            "quarantine": self._own_kept,
            "conflicts": self._own_kept,
            "kept": self._kept,
            "revisions": self._fetch("revisions", "limit"),
            "events": self._fetch("events", "after", "limit"),
            "diff": self._diff,
            "reconcile": self._reconcile,
            "wait": self._wait,
            "approve": self.deciding.approve,
            "reject": self.deciding.reject,
            "restore": self._restore,
            "redeploy": self.directing.direct,
            "undeploy": self.directing.direct,
            "adopt": self.restoring.adopt,
            "promote": self.handing.promote,
            "switchover": self.handing.switchover,
            "take-over": self.handing.take_over,
            "wake": self.handing.wake,
            "pause": node.pausing.pause,
            "resume": node.pausing.resume,
            "keys_trust": self._fetch("keys_trust", "name", "key"),
        }

    # --- in ---------------------------------------------------------------------------------

    def asked(self, asked: Asked, now: float) -> None:
        """Take a request; a mistake of the asker becomes an error reply."""
        verb = self._verbs.get(asked.verb)
        try:
            if verb is None:
                raise SettingsError(f"{asked.verb}: not in this version")
            verb(asked, now)
        except SyncagentError as error:
            self._node.state.do(Reply(asked.request, None, error))

    def asked_by_peer(self, link: int, message: Ask, now: float) -> None:
        """Take a person's command that came by way of the manager."""
        self.asking.asked(link, message, now, self.asked)

    def answered_by_peer(self, link: int, message: Answered, now: float) -> None:
        """Take a peer's answer."""
        self.asking.answered(link, message, now)

    def fetched(self, result: Fetched, now: float) -> None:
        """Take what a hand fetched."""
        then = self._fetches.pop(result.request, None)
        if then is not None:
            then(result, now)
        elif result.error is not None:
            self._node.state.do(Reply(result.request, None, result.error))
        else:
            self._node.state.do(Reply(result.request, result.value))

    def tick(self, now: float) -> None:
        """Answer what has come true."""
        self.deciding.tick(now)
        self.waiting.tick(now)
        self.collecting.tick(now)
        self.directing.tick(now)
        self.describing.tick(now)
        self.handing.tick(now)

    def next_at(self, now: float) -> float | None:
        """Return when `tick` has something to do: waiting requests are looked at often."""
        instants = (
            self.waiting.next_at(now),
            self.collecting.next_at(),
            self.deciding.next_at(),
            self.directing.next_at(),
            self.describing.next_at(),
            self.handing.next_at(now),
        )
        return min((at for at in instants if at is not None), default=None)

    def job_finished(self, job: Job, fault: str | None) -> None:
        """A job has ended: a request may have waited for it."""
        self.restoring.job_finished(job, fault)

    def link_down(self, link: int, now: float) -> None:
        """A connection is gone: no answer comes over it."""
        self.asking.link_down(link, now)

    def stepped_down(self, reason: str, now: float) -> None:
        """This node leads no more."""
        self.waiting.stepped_down(reason)
        self.handing.stepped_down(reason)

    # --- verbs ------------------------------------------------------------------------------

    def _say(self, what: Callable[[float], JSON]) -> Callable[[Asked, float], None]:
        def answer(asked: Asked, now: float) -> None:
            self._node.state.do(Reply(asked.request, what(now)))

        return answer

    def _fetch(self, what: str, *names: str) -> Callable[[Asked, float], None]:
        def answer(asked: Asked, _now: float) -> None:
            arguments = {name: asked.arguments.get(name) for name in names}
            self._node.state.do(Fetch(asked.request, what, json.dumps(arguments)))

        return answer

    def _diff(self, asked: Asked, now: float) -> None:
        """Compare own trees with the revision, a node with it, or two revisions."""
        first, second = asked.arguments.get("from"), asked.arguments.get("to")
        node = self._node
        if first is None and second is None:
            changes = rows.local_changes(node.state, node.observing, node.advancing.wanted)
            known: dict[str, JSON] = {
                "from": f"revision {node.state.standing.revision.number}",
                "to": node.state.me,
                "changes": list(changes),
            }
            node.state.do(Fetch(asked.request, "texts", json.dumps(known)))
            return
        name = str(first)
        if second is None and not name.isdigit():
            known = self.asking.node_changes(name)
            node.state.do(Fetch(asked.request, "texts", json.dumps(known)))
            return
        node.state.do(Fetch(asked.request, "diff", json.dumps({"from": first, "to": second})))

    def _reconcile(self, asked: Asked, now: float) -> None:
        dry_run = bool(asked.arguments.get("dry_run"))
        timeout_s = _seconds(asked.arguments, asked.timeout_s)
        self.waiting.reconcile(asked.request, now, dry_run=dry_run, timeout_s=timeout_s)

    def _wait(self, asked: Asked, now: float) -> None:
        revision = asked.arguments.get("revision")
        deployed, ready = (bool(asked.arguments.get(word)) for word in ("deployed", "ready"))
        wish = Wish(
            synced=bool(asked.arguments.get("synced")) or not (deployed or ready),
            deployed=deployed,
            ready=ready,
            revision=_number(revision) if revision is not None else None,
        )
        self.waiting.wait(
            asked.request, now, wish=wish, timeout_s=_seconds(asked.arguments, asked.timeout_s)
        )

    def _own_kept(self, asked: Asked, now: float) -> None:
        """Answer with what this node has kept."""

        def named(fetched: Fetched, _now: float) -> None:
            found = self.collecting.named(fetched) if fetched.error is None else None
            self._node.state.do(Reply(fetched.request, found, fetched.error))

        self._fetches[asked.request] = named
        self._node.state.do(self.collecting.own(asked.verb, asked))

    def _kept(self, asked: Asked, now: float) -> None:
        """Answer with what this node and its workers have kept."""
        what = self.collecting.list_of(asked)
        fetch = self.collecting.own(what, asked)
        self._fetches[asked.request] = partial(self.collecting.whole, what)
        self._node.state.do(fetch)

    def _restore(self, asked: Asked, now: float) -> None:
        fetch = self.restoring.begin(asked)
        if fetch is not None:
            what = str(asked.arguments.get("what", ""))
            self._fetches[asked.request] = partial(self.restoring.fetched, what)
            self._node.state.do(fetch)

    # --- lists ------------------------------------------------------------------------------

    def _strangers(self) -> list[JSON]:
        return [
            {
                "name": event.name,
                "key": event.key,
                "address": event.address,
                "reason": event.reason,
                "at": rows.when(at),
            }
            for event, at in self._node.reporting.strangers.values()
        ]

    def _progress(self) -> dict[str, JSON]:
        """Return how far the transfer of this node's job is, and in which phase each peer is."""
        node = self._node
        own = node.reporting.own_progress()
        found: list[JSON] = [own] if own is not None else []
        for peer in node.state.peers.values():
            found.extend(rows.listed({"rows": [peer.report.get("progress")]}, "rows"))
        return {"active": bool(found) or node.declaring.busy, "nodes": found}


def _number(value: object) -> int:
    """Return the revision that a request names. Raises SettingsError."""
    try:
        return int(str(value))
    except ValueError:
        raise SettingsError(f"no number of a revision: {value!r}") from None


def _seconds(arguments: Mapping[str, object], default_s: float) -> float:
    """Return `timeout_s` of a request, a little under what its door waits."""
    value = arguments.get("timeout_s")
    return float(value) if isinstance(value, int | float) else default_s
