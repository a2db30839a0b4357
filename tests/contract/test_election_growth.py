"""What grows with outages, and with candidates: nothing, and one connection each.

`SYNCAGENT_RESTARTS=1000` has servers killed and started that often, which takes minutes for each kind.
"""

from __future__ import annotations

import os
import threading
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from syncagent.core import lease
from syncagent.core.artifact import NodeName
from syncagent.core.lease import LeadershipLost, StoreUnavailable, Timing
from tests.servers.candidate import Candidate, incarnation_of_a_start
from tests.servers.process import reached

if TYPE_CHECKING:
    from collections.abc import Callable

    from syncagent.core.revision import Token
    from syncagent.ports import LeaseStore
    from tests.servers.backend import Backend
    from tests.servers.scene import Scene

pytestmark = [pytest.mark.e2e, pytest.mark.needs_servers]

OUTAGES = 1000
TOGETHER = 4
"""So many holders lose the store at once: most of an outage is waiting to be let in again."""
RESTARTS = int(os.environ.get("SYNCAGENT_RESTARTS", "2"))
LONG = Timing()


class Holder:
    """Has a lease of its own, and knows how often it could not be renewed."""

    def __init__(self, store: LeaseStore, cluster: str) -> None:
        self._me = lease.Candidate(cluster, NodeName("gw-1"), incarnation_of_a_start())
        self.store = store
        self.token = self._taken()
        self.refused = 0

    def renews(self) -> bool:
        """Tell whether the store answers; a lease that it has ended meanwhile is taken again."""
        try:
            self._renew()
        except StoreUnavailable:
            self.refused += 1
            return False
        return True

    def _renew(self) -> None:
        try:
            self.store.renew(self.token)
        except LeadershipLost:
            self.token = self._taken()

    def _taken(self) -> Token:
        token = self.store.try_acquire(self._me, self.store.observe(), 0)
        assert token is not None
        return token


def test_a_thousand_outages_leave_no_thread_file_or_connection_behind(
    backend: Backend, on: Callable[[Backend], Scene]
) -> None:
    """All connections end at once, over and over; a file is gone and comes back."""
    scene = on(backend)
    proxy = scene.proxy() if backend.port else None
    clusters = [f"{scene.cluster}-{number}" for number in range(TOGETHER if proxy else 1)]
    port = proxy.port if proxy else 0
    holders = [Holder(backend.connect(cluster, port=port), cluster) for cluster in clusters]

    def outage() -> None:
        if proxy is None:
            backend.kill()
            assert not holders[0].renews(), "a file that is not there was written"
            backend.start()
        else:
            proxy.hang_up()
            reached(lambda: proxy.open == 0, "the connections have ended")
        for holder in holders:
            reached(holder.renews, "it renews again")

    outage()
    files, threads = open_files(), threading.active_count()
    lost = proxy.accepted if proxy else holders[0].refused
    for _ in range(OUTAGES // len(holders)):
        outage()
    lost = (proxy.accepted if proxy else holders[0].refused) - lost
    assert lost >= OUTAGES, "less was lost: this would show nothing"
    reached(lambda: threading.active_count() <= threads, "no thread is left behind")
    reached(lambda: open_files() <= files, "no file is left behind")
    for holder in holders:
        holder.store.close()
    if proxy is not None:
        reached(lambda: proxy.open == 0, "closing ends the connections")


def test_restarts_of_the_store_leave_no_thread_or_file_behind(
    backend: Backend, on: Callable[[Backend], Scene]
) -> None:
    cluster = on(backend).cluster
    holder = Holder(backend.connect(cluster), cluster)

    def restart() -> None:
        before = holder.refused
        backend.kill()
        reached(lambda: not holder.renews(), "the store is gone")
        backend.start()
        reached(holder.renews, "it renews again")
        assert holder.refused > before

    restart()
    files, threads = open_files(), threading.active_count()
    for _ in range(RESTARTS):
        restart()
    reached(lambda: threading.active_count() <= threads, "no thread is left behind")
    reached(lambda: open_files() <= files, "no file is left behind")
    holder.store.close()


def test_of_a_hundred_candidates_one_leads_and_each_has_one_connection(
    backend: Backend, on: Callable[[Backend], Scene]
) -> None:
    scene = on(backend)
    idle = backend.connections()
    nodes = [
        Candidate(backend.connect(scene.cluster, LONG), scene.cluster, f"gw-{number}", LONG)
        for number in range(100)
    ]
    with ExitStack() as stack:
        for each in nodes:
            stack.enter_context(each)
        reached(lambda: all(each.elector.outlook().token for each in nodes), "all have seen one")
        assert sum(each.leads for each in nodes) == 1
        assert sum(len(each.won()) for each in nodes) == 1
        assert backend.connections() - idle <= len(nodes)


def open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())
