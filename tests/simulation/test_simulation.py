"""Clusters of the production node under people, faults and chance: no promise is ever broken.

A failure names its seed; `scripts/simulate --from SEED --trace` tells its story.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulation.cluster import run_seed
from tests.simulation.seeds import FOUND

SEEDS_EACH_RUN = 100
ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.mark.parametrize("seed", range(SEEDS_EACH_RUN))
def test_no_promise_is_broken(seed: int) -> None:
    violation, _ = run_seed(seed)
    assert violation is None, f"scripts/simulate --from {seed} --trace: {violation}"


@pytest.mark.parametrize("seed", FOUND)
def test_what_was_found_once_stays_mended(seed: int) -> None:
    violation, _ = run_seed(seed)
    assert violation is None, f"scripts/simulate --from {seed} --trace: {violation}"


def test_a_seed_makes_the_same_run_in_every_process() -> None:
    code = (
        "import hashlib, sys\n"
        "from tests.simulation.cluster import run_seed\n"
        "_, story = run_seed(7, tracing=True)\n"
        "print(len(story), hashlib.sha256('\\n'.join(story).encode()).hexdigest())\n"
    )
    told = {
        subprocess.run(
            [sys.executable, "-c", code],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for hash_seed in ("1", "2")
    }
    assert len(told) == 1, told
    assert int(told.pop().split()[0]) > 100, "a run of nothing would prove nothing"
