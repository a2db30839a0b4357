"""What a test asks of a store of leases: to hang, to be killed, to be altered by hand."""

from __future__ import annotations

import time
from abc import abstractmethod
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final, Protocol, Self

from syncagent.core.lease import Timing
from tests.servers.ends import Ends

if TYPE_CHECKING:
    from syncagent.ports import LeaseStore
    from tests.servers.places import Place

TIMING: Final = Timing(lease_s=2.0, renew_s=0.5, operation_s=0.5, margin_s=0.5)
"""As short as busy machines allow; the settings ask for a longer margin."""


class Runs(Protocol):
    """A server, or several as one. `start` waits until it answers; `wake` and it may come at any time."""

    def start(self) -> None: ...

    def kill(self) -> None: ...

    def hang(self) -> None: ...

    def wake(self) -> None: ...


class Backend(Ends):
    """One kind of store, running. Everything else about it is the production code's."""

    server: Runs
    """What it runs on; `begin` makes it."""
    server_expiry: bool = False
    port: int = 0
    """Where it listens; 0: it is a file."""
    taking: bytes = b""
    """In the request that takes a lease for the first time."""
    renewing: bytes = b""
    """In the request that renews it."""
    round_trips: int = 1
    """Requests that one renewal takes."""

    def __init__(self) -> None:
        self.stack = ExitStack()

    def __enter__(self) -> Self:
        try:
            self.begin()
        except BaseException:
            self.stack.close()
            raise
        return self

    def end(self) -> None:
        self.stack.close()

    def connect(self, cluster: str, timing: Timing = TIMING, *, port: int = 0) -> LeaseStore:
        """Return a candidate's own connection, by another port if one is given."""
        return self.place(port).connect(cluster, timing)

    @abstractmethod
    def begin(self) -> None:
        """Make and start it; what is to be undone goes on `stack`."""

    @abstractmethod
    def place(self, port: int = 0) -> Place:
        """Where it is, by another port if one is given."""

    def start(self) -> None:
        """Have it answer: after `hang` or `kill`, or if nothing happened."""
        self.server.wake()
        self.server.start()

    def kill(self) -> None:
        self.server.kill()

    def hang(self) -> None:
        """Have it answer nothing, with its connections open."""
        self.server.hang()

    def wake(self) -> None:
        self.server.wake()

    @abstractmethod
    def forget(self, cluster: str) -> None:
        """Delete what it knows of a cluster."""

    @abstractmethod
    def usurp(self, cluster: str) -> None:
        """Write another holder over the present one, by hand."""

    @abstractmethod
    def rewind(self, cluster: str, epoch: int) -> None:
        """Put a cluster back to a free lease of an older epoch, as an old backup does."""

    @abstractmethod
    def connections(self) -> int:
        """How many connections the candidates have now."""


class WithClock(Backend):
    """One whose time of day can be stepped."""

    @abstractmethod
    def step_clock(self, seconds: int) -> None:
        """Have its clock stand `seconds` before or behind ours, from now on."""

    @abstractmethod
    def time_of_day(self) -> float:
        """Return what its clock says, as the store itself tells: seconds since 1970."""

    def clock_ahead_s(self) -> float:
        """How far ahead of ours its clock is."""
        return self.time_of_day() - time.clock_gettime(time.CLOCK_REALTIME)
