"""Our verdict on an artifact agrees with a real Synapse's, or there is a reason that bytes don't tell.

Beside an Apache Synapse we judge as it does; beside any other runtime all that WSO2's Synapse reads passes,
of which the real one here refuses much. `scripts/judge-synapse` does the same for any tree; the whole set
that the sample here was taken from has 1,788 artifacts.
"""

import re
from pathlib import Path

import pytest

from syncagent.core.dialect import Dialect
from tests.e2e.synapse import FOLDERS, synapse_home
from tests.e2e.synapse_judge import (
    LOG_KB,
    Cause,
    Comparison,
    Verdict,
    artifacts_of,
    compare,
    deploy,
    judge,
    our_reasons,
    our_warnings,
)
from tests.e2e.synapse_mutants import Artifact, Mutant, mutants_of

CORPUS = Path(__file__).resolve().parents[1] / "data/corpus"
SAMPLE = CORPUS / "mi-tests/synapse-configs/default"
RELEASES = sorted(CORPUS.glob("apim-releases/*/synapse-configs/default"))

SAME_CONTEXT = {"api/AuthHeaderTestAPI.xml", "api/CorruptedApi.xml"}
"""Of these the first that a look finds is deployed."""

pytestmark = [pytest.mark.e2e, pytest.mark.needs_synapse]

Judged = list[tuple[Artifact, Verdict]]


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Judged:
    artifacts = artifacts_of(SAMPLE)
    return list(zip(artifacts, judge(tmp_path_factory.mktemp("sample"), artifacts), strict=True))


@pytest.fixture(scope="module")
def judged_mutants(sample: Judged, tmp_path_factory: pytest.TempPathFactory) -> Judged:
    good = [artifact for artifact, verdict in sample if verdict.taken and not our_reasons(artifact)]
    made = list(mutants_of(good))
    return list(zip(made, judge(tmp_path_factory.mktemp("mutants"), made), strict=True))


@pytest.fixture(scope="module")
def mutants(judged_mutants: Judged) -> Comparison:
    return compared(judged_mutants)


@pytest.fixture(scope="module")
def apache_mutants(judged_mutants: Judged) -> Comparison:
    return compared(judged_mutants, Dialect.APACHE)


def compared(judged: Judged, dialect: Dialect = Dialect.WSO2) -> Comparison:
    artifacts, verdicts = zip(*judged, strict=True)
    return compare(artifacts, verdicts, dialect)


def test_no_real_artifact_that_synapse_takes_is_refused_by_us(sample: Judged) -> None:
    found = compared(sample)
    assert found.we_refuse == []
    assert found.both_take == 212


def test_what_synapse_refuses_of_the_sample_and_we_pass_has_causes_that_bytes_do_not_tell(
    sample: Judged,
) -> None:
    assert compared(sample).causes == {
        Cause.DIALECT: 36,
        Cause.MEDIATOR: 25,
        Cause.ELSEWHERE: 17,
        Cause.CLASS: 14,
        Cause.FOLDER: 6,
        Cause.TAKEN: 1,
    }


def test_beside_apache_only_what_is_not_there_keeps_us_from_knowing(sample: Judged) -> None:
    found = compared(sample, Dialect.APACHE)
    assert found.we_refuse == []
    assert (found.both_take, found.both_refuse) == (212, 71)
    assert found.causes == {Cause.ELSEWHERE: 17, Cause.CLASS: 11, Cause.TAKEN: 1}


def test_no_mutant_is_refused_by_synapse_and_passed_by_us_without_such_a_cause(
    mutants: Comparison,
) -> None:
    unexplained = [
        (artifact.damage, verdict.reason)
        for artifact, verdict, cause in mutants.it_refuses
        if cause is Cause.UNEXPLAINED and isinstance(artifact, Mutant)
    ]
    assert unexplained == []


def test_there_are_thousands_of_mutants_and_hundreds_are_refused_by_both(
    mutants: Comparison,
) -> None:
    assert mutants.both_take > 2_000
    assert mutants.both_refuse > 550


def test_most_of_the_mutants_in_the_dangerous_direction_hold_a_mediator_of_no_name(
    mutants: Comparison,
) -> None:
    causes = dict(mutants.causes)
    assert causes.pop(Cause.MEDIATOR) < 200
    assert sum(causes.values()) < 30


def test_beside_apache_a_mutant_in_that_direction_holds_a_mediator_of_no_name_or_lacks_a_class(
    apache_mutants: Comparison,
) -> None:
    causes = dict(apache_mutants.causes)
    assert causes.pop(Cause.MEDIATOR) < 200
    assert causes.keys() <= {Cause.CLASS, Cause.PAYLOAD}
    assert sum(causes.values()) < 25


def test_beside_apache_we_are_not_stricter_with_mutants_of_what_it_takes(
    mutants: Comparison, apache_mutants: Comparison
) -> None:
    assert apache_mutants.we_refuse == mutants.we_refuse
    assert apache_mutants.both_take == mutants.both_take


def test_beside_apache_we_are_not_stricter_with_mutants_of_what_it_refuses_as_dialect(
    sample: Judged, tmp_path: Path
) -> None:
    refused = [artifact for artifact, _ in sample if our_reasons(artifact, Dialect.APACHE)]
    made = list(mutants_of(refused))
    found = compare(made, judge(tmp_path, made), Dialect.APACHE)
    assert found.both_take > 20
    assert found.both_refuse > 1_000
    assert found.causes.keys() <= {Cause.MEDIATOR, Cause.CLASS, Cause.ELSEWHERE}
    # An endpoint in what nobody reads any more counts for us all the same.
    stricter = [artifact.damage for artifact, _ in found.we_refuse if isinstance(artifact, Mutant)]
    assert stricter == ["rename <sequence>"]


@pytest.mark.parametrize("dialect", list(Dialect))
def test_we_warn_of_each_mediator_of_no_name(judged_mutants: Judged, dialect: Dialect) -> None:
    silent = [
        artifact.path
        for artifact, verdict, cause in compared(judged_mutants, dialect).it_refuses
        if cause is Cause.MEDIATOR
        and verdict.reason.endswith("}bogus")
        and "unknown-mediator" not in our_warnings(artifact, dialect)
    ]
    assert silent == []


def test_we_warn_of_no_mediator_in_any_real_artifact(sample: Judged) -> None:
    trees = [artifact for tree in RELEASES for artifact in artifacts_of(tree)]
    artifacts = [*trees, *(artifact for artifact, _ in sample)]
    assert [a.path for a in artifacts if "unknown-mediator" in our_warnings(a)] == []


def test_we_are_stricter_than_synapse_only_about_root_elements_and_names(
    mutants: Comparison,
) -> None:
    stricter = {
        re.sub(r"<\w+>", "<root>", artifact.damage)
        for artifact, _ in mutants.we_refuse
        if isinstance(artifact, Mutant)
    }
    assert stricter <= {
        "rename <root>",
        "blank proxy/@name",
        "blank eventSource/@name",
        "blank import/@name",
        "blank import/@package",
    }


@pytest.mark.parametrize("tree", RELEASES, ids=lambda path: path.parents[1].name)
def test_nothing_that_a_release_ships_is_refused_by_us(tree: Path) -> None:
    assert [artifact.path for artifact in artifacts_of(tree) if our_reasons(artifact)] == []


def test_a_running_synapse_deploys_what_its_deployers_take_one_by_one(
    sample: Judged, tmp_path: Path
) -> None:
    safe = [(a, v) for a, v in sample if a.folder in FOLDERS and not v.thrown]
    with synapse_home(tmp_path, rotate_kb=LOG_KB) as home:
        home.start()
        deployed = deploy(home, [artifact for artifact, _ in safe])
        assert not home.deployer_died
    differ = {
        artifact.path
        for (artifact, verdict), taken in zip(safe, deployed, strict=True)
        if taken != verdict.taken
    }
    assert len(differ) == 1
    assert differ < SAME_CONTEXT
    assert sum(deployed) == 211
