"""A LeaseStore in memory that many candidates share, with the faults a real one has."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from syncagent.core.lease import Candidate, LeadershipLost, LeaseView, StoreUnavailable
from syncagent.core.revision import Token

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass
class MemoryTable:
    """What the store holds: one row. Shared by the candidates' `MemoryStore`s."""

    token: Token | None = None
    epoch: int = 0
    version: int = 0
    lease_s: float = 15.0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def wipe(self) -> None:
        """Lose everything, as a store that was restored from nothing."""
        with self.lock:
            self.token, self.epoch, self.version = None, 0, self.version + 1


class MemoryStore:
    """One candidate's connection to a `MemoryTable`.

    `down`: every call fails. `answer_lost`: the next call is carried out and then fails. `stall`
    is called before each call reaches the table, to hang or to let time pass; `after` before its
    answer is returned.
    """

    server_expiry: bool = False
    auto_failover: bool = True

    def __init__(self, table: MemoryTable) -> None:
        self.table = table
        self.down = False
        self.answer_lost = False
        self.stall: Callable[[], None] = lambda: None
        self.after: Callable[[], None] = lambda: None
        self.calls: list[str] = []

    def observe(self) -> LeaseView:
        self._reach("observe")
        with self.table.lock:
            row = self.table
            view = LeaseView(row.token, str(row.version), row.epoch, row.lease_s)
        self._answer()
        return view

    def try_acquire(self, me: Candidate, seen: LeaseView, epoch_floor: int) -> Token | None:
        self._reach("try_acquire")
        with self.table.lock:
            token = None
            if str(self.table.version) == seen.version:
                epoch = max(self.table.epoch, epoch_floor) + 1
                token = Token(me.cluster, epoch, me.node, me.incarnation)
                self._put(token)
        self._answer()
        return token

    def renew(self, token: Token) -> None:
        self._reach("renew")
        with self.table.lock:
            if self.table.token != token:
                raise LeadershipLost(f"the lease is held by {self.table.token}")
            self._put(token)
        self._answer()

    def resign(self, token: Token) -> None:
        self._reach("resign")
        with self.table.lock:
            if self.table.token == token:
                self._put(None)
        self._answer()

    def close(self) -> None:
        self.calls.append("close")

    def _put(self, token: Token | None) -> None:
        self.table.token = token
        self.table.version += 1
        if token is not None:
            self.table.epoch = token.epoch

    def _reach(self, name: str) -> None:
        self.calls.append(name)
        self.stall()
        if self.down:
            raise StoreUnavailable("the store is down")

    def _answer(self) -> None:
        self.after()
        if self.answer_lost:
            self.answer_lost = False
            raise StoreUnavailable("the answer was lost")
