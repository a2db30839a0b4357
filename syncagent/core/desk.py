"""Where questions to the running agent are asked: the words between the doors and the loop.

A door (the control socket, HTTP over TCP) hands a *verb* with arguments to the desk and waits;
the agent's loop answers. Everything that crosses is JSON, so that a door need know no more than
this module. The verbs and what each answers:

    status     {}                       {apiVersion, cluster, mode, manager, epoch, revision, digest,
                                         state, nodes: [node], held: [entry], alarms: [text],
                                         leader, paused}
    nodes      {}                       [node]
    artifacts  {}                       [{tree, path, kind, name, digest, state, reason?}]
    revisions  {limit}                  [{number, epoch, digest, author, note, at, added, updated,
                                         deleted}]; at and the counts are null where this node
                                         caught up, and the note says from where
    held, refused, quarantine, conflicts {}   [entry]
    kept       {what}                   {entries: [entry], missing: [{node, reason}]}: what all nodes
                                         that this one leads have kept, `what` as in the line above
    describe   {artifact}               {tree, path, kind, name, digest, size, revision,
                                         nodes: [{node, digest, state, reason, excerpt?, at?}],
                                         references,
                                         group: {head, members: [{path, kind, name}]}?, problems,
                                         events}
    diff       {from?, to?}             {from, to, changes: [change]}
    reconcile  {dry_run, timeout_s}     {revision, changes: [change], nodes: [{name, state, reason}],
                                         held: [entry]}
    progress   {}                       {active, nodes: [{name, phase, files_done, files_total,
                                         bytes_done, bytes_total}]}
    wait       {synced, deployed, ready, revision?, timeout_s}     {revision, state, rejected:
                                         [{node, tree, path, reason}]?, warnings: [text]?}
    approve, reject {id}                {id, released, nodes: [name]}
    restore    {what}                   {tree, path, digest, revision}
    redeploy   {artifact, node?}        {tree, path, kind, name, nodes: [{node, done, reason}]}
    undeploy   {artifact, node?, for_s} {tree, path, kind, name, until, nodes: as in redeploy}
    promote    {force, timeout_s?}      {epoch, manager}
    switchover {node?, timeout_s?}      {epoch, manager}: who leads now
    pause      {for_s?, by}             {since, by, until, left_s}; until and left_s are null where
                                         only a person ends it
    resume     {}                       {resumed}: whether there was anything to end
    keys_trust {name, key?}             {name, fingerprint}
    strangers  {}                       [{name, key, address, at, reason}]
    events     {after, limit}           [{id, at, what, fields: {word: value}}]

    node    {name, role, state, revision, lag_s, artifacts, deployed, pending, rejected, unknown,
             restart_required, dormant, refused, watch, seen_s, reason, runtime, undeployed,
             waits_for_canary?, eligible, unfit, ready, priority}; what nobody knows is null; unfit
             is why it can't lead, ready whether its runtime is, or there is none to be asked
    leader  {holder, epoch, backend, automatic, renewed_s, lease_s, unavailable_s, fault, why}: the
             lease; renewed_s: how old its last renewal is, unavailable_s: for how long its store has
             not answered, fault: what came instead, why: why nobody leads, empty if somebody does
    paused  what `pause` answers; null while nothing is paused
    runtime {kind, label, phase, detail, answers, scan_s, pause_s}: the one beside that node's
             agent; null where none answers
    undeployed  [{tree, path, kind, name, until, left_s}]: what a person took away from that node
    entry   {id, tree, path, reason, at, node?}; of what a runtime refused also cause, what it said,
             and refused_by, whose runtime that is
    change  {tree, path, kind, change: add | update | delete, before, after, text?: [diff line]}

Every `at` is RFC 3339 text in UTC; lengths end in `_s` and are seconds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

JSON: TypeAlias = "bool | int | float | str | Sequence[JSON] | Mapping[str, JSON] | None"
"""What JSON can say."""

API_VERSION = "syncagent/v1"
"""Carried as `apiVersion` by every object on stdout."""

VERBS = frozenset(
    {
        "status",
        "nodes",
        "artifacts",
        "revisions",
        "held",
        "refused",
        "quarantine",
        "conflicts",
        "kept",
        "describe",
        "diff",
        "reconcile",
        "progress",
        "wait",
        "approve",
        "reject",
        "restore",
        "redeploy",
        "undeploy",
        "promote",
        "switchover",
        "pause",
        "resume",
        "keys_trust",
        "strangers",
        "events",
    }
)
"""Everything that can be asked."""

DECISIONS = frozenset(
    {
        "approve",
        "reject",
        "restore",
        "redeploy",
        "undeploy",
        "promote",
        "switchover",
        "pause",
        "resume",
        "keys_trust",
    }
)
"""Verbs that a door never asks twice: the first may have been heard."""

SLOW_VERBS = frozenset({"reconcile", "wait", "promote", "switchover"})
"""Verbs that are answered when something has happened, not at once."""


class Desk(Protocol):
    """Takes a question to the agent's loop and waits for the answer. Called from any thread."""

    def ask(self, verb: str, arguments: Mapping[str, JSON], timeout_s: float) -> JSON:
        """Return the answer to one of `VERBS`.

        Raises a SyncagentError: what the loop raised, or DeadlineError after `timeout_s` seconds.
        """
