"""Clusters on one mount under people, faults and chance; and that the checkers find what is broken.

A failure names its seed; `scripts/simulate --in-place --from SEED --trace` tells its story.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from syncagent.agent.hands.committer import Committer
from syncagent.agent.hands.recovery import finish_interrupted
from tests.simulation.machine import Build
from tests.simulation.mount import leave_as_it_is, run_mount_seed

if TYPE_CHECKING:
    from syncagent.agent import effects as fx
    from syncagent.agent.results import Result
    from syncagent.core.revision import Token

SEEDS = range(6)
SEEDS_MAX = 100
BESIDE = (0, 1, 4, 15, 79, 100)
"""Seeds with runtimes; 1 and 15 found that what had not come yet counted as there at a start, 100 that a
manager spun over a revision that was never made durable."""


@pytest.mark.parametrize("seed", SEEDS)
def test_what_a_mount_can_keep_is_kept(seed: int) -> None:
    violation, _ = run_mount_seed(seed)
    assert violation is None, f"scripts/simulate --in-place --from {seed} --trace: {violation}"


@pytest.mark.parametrize("seed", SEEDS)
def test_elected_managers_keep_it_too(seed: int) -> None:
    violation, _ = run_mount_seed(seed, elections=True)
    hint = f"scripts/simulate --in-place --elections --from {seed} --trace"
    assert violation is None, f"{hint}: {violation}"


@pytest.mark.parametrize("seed", BESIDE)
def test_the_truth_is_told_of_runtimes_on_one_mount(seed: int) -> None:
    violation, _ = run_mount_seed(seed, runtimes=True)
    hint = f"scripts/simulate --in-place --runtimes --from {seed} --trace"
    assert violation is None, f"{hint}: {violation}"


class Touching(Committer):
    """Shows its runtime what it has come to stand on, as it may where the trees are its own."""

    def _commit(self, effect: fx.CommitIntent) -> Result:
        done = super()._commit(effect)
        for change in effect.change.changes or ():
            if change.after is not None and change.path.tree in self._disk.trees:  # type: ignore[attr-defined]
                self._disk.touch(change.path, change.after.digest)
        return done


class Unleased(Committer):
    """Asks its guard only, which knows what was admitted here."""

    def _still(self, token: Token) -> None:
        """Believe it."""


FAULTY = {
    "a worker that touches": (Build(recover=leave_as_it_is, committer=Touching), False, 0),
    "a start that goes on with a commit": (Build(recover=finish_interrupted), True, 13),
    "a commit after the lease": (Build(recover=leave_as_it_is, committer=Unleased), True, 5),
}
"""Faulty agents, whether managers are elected, and a seed that found it: that is tried first."""


@pytest.mark.parametrize("fault", FAULTY)
def test_who_writes_is_found_out(fault: str) -> None:
    build, elections, likely = FAULTY[fault]
    for seed in dict.fromkeys((likely, *range(SEEDS_MAX))):
        violation, _ = run_mount_seed(seed, build=build, elections=elections)
        if violation is not None:
            assert violation.promise == "who writes"
            return
    pytest.fail(f"{fault}: not in {SEEDS_MAX} seeds")
