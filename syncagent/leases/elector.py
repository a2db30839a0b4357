"""The runner of `core.election`: two threads around a LeaseStore that may be slow, hang or vanish.

The renewer asks the store, one question at a time; the watchdog never does, and ends the belief at
its deadline also while the renewer hangs. Both sleep on conditions, in slices, because a suspended
machine stops the clock that conditions wait by, but not the boot-time clock that leases count by.

`on_change` is called in the order of events, under the elector's lock: it must only post.

What a store is not prepared for ends the thread that met it, and is told to `on_crash`: an agent that
would never stand again, and says nothing, is worse than one that is started anew.
"""

from __future__ import annotations

import threading
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final, assert_never

from syncagent.core.election import GiveBack, Observe, Renew, Rest, TryAcquire
from syncagent.core.errors import BusyError, SyncagentError
from syncagent.core.lease import LeadershipLost

if TYPE_CHECKING:
    from collections.abc import Callable

    from syncagent.core.election import Action, Election, LeadChange, Outlook
    from syncagent.core.lease import Leadership
    from syncagent.core.revision import Token
    from syncagent.ports import Clock, LeaseStore

SLICE_S: Final = 1.0
"""Longest single wait: how late, at most, a machine that was suspended looks at the clock again."""
JOIN_S: Final = 5.0


class Elector:
    """Whether this node leads. Any thread may call any method; only `acquire` asks the store.

    `election` is new and was made for this store. With a store that elects by itself
    (`auto_failover`) call `start` once: `Won` and `Lost` then arrive through `on_change`. With one
    that does not, `acquire` is the only way to lead, and says itself that it was won.
    """

    def __init__(
        self,
        store: LeaseStore,
        election: Election,
        clock: Clock,
        on_change: Callable[[LeadChange], None],
        on_crash: Callable[[BaseException], None] | None = None,
    ) -> None:
        self._store = store
        self._election = election
        self._clock = clock
        self._on_change = on_change
        self._on_crash = on_crash
        self._changed = threading.Condition()
        self._stopping = False
        self._threads: list[threading.Thread] = []

    # Asked at any time; none of these blocks.

    def current(self) -> Leadership | None:
        """Return the belief that this node leads; None if it does not, or not any more."""
        with self._changed:
            return self._election.leadership(self._clock.now())

    def require(self) -> Token:
        """Return the token to act under. Raises BusyError: this node is not the manager."""
        belief = self.current()
        if belief is None:
            raise BusyError(
                "this node is not the manager", hint="ask the manager: `syncagent status`"
            )
        return belief.token

    def fenced(self, highest_epoch: int) -> None:
        """Somebody has admitted `highest_epoch`: step down if that is above our epoch."""
        with self._changed:
            self._tell(self._election.fenced(highest_epoch))

    def outlook(self) -> Outlook:
        """Return what is known of the lease."""
        with self._changed:
            return self._election.outlook

    def wake(self, *, first: bool = False) -> None:
        """The lease may have come free: look now. One that is held is taken no earlier for that.

        `first`: it was given back for this node, which waits for no other candidate then.
        """
        with self._changed:
            self._election.wake(first=first)
            self._changed.notify_all()

    def resign(self, wait_s: float = 0.0) -> None:
        """Stop leading and trying to; the lease is given back as soon as the store answers.

        Waits up to `wait_s` until that was tried.
        """
        with self._changed:
            self._tell(self._election.stand_back())
            if self._threads:
                self._changed.wait_for(lambda: not self._election.giving_back, wait_s)
        if not self._threads:
            self._settle()

    def acquire(self, floor: int, *, promoted: bool = False) -> Token | None:
        """Try to lead, with an epoch above `floor`; return the token if this node leads now.

        A belief under `floor` or a lower epoch ends first: two holders of one epoch are parted so.
        With a store that elects by itself this only starts trying. With one that does not, it is
        one attempt, made in the calling thread; `promoted` says that a person wants it. Raises
        StoreUnavailable.

        That the former belief ended is not told: who asks for more knows, and what is told would
        overtake what this returns.
        """
        with self._changed:
            self._election.outbid(floor)
            self._election.me = replace(self._election.me, promoted=promoted)
            self._election.campaign()
            self._changed.notify_all()
        if not self._store.auto_failover:
            self._attempt()
        belief = self.current()
        return None if belief is None else belief.token

    def campaign(self, floor: int, *, forced: bool = False) -> None:
        """Try to lead from now on, above `floor`; a belief under `floor` or a lower epoch ends.

        `forced`: a person wants it now, whoever holds the lease.
        """
        with self._changed:
            self._tell(self._election.outbid(floor))
            self._election.me = replace(self._election.me, promoted=forced)
            self._election.campaign()
            self._election.wake()
            self._changed.notify_all()

    # Life.

    def start(self) -> None:
        """Start the renewer and the watchdog, if the store elects by itself."""
        assert not self._threads, "started once"
        if not self._store.auto_failover:
            return
        for target, name in ((self._renew_for_ever, "renewer"), (self._watch, "lease-watchdog")):
            thread = threading.Thread(target=self._run, args=(target,), name=name, daemon=True)
            self._threads.append(thread)
            thread.start()

    def close(self, *, keep: bool = False) -> None:
        """Resign, stop the threads (a renewer that hangs in the store is left behind).

        `keep`: the node starts again at once, and takes over its own lease then, if the store lets it.
        """
        if not keep or self._store.server_expiry:
            self.resign()
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join(JOIN_S)
        self._store.close()

    # The threads.

    def _run(self, target: Callable[[], None]) -> None:
        try:
            target()
        except BaseException as error:
            # Passed on, whatever it is: without its renewer or watchdog a node would believe in vain.
            if self._on_crash is None:
                raise
            self._on_crash(error)

    def _renew_for_ever(self) -> None:
        while True:
            with self._changed:
                action = self._election.next(self._clock.now())
                if self._stopping and not isinstance(action, GiveBack):
                    return
                if isinstance(action, Rest):
                    self._wait_until(action.until)
                    continue
            self._carry_out(action)

    def _watch(self) -> None:
        with self._changed:
            while not self._stopping:
                self._tell(self._election.expire(self._clock.now()))
                self._wait_until(self._election.deadline)

    def _wait_until(self, until: float) -> None:
        self._changed.wait(max(0.0, min(until - self._clock.now(), SLICE_S)))

    def _attempt(self) -> None:
        """One look and one try, here and now."""
        with self._changed:
            if self._election.leadership(self._clock.now()) is not None:
                return
        self._settle()
        view = self._store.observe()
        with self._changed:
            self._election.observed(self._clock.now(), view)
            action = self._election.next(self._clock.now())
        if isinstance(action, TryAcquire):
            sent = self._clock.now()
            token = self._store.try_acquire(self._election.me, action.seen, action.floor)
            with self._changed:
                self._election.took(sent, self._clock.now(), token)

    def _settle(self) -> None:
        """Give back what a step-down left to be given back."""
        with self._changed:
            action = self._election.next(self._clock.now())
        if isinstance(action, GiveBack):
            self._carry_out(action)

    def _carry_out(self, action: Action) -> None:
        """Ask the store, without the lock, and say what came of it, with it."""
        # Before the request is sent: what it grants counts from here at the latest.
        self._conclude(action, sent=self._clock.now())

    def _conclude(self, action: Action, sent: float) -> None:
        """Tell the election what came of `action`, which was sent at `sent`."""
        try:
            told = self._ask(action, sent)
        except LeadershipLost as error:
            assert isinstance(action, Renew | GiveBack), "only a token can be lost"
            told = partial(self._election.lost, action.token, str(error))
        except SyncagentError as error:
            told = partial(self._unavailable, str(error))
        with self._changed:
            self._tell(told())

    def _ask(self, action: Action, sent: float) -> Callable[[], LeadChange | None]:
        """Carry out `action`; return what tells the election about it. Raises what the store does."""
        election, now = self._election, self._clock.now
        match action:
            case Observe():
                view = self._store.observe()
                return lambda: election.observed(now(), view)
            case TryAcquire(seen, floor):
                token = self._store.try_acquire(election.me, seen, floor)
                return lambda: election.took(sent, now(), token)
            case Renew(renewing):
                self._store.renew(renewing)
                return lambda: election.renewed(sent, now(), renewing)
            case GiveBack(mine):
                self._store.resign(mine)
                return lambda: election.gave_back(now(), mine)
            case Rest():
                raise AssertionError("resting is the caller's")
            case _:
                assert_never(action)

    def _unavailable(self, why: str) -> None:
        self._election.unavailable(self._clock.now(), why)

    def _tell(self, change: LeadChange | None) -> None:
        """Pass a change on, and wake both threads: deadlines may have moved. The lock is held."""
        if change is not None:
            self._on_change(change)
        self._changed.notify_all()
