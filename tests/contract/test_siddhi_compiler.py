"""We and the real compiler of Siddhi say the same of a plan's text: corpus, statements, mutants.

Each disagreement is listed by its cause. What is left is no question of the language: the deployer
of the runtime wants one `@Plan:name`, the compiler does not look for it.
"""

from collections import Counter

import pytest

from tests.contract.siddhi_judge import FEATURES, PLANS, ours, statements, theirs
from tests.contract.siddhi_mutants import KINDS, mutants

pytestmark = pytest.mark.needs_siddhi

MUTANTS = 880
"""40 of each kind."""
DANGEROUS: dict[str, int] = {}
"""We pass it and the compiler refuses: its exception -> how many mutants."""
FALSE_ALARMS: dict[str, int] = {"no-name": 2}
"""We refuse what the compiler takes: our code -> how many mutants."""


def test_every_plan_of_the_corpus_is_taken_by_both() -> None:
    plans = [path.read_text(encoding="utf-8-sig") for path in [*PLANS, FEATURES]]
    assert len(plans) == 59 + 1
    assert theirs(plans) == ["ok"] * len(plans)
    assert [ours(plan) for plan in plans] == ["ok"] * len(plans)


def test_the_statements_are_judged_as_their_file_says() -> None:
    plans = statements()
    verdicts = theirs([plan for plan, _ in plans])
    wrong = [
        (plan, verdict)
        for (plan, taken), verdict in zip(plans, verdicts, strict=True)
        if (verdict == "ok") != taken
    ]
    assert not wrong


def test_mutants_are_refused_by_both_or_by_none() -> None:
    judged = list(mutants(MUTANTS, seed=4))
    assert Counter(mutant.kind for mutant in judged) == dict.fromkeys(KINDS, MUTANTS // len(KINDS))
    verdicts = theirs([mutant.text for mutant in judged])
    dangerous, false_alarms = Counter[str](), Counter[str]()
    for mutant, verdict in zip(judged, verdicts, strict=True):
        mine = ours(mutant.text)
        if mine == "ok" and verdict != "ok":
            dangerous[verdict.split(":")[0]] += 1
        elif mine != "ok" and verdict == "ok":
            false_alarms[mine.split(":")[0]] += 1
    assert (dict(dangerous), dict(false_alarms)) == (DANGEROUS, FALSE_ALARMS)
    refused = sum(verdict != "ok" for verdict in verdicts)
    assert MUTANTS // 2 < refused < MUTANTS, "mutants that all fall on one side show nothing"
