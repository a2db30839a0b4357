"""A share, and the keeper that stands for it: a machine whose agent runs beside whoever leads.

Its disk, ledger and guard are the share's; what changes is the host. Only under a token is its agent
started, and it ends with that: when the host leads no more, ends, or another takes over. A keeper
that is still at work when another host takes over is cut in the midst of what it does, which is the
worst that one can do that is fenced.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from syncagent.agent.results import ShareRead
from syncagent.core.settings import SHARE
from syncagent.core.snapshot import Condition
from syncagent.core.wire.messages import Blobs
from syncagent.core.wire.packing import compress_batch
from tests.simulation.machine import Machine

if TYPE_CHECKING:
    from syncagent.agent.share_effects import ReadShare
    from syncagent.core.artifact import ArtifactPath
    from syncagent.core.manifest import Entry
    from syncagent.core.revision import Token
    from tests.simulation.machine import Process

AGAIN_S = 1.0
START_S = 0.8
"""About what a keeper takes to start."""


class Share(Machine):
    """The share. `host` is the process beside whose agent its keeper runs; None: it does not."""

    host: Process | None = None
    token: Token | None = None

    def boot(self) -> None:
        """A machine that comes back starts nothing here: whoever leads does."""

    def keep(self, host: Process) -> bool:
        """Have a keeper beside `host`, which wants to reach it; false if another one fences it."""
        token = host.state.token
        if token is None or (self.token is not None and token.epoch < self.token.epoch):
            return False
        if (self.host, self.token) != (host, token):
            if self.token is not None and token.epoch == self.token.epoch and token != self.token:
                return False
            self.end_keeper()
            self.host, self.token = host, token
        if self.process is None:
            self.world.later(START_S * self.world.rng.random(), lambda: self._start(host, token))
        return True

    def _start(self, host: Process, token: Token) -> None:
        if host.alive and (self.host, self.token) == (host, token) and self.process is None:
            super().boot()

    def followed(self, host: Process) -> None:
        """A process has decided something: without its token its keeper ends."""
        if self.host is host and (not host.alive or host.state.token != self.token):
            self.end_keeper()

    def end_keeper(self) -> None:
        """End the keeper, if one runs, in the midst of what it does."""
        self.host = None
        if self.process is not None:
            self.crash(power=False, back_in_s=AGAIN_S)

    def read(self, effect: ReadShare) -> ShareRead:
        """Return what is on the share of what a node wants."""
        found = [(e, content) for path, e in effect.wanted if (content := self._bytes(path, e))]
        blobs = (Blobs(*compress_batch(found)),) if found else ()
        return ShareRead(effect.txid, blobs)

    def _bytes(self, path: ArtifactPath, entry: Entry) -> bytes | None:
        sound = self.disk.conditions.get(path.tree, Condition.GOOD) is Condition.GOOD
        live = self.disk.read(path, entry.digest) if sound and path.tree not in self.away else None
        return live if live is not None else self.history.blob(entry.digest)


def is_share(machine: Machine) -> bool:
    """Tell whether a machine is the share: no person works at its desk."""
    return machine.settings.node == SHARE
