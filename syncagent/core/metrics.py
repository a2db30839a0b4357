"""A node's state as numbers, in the text format that Prometheus reads (version 0.0.4).

Names are a contract. A number that nobody knows is left out, never shown as zero.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from syncagent.core import health

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from syncagent.core.desk import JSON
    from syncagent.core.health import Pulse
    from syncagent.core.lease import Leadership

STATES = (
    "Synced",
    "OutOfSync",
    "Syncing",
    "Held",
    "Paused",
    "Offline",
    "Degraded",
    "Unknown",
)
_ARTIFACTS = ("deployed", "pending", "rejected", "unknown", "restart_required", "dormant")

Sample: TypeAlias = "tuple[Mapping[str, str], float]"


def exposition(pulse: Pulse | None, belief: Leadership | None, status: JSON, now: float) -> str:
    """Return what is known of this node and, as far as it knows them, of the others."""
    lines: list[str] = []
    for name, about, samples in _own(pulse, belief, now):
        lines += _metric(name, about, samples)
    for name, about, samples in _cluster(status):
        lines += _metric(name, about, samples)
    return "\n".join(lines) + "\n"


def _own(
    pulse: Pulse | None, belief: Leadership | None, now: float
) -> Iterator[tuple[str, str, Iterable[Sample]]]:
    findings = {
        "alive": health.alive(pulse, now),
        "ready": health.ready(pulse, now),
        "manager": health.manager(pulse, belief, now),
        "worker": health.worker(pulse, now),
    }
    about = {
        "alive": "1 while the agent's loop turns.",
        "ready": "1 while the gate of /readyz is open.",
        "manager": "1 while this node is the manager and its runtime is ready.",
        "worker": "1 while this node serves as a worker.",
    }
    for name, finding in findings.items():
        yield f"syncagent_{name}", about[name], [({}, float(finding.good))]
    if pulse is not None:
        age = max(0.0, now - pulse.at)
        yield "syncagent_turn_age_seconds", "How long ago the loop turned.", [({}, age)]


def _cluster(status: JSON) -> Iterator[tuple[str, str, Iterable[Sample]]]:
    if not isinstance(status, dict):
        return
    for key, about in (
        ("epoch", "The highest epoch that was admitted here."),
        ("revision", "The newest revision that this node knows."),
    ):
        yield f"syncagent_{key}", about, list(_numbers([({}, status.get(key))]))
    for key, about in (
        ("held", "Changes that wait for a person."),
        ("alarms", "Things that are wrong."),
    ):
        listed = status.get(key)
        if isinstance(listed, list):
            yield f"syncagent_{key}", about, [({}, float(len(listed)))]
    yield (
        "syncagent_paused",
        "1 while a person has paused it.",
        [({}, float(bool(status.get("paused"))))],
    )
    yield from _lease(status.get("leader"))
    listed = status.get("nodes")
    rows = [row for row in listed if isinstance(row, dict)] if isinstance(listed, list) else []
    yield from _nodes([({"node": str(row.get("name"))}, row) for row in rows])


def _lease(leader: JSON) -> Iterator[tuple[str, str, Iterable[Sample]]]:
    """Yield what is known of the lease; nothing where a person promotes."""
    if not isinstance(leader, dict):
        return
    for key, about in (
        ("renewed", "How long ago the manager's lease was renewed."),
        ("lease", "How long a lease lasts."),
        ("unavailable", "For how long the lease store has not answered."),
    ):
        samples = list(_numbers([({}, leader.get(f"{key}_s"))]))
        yield f"syncagent_leader_{key}_seconds", about, samples


def _nodes(
    rows: list[tuple[dict[str, str], dict[str, JSON]]],
) -> Iterator[tuple[str, str, Iterable[Sample]]]:
    yield (
        "syncagent_node_state",
        "1 for the state that each node is in.",
        [
            ({**node, "state": state}, float(row.get("state") == state))
            for node, row in rows
            for state in STATES
        ],
    )
    yield (
        "syncagent_node_manager",
        "1 for the node that leads.",
        [(node, float(row.get("role") == "manager")) for node, row in rows],
    )
    for key, name, about in (
        ("revision", "revision", "The revision on which each node stands."),
        ("lag_s", "lag_seconds", "For how long it has not stood on the newest one."),
        ("seen_s", "seen_seconds", "How long ago it was heard of."),
        ("artifacts", "artifacts", "How many artifacts it has."),
        ("refused", "refused", "How many artifacts it refuses as invalid."),
    ):
        yield f"syncagent_node_{name}", about, list(_numbers((n, row.get(key)) for n, row in rows))
    yield (
        "syncagent_node_deployment",
        "How many artifacts its runtime has in each state.",
        list(
            _numbers(
                ({**node, "state": word}, row.get(word))
                for node, row in rows
                for word in _ARTIFACTS
            )
        ),
    )


def _numbers(found: Iterable[tuple[Mapping[str, str], JSON]]) -> Iterator[Sample]:
    for labels, value in found:
        if isinstance(value, int | float):
            yield labels, float(value)


def _metric(name: str, about: str, samples: Iterable[Sample]) -> Iterator[str]:
    """Yield the lines of one metric, all gauges; none where there is no sample."""
    known = list(samples)
    if not known:
        return
    yield f"# HELP {name} {about}"
    yield f"# TYPE {name} gauge"
    for labels, value in known:
        inside = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels.items())
        number = int(value) if value.is_integer() else value
        yield f"{name}{{{inside}}} {number}" if inside else f"{name} {number}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
