"""Whatever happens to trees, runtime and agent: nothing is called Deployed that is not served.

A modelled runtime is the judge. People edit, revisions come, versions are refused, the runtime and
the agent stop and start. After each step the counts are whole; once all is quiet, what is Deployed is
served with just those bytes, and what is served otherwise has a reason.
"""

from __future__ import annotations

from hypothesis import example, given, settings
from hypothesis import strategies as st

from syncagent.agent.node.hearing import LOST
from syncagent.core.digest import digest_of
from syncagent.core.outcome import Deployment
from syncagent.core.runtime import Phase
from tests.fakes.agent_bench import Bench, at
from tests.fakes.runtime_words import CARBON, SYNAPSE
from tests.unit.agent.test_deploying import (
    OLD,
    again,
    api,
    change,
    following,
    leading,
    refuse,
)

QUIET_S = 600.0
NAMES = ("A", "B", "C", "Bad")
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.sampled_from(NAMES), st.sampled_from(("v1", "v2", "new"))),
        st.tuples(st.just("by-hand"), st.sampled_from(NAMES), st.sampled_from(("v3", "broken"))),
        st.tuples(st.just("delete"), st.sampled_from(NAMES), st.just("")),
        st.tuples(st.just("pass"), st.sampled_from(("0.3", "3", "11", "70")), st.just("")),
        st.tuples(st.sampled_from(("runtime", "agent", "redeploy")), st.just("A"), st.just("")),
    ),
    max_size=8,
)


def do(bench: Bench, step: tuple[str, str, str]) -> None:
    """Have one thing happen."""
    what, name, text = step
    path = f"api/{name}.xml"
    assert bench.gateway is not None
    match what:
        case "put":
            _change(bench, path, api(name, text))
        case "delete":
            _change(bench, path, None)
        case "by-hand":
            content = api(name, text)
            bench.put(path, content[:-5] if text == "broken" else content)
        case "pass":
            bench.pass_(float(name))
        case "runtime":
            bench.gateway.kill()
            bench.pass_(2.0)
            bench.gateway.boot()
            bench.pass_(1.0)
        case "agent":
            again(bench)
            if bench.state.role.value != "worker":
                bench.pass_(6.0)
        case _:
            bench.node.deploying.redeploy([at(path)], bench.at)
            bench.rest()


def _change(bench: Bench, path: str, content: bytes | None) -> None:
    """Have a file changed, if that would change something and can be done now."""
    if bench.state.leads:
        if bench.files.get(path) != content:
            change(bench, path, content)
        return
    row = bench.state.standing.manifest.get(at(path))
    wanted = digest_of(content) if content is not None else None
    idle = bench.node.advancing.job is None and bench.node.deploying.may_write
    if idle and (row.digest if row else None) != wanted:
        change(bench, path, content)


def whole(bench: Bench) -> None:
    """Check that each artifact is in exactly one state."""
    counts = bench.node.deploying.counts()
    row = bench.node.reporting.own_row(bench.at)
    assert sum(counts.values()) == row["artifacts"] == bench.node.deploying.total()
    assert all(count >= 0 for count in counts.values())


def honest(bench: Bench) -> None:
    """Check what is called Deployed against what is served."""
    assert bench.gateway is not None
    for path, outcome in bench.node.deploying.outcomes.items():
        folder, _, file = path.path.partition("/")
        served = bench.gateway.serves(folder, file.removesuffix(".xml"))
        same = served is not None and digest_of(served) == outcome.digest
        if outcome.state is Deployment.DEPLOYED:
            assert same, outcome
        elif outcome.state is Deployment.REJECTED:
            # What it lost track of may be just these bytes, from a file before.
            assert outcome.reason
            assert not same or LOST in outcome.reason, outcome
        else:
            assert outcome.reason
            stuck = bench.gateway.state.phase is not Phase.READY
            assert outcome.state is not Deployment.PENDING or stuck, outcome


def play(bench: Bench, steps: list[tuple[str, str, str]]) -> None:
    refuse(bench)
    for step in steps:
        do(bench, step)
        whole(bench)
    bench.pass_(QUIET_S)
    whole(bench)
    honest(bench)
    left = [path for path in bench.node.observing.differing() if path not in bench.state.refused]
    assert not left or bench.state.holds


@settings(deadline=None, max_examples=25)
@given(STEPS)
def test_on_a_manager_beside_apache_synapse(steps: list[tuple[str, str, str]]) -> None:
    play(leading(OLD, SYNAPSE), steps)


@settings(deadline=None, max_examples=25)
@given(STEPS)
def test_on_a_manager_beside_carbon(steps: list[tuple[str, str, str]]) -> None:
    play(leading(OLD, CARBON), steps)


@settings(deadline=None, max_examples=25)
@given(STEPS)
# A start that failed on one API knows no file of the others: each is a duplicate of itself then.
@example([("put", "A", "new"), ("runtime", "A", ""), ("put", "A", "v1"), ("by-hand", "B", "v3")])
def test_on_a_worker_beside_apache_synapse(steps: list[tuple[str, str, str]]) -> None:
    play(following(OLD, SYNAPSE), steps)


@settings(deadline=None, max_examples=25)
@given(STEPS)
def test_on_a_worker_beside_carbon(steps: list[tuple[str, str, str]]) -> None:
    play(following(OLD, CARBON), steps)
