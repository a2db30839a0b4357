"""What was saved in the runtime's console, or by a Publisher: deployed before it is in its file."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from syncagent.agent.node.saving import BESIDE_S, SAVES_MAX, WRITTEN_S
from syncagent.core.artifact import Kind, TreeName
from syncagent.core.events import RuntimeHeard
from syncagent.core.outcome import Deployment
from syncagent.core.runtime import Heard, Saying
from tests.fakes.agent_bench import Bench, T, at, sequence
from tests.fakes.disk import SECOND_NS
from tests.fakes.runtime_words import CARBON
from tests.unit.agent.test_deploying import OLD, api, bring, following, leading, state_of

if TYPE_CHECKING:
    from tests.fakes.runtime import FakeGateway

PERSISTED_S = CARBON.persist_s
KNOWN_S = WRITTEN_S + 1.0
"""After a save: its file is written, has settled, and what comes of it is concluded."""
NEW = api("New")


def gateway(bench: Bench) -> FakeGateway:
    assert bench.gateway is not None
    return bench.gateway


def publishing(path: str = "api/New.xml", name: str = "New", content: bytes = NEW) -> Bench:
    """Return a manager in whose runtime something was saved, right after a scan of its folders."""
    bench = leading(OLD, CARBON)
    bench.pass_(gateway(bench).due() - bench.wall() + 0.1)
    gateway(bench).console(path, name, content)
    return bench


def says(bench: Bench, saying: Saying, name: str, kind: Kind = Kind.API) -> None:
    """Have the log say this of the configuration now."""
    heard = Heard(saying, None, kind, name, "", "as the log says it", bench.wall(), T)
    bench.handle(RuntimeHeard((heard,), "0"))


def touches(bench: Bench) -> int:
    return len(bench.events("touched"))


def test_an_api_that_was_published_is_deployed_as_soon_as_its_file_is_known() -> None:
    bench = publishing()
    bench.pass_(KNOWN_S)
    assert bench.state.standing.revision.number == 2
    known = bench.node.deploying.here(at("api/New.xml"))
    assert known is not None
    assert known.state is Deployment.DEPLOYED
    assert "API : New was added to the Synapse configuration successfully" in known.excerpt
    bench.pass_(120.0)
    assert touches(bench) == 0
    assert state_of(bench, "api/New.xml") is Deployment.DEPLOYED


@pytest.mark.parametrize(
    ("path", "name", "content"),
    [
        ("api/A.xml", "A", api("A", "console")),
        ("sequences/s.xml", "s", sequence("s", text="console")),
    ],
)
def test_what_was_edited_in_the_console_is_deployed_and_not_touched(
    path: str, name: str, content: bytes
) -> None:
    bench = publishing(path, name, content)
    bench.pass_(KNOWN_S)
    assert bench.files[path] == content
    assert state_of(bench, path) is Deployment.DEPLOYED
    bench.pass_(120.0)
    assert touches(bench) == 0


def test_a_file_that_is_edited_again_after_its_deployment_is_not_taken_for_saved() -> None:
    bench = leading(OLD, CARBON)
    bench.put("api/A.xml", api("A", "first"))
    due = gateway(bench).due()
    bench.pass_(due - bench.wall() + 0.5)
    assert state_of(bench, "api/A.xml") is Deployment.DEPLOYED
    # "API : A was updated ..." stands in the log half a second before this is written.
    bench.put("api/A.xml", api("A", "second"))
    bench.pass_(10.0)
    assert gateway(bench).serves("api", "A") == api("A", "first")
    assert state_of(bench, "api/A.xml") is Deployment.PENDING
    bench.pass_(10.0)
    assert state_of(bench, "api/A.xml") is Deployment.DEPLOYED
    assert gateway(bench).serves("api", "A") == api("A", "second")


@pytest.mark.parametrize("after_s", [PERSISTED_S + 0.5, KNOWN_S])
def test_what_somebody_writes_over_a_saved_file_is_swallowed_and_shown_again(
    after_s: float,
) -> None:
    bench = publishing()
    bench.pass_(after_s)
    bench.put("api/New.xml", api("New", "by hand"))
    bench.pass_(4.0)
    assert state_of(bench, "api/New.xml") is Deployment.PENDING
    bench.pass_(60.0)
    assert touches(bench) == 1
    assert gateway(bench).serves("api", "New") == api("New", "by hand")
    assert state_of(bench, "api/New.xml") is Deployment.DEPLOYED


def test_a_file_that_has_the_name_of_another_is_not_taken_for_saved_by_the_others_line() -> None:
    bench = leading(OLD, CARBON)
    bench.pass_(gateway(bench).due() - bench.wall() + 0.1)
    says(bench, Saying.SAVED, "New")
    # It says the name, of which nobody here knows yet that it is in this file.
    other = Heard(Saying.UPDATED, at("api/Copy_of_New.xml"), at=bench.wall())
    bench.handle(RuntimeHeard((other,), "0"))
    bench.put("api/New.xml", NEW)
    bench.pass_(KNOWN_S)
    assert state_of(bench, "api/New.xml") is Deployment.PENDING


def test_a_deployer_s_word_about_one_file_leaves_what_was_saved_long_before() -> None:
    bench = publishing()
    bench.pass_(PERSISTED_S)
    other = Heard(Saying.UPDATED, at("api/B.xml"), at=bench.wall())
    bench.handle(RuntimeHeard((other,), "0"))
    bench.pass_(KNOWN_S - PERSISTED_S)
    assert state_of(bench, "api/New.xml") is Deployment.DEPLOYED
    mine = Heard(Saying.UPDATED, at("api/New.xml"), at=bench.wall())
    bench.handle(RuntimeHeard((mine,), "0"))
    assert not bench.node.deploying._hearing.saving._saves


def test_what_somebody_writes_before_the_saved_file_is_never_called_deployed() -> None:
    bench = publishing("api/A.xml", "A", api("A", "console"))
    bench.pass_(1.0)
    bench.put("api/A.xml", api("A", "by hand"))
    until = bench.at + 10 * PERSISTED_S
    while bench.files["api/A.xml"] == api("A", "by hand") and bench.at < until:
        assert state_of(bench, "api/A.xml") is not Deployment.DEPLOYED or (
            bench.state.standing.revision.number == 1
        )
        bench.pass_(0.1)
    bench.pass_(60.0)
    assert bench.files["api/A.xml"] == api("A", "console")
    assert state_of(bench, "api/A.xml") is Deployment.DEPLOYED


def test_what_this_node_writes_is_not_taken_for_what_the_console_saved() -> None:
    bench = following(OLD, CARBON)
    says(bench, Saying.SAVED, "A")
    bench.pass_(0.5)
    bring(bench, {"api/A.xml": api("A", "new")})
    bench.pass_(3.0)
    assert state_of(bench, "api/A.xml") is Deployment.PENDING
    # It may be passed over, as what the runtime wrote itself: the file is shown again soon.
    wait = bench.node.deploying._outcomes.waits[at("api/A.xml")]
    assert wait.missed


def test_a_file_that_is_saved_again_before_it_was_looked_at_waits_for_its_last_version() -> None:
    bench = publishing()
    bench.pass_(PERSISTED_S)
    assert bench.files["api/New.xml"] == NEW
    bench.pass_(0.2)
    gateway(bench).console("api/New.xml", "New", api("New", "again"))
    bench.pass_(PERSISTED_S - 1.0)
    assert state_of(bench, "api/New.xml") is Deployment.PENDING
    bench.pass_(KNOWN_S - PERSISTED_S + 1.0)
    assert bench.files["api/New.xml"] == api("New", "again")
    assert state_of(bench, "api/New.xml") is Deployment.DEPLOYED
    bench.pass_(60.0)
    assert touches(bench) == 0


def test_a_file_that_comes_too_late_after_a_save_is_another_s() -> None:
    bench = leading(OLD, CARBON)
    bench.pass_(gateway(bench).due() - bench.wall() + 0.1)
    says(bench, Saying.SAVED, "New")
    bench.pass_(WRITTEN_S + 0.5)
    bench.put("api/New.xml", NEW)
    bench.pass_(3.0)
    assert state_of(bench, "api/New.xml") is Deployment.PENDING


def test_a_file_with_an_old_time_was_not_written_by_the_runtime() -> None:
    bench = leading(OLD, CARBON)
    bench.pass_(gateway(bench).due() - bench.wall() + 0.1)
    says(bench, Saying.SAVED, "New")
    bench.disk.put(at("api/New.xml"), NEW)
    content, mtime_ns = bench.disk.trees[T]["api/New.xml"]
    bench.disk.trees[T]["api/New.xml"] = (content, mtime_ns - 10 * SECOND_NS)
    bench.node.observing.want_scan(T, bench.at)
    bench.pass_(8.0)
    assert state_of(bench, "api/New.xml") is Deployment.PENDING


def test_it_is_not_believed_before_a_deployer_s_own_word_had_time_to_come() -> None:
    bench = leading(OLD, CARBON)
    bench.pass_(gateway(bench).due() - bench.wall() + 0.1)
    said_at = bench.wall()
    bench.put("api/New.xml", NEW)
    bench.pass_(WRITTEN_S)
    heard = Heard(Saying.SAVED, None, Kind.API, "New", "", "", said_at, T)
    bench.handle(RuntimeHeard((heard,), "0"))
    bench.pass_(BESIDE_S - 0.1)
    assert state_of(bench, "api/New.xml") is Deployment.PENDING
    bench.pass_(0.2)
    assert state_of(bench, "api/New.xml") is Deployment.DEPLOYED


def test_what_is_removed_in_the_console_is_gone_at_once() -> None:
    bench = leading(OLD, CARBON)
    gateway(bench).mute = True
    says(bench, Saying.DROPPED, "A")
    bench.pass_(PERSISTED_S)
    assert state_of(bench, "api/A.xml") is Deployment.DEPLOYED, "its file is still there"
    bench.remove("api/A.xml")
    bench.pass_(4.0)
    assert bench.state.standing.revision.number == 2
    assert not bench.node.deploying.waiting()
    bench.pass_(60.0)
    assert not bench.events("not-confirmed")


def test_a_deletion_is_not_confirmed_by_what_was_removed_long_before() -> None:
    bench = leading(OLD, CARBON)
    gateway(bench).mute = True
    says(bench, Saying.DROPPED, "A")
    bench.pass_(60.0)
    bench.remove("api/A.xml")
    bench.pass_(4.0)
    assert bench.node.deploying.waiting()


def test_without_a_tree_or_a_kind_nothing_is_known_of_a_save() -> None:
    bench = leading(OLD, CARBON)
    bench.pass_(gateway(bench).due() - bench.wall() + 0.1)
    whole = Heard(Saying.SAVED, None, Kind.API, "New", at=bench.wall(), tree=T)
    tenant = TreeName("tenant-7")
    for heard in (
        replace(whole, tree=None),
        replace(whole, kind=None),
        replace(whole, tree=tenant),
    ):
        bench.handle(RuntimeHeard((heard,), "0"))
    bench.put("api/New.xml", NEW)
    bench.pass_(KNOWN_S)
    assert state_of(bench, "api/New.xml") is Deployment.PENDING


def test_the_oldest_saves_are_forgotten() -> None:
    bench = leading(OLD, CARBON)
    bench.pass_(gateway(bench).due() - bench.wall() + 0.1)
    for number in range(SAVES_MAX + 1):
        says(bench, Saying.SAVED, f"New{number or ''}")
    bench.put("api/New.xml", NEW)
    bench.put("api/New1.xml", api("New1"))
    bench.pass_(KNOWN_S)
    assert state_of(bench, "api/New.xml") is Deployment.PENDING
    assert state_of(bench, "api/New1.xml") is Deployment.DEPLOYED
