"""A candidate as it is in an agent, small: an elector on a real store, and pushes while it leads.

Runs in the test's process (`Candidate`) or in one of its own, to be killed or stopped (`candidate_process`).
"""

from __future__ import annotations

import json
import random
import signal
import socket
import subprocess
import sys
import threading
import uuid
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from syncagent.core import lease
from syncagent.core.artifact import NodeName
from syncagent.core.election import Election, Won
from syncagent.core.lease import Timing
from syncagent.leases.elector import Elector
from syncagent.ports import Instant
from tests.servers.ends import Ends
from tests.servers.places import Place
from tests.servers.receiver import boot

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from syncagent.core.election import LeadChange
    from syncagent.core.revision import Token
    from syncagent.ports import LeaseStore

ROOT: Final = Path(__file__).resolve().parents[2]
PUSH_S: Final = (0.1, 0.3)
"""How long a push is in flight: between its check and its commit."""
JOIN_S: Final = 20.0
BEAT_S: Final = 0.01
STILL_S: Final = 1.0
"""A process whose threads all ran so late was stopped."""


class BootClock:
    """The clock of an agent. Its wall time may stand anywhere: no elector asks for it."""

    def now(self) -> Instant:
        return Instant(boot())

    def wall(self) -> float:
        raise AssertionError("an elector goes by the boot-time clock only")


def incarnation_of_a_start() -> str:
    return f"{'k' * 32}.{'s' * 32}.{uuid.uuid4().hex}"


class Candidate(Ends):
    """One node. `changes` are what its elector told, each with when; `receiver` gets its pushes."""

    def __init__(
        self,
        store: LeaseStore,
        cluster: str,
        node: str,
        timing: Timing,
        receiver: str = "",
    ) -> None:
        self.node = node
        self.changes: list[tuple[float, LeadChange]] = []
        self.told: Callable[[LeadChange], None] = lambda _change: None
        self._receiver = receiver
        self._chance = random.Random(node)
        self._ended = threading.Event()
        self._changed = threading.Condition()
        election = Election(
            lease.Candidate(cluster, NodeName(node), incarnation_of_a_start()),
            timing,
            server_expiry=store.server_expiry,
            never_expires=not store.auto_failover,
            jitter=self._chance.random,
        )
        self.crashes: list[BaseException] = []
        self.elector = Elector(store, election, BootClock(), self._note, self.crashes.append)
        self._pusher = threading.Thread(target=self._push_for_ever, name=f"pusher-{node}")

    def start(self, floor: int = 0) -> Self:
        """Stand for it, with an epoch above `floor`."""
        self.elector.start()
        self._pusher.start()
        self.elector.campaign(floor)
        return self

    def __enter__(self) -> Self:
        return self.start()

    def end(self) -> None:
        """Resign and end."""
        self._ended.set()
        with self._changed:
            self._changed.notify_all()
        if self._pusher.ident is not None:
            self._pusher.join(JOIN_S)
        self.elector.close()
        assert self.crashes == []

    @property
    def leads(self) -> bool:
        return self.elector.current() is not None

    @property
    def epoch(self) -> int:
        return self.elector.require().epoch

    def won(self) -> list[float]:
        """When it became manager."""
        return [at for at, change in self.changes if isinstance(change, Won)]

    def lost(self) -> list[float]:
        """When it ceased to be."""
        return [at for at, change in self.changes if not isinstance(change, Won)]

    def _note(self, change: LeadChange) -> None:
        self.changes.append((boot(), change))
        self.told(change)
        with self._changed:
            self._changed.notify_all()

    def _push_for_ever(self) -> None:
        if not self._receiver:
            return
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(self._receiver)
            lines = sock.makefile("rw")
            admitted, number = 0, 0
            while not self._ended.is_set():
                belief = self.elector.current()
                if belief is None:
                    with self._changed:
                        self._changed.wait(0.05)
                    continue
                number += 1
                steps = ["begun", "committed"]
                if belief.token.epoch != admitted:
                    admitted, steps = belief.token.epoch, ["admitted"]
                for step in steps:
                    answer = _say(lines, step, belief.token, number)
                    if answer["refused"]:
                        # Above that one, also where it is our own number under another's name.
                        self.elector.campaign(int(str(answer["highest"])))
                    if step == "begun":
                        # Past the check and not yet committed: no check of its own helps any more.
                        self._ended.wait(self._chance.uniform(*PUSH_S))


def _say(lines: object, step: str, token: Token, number: int) -> dict[str, object]:
    said = {
        "do": step,
        "number": number,
        "cluster": token.cluster,
        "epoch": token.epoch,
        "node": token.holder,
        "incarnation": token.incarnation,
    }
    lines.write(json.dumps(said) + "\n")  # type: ignore[attr-defined]
    lines.flush()  # type: ignore[attr-defined]
    answer = json.loads(lines.readline())  # type: ignore[attr-defined]
    assert isinstance(answer, dict)
    return answer


@dataclass(frozen=True)
class Stirred:
    """How a process that had stood still ceased to lead, from when it ran again.

    `took_s`: how long that took. `machine_s`: how late, at most, a thread that does nothing else than
    wake at its times was run meanwhile in the same process; so much is the machine's doing.
    """

    took_s: float
    machine_s: float


class Pulse:
    """Beats in a thread of its own, and so knows when its process stood still."""

    def __init__(self) -> None:
        self._beat = self._ran = boot()
        self._late_s = 0.0
        self._ended = threading.Event()
        threading.Thread(target=self._run, name="pulse", daemon=True).start()

    def stirred(self) -> Stirred:
        """Tell how long ago the process ran again, if it stood still lately."""
        now = boot()
        beat, ran, late_s = self._beat, self._ran, self._late_s
        if now - beat >= STILL_S:
            return Stirred(0.0, 0.0)  # not even the pulse has beaten since
        return Stirred(now - ran, max(late_s, now - beat - BEAT_S))

    def _run(self) -> None:
        while not self._ended.wait(BEAT_S):
            now = boot()
            late_s = now - self._beat - BEAT_S
            if late_s >= STILL_S:
                self._ran, self._late_s = now, 0.0
            else:
                self._late_s = max(late_s, self._late_s)
            self._beat = now


class CandidateProcess(Ends):
    """A candidate in a process of its own. `told` is what its elector told, each with when."""

    def __init__(
        self, place: Place, cluster: str, node: str, timing: Timing, receiver: str
    ) -> None:
        said = {
            "place": asdict(place),
            "cluster": cluster,
            "node": node,
            "timing": asdict(timing),
            "receiver": receiver,
        }
        self.node = node
        self.told: list[dict[str, object]] = []
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.servers.candidate", json.dumps(said)],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, name=f"reader-{node}")
        self._reader.start()

    def end(self) -> None:
        self.kill()

    def signal(self, number: signal.Signals) -> float:
        """Send a signal; return when that was."""
        at = boot()
        self.process.send_signal(number)
        return at

    def kill(self) -> float:
        """End it with SIGKILL; return when that was."""
        at = boot()
        self.process.kill()
        self.process.wait(JOIN_S)
        self._reader.join(JOIN_S)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return at

    def when(self, what: str) -> list[float]:
        """When it `won`, or `lost`."""
        return [float(str(each["at"])) for each in self.told if each["what"] == what]

    def epochs(self) -> list[int]:
        """The epochs that it won."""
        return [int(str(each["epoch"])) for each in self.told if each["what"] == "won"]

    def stirred(self) -> list[Stirred]:
        """How it ceased to be manager, each time; for one that had stood still before."""
        return [
            Stirred(float(str(each["took_s"])), float(str(each["machine_s"])))
            for each in self.told
            if each["what"] == "lost"
        ]

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.told.append(json.loads(line))


def main(arguments: Sequence[str]) -> None:
    """Run until a signal ends it."""
    said = json.loads(arguments[0])
    place, timing = Place(**said["place"]), Timing(**said["timing"])
    store = place.connect(said["cluster"], timing)
    candidate = Candidate(store, said["cluster"], said["node"], timing, said["receiver"])
    pulse = Pulse()

    def tell(change: LeadChange) -> None:
        what = "won" if isinstance(change, Won) else "lost"
        line = {"at": boot(), "what": what, "epoch": change.token.epoch, **asdict(pulse.stirred())}
        print(json.dumps(line), flush=True)  # noqa: T201 - read by the test

    candidate.told = tell
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda _number, _frame: ended.set())
    with candidate:
        ended.wait()


if __name__ == "__main__":
    main(sys.argv[1:])
