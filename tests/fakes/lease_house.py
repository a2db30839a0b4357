"""A lease store on a clock that a test moves, far from its candidates, with what real stores suffer.

A `House` is the one row that all candidates share. Each asks through `ask`, which returns at once:
the question travels, is answered where the row is, and the answer travels back. Anything may be
late, lost or come twice, so three instants differ: when a question was sent, when it took effect
(perhaps after who asked has given up), and when that is known. What is asked of the row itself is
in `LeaseHouse`, a `LeaseStore` that passes the contract suite of all stores.

The row's version is its epoch and a count of renewals, as in a database: after a restore from an
older copy the same versions come again.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from syncagent.core.election import GiveBack, Observe, Renew, TryAcquire
from syncagent.core.errors import SyncagentError
from syncagent.core.lease import LeadershipLost, LeaseView, StoreUnavailable
from syncagent.core.revision import Token

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from syncagent.core.artifact import NodeName
    from syncagent.core.election import Action
    from syncagent.core.lease import Candidate

REMEMBERED = 20
"""So many states of the row are kept for whoever reads from a copy that lags behind."""


@dataclass(frozen=True)
class Row:
    """What the store holds. `until` counts only where the store itself ends leases."""

    token: Token | None = None
    epoch: int = 0
    count: int = 0
    until: float = 0.0

    @property
    def version(self) -> str:
        """The handle for compare-and-set."""
        return f"{self.epoch}/{self.count}"


@dataclass(frozen=True)
class Answer:
    """What a question came to: a value, or an error."""

    value: LeaseView | Token | None = None
    error: SyncagentError | None = None


@dataclass(frozen=True)
class Question:
    """Something on its way to the store."""

    me: Candidate
    action: Action
    sent: float
    tell: Callable[[Answer], None]


@dataclass
class StoreWeather:
    """How the way to the store behaves: seconds each way, and chances for each question."""

    delay_most_s: float = 0.02
    lost: float = 0.0
    """The question does not arrive."""
    answer_lost: float = 0.0
    twice: float = 0.0
    """It arrives twice, the second time a little later, and it is the second that is answered."""
    lagging: float = 0.0
    """A look sees an older state."""
    hangs: bool = False
    """Nobody gets an answer, but what was asked may take effect when the store goes on."""
    refuses: bool = False
    """Nobody gets through, and is told so at once."""


class LeaseHouse:
    """The row, asked where it is: a LeaseStore without any way to it.

    `server_expiry`: the store ends leases by its own clock, `lease_s` after the last renewal; with
    `sessions` after the last question of any kind that the holder asked.
    """

    auto_failover: bool = True

    def __init__(
        self,
        now: Callable[[], float],
        *,
        lease_s: float = 15.0,
        server_expiry: bool = False,
        sessions: bool = False,
    ) -> None:
        self.server_expiry = server_expiry
        self.sessions = sessions
        self.lease_s = lease_s
        self.now = now
        self.row = Row()
        self.before: list[Row] = []
        self._lock = threading.RLock()
        self.turned_s = 0.0
        """By how much its wall clock is wrong: nothing here reads it, and no candidate may."""

    def observe(self) -> LeaseView:
        with self._lock:
            self._end_what_is_over()
            return self.view(self.row)

    def view(self, row: Row) -> LeaseView:
        """Return a row as candidates are shown it."""
        return LeaseView(row.token, row.version, row.epoch, self.lease_s)

    def try_acquire(self, me: Candidate, seen: LeaseView, epoch_floor: int) -> Token | None:
        with self._lock:
            self._end_what_is_over()
            if self.row.version != seen.version:
                return None
            epoch = max(self.row.epoch, epoch_floor) + 1
            token = Token(me.cluster, epoch, me.node, me.incarnation)
            self._put(Row(token, epoch, 0, self.now() + self.lease_s))
            return token

    def renew(self, token: Token) -> None:
        with self._lock:
            self._end_what_is_over()
            if self.row.token != token:
                raise LeadershipLost(f"the lease is held by {self.row.token}")
            self._put(replace(self.row, count=self.row.count + 1, until=self.now() + self.lease_s))

    def resign(self, token: Token) -> None:
        with self._lock:
            if self.row.token == token:
                self._put(replace(self.row, token=None, count=self.row.count + 1))

    def close(self) -> None:
        """Nothing to let go of."""

    def greet(self, me: Candidate) -> None:
        """Somebody asks for anything: where there are sessions that keeps its lease."""
        self._end_what_is_over()
        token = self.row.token
        if self.sessions and token is not None and token.incarnation == me.incarnation:
            self.begin_again()

    def restore(self, row: Row) -> None:
        """Hold what was held before, or nothing at all: a backup, or a wiped store."""
        self._put(replace(row, until=self.now() + self.lease_s))

    def begin_again(self) -> None:
        """Start anew, as a server that gives all leases their whole length again."""
        self.row = replace(self.row, until=self.now() + self.lease_s)

    def _end_what_is_over(self) -> None:
        row = self.row
        if self.server_expiry and row.token is not None and self.now() >= row.until:
            self._put(replace(row, token=None, count=row.count + 1))

    def _put(self, row: Row) -> None:
        self.before.append(self.row)
        del self.before[:-REMEMBERED]
        self.row = row


@dataclass
class House:
    """The way to a `LeaseHouse`, for all candidates. `later` has something happen after seconds."""

    store: LeaseHouse
    rng: random.Random
    later: Callable[[float, Callable[[], None]], None]
    timeout_s: float = 3.0
    weather: StoreWeather = field(default_factory=StoreWeather)
    away: set[NodeName] = field(default_factory=set)
    """Nodes that don't reach the store."""
    heard: Callable[[Action, float, Answer], None] = lambda _action, _sent, _answer: None
    """Called whenever something took effect at the store, with when it was sent."""

    def __post_init__(self) -> None:
        self._hanging: list[Callable[[], None]] = []

    def ask(self, me: Candidate, action: Action, then: Callable[[Answer], None]) -> None:
        """Ask; `then` gets one answer, after `timeout_s` at the latest."""
        weather, told = self.weather, [False]

        def tell(answer: Answer) -> None:
            if not told[0]:
                told[0] = True
                then(answer)

        if weather.refuses:
            self.later(self._delay(), lambda: tell(_unknown("connection refused")))
            return
        self.later(self.timeout_s, lambda: tell(_unknown("timed out")))
        if me.node in self.away or self.rng.random() < weather.lost:
            return
        twice = self.rng.random() < weather.twice
        arrives_s = self._delay()
        asked = Question(me, action, self.store.now(), tell)
        self.later(arrives_s, lambda: self._arrive(asked, mute=twice))
        if twice:
            after_s = arrives_s + self._delay()
            self.later(after_s, lambda: self._arrive(asked, mute=False))

    def restart(self) -> None:
        """Go on after hanging or refusing: what waited at the door is answered now."""
        self.weather.hangs = self.weather.refuses = False
        waiting, self._hanging = self._hanging, []
        for act in waiting:
            self.later(self._delay(), act)

    def _arrive(self, asked: Question, *, mute: bool) -> None:
        weather = self.weather
        if weather.refuses:
            return
        if weather.hangs:
            # Half of what a hung store has taken in is lost when it is started anew.
            if self.rng.random() < 0.5:
                self._hanging.append(lambda: self._arrive(asked, mute=mute))
            return
        answer = self._answer(asked.me, asked.action)
        self.heard(asked.action, asked.sent, answer)
        away = asked.me.node in self.away
        if mute or away or self.rng.random() < weather.answer_lost:
            return
        self.later(self._delay(), lambda: asked.tell(answer))

    def _answer(self, me: Candidate, action: Action) -> Answer:
        store = self.store
        store.greet(me)
        try:
            match action:
                case Observe():
                    view = store.observe()
                    if store.before and self.rng.random() < self.weather.lagging:
                        view = store.view(self.rng.choice(store.before))
                    return Answer(view)
                case TryAcquire(seen, floor):
                    return Answer(store.try_acquire(me, seen, floor))
                case Renew(token):
                    store.renew(token)
                case GiveBack(token):
                    store.resign(token)
        except SyncagentError as error:
            return Answer(error=error)
        return Answer()

    def _delay(self) -> float:
        return self.rng.uniform(0.0005, self.weather.delay_most_s)


class Spoken:
    """A LeaseStore whose next answer is known: what a question came to that was asked elsewhere."""

    def __init__(self, *, server_expiry: bool) -> None:
        self.server_expiry = server_expiry
        self.auto_failover = True
        self.answer = Answer()

    def _take(self) -> LeaseView | Token | None:
        if self.answer.error is not None:
            raise self.answer.error
        return self.answer.value

    def observe(self) -> LeaseView:
        view = self._take()
        assert isinstance(view, LeaseView), "that is what a look gives"
        return view

    def try_acquire(self, me: Candidate, seen: LeaseView, epoch_floor: int) -> Token | None:
        token = self._take()
        assert token is None or isinstance(token, Token), "that is what an attempt gives"
        return token

    def renew(self, token: Token) -> None:
        self._take()

    def resign(self, token: Token) -> None:
        self._take()

    def close(self) -> None:
        """Nothing to let go of."""


def _unknown(text: str) -> Answer:
    return Answer(error=StoreUnavailable(text))
