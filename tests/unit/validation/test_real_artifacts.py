"""Real artifacts pass, really broken ones do not."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syncagent.core.artifact import ArtifactPath, Kind, TreeKind, TreeName, kind_of
from syncagent.core.crosscheck import crosscheck
from syncagent.core.verdict import Examined, Severity
from syncagent.validation.validator import ArtifactValidator

CORPUS = Path(__file__).resolve().parents[2] / "data" / "corpus"
RELEASES = sorted((CORPUS / "apim-releases").iterdir())
SAMPLE = CORPUS / "mi-tests" / "synapse-configs" / "default"
PLANS = sorted(CORPUS.glob("*/executionplans/*.siddhiql"))
VARIANTS = sorted(CORPUS.glob("*/variants/executionplans/*.siddhiql"))
REFUSED_BY_THE_RUNTIME = {"sequences/invalidIterateMessages.xml"}
VALIDATOR = ArtifactValidator()


def examine_tree(root: Path) -> dict[str, tuple[Kind, Examined]]:
    found = {}
    for file in sorted(root.rglob("*")):
        if file.is_file():
            path = file.relative_to(root).as_posix()
            kind = kind_of(TreeKind.SYNAPSE, path)
            found[path] = (kind, VALIDATOR.examine(kind, path, file.read_bytes()))
    assert found, f"nothing in {root}"
    return found


def errors(verdict: Examined) -> list[str]:
    return [p.reason for p in verdict.problems if p.severity is Severity.ERROR]


@pytest.mark.parametrize("release", RELEASES, ids=lambda path: path.name)
def test_a_released_tree_is_valid_and_whole(release: Path) -> None:
    verdicts = examine_tree(release / "synapse-configs" / "default")
    assert {path: errors(v) for path, (_, v) in verdicts.items() if not v.valid} == {}
    among = crosscheck(
        {ArtifactPath(TreeName("t"), path): (kind, v.facts) for path, (kind, v) in verdicts.items()}
    )
    assert among == {}


def test_there_are_eleven_releases_with_239_files() -> None:
    assert len(RELEASES) == 11
    assert sum(len(examine_tree(r / "synapse-configs" / "default")) for r in RELEASES) == 239


def test_the_sample_of_all_kinds_is_valid_but_for_what_the_runtime_refuses() -> None:
    verdicts = examine_tree(SAMPLE)
    assert len(verdicts) == 312
    assert {kind for kind, _ in verdicts.values()} == set(Kind) - {Kind.PLAN, Kind.ROOT, Kind.FILE}
    assert {path for path, (_, v) in verdicts.items() if not v.valid} == REFUSED_BY_THE_RUNTIME


@pytest.mark.parametrize(
    ("path", "code", "line"),
    [
        ("malformed/CorruptedApi.xml", "not-well-formed", 6),
        ("malformed/HeadMethodResponseTestProxy.xml", "not-well-formed", 31),
        ("nameless/content.xml", "wrong-namespace", 1),
        ("nameless/dynamic_endpt_1.6.xml", "no-name", 20),
        ("nameless/dynamic_endpt_1.9.xml", "no-name", 20),
        ("nameless/dynamic_endpt_1.11.xml", "no-name", 1),
        ("nameless/dynamic_endpt_1.12.xml", "no-name", 21),
    ],
)
def test_a_broken_artifact_is_refused_with_its_line(path: str, code: str, line: int) -> None:
    kind = {"CorruptedApi.xml": Kind.API}.get(path.split("/")[1], Kind.PROXY_SERVICE)
    kind = Kind.ENDPOINT if "endpt" in path else kind
    problem = VALIDATOR.examine(
        kind, f"x/{path}", (CORPUS / "broken" / path).read_bytes()
    ).problems[0]
    assert (problem.code, problem.line, problem.severity) == (code, line, Severity.ERROR)


@pytest.mark.parametrize("plan", [*PLANS, *VARIANTS], ids=lambda path: path.name)
def test_a_real_plan_is_valid_and_known_by_its_name(plan: Path) -> None:
    verdict = VALIDATOR.examine(Kind.PLAN, plan.name, plan.read_bytes())
    assert errors(verdict) == []
    assert f"@Plan:name('{verdict.facts.name}')" in plan.read_text(encoding="utf-8-sig")


def test_there_are_59_plans() -> None:
    assert len(PLANS) + len(VARIANTS) == 59


@pytest.mark.parametrize(
    "path",
    [
        "apim-releases/v2.1.0/synapse-configs/default/api/_TokenAPI_.xml",
        "apim-releases/v3.2.0/synapse-configs/default/sequences/main.xml",
        "apim-releases/v2.1.0/synapse-configs/default/registry.xml",
    ],
)
def test_a_file_cut_off_at_any_byte_is_refused(path: str) -> None:
    content = (CORPUS / path).read_bytes()
    inside = path.split("default/")[1]
    kind = kind_of(TreeKind.SYNAPSE, inside)
    whole = len(content.rstrip())
    assert VALIDATOR.examine(kind, inside, content[:whole]).valid
    passed = [cut for cut in range(whole) if VALIDATOR.examine(kind, inside, content[:cut]).valid]
    assert passed == []


def test_a_plan_cut_off_inside_a_statement_is_refused() -> None:
    for plan in PLANS[:12]:
        text = plan.read_text(encoding="utf-8-sig")
        at = text.rindex("insert")
        for cut in (at, at + 6, text.rindex("define") + 9):
            assert not VALIDATOR.examine(Kind.PLAN, plan.name, text[:cut].encode()).valid, (
                plan,
                cut,
            )


POOL = sorted(CORPUS.rglob("*.xml"))[::7] + PLANS[::5]


@settings(deadline=None, max_examples=200)
@given(st.sampled_from(POOL), st.data())
def test_a_damaged_artifact_is_judged_and_never_raises(file: Path, data: st.DataObject) -> None:
    content = bytearray(file.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content)))
        content[at : at + data.draw(st.integers(0, 8))] = data.draw(st.binary(max_size=8))
    kind = data.draw(st.sampled_from(sorted(Kind)))
    verdict = VALIDATOR.examine(kind, f"api/{file.name}", bytes(content))
    assert verdict.valid == (not errors(verdict))
