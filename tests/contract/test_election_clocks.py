"""A step of the clock of the store, or of all agents, decides nothing about a lease."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.servers.backend import TIMING
from tests.servers.backends import WITH_CLOCK
from tests.servers.candidate import Candidate, CandidateProcess
from tests.servers.process import reached
from tests.servers.receiver import boot
from tests.servers.scene import POLL_S, SLACK_S

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.servers.backend import Backend
    from tests.servers.scene import Scene

pytestmark = [pytest.mark.e2e, pytest.mark.needs_servers]

HOUR_S = 3600
NEAR_S = 60.0


@pytest.mark.parametrize("name", WITH_CLOCK)
def test_a_step_of_the_store_s_clock_neither_steals_a_lease_nor_keeps_one(
    name: str, cluster: str, on: Callable[[Backend], Scene]
) -> None:
    with WITH_CLOCK[name]() as backend:
        scene = on(backend)
        first = scene.standing("gw-1")
        reached(lambda: first.leads, "the first leads")
        second = scene.standing("gw-2")
        reached(lambda: second.elector.outlook().token, "the second has seen who leads")
        for step_s in (HOUR_S, -HOUR_S):
            other = f"{cluster}{step_s}"
            gone = CandidateProcess(backend.place(), other, "gw-1", TIMING, "")
            heir = Candidate(backend.connect(other), other, "gw-2", TIMING)
            with gone:
                reached(lambda gone=gone: gone.epochs(), "another cluster's manager leads")
                with heir:
                    reached(lambda heir=heir: heir.elector.outlook().token, "it is seen")
                    gone.kill()
                    backend.step_clock(step_s)
                    reached(
                        lambda at=step_s: abs(backend.clock_ahead_s() - at) < NEAR_S,
                        "the clock steps",
                    )
                    stepped = boot()
                    reached(lambda heir=heir: heir.leads, "who does not renew is replaced")
                    assert heir.won()[0] <= stepped + TIMING.lease_s + POLL_S + SLACK_S
                    reached(lambda t=stepped: boot() > t + TIMING.lease_s, "a lease is over")
        assert first.lost() == []
        assert second.won() == []
