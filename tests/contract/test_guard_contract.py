"""What any Guard does: the file, and the fake of the simulation."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from syncagent.core.artifact import NodeName
from syncagent.core.errors import FencedError
from syncagent.core.guard import EPOCH_JUMP_MAX
from syncagent.core.revision import Token
from syncagent.fsio import OsFS
from syncagent.history.guard import FileGuard
from tests.fakes.history import FakeGuard

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from syncagent.ports import Guard

CLUSTER = "apim"
WAIT_S = 10.0


def token(
    epoch: int, holder: str = "gw-1", start: str = "start-1", cluster: str = CLUSTER
) -> Token:
    return Token(cluster, epoch, NodeName(holder), start)


class Bench:
    def __init__(self, first: Guard, again: Callable[[Guard], Guard]) -> None:
        self.guard = first
        self._again = again

    def restart(self) -> Guard:
        self.guard = self._again(self.guard)
        return self.guard


@pytest.fixture(params=["fake", "real"])
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Bench:
    if request.param == "fake":

        def crashed(guard: Guard) -> Guard:
            assert isinstance(guard, FakeGuard)
            return guard.crash()

        return Bench(FakeGuard(CLUSTER), crashed)
    first = FileGuard(OsFS(), str(tmp_path), CLUSTER)
    first.enrol()
    return Bench(first, lambda _: FileGuard(OsFS(), str(tmp_path), CLUSTER))


def test_an_enrolled_node_stands_at_epoch_zero(bench: Bench) -> None:
    assert (bench.guard.state().epoch, bench.guard.state().highest) == (0, None)


def test_a_higher_token_is_admitted_and_survives_a_restart(bench: Bench) -> None:
    bench.guard.admit(token(1))
    bench.guard.admit(token(5, "gw-2"))
    assert bench.restart().state().highest == token(5, "gw-2")


def test_the_same_token_is_admitted_again(bench: Bench) -> None:
    bench.guard.admit(token(3))
    assert bench.restart().admit(token(3)).highest == token(3)


@pytest.mark.parametrize(
    "refused",
    [
        pytest.param(token(2), id="a lower epoch"),
        pytest.param(token(3, "gw-2"), id="the same epoch of another holder"),
        pytest.param(token(3, "gw-1", "start-2"), id="the same epoch of another start"),
        pytest.param(token(9, cluster="other"), id="another cluster"),
        pytest.param(token(4 + EPOCH_JUMP_MAX), id="an absurd jump"),
    ],
)
def test_refused_and_nothing_is_remembered(bench: Bench, refused: Token) -> None:
    bench.guard.admit(token(3))
    with pytest.raises(FencedError):
        bench.guard.admit(refused)
    with pytest.raises(FencedError), bench.guard.holding(refused):
        pytest.fail("a refused token held the guard")
    assert bench.restart().state().highest == token(3)


def test_an_absurd_jump_is_admitted_when_a_person_says_so(bench: Bench) -> None:
    far = token(4 + EPOCH_JUMP_MAX)
    assert bench.guard.admit(far, forced=True).highest == far


def test_a_token_that_was_not_admitted_holds_nothing(bench: Bench) -> None:
    bench.guard.admit(token(1))
    with pytest.raises(FencedError), bench.guard.holding(token(2)):
        pytest.fail("a token held the guard before it was admitted")
    assert bench.guard.state().epoch == 1


def test_nothing_is_admitted_while_a_commit_holds_the_guard(bench: Bench) -> None:
    """A commit of epoch 1 races the admission of epoch 2: they never overlap."""
    guard = bench.guard
    guard.admit(token(1))
    order: list[str] = []
    started, admitted = threading.Event(), threading.Event()

    def admit() -> None:
        started.set()
        guard.admit(token(2, "gw-2"))
        order.append("admitted 2")
        admitted.set()

    thread = threading.Thread(target=admit)
    with guard.holding(token(1)):
        thread.start()
        assert started.wait(WAIT_S)
        assert not admitted.wait(0.05)
        order.append("committed 1")
    thread.join(WAIT_S)
    assert order == ["committed 1", "admitted 2"]
    with pytest.raises(FencedError), guard.holding(token(1)):
        order.append("committed 1 again")
    assert order[-1] == "admitted 2"


def test_an_error_inside_gives_the_guard_back(bench: Bench) -> None:
    bench.guard.admit(token(1))
    with pytest.raises(ZeroDivisionError), bench.guard.holding(token(1)):
        raise ZeroDivisionError
    assert bench.guard.admit(token(2)).epoch == 2


def test_sixteen_tokens_at_once_leave_the_highest(bench: Bench) -> None:
    guard = bench.guard

    def admit(epoch: int) -> None:
        try:
            guard.admit(token(epoch))
        except FencedError:
            fenced.append(epoch)

    fenced: list[int] = []
    threads = [threading.Thread(target=admit, args=(epoch,)) for epoch in range(1, 17)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT_S)
    assert bench.restart().state().epoch == 16
    assert 16 not in fenced
