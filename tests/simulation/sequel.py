"""The order within a commit: whatever an instant shows, nobody calls what is not there.

Between two steps of a commit a runtime may look at the trees. What an API calls must then be there,
if it is there at the end, or if the API itself goes: what is used comes before what uses it, what
uses goes before what is used, and a rename leaves no gap.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.simulation.artifacts import SYNAPSE
from tests.simulation.world import Violation

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.simulation.machine import Machine

_NAME = re.compile(rb'^<sequence [^>]*name="([^"]+)"')
_CALL = re.compile(rb'<sequence key="([^"]+)"')


@dataclass(frozen=True)
class Moment:
    """What the trees show at an instant: names of sequences, and what each API calls."""

    defines: frozenset[tuple[str, bytes]]
    """Path of a sequence, and its name."""
    calls: frozenset[tuple[str, bytes, bytes]]
    """Path and bytes of an API, and the name of a sequence that it calls."""

    @property
    def names(self) -> set[bytes]:
        """The names that can be called."""
        return {name for _, name in self.defines}


class Sequel:
    """Looks at the trees between the steps of commits. Raises Violation."""

    def __init__(self) -> None:
        self._moments: dict[str, list[Moment]] = {}

    def at(self, machine: Machine, point: str) -> None:
        """A commit has come to a point."""
        name = machine.name
        if point == "intent-durable":
            self._moments[name] = []
        elif point.startswith("step ") and name in self._moments:
            self._moments[name].append(_moment(machine))
        elif point == "stepped" and name in self._moments:
            moments = self._moments.pop(name)
            _judge(name, [*moments, _moment(machine)])

    def spoilt(self, machine: Machine) -> None:
        """Somebody else writes during the commit."""
        self._moments.pop(machine.name, None)


def _moment(machine: Machine) -> Moment:
    rows: Mapping[str, tuple[bytes, int]] = machine.disk.trees[SYNAPSE]
    defines, calls = set(), set()
    for path, (content, _) in rows.items():
        if path.startswith("sequences/"):
            defines.update((path, name) for name in _NAME.findall(content))
        elif path.startswith("api/"):
            calls.update((path, content, called) for called in _CALL.findall(content))
    return Moment(frozenset(defines), frozenset(calls))


def _judge(name: str, moments: list[Moment]) -> None:
    first, last = moments[0], moments[-1]
    at_first, at_last = first.names, last.names
    stay = {path for path, _ in last.defines}
    # A file that comes to hold another sequence takes the former away when its own turn comes.
    overwritten = {n for path, n in first.defines - last.defines if path in stay}
    for moment in moments:
        names = moment.names | overwritten
        for call in moment.calls:
            path, _, called = call
            was, stays = call in first.calls, call in last.calls
            lacking = was and called not in at_first
            needed = stays and called in at_last and not lacking
            leaves = was and not stays and not lacking
            if (needed or leaves) and called not in names:
                raise Violation(
                    "order",
                    f"{name} {path} calls {called.decode()}, which is not there for a moment",
                )
