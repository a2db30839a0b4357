"""`pause` and `resume`: a cluster in which nothing moves until a person, or the time, ends that.

The manager declares and sends nothing, workers propose and put back nothing; what is under way is
finished. Every node keeps the newest word in its ledger, so that it outlasts restarts and changes
of manager: words are counted under the epoch of the manager that took them, since one that was deposed
without knowing it may have taken some too. Managers tell theirs with the view of the cluster and
workers with their reports, and who hears a newer one takes it over. A pause ends on each node by its
own clock; lengths, not instants, travel.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from syncagent.agent.effects import Reply
from syncagent.agent.node.rows import when
from syncagent.core.errors import BusyError, SettingsError
from syncagent.core.ledger import StandingChange

if TYPE_CHECKING:
    from collections.abc import Callable

    from syncagent.agent.node.state import State
    from syncagent.agent.results import Asked
    from syncagent.core.desk import JSON

NOTE = "pause"
FOR_MAX_S = 30 * 86_400.0
"""How long a pause with an end may last: one that is meant for longer has none."""
AGO_MAX_S = 3_650 * 86_400.0
"""Another node's word is taken for no older: what lies outside of every calendar can't be shown."""
WHO_CHARS_MAX = 80


@dataclass(frozen=True, slots=True)
class Word:
    """The newest that is known: the cluster pauses, or it does not (any more). Wall time."""

    number: int = 0
    on: bool = False
    by: str = ""
    since: float = 0.0
    until: float | None = None
    epoch: int = 0

    @property
    def order(self) -> tuple[int, int]:
        """What rises from word to word."""
        return self.epoch, self.number

    def holds(self, now: float) -> bool:
        """Tell whether the cluster pauses at wall time `now`."""
        return self.on and (self.until is None or now < self.until)

    @property
    def text(self) -> str:
        """Say it for people."""
        end = f"until {when(self.until)}" if self.until is not None else "until it is resumed"
        return f"paused since {when(self.since)} {end} by {self.by}"


class Pausing:
    """Keeps the newest word. `resumed` is called when this node may go on."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._word = read_word(state.standing.notes.get(NOTE, ""))
        self.resumed: Callable[[float], None] = lambda _now: None
        self._show()

    # --- a person's word --------------------------------------------------------------------

    def pause(self, asked: Asked, _now: float) -> None:
        """Pause the cluster. Raises BusyError on a worker, SettingsError for an odd length."""
        self._must_lead("pause")
        value = asked.arguments.get("for_s")
        fits = isinstance(value, int | float) and not isinstance(value, bool)
        if value is not None and not (fits and 0 < float(str(value)) <= FOR_MAX_S):
            raise SettingsError(
                f"a pause can't last {value!r} s", hint=f"up to {FOR_MAX_S / 86_400:.0f} days"
            )
        wall = self._state.wall()
        until = None if value is None else round(wall + float(str(value)), 1)
        by = str(asked.arguments.get("by") or "somebody")[:WHO_CHARS_MAX]
        self._take(self._next(Word(on=True, by=by, since=wall, until=until)))
        self._state.do(Reply(asked.request, self.row()))

    def resume(self, asked: Asked, now: float) -> None:
        """End a pause; quiet if there is none. Raises BusyError on a worker."""
        self._must_lead("resume")
        was = self._state.paused
        if was:
            self._take(self._next(Word(since=self._state.wall())))
            self.resumed(now)
        self._state.do(Reply(asked.request, {"resumed": bool(was)}))

    def _next(self, word: Word) -> Word:
        """Return a word of this manager's, as the newest of all."""
        token = self._state.token
        assert token is not None, "only a manager says anything"
        return replace(word, number=self._word.number + 1, epoch=token.epoch)

    def _must_lead(self, verb: str) -> None:
        state = self._state
        if not state.leads:
            holder = state.guard.highest.holder if state.guard.highest else "the manager"
            raise BusyError(
                f"{state.me} is not the manager, and only the manager can {verb} the cluster",
                hint=f"on {holder}: syncagent {verb}",
            )

    # --- what travels -----------------------------------------------------------------------

    def told(self) -> dict[str, JSON]:
        """Return what other nodes are told."""
        word, wall = self._word, self._state.wall()
        left = None if word.until is None else max(0.0, round(word.until - wall, 1))
        ago = max(0.0, round(wall - word.since, 1))
        told: dict[str, JSON] = {"number": word.number, "epoch": word.epoch, "on": word.on}
        return told | {"by": word.by, "ago_s": ago, "left_s": left}

    def heard(self, said: object, now: float) -> None:
        """Take another node's word, if it is newer."""
        if not isinstance(said, dict):
            return
        number, epoch = said.get("number"), said.get("epoch", 0)
        if not (isinstance(number, int) and isinstance(epoch, int)):
            return
        if (epoch, number) <= self._word.order:
            return
        wall, left = self._state.wall(), _length_s(said.get("left_s"), FOR_MAX_S)
        until = None if left is None else wall + left
        since = wall - (_length_s(said.get("ago_s"), AGO_MAX_S) or 0.0)
        by = str(said.get("by") or "somebody")[:WHO_CHARS_MAX]
        was = self._state.paused
        on = said.get("on") is True
        self._take(Word(number, on=on, by=by, since=since, until=until, epoch=epoch))
        if was and not self._state.paused:
            self.resumed(now)

    def row(self) -> dict[str, JSON] | None:
        """Return what `status` shows; None while nothing is paused."""
        return paused_row(self._word, self._state.wall())

    # --- time -------------------------------------------------------------------------------

    def tick(self, now: float) -> None:
        """End a pause whose time is over."""
        if self._state.paused and not self._word.holds(self._state.wall()):
            self._show()
            self._state.event("resumed", reason="its time is over")
            self.resumed(now)

    def _take(self, word: Word) -> None:
        """Keep a word, durably."""
        self._word = word
        fields = [word.number, word.on, word.by, word.since, word.until, word.epoch]
        self._state.note(StandingChange(notes={NOTE: json.dumps(fields)}))
        self._show()
        if word.on:
            self._state.event("paused", by=word.by, text=word.text)
        else:
            self._state.event("resumed", reason="a person said so")

    def _show(self) -> None:
        holds = self._word.holds(self._state.wall())
        self._state.paused = self._word.text if holds else ""
        self._state.changed = True


def _length_s(told: object, most_s: float) -> float | None:
    """Return a length that another node told, within its limits; None if it told none."""
    return min(max(told, 0.0), most_s) if isinstance(told, int | float) else None


def paused_row(word: Word, wall: float) -> dict[str, JSON] | None:
    """Return what `status` shows of a word at wall time `wall`; None if nothing is paused."""
    if not word.holds(wall):
        return None
    end = word.until
    return {
        "since": when(word.since),
        "by": word.by,
        "until": None if end is None else when(end),
        "left_s": None if end is None else max(0.0, round(end - wall, 1)),
    }


def read_word(note: str) -> Word:
    """Return what the ledger has."""
    if not note:
        return Word()
    number, on, by, since, until, epoch = json.loads(note)
    return Word(number, on=on, by=by, since=since, until=until, epoch=epoch)
