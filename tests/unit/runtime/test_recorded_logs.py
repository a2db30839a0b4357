"""The reader on the logs of a real Apache Synapse 3.0.1 (`tests/data/logs`), in any portions."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from syncagent.core.artifact import ArtifactPath, Kind, TreeKind, TreeName
from syncagent.core.runtime import EXCERPT_MAX, REASON_MAX, Heard, Saying
from syncagent.core.settings import TreeSettings
from syncagent.runtime.names import Names
from syncagent.runtime.patterns import APACHE_3, CARBON_3
from syncagent.runtime.reader import DOUBT_S, Reader, Said, Turn, Turning

LOGS = Path(__file__).resolve().parents[2] / "data/logs/apache-synapse-3.0.1"
TREE = TreeSettings(
    TreeName("synapse"), TreeKind.SYNAPSE, "/opt/synapse/repository/conf/synapse-config"
)
DEADLY = (
    *("api", "endpoint", "event-source", "local-entry", "processor"),
    *("sequence", "store", "task", "template"),
)
"""What Apache Synapse 3.0.1 dies of when a well-formed update of it is refused."""


def reader() -> Reader:
    return Reader(APACHE_3, Names([TREE], lambda path: path))


def told(name: str) -> list[Said]:
    one = reader()
    return [*one.take((LOGS / f"{name}.log").read_bytes(), 0.0), *one.flush(1.0), *one.flush(9.0)]


def sayings(said: list[Said], path: str) -> list[tuple[Saying, str]]:
    where = ArtifactPath(TREE.name, path)
    return [
        (each.saying, each.reason)
        for each in said
        if isinstance(each, Heard) and each.path == where
    ]


def turns(said: list[Said]) -> list[Turning]:
    return [each.what for each in said if isinstance(each, Turn)]


def test_every_kind_that_was_deployed_and_updated_is_heard() -> None:
    said = told("changes")
    for saying in (Saying.DEPLOYED, Saying.UPDATED):
        folders = {
            each.path.path.partition("/")[0]
            for each in said
            if isinstance(each, Heard) and each.saying is saying and each.path
        }
        assert len(folders) >= 9, folders
    assert sayings(said, "api/.Dot.xml") == [(Saying.DEPLOYED, "")]
    assert sayings(said, "imports/I.xml")[1:] == [
        (Saying.REJECTED, "Duplicate Synapse Library {org.x}i"),
        (Saying.BACKED_UP, ""),
        (Saying.RESTORED, ""),
    ]


def test_a_refused_new_file_is_one_rejection_with_the_reason_that_came_before_it() -> None:
    said = told("refused")
    assert sayings(said, "api/SameContext.xml") == [
        (Saying.REJECTED, "URL context: /first is already registered with the API: First"),
        (Saying.BACKED_UP, ""),
    ]
    assert sayings(said, "api/NoName.xml")[0] == (
        Saying.REJECTED,
        "Attribute 'name' is required for an API definition",
    )
    assert sayings(said, "api/Empty.xml")[0] == (Saying.REJECTED, "Unexpected EOF in prolog")


def test_an_update_that_breaks_in_the_middle_loses_the_files_track_at_the_next() -> None:
    said = told("refused")
    assert [saying for saying, _ in sayings(said, "api/Cut.xml")] == [
        Saying.REJECTED,
        Saying.LOST_TRACK,
        Saying.REJECTED,
        Saying.BACKED_UP,
    ]


def test_what_the_runtime_wrote_back_is_told_and_why() -> None:
    said = told("lost")
    assert sayings(said, "sequences/main.xml") == [
        (Saying.REJECTED, "Cannot Undeploy the main sequence"),
        (Saying.RESTORED, ""),
    ]


@pytest.mark.parametrize("kind", DEADLY)
def test_an_error_that_ends_the_deployer_is_told_with_its_reason(kind: str) -> None:
    said = told(f"refused-update-{kind}")
    (dead,) = [each for each in said if isinstance(each, Turn) and each.what is Turning.DEAD]
    console = (LOGS / f"refused-update-{kind}.console").read_text()
    assert (
        f'Exception in thread "Timer-0" org.apache.synapse.SynapseException: {dead.detail}'
        in console
    )
    assert turns(said).index(Turning.DEAD) < turns(said).index(Turning.STOPS)


@pytest.mark.parametrize("kind", ["executor", "proxy"])
def test_a_refused_update_that_the_runtime_caught_is_a_rejection_and_no_death(kind: str) -> None:
    said = told(f"refused-update-{kind}")
    assert Turning.DEAD not in turns(said)
    caught = [each.saying for each in said if isinstance(each, Heard) and each.path]
    assert caught[:3] == [Saying.REJECTED, Saying.BACKED_UP, Saying.RESTORED]


@pytest.mark.parametrize("name", ["changes", "refused", "lost", "startup"])
def test_no_deployer_that_lives_is_called_dead(name: str) -> None:
    assert Turning.DEAD not in turns(told(name))


def test_a_death_is_told_while_the_log_is_quiet() -> None:
    text = (LOGS / "refused-update-api.log").read_bytes()
    until = text.index(b"API context must begin with")
    one = reader()
    one.take(text[: text.index(b"\n", until) + 1], 100.0)
    assert turns(one.flush(100.0 + DOUBT_S - 0.1)) == []
    assert not one.idle
    assert turns(one.flush(100.0 + DOUBT_S)) == [Turning.DEAD]
    assert one.idle
    line = b"2026-11-21 15:00:00,000 [-] [Timer-0]  INFO APIDeployer API named 'A' has been undeployed\n"
    assert turns(one.take(line, 200.0)) == [Turning.ALIVE]


def test_start_up_failures_come_between_start_and_ready() -> None:
    said = told("startup")
    what = [each.what if isinstance(each, Turn) else each.saying for each in said]
    start, ready = what.index(Turning.STARTS), what.index(Turning.READY)
    assert sayings(said[start:ready], "api/NoXml.xml")[0][0] is Saying.REJECTED
    unnamed = [
        each.reason
        for each in said[start:ready]
        if isinstance(each, Heard)
        and each.saying is Saying.REJECTED
        and not each.path
        and not each.name
    ]
    assert len(unnamed) == 2, "each of two failures that name nothing is told"
    loaded = {
        each.name
        for each in said[start:ready]
        if isinstance(each, Heard) and each.saying is Saying.DEPLOYED and each.kind is Kind.API
    }
    assert "Good" in loaded


def test_a_start_that_fails_is_no_ready_one() -> None:
    assert turns(told("refused-update-task"))[-2:] == [Turning.STARTS, Turning.STOPS]


@pytest.mark.parametrize("name", ["changes", "refused", "lost", "startup", "refused-update-api"])
def test_portions_do_not_matter(name: str) -> None:
    whole = told(name)
    lines = (LOGS / f"{name}.log").read_bytes().splitlines(keepends=True)
    chance = random.Random(7)
    one, said, position = reader(), list[Said](), 0
    while position < len(lines):
        count = chance.choice((1, 2, 5, 40))
        said += one.take(b"".join(lines[position : position + count]), 0.0)
        position += count
    said += [*one.flush(1.0), *one.flush(9.0)]
    assert [_short(each) for each in said] == [_short(each) for each in whole]


def test_old_traffic_between_the_lines_changes_nothing() -> None:
    traffic = b"".join(
        b"2026-11-21 14:22:39,493 [-] [PassThroughMessageProcessor-%d]  INFO LogMediator To: /a/%d\n"
        % (number % 9, number)
        for number in range(2_000)
    )
    lines = (LOGS / "changes.log").read_bytes().splitlines(keepends=True)
    one, said = reader(), list[Said]()
    for position in range(0, len(lines), 30):
        said += one.take(traffic + b"".join(lines[position : position + 30]) + traffic, 0.0)
    said += one.flush(9.0)
    assert [_short(each) for each in said] == [_short(each) for each in told("changes")]


@pytest.mark.parametrize("between", [0, 5, 4_000])
def test_a_reason_without_a_hint_is_found_across_looks_if_it_is_near(between: int) -> None:
    head = "TID: [-1234] [] [2020-05-04 14:22:39,493]"
    reason = f"{head} ERROR {{x.APIFactory}} - Attribute 'name' is required\n"
    other = f"{head}  INFO {{x.Mediator}} - {'x' * between}\n"
    failed = (
        f"{head} ERROR {{o.a.s.d.APIDeployer}} - "
        "API deployment from the file : /opt/synapse/repository/conf/synapse-config/api/a.xml : Failed.\n"
    )
    one = Reader(CARBON_3, Names([TREE], lambda path: path))
    said = [*one.take(reason.encode(), 0.0), *one.take(other.encode(), 0.0)]
    said += [*one.take(failed.encode(), 0.0), *one.flush(1.0)]
    ((saying, text),) = sayings(said, "api/a.xml")
    assert saying is Saying.REJECTED
    assert ("Attribute 'name' is required" in text) == (between < 4_000)


def test_reasons_and_excerpts_are_bounded_and_hold_no_stack_frames() -> None:
    for name in ("refused", "startup", "lost"):
        for each in told(name):
            if isinstance(each, Heard):
                assert len(each.reason) <= REASON_MAX
                assert len(each.excerpt) <= EXCERPT_MAX
                assert "\n\tat " not in each.excerpt
                assert each.saying is not Saying.REJECTED or each.reason


def _short(said: Said) -> tuple[object, ...]:
    if isinstance(said, Turn):
        return said.what, said.detail
    return said.saying, said.path, said.kind, said.name, said.reason
