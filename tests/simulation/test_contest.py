"""Candidates and a lease store under trouble: the rules of the lease hold, and each fault is found."""

from __future__ import annotations

import pytest

from tests.simulation import faulty_candidates as faulty
from tests.simulation.contest import Parts, run_contest

SEEDS_EACH_RUN = 100
SEEDS_MAX = 200


def test_a_belief_never_outlives_its_grant_and_somebody_leads_in_peace() -> None:
    found = {
        seed: violation for seed in range(SEEDS_EACH_RUN) if (violation := run_contest(seed)[0])
    }
    assert not found, "scripts/simulate --leases --from SEED --trace"


FAULTS: dict[str, tuple[Parts, set[str]]] = {
    "deadline from the answer": (Parts(elector=faulty.LateDeadline), {"deadline"}),
    "unknown taken for done": (Parts(elector=faulty.Optimist), {"deadline"}),
    "expiry by the store's clock": (Parts(elector=faulty.StoreClock), {"one manager"}),
    "no watchdog": (Parts(election=faulty.NoWatchdog), {"deadline"}),
    "no margin": (Parts(election=faulty.NoMargin), {"deadline"}),
    "not watched for a lease": (Parts(election=faulty.Impatient), {"one manager"}),
    "an old token resumed": (Parts(election=faulty.Resuming), {"one manager", "deadline"}),
    "not given back": (Parts(election=faulty.Greedy), {"a manager"}),
    "no floor": (Parts(election=faulty.Forgetful), {"one epoch"}),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_candidate_is_caught(fault: str) -> None:
    parts, promises = FAULTS[fault]
    others: list[str] = []
    for seed in range(SEEDS_MAX):
        violation, _ = run_contest(seed, parts=parts)
        if violation is not None and violation.promise in promises:
            return
        if violation is not None:
            others.append(f"{seed}: {violation.promise}")
    pytest.fail(f"{fault}: not caught by {SEEDS_MAX} seeds; these said something else: {others}")
