"""An inbox that is full slows its sources down; it never stops the loop, nor its end."""

import threading
from dataclasses import dataclass, field

from syncagent.agent.loop import Loop, Stop
from syncagent.ports import Instant

LONG_S = 20.0


class Clock:
    """Time stands."""

    def now(self) -> Instant:
        return Instant(0.0)

    def wall(self) -> float:
        return 0.0


@dataclass
class Echo:
    """A node whose first decision has an effect; it remembers what it was told."""

    heard: list[object] = field(default_factory=list)
    wanted: list[object] = field(default_factory=lambda: ["effect"])

    def start(self, now: float) -> None:
        pass

    def tick(self, now: float) -> float:
        return now

    def drain(self) -> list[object]:
        wanted, self.wanted = self.wanted, []
        return wanted

    def handle(self, event: object, now: float) -> None:
        self.heard.append(event)


def _loop(node: Echo, carry_out: object) -> Loop:
    return Loop(node, Clock(), carry_out, inbox_max=2)  # type: ignore[arg-type]


def test_an_effect_that_answers_at_once_does_so_beside_a_full_inbox() -> None:
    node = Echo()
    loop = _loop(node, lambda _effect: loop.post("answer"))
    loop.post("first")
    loop.post(Stop())
    thread = threading.Thread(target=loop.run, daemon=True)
    thread.start()
    thread.join(LONG_S)
    assert not thread.is_alive()
    assert sorted(map(str, node.heard)) == ["answer", "first"]


def test_who_waits_to_post_goes_on_when_the_loop_has_ended() -> None:
    loop = _loop(Echo(), lambda _effect: None)
    loop.post(Stop())
    loop.post("second")
    posters = [threading.Thread(target=loop.post, args=(n,), daemon=True) for n in range(5)]
    for poster in posters:
        poster.start()
    thread = threading.Thread(target=loop.run, daemon=True)
    thread.start()
    for each in (thread, *posters):
        each.join(LONG_S)
        assert not each.is_alive()
    loop.post("to nobody")
    loop.post("to nobody")
    loop.post("to nobody")
