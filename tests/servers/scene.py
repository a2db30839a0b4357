"""What an election's test has around it: a backend, a cluster of its own, a receiver of pushes."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Final

import pytest

from syncagent.core.election import POLL_SHARE
from tests.servers.backend import TIMING
from tests.servers.candidate import Candidate, CandidateProcess
from tests.servers.proxy import Proxy

if TYPE_CHECKING:
    from contextlib import ExitStack

    from syncagent.core.lease import Timing
    from tests.servers.backend import Backend
    from tests.servers.receiver import Receiver

POLL_S: Final = TIMING.renew_s * POLL_SHARE * 1.2
BELIEF_S: Final = TIMING.lease_s - TIMING.margin_s
SLACK_S: Final = 20.0
"""For a busy machine; what must never be late is asserted by order, not by this."""


class Scene:
    """A backend, a cluster and a receiver; what is made here ends with the test."""

    def __init__(
        self, backend: Backend, cluster: str, receiver: Receiver, stack: ExitStack
    ) -> None:
        self.backend = backend
        self.cluster = cluster
        self.receiver = receiver
        self.stack = stack

    def candidate(self, node: str, *, port: int = 0, timing: Timing = TIMING) -> Candidate:
        """A candidate in this process, not started."""
        store = self.backend.connect(self.cluster, timing, port=port)
        return Candidate(store, self.cluster, node, timing, self.receiver.path)

    def standing(
        self, node: str, floor: int = 0, *, port: int = 0, timing: Timing = TIMING
    ) -> Candidate:
        """A candidate in this process, which tries to lead."""
        candidate = self.candidate(node, port=port, timing=timing)
        self.stack.callback(candidate.end)
        return candidate.start(floor)

    def process(self, node: str) -> CandidateProcess:
        """A candidate in a process of its own, which tries to lead."""
        place = self.backend.place()
        return self.stack.enter_context(
            CandidateProcess(place, self.cluster, node, TIMING, self.receiver.path)
        )

    def proxy(self) -> Proxy:
        if not self.backend.port:
            pytest.fail("asked of a file: the test is for servers")
        return self.stack.enter_context(Proxy(self.backend.port))


def only_one_led_at_a_time(*candidates: Candidate) -> None:
    """Nobody won before all others' beliefs had ended; for candidates of this process."""
    spans = sorted(
        (won, min([at for at in each.lost() if at > won], default=float("inf")))
        for each in candidates
        for won in each.won()
    )
    for (_, ended), (began, _) in pairwise(spans):
        assert ended <= began, "two believed at the same time"
