"""What a node knows of its runtime's doings, with a modelled runtime beside it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

from syncagent.agent.node.deadlines import UNSHOWN
from syncagent.core.artifact import Kind, TreeKind, TreeName
from syncagent.core.change import Change
from syncagent.core.digest import digest_of
from syncagent.core.events import RuntimeHeard, RuntimeTurned, WatchFault, WatchTrouble
from syncagent.core.exempt import Because
from syncagent.core.ignore import Ignore
from syncagent.core.ledger import StandingChange
from syncagent.core.manifest import Manifest
from syncagent.core.outcome import Deployment
from syncagent.core.runtime import Heard, Phase, RuntimeState, Saying
from syncagent.core.safety import HoldReason
from syncagent.core.settings import Writers
from syncagent.core.snapshot import Condition
from syncagent.core.wire.messages import Blobs, Commit, Done, Prepared, Propose, Report, Want
from syncagent.core.wire.packing import compress_batch
from tests.fakes.agent_bench import (
    PEER,
    WALL,
    XMLNS,
    Bench,
    Files,
    T,
    adds,
    at,
    entry,
    revision,
    sequence,
)
from tests.fakes.disk import SECOND_NS
from tests.fakes.runtime import FakeRuntime
from tests.fakes.runtime_words import CARBON, SYNAPSE, Dialect

if TYPE_CHECKING:
    from syncagent.core.revision import Token

D = Deployment


FIRST_SCAN_S = 16.0
"""Until a runtime's first scan is over: on Carbon it swallows what was changed before."""


def api(name: str, text: str = "", *, context: str = "") -> bytes:
    """Return an API that the validator takes; `text` tells versions of it apart."""
    return (
        f'<api xmlns="{XMLNS}" name="{name}" context="{context or "/" + name}">'
        f'<resource methods="GET"><inSequence><!--{text}--><respond/></inSequence></resource></api>'
    ).encode()


def leading(files: Files, dialect: Dialect = SYNAPSE) -> Bench:
    """Return a manager beside a runtime that has loaded these files."""
    return _aged(Bench(files, peers=())).beside(dialect).lead().pass_(FIRST_SCAN_S)


def following(files: Files, dialect: Dialect = SYNAPSE, **given: object) -> Bench:
    """Return a worker that stands on a revision which its runtime has loaded."""
    bench = _aged(Bench(files, manager=PEER, standing=files, **given))  # type: ignore[arg-type]
    return bench.beside(dialect).start().pass_(FIRST_SCAN_S)


def _aged(bench: Bench) -> Bench:
    """Have all files be there since before the runtime was started."""
    bench.at += 0.37  # logs and file systems do not count whole seconds
    hides = Ignore(TreeKind.SYNAPSE).hides_way
    bench.disk.ignored = lambda _tree, path: hides(path)
    tree = bench.disk.trees[T]
    tree.update({path: (row[0], row[1] - 60 * SECOND_NS) for path, row in tree.items()})
    return bench


def state_of(bench: Bench, path: str) -> Deployment | None:
    """Return in which state an artifact is."""
    known = bench.node.deploying.here(at(path))
    return known.state if known is not None else None


def bring(bench: Bench, files: dict[str, bytes | None]) -> None:
    """Have a manager bring a revision with these changes, and commit it."""
    standing = bench.state.standing
    changes = [
        Change(at(p), standing.manifest.get(at(p)), entry(c) if c is not None else None)
        for p, c in files.items()
    ]
    made = revision(standing.revision, standing.manifest, changes, epoch=2)
    link, token = _manager(bench)
    bench.offer(link, token, made)
    wanted = bench.said(Want)
    if wanted:
        contents = [(entry(c), c) for c in files.values() if c is not None]
        bench.hear(link, Blobs(*compress_batch(contents)))
    assert bench.said(Prepared), bench.sent
    bench.hear(link, Commit(token, made.id))
    assert bench.state.standing.revision == made.id


OLD: Files = {"api/A.xml": api("A"), "api/B.xml": api("B"), "sequences/s.xml": sequence("s")}


def _manager(bench: Bench) -> tuple[int, Token]:
    """Return the connection to the manager, and its token."""
    if bench.state.manager_link is None:
        return bench.managed()
    assert bench.state.guard.highest is not None
    return bench.state.manager_link, bench.state.guard.highest


def test_what_the_runtime_loaded_at_its_start_counts_as_deployed() -> None:
    for bench in (leading(OLD), following(OLD)):
        counts = bench.node.deploying.counts()
        assert counts[D.DEPLOYED] == 3
        assert sum(counts.values()) == 3
        row = bench.node.reporting.own_row(bench.at)
        assert (row["deployed"], row["unknown"], row["artifacts"]) == (3, 0, 3)


def test_what_the_runtime_loaded_is_pending_until_that_is_concluded() -> None:
    bench = _aged(Bench(OLD, manager=PEER, standing=OLD)).beside(CARBON).start()
    row = bench.node.reporting.own_row(bench.at)
    # Carbon names the APIs that it initializes, and no file: more than one may have the name.
    assert (row["deployed"], row["pending"], row["unknown"]) == (0, 3, 0)
    assert state_of(bench, "sequences/s.xml") is D.PENDING
    bench.pass_(2.0)
    row = bench.node.reporting.own_row(bench.at)
    assert (row["pending"], row["deployed"]) == (0, 3)


def test_what_a_manager_saves_is_pending_until_its_runtime_has_said_so() -> None:
    bench = leading(OLD)
    bench.put("api/A.xml", api("A", "new"))
    bench.pass_(0.5)
    assert state_of(bench, "api/A.xml") is D.PENDING
    assert bench.node.deploying.waiting()
    bench.pass_(11.0)
    known = bench.node.deploying.here(at("api/A.xml"))
    assert known is not None
    assert (known.state, known.revision) == (D.DEPLOYED, 2)
    assert "has been updated from the file" in known.excerpt
    assert not bench.node.deploying.waiting()


def test_what_a_worker_was_brought_is_pending_until_its_runtime_has_said_so() -> None:
    bench = following(OLD)
    bring(bench, {"api/A.xml": api("A", "new"), "api/C.xml": api("C")})
    assert [state_of(bench, f"api/{name}.xml") for name in "ABC"] == [
        D.PENDING,
        D.DEPLOYED,
        D.PENDING,
    ]
    bench.pass_(13.0)
    assert bench.node.deploying.counts()[D.DEPLOYED] == 4


def test_a_deletion_is_waited_for_until_the_runtime_has_let_go() -> None:
    bench = following(OLD)
    bring(bench, {"api/A.xml": None})
    assert bench.node.deploying.waiting()
    bench.pass_(11.0)
    assert not bench.node.deploying.waiting()
    assert not bench.events("not-confirmed")
    assert bench.node.deploying.counts()[D.DEPLOYED] == 2


def test_a_managers_deletion_is_confirmed_by_the_artifacts_name_alone() -> None:
    files = {"api/x--A_v1.xml": api("x--A:v1", context="/a"), "api/B.xml": api("B")}
    bench = leading(files)
    bench.remove("api/x--A_v1.xml")
    bench.pass_(3.0)
    assert bench.state.standing.revision.number == 2
    assert bench.node.deploying.waiting()
    bench.pass_(10.0)
    assert not bench.node.deploying.waiting()
    assert not bench.events("not-confirmed")


def test_a_new_artifact_that_the_runtime_refuses_is_moved_away_and_goes_nowhere() -> None:
    bench = leading(OLD)
    refuse(bench)
    bench.put("api/Bad.xml", api("Bad"))
    bench.pass_(12.0)
    known = bench.node.deploying.here(at("api/Bad.xml"))
    assert known is not None
    assert known.state is D.REJECTED
    assert "no such class" in known.reason
    assert "api/Bad.xml" not in bench.files
    # The manager holds nothing there, and does not make a deletion of it.
    exemption = bench.state.exempt[at("api/Bad.xml")]
    assert (exemption.because, exemption.here) == (Because.REJECTED, None)
    bench.pass_(90.0)
    assert bench.state.standing.revision.number == 2
    counts = bench.node.deploying.counts()
    assert (counts[D.DEPLOYED], counts[D.REJECTED], sum(counts.values())) == (3, 1, 4)
    assert [kept.reason for kept in bench.disk.kept()] == ["rejected"]
    assert bench.disk.kept_bytes(bench.disk.kept()[0].id) == api("Bad")


def test_a_restored_old_version_is_neither_a_change_nor_drift() -> None:
    for bench in (leading(OLD, CARBON), following(OLD, CARBON)):
        refuse(bench)
        change(bench, "api/A.xml", api("A", "new"))
        bench.pass_(50.0)
        assert state_of(bench, "api/A.xml") is D.REJECTED
        number = bench.state.standing.revision.number
        assert number == 2
        restored = bench.files["api/A.xml"]
        assert restored not in {api("A"), api("A", "new")}
        bench.pass_(120.0)
        assert bench.files["api/A.xml"] == restored
        assert bench.state.standing.revision.number == 2
        assert not bench.events("drift")
        assert [k.digest for k in bench.disk.kept()] == [digest_of(api("A", "new"))]


def test_a_persons_edit_of_a_restored_file_counts_as_an_edit() -> None:
    bench = leading(OLD, CARBON)
    refuse(bench)
    change(bench, "api/A.xml", api("A", "new"))
    bench.pass_(50.0)
    assert state_of(bench, "api/A.xml") is D.REJECTED
    bench.put("api/A.xml", api("A", "better"))
    bench.pass_(2.0)
    assert bench.state.standing.revision.number == 3
    assert state_of(bench, "api/A.xml") is D.PENDING
    assert not bench.state.exempt
    bench.pass_(60.0)
    assert state_of(bench, "api/A.xml") is D.DEPLOYED


def test_the_next_good_version_ends_what_was_rejected() -> None:
    bench = following(OLD, CARBON)
    refuse(bench)
    bring(bench, {"api/A.xml": api("A", "new")})
    bench.pass_(50.0)
    assert state_of(bench, "api/A.xml") is D.REJECTED
    bring(bench, {"api/A.xml": api("A", "better")})
    assert bench.files["api/A.xml"] == api("A", "better")
    assert not bench.state.exempt
    bench.pass_(60.0)
    assert bench.node.deploying.counts()[D.DEPLOYED] == 3


def test_a_deleted_main_sequence_comes_back_and_stays() -> None:
    files = {"sequences/main.xml": sequence("main"), **OLD}
    for bench in (leading(files), following(files)):
        change(bench, "sequences/main.xml", None)
        bench.pass_(15.0)
        assert bench.state.standing.revision.number == 2
        assert "sequences/main.xml" in bench.files
        bench.pass_(90.0)
        assert bench.state.standing.revision.number == 2
        assert "sequences/main.xml" in bench.files
        assert not bench.events("drift")


def test_an_update_that_kills_the_deployer_is_rejected_and_said() -> None:
    bench = following(OLD)
    refuse(bench)
    bring(bench, {"api/A.xml": api("A", "new")})
    bench.pass_(12.0)
    assert bench.node.deploying.runtime.phase is Phase.STUCK
    assert state_of(bench, "api/A.xml") is D.REJECTED
    assert "deployer died" in bench.state.alarms["runtime"]
    assert "restart" in bench.state.alarms["runtime"]
    assert bench.node.reporting.own_row(bench.at)["state"] == "Degraded"
    # What comes now waits, and says why.
    bring(bench, {"api/C.xml": api("C")})
    bench.pass_(120.0)
    known = bench.node.deploying.here(at("api/C.xml"))
    assert known is not None
    assert known.state is D.PENDING
    assert "until it is restarted" in known.reason
    assert not bench.node.deploying.waiting()
    assert not bench.events("touched")


def test_a_restart_ends_what_the_dead_deployer_left() -> None:
    bench = leading(OLD)
    refuse(bench)
    bench.put("api/A.xml", api("A", "new"))
    bench.pass_(12.0)
    bench.put("api/C.xml", api("C"))
    bench.pass_(5.0)
    restart(bench)
    assert state_of(bench, "api/C.xml") is D.DEPLOYED
    assert state_of(bench, "api/A.xml") is D.REJECTED
    assert "runtime" not in bench.state.alarms


def test_a_swallowed_change_is_shown_again() -> None:
    # On Carbon what was loaded at the start is marked as restored until it was looked at once.
    bench = _aged(Bench(OLD, peers=())).beside(CARBON).lead()
    bench.put("api/A.xml", api("A", "new"))
    bench.pass_(20.0)
    assert state_of(bench, "api/A.xml") is D.PENDING
    bench.pass_(20.0)
    assert len(bench.events("touched")) == 1
    assert state_of(bench, "api/A.xml") is D.DEPLOYED
    assert bench.state.standing.revision.number == 2


def test_what_is_mended_right_after_a_restore_is_shown_again_one_look_later() -> None:
    bench = leading(OLD, CARBON)
    refuse(bench)
    bench.put("api/A.xml", api("A", "new"))
    bench.pass_(1.0)
    assert bench.gateway is not None
    bench.gateway.scan()
    bench.pass_(1.0)
    assert state_of(bench, "api/A.xml") is D.REJECTED
    accept(bench)
    bench.put("api/A.xml", api("A", "mended"))
    bench.pass_(40.0)
    assert len(bench.events("touched")) == 1
    assert state_of(bench, "api/A.xml") is D.DEPLOYED


def test_what_the_runtime_put_back_before_this_node_looked_is_not_declared() -> None:
    bench = leading(OLD, CARBON)
    refuse(bench)
    assert bench.gateway is not None
    ear = bench.gateway.listeners.pop()
    bench.put("api/A.xml", api("A", "new"))
    bench.gateway.scan()
    assert bench.files["api/A.xml"] not in {api("A"), api("A", "new")}
    bench.pass_(0.3)
    ear.read_on()
    bench.gateway.listeners.append(ear)
    bench.pass_(5.0)
    assert bench.state.standing.revision.number == 1
    assert bench.events("runtime-wrote")
    assert bench.events("rejected-edit")


def test_a_runtime_that_says_nothing_is_never_taken_for_one_that_deployed() -> None:
    bench = leading(OLD)
    assert bench.gateway is not None
    bench.gateway.mute = True
    bench.put("api/A.xml", api("A", "new"))
    bench.pass_(300.0)
    assert state_of(bench, "api/A.xml") is D.UNKNOWN
    assert len(bench.events("touched")) == 2
    assert "deployer" in bench.state.alarms
    counts = bench.node.deploying.counts()
    assert (counts[D.DEPLOYED], counts[D.UNKNOWN]) == (2, 1)


def test_one_silent_batch_is_enough_to_touch_no_more() -> None:
    bench = leading(OLD)
    assert bench.gateway is not None
    bench.gateway.mute = True
    for number in range(40):
        bench.put(f"api/N{number}.xml", api(f"N{number}"))
    bench.pass_(600.0)
    touched = {str(event["path"]) for event in bench.events("touched")}
    assert len(touched) == 25
    assert bench.node.deploying.counts()[D.UNKNOWN] == 40


def test_what_was_overwritten_since_it_was_touched_proves_no_deployer_dead() -> None:
    bench = leading(OLD)
    assert bench.gateway is not None
    bench.gateway.model._scan_at = float("inf")  # it never looks again
    bench.put("api/A.xml", api("A", "new"))
    while not bench.events("touched"):
        bench.pass_(1.0)
    bench.pass_(1.0)
    said = Heard(Saying.UPDATED, at("api/B.xml"), at=bench.wall())
    bench.handle(RuntimeHeard((said,), "x"))
    bench.put("api/A.xml", b"<api")
    bench.pass_(300.0)
    assert len(bench.events("touched")) == 2, "the second found other bytes there"
    known = bench.node.deploying.outcomes[at("api/A.xml")]
    assert known.state is D.UNKNOWN
    assert "deployer" not in bench.state.alarms


def test_a_runtime_that_has_not_looked_yet_is_not_mute() -> None:
    bench = _aged(Bench(OLD, peers=())).beside(CARBON).lead()
    assert bench.gateway is not None
    bench.gateway.mute = True
    bench.put("api/A.xml", api("A", "new"))
    bench.pass_(0.5)
    bench.put("api/N.xml", api("N"))
    while not bench.events("touched"):
        bench.pass_(0.1)
    bench.pass_(1.0)
    bench.gateway.mute = False
    assert bench.gateway.due() - bench.wall() > 0.1, "it looks later"
    bench.pass_(60.0)
    assert len(bench.events("touched")) == 2
    assert state_of(bench, "api/N.xml") is D.DEPLOYED


def test_files_that_were_touched_in_vain_are_enough_though_others_are_spoken_of() -> None:
    bench = leading(OLD)
    assert bench.gateway is not None
    bench.gateway.mute = True
    for number in range(30):
        bench.put(f"api/N{number}.xml", api(f"N{number}"))
    for _ in range(60):
        bench.pass_(10.0)
        said = Heard(Saying.UPDATED, at("api/B.xml"), at=bench.wall())
        bench.handle(RuntimeHeard((said,), "x"))
    touched = {str(event["path"]) for event in bench.events("touched")}
    assert len(touched) == 25
    assert bench.node.deploying.counts()[D.UNKNOWN] == 30
    assert "deployer" not in bench.state.alarms


def test_a_saying_that_is_older_than_the_write_is_no_answer() -> None:
    bench = leading(OLD)
    bench.put("api/A.xml", api("A", "new"))
    bench.pass_(0.5)
    said = Heard(Saying.UPDATED, at("api/A.xml"), at=bench.wall() - 30.5)
    bench.handle(RuntimeHeard((said,), "x"))
    assert state_of(bench, "api/A.xml") is D.PENDING


def test_a_saying_before_the_revision_was_made_counts_for_it() -> None:
    bench = leading(OLD)
    bench.at += 0.3
    bench.put("api/A.xml", api("A", "new"))
    bench.at += 0.05
    said = Heard(Saying.UPDATED, at("api/A.xml"), at=bench.wall())
    bench.handle(RuntimeHeard((said,), "x"))
    bench.pass_(1.0)
    assert bench.state.standing.revision.number == 2
    assert state_of(bench, "api/A.xml") is D.DEPLOYED


def test_a_name_that_was_heard_before_its_file_was_looked_at_counts_for_it() -> None:
    bench = leading(OLD)
    bench.at += 0.3
    bench.put("api/other.xml", api("Named"))
    bench.at += 0.05
    said = Heard(Saying.DEPLOYED, None, Kind.API, "Named", at=bench.wall())
    bench.handle(RuntimeHeard((said,), "x"))
    bench.pass_(1.0)
    assert state_of(bench, "api/other.xml") is D.DEPLOYED


def test_what_answers_for_the_version_before_does_not_count_for_the_next() -> None:
    bench = leading(OLD)
    bench.at += 0.3
    bench.put("api/A.xml", api("A", "one"))
    bench.pass_(2.0)
    assert state_of(bench, "api/A.xml") is D.PENDING
    bench.at += 0.35
    bench.put("api/A.xml", api("A", "two"))
    bench.at += 0.02
    late = Heard(Saying.UPDATED, at("api/A.xml"), at=bench.wall())
    bench.handle(RuntimeHeard((late,), "x"))
    bench.pass_(2.0)
    assert bench.state.standing.revision.number == 3
    assert state_of(bench, "api/A.xml") is D.PENDING


def test_an_answer_that_may_be_the_version_befores_is_cleared_up_one_scan_later() -> None:
    bench = following(OLD)
    bring(bench, {"api/A.xml": api("A", "one")})
    bench.pass_(1.0)
    assert bench.gateway is not None
    bring(bench, {"api/A.xml": api("A", "two")})
    bench.gateway.scan()
    bench.rest()
    # It was about these bytes, but the agent can't know: the version before was not answered for.
    assert state_of(bench, "api/A.xml") is D.PENDING
    bench.pass_(16.0)
    assert len(bench.events("touched")) == 1
    bench.pass_(11.0)
    assert state_of(bench, "api/A.xml") is D.DEPLOYED


def test_what_a_worker_finds_in_place_is_not_waited_for() -> None:
    bench = _aged(Bench(OLD, manager=PEER)).beside(SYNAPSE).start().pass_(FIRST_SCAN_S)
    bring(bench, dict(OLD))
    bench.pass_(1.0)
    assert bench.node.deploying.counts()[D.DEPLOYED] == 3
    assert not bench.events("touched")


def test_sayings_that_come_twice_change_nothing() -> None:
    bench = leading(OLD)
    refuse(bench)
    bench.put("api/Bad.xml", api("Bad"))
    bench.put("api/A.xml", api("A", "new"))
    bench.pass_(12.0)
    before = dict(bench.node.deploying.outcomes)
    assert bench.gateway is not None
    heard = tuple(entry for entry in bench.gateway.log if isinstance(entry, Heard))
    bench.handle(RuntimeHeard(heard, "x"))
    bench.pass_(5.0)
    assert bench.node.deploying.outcomes == before


def test_what_was_said_before_the_clock_was_set_back_is_no_answer() -> None:
    bench = leading(OLD)
    bench.put("api/A.xml", api("A", "new"))
    bench.pass_(12.0)
    assert state_of(bench, "api/A.xml") is D.DEPLOYED
    wall = bench.wall
    bench.state.wall = lambda: wall() - 7_200.0
    assert bench.gateway is not None
    bench.gateway.mute = True
    bench.put("api/A.xml", api("A", "newer"))
    bench.pass_(300.0)
    assert state_of(bench, "api/A.xml") is D.UNKNOWN


def test_nothing_is_written_while_the_runtime_starts() -> None:
    bench = following(OLD)
    assert bench.gateway is not None
    started = RuntimeState(Phase.STARTING, "start-2", started_at=bench.wall())
    bench.handle(RuntimeTurned(started))
    assert not bench.node.deploying.may_write
    bench.pass_(599.0)
    assert not bench.node.deploying.may_write
    bench.pass_(2.0)
    assert bench.node.deploying.may_write
    assert "has not said that it is ready" in bench.state.alarms["runtime"]


def test_a_start_that_does_not_end_keeps_no_answer_pending_for_ever() -> None:
    bench = following(OLD)
    assert bench.gateway is not None
    bench.gateway.kill()
    bench.rest()
    started = RuntimeState(Phase.STARTING, "start-2", started_at=bench.wall())
    bench.handle(RuntimeTurned(started))
    bench.pass_(601.0)
    bring(bench, {"api/A.xml": api("A", "new")})
    bench.handle(RuntimeTurned(replace(started, detail="starts and starts")))
    assert state_of(bench, "api/A.xml") is D.PENDING
    bench.pass_(60.0)
    assert state_of(bench, "api/A.xml") is D.UNKNOWN
    assert not bench.node.deploying.waiting(), "a wave of the rollout waits for that"


def test_an_offer_is_prepared_while_the_runtime_starts_and_live_when_it_is_ready() -> None:
    bench = following(OLD)
    assert bench.gateway is not None
    link, token = bench.managed()
    standing = bench.state.standing
    after = entry(api("A", "new"))
    change = Change(at("api/A.xml"), standing.manifest.get(at("api/A.xml")), after)
    made = revision(standing.revision, standing.manifest, [change], epoch=2)
    bench.gateway.kill()
    bench.gateway.boot()
    bench.pass_(0.5)
    assert not bench.node.deploying.may_write
    bench.offer(link, token, made)
    bench.hear(link, Blobs(*compress_batch([(after, api("A", "new"))])))
    assert bench.said(Prepared)
    bench.hear(link, Commit(token, made.id))
    assert bench.files["api/A.xml"] == api("A")
    bench.pass_(2.0)
    assert bench.files["api/A.xml"] == api("A", "new")
    bench.pass_(12.0)
    assert state_of(bench, "api/A.xml") is D.DEPLOYED


def test_what_comes_while_a_new_worker_waits_for_its_runtime_is_a_first_contact() -> None:
    bench = Bench({}, manager=PEER).beside(SYNAPSE).start()
    assert bench.gateway is not None
    link, token = bench.managed()
    made = revision(bench.state.standing.revision, Manifest(), adds(OLD), epoch=2)
    bench.gateway.kill()
    bench.gateway.boot()
    bench.pass_(0.5)
    assert not bench.node.deploying.may_write
    bench.offer(link, token, made)
    bench.hear(link, Blobs(*compress_batch([(entry(c), c) for c in OLD.values()])))
    assert bench.said(Prepared)
    bench.hear(link, Commit(token, made.id))
    bench.put("api/A.xml", api("A", "by hand"))
    bench.pass_(5.0)
    assert bench.node.deploying.may_write
    assert bench.files == {"api/A.xml": api("A", "by hand")}
    assert [hold.reason for hold in bench.state.holds.values()] == [HoldReason.FIRST_CONTACT]


def test_a_runtime_that_is_down_keeps_its_outcomes_and_has_no_deadline() -> None:
    bench = leading(OLD)
    assert bench.gateway is not None
    bench.gateway.kill()
    bench.put("api/A.xml", api("A", "new"))
    bench.pass_(200.0)
    known = bench.node.deploying.here(at("api/A.xml"))
    assert known is not None
    assert known.state is D.PENDING
    assert "is down" in known.reason
    other = bench.node.deploying.here(at("api/B.xml"))
    assert other is not None
    assert (other.state, "is down" in other.reason) == (D.DEPLOYED, True)
    restart(bench)
    assert state_of(bench, "api/A.xml") is D.DEPLOYED


def test_what_is_there_after_an_agents_restart_is_what_was_known_before() -> None:
    bench = leading(OLD, CARBON)
    refuse(bench)
    change(bench, "api/A.xml", api("A", "new"))
    bench.pass_(50.0)
    before = dict(bench.node.deploying.outcomes)
    bench.join(bench.history, bench.guard)
    bench.lead()
    bench.pass_(5.0)
    assert bench.node.deploying.outcomes == before
    assert bench.state.standing.revision.number == 2


def test_redeploy_has_the_runtime_take_up_again_what_it_rejected() -> None:
    bench = following(OLD, CARBON)
    refuse(bench)
    bring(bench, {"api/A.xml": api("A", "new")})
    bench.pass_(50.0)
    assert state_of(bench, "api/A.xml") is D.REJECTED
    accept(bench)
    bench.node.deploying.redeploy([at("api/A.xml")], bench.at)
    bench.pass_(60.0)
    assert bench.files["api/A.xml"] == api("A", "new")
    assert state_of(bench, "api/A.xml") is D.DEPLOYED


def test_redeploy_touches_what_is_there() -> None:
    bench = following(OLD)
    before = bench.disk.trees[T]["api/A.xml"][1]
    bench.node.deploying.redeploy([at("api/A.xml")], bench.at)
    assert state_of(bench, "api/A.xml") is D.PENDING
    bench.pass_(12.0)
    assert bench.disk.trees[T]["api/A.xml"][1] > before
    assert state_of(bench, "api/A.xml") is D.DEPLOYED


def test_a_root_file_needs_a_restart() -> None:
    files = {**OLD, "registry.xml": registry("a")}
    bench = leading(files)
    assert state_of(bench, "registry.xml") is D.DEPLOYED
    bench.put("registry.xml", registry("b"))
    bench.pass_(60.0)
    assert state_of(bench, "registry.xml") is D.RESTART_REQUIRED
    restart(bench)
    assert state_of(bench, "registry.xml") is D.DEPLOYED


def test_what_no_deployer_watches_stays_unknown_and_says_so() -> None:
    bench = leading({**OLD, "api/notes.txt": b"x"})
    bench.put("api/notes.txt", b"y")
    bench.pass_(200.0)
    known = bench.node.deploying.here(at("api/notes.txt"))
    assert known is not None
    assert (known.state, known.reason) == (D.UNKNOWN, "nothing deploys it")
    assert not bench.events("touched")
    assert sum(bench.node.deploying.counts().values()) == 4


def test_a_tenant_that_says_nothing_is_dormant_until_it_is_loaded() -> None:
    tenant = TreeName("tenant-1")
    bench = _aged(Bench(OLD, peers=(), trees=(T, tenant)))
    bench.disk.put(at("api/P.xml", tenant), api("P"))
    bench.disk.trees[tenant]["api/P.xml"] = (api("P"), SECOND_NS)
    bench.beside(SYNAPSE).lead().pass_(1.0)
    deploying = bench.node.deploying
    assert deploying.counts()[D.DORMANT] == 1
    bench.put("api/Q.xml", api("Q"), tenant)
    bench.pass_(100.0)
    assert deploying.counts()[D.DORMANT] == 2
    said = Heard(Saying.DEPLOYED, at("api/Q.xml", tenant), at=bench.wall())
    bench.handle(RuntimeHeard((said,), "x"))
    assert deploying.counts()[D.DORMANT] == 0
    bench.pass_(60.0)
    assert deploying.counts()[D.DEPLOYED] == 5


def test_a_tenant_that_is_being_loaded_is_not_touched_after_a_restart_of_the_agent() -> None:
    tenant = TreeName("tenant-1")
    bench = _aged(Bench(OLD, peers=(), trees=(T, tenant)))
    there = at("api/P.xml", tenant)
    bench.disk.put(there, api("P"))
    bench.disk.trees[tenant]["api/P.xml"] = (api("P"), SECOND_NS)
    bench.beside(SYNAPSE).lead().pass_(1.0)
    bench.put("api/Q.xml", api("Q"), tenant)
    bench.pass_(20.0)
    said = Heard(Saying.DEPLOYED, at("api/Q.xml", tenant), at=bench.wall())
    bench.handle(RuntimeHeard((said,), "x"))
    bench.pass_(1.0)
    again(bench)
    bench.pass_(120.0)
    known = bench.node.deploying.here(there)
    assert known is not None
    assert (known.state, known.reason) == (D.DEPLOYED, "loaded with its tenant")
    assert bench.disk.trees[tenant]["api/P.xml"][1] == SECOND_NS, "its time has not moved"


def test_a_report_lists_what_is_not_deployed_with_the_runtimes_words() -> None:
    bench = following(OLD, CARBON)
    refuse(bench)
    bring(bench, {"api/A.xml": api("A", "new")})
    bench.pass_(50.0)
    report = bench.node.reporting.own_report(bench.at)
    (row,) = report["outcomes"]  # type: ignore[misc, union-attr]
    assert row["path"] == "api/A.xml"  # type: ignore[index, call-overload]
    assert row["state"] == "Rejected"  # type: ignore[index, call-overload]
    assert row["digest"] == digest_of(api("A", "new"))  # type: ignore[index, call-overload]
    assert "Failed!" in str(row["excerpt"])  # type: ignore[index, call-overload]
    assert report["outcomes_total"] == 1
    assert report["runtime"]["phase"] == "ready"  # type: ignore[index, call-overload]


def test_an_artifact_that_only_a_restart_heals_says_so_and_heals() -> None:
    bench = following(OLD)
    assert bench.gateway is not None
    # Truncated where the reader is late: the runtime keeps the old one and loses its file.
    bring(bench, {"api/A.xml": api("A", "new")})
    lost = Heard(Saying.LOST_TRACK, at("api/A.xml"), Kind.API)
    refused = Heard(Saying.REJECTED, at("api/A.xml"), Kind.API, reason="Duplicate")
    bench.handle(RuntimeHeard((lost, refused), "x"))
    known = bench.node.deploying.here(at("api/A.xml"))
    assert known is not None
    assert known.state is D.REJECTED
    assert "restart it" in known.reason
    restart(bench)
    assert state_of(bench, "api/A.xml") is D.DEPLOYED


def test_a_good_version_after_a_truncated_one_is_taken_after_a_restart() -> None:
    bench = leading(OLD)
    bench.put("api/A.xml", api("A", "cut")[:-6])
    bench.pass_(12.0)
    # It is no part of a revision, and the old one serves: what the revision has is deployed.
    assert at("api/A.xml") in bench.state.refused
    assert bench.events("rejected-edit")
    assert state_of(bench, "api/A.xml") is D.DEPLOYED
    bench.put("api/A.xml", api("A", "good"))
    bench.pass_(12.0)
    known = bench.node.deploying.here(at("api/A.xml"))
    assert known is not None
    assert known.state is D.REJECTED
    assert "restart it" in known.reason
    assert "api/A.xml" not in bench.files
    restart(bench)
    assert bench.files["api/A.xml"] == api("A", "good")
    assert state_of(bench, "api/A.xml") is D.DEPLOYED
    assert bench.state.standing.revision.number == 2


def test_where_a_runtime_was_started_with_a_broken_file_the_revisions_is_not_deployed() -> None:
    bench = leading(OLD)
    bench.put("api/A.xml", api("A", "cut")[:-6])
    bench.pass_(12.0)
    restart(bench)
    known = bench.node.deploying.here(at("api/A.xml"))
    assert known is not None
    assert (known.state, "other bytes" in known.reason) == (D.UNKNOWN, True)
    bench.put("api/A.xml", api("A", "good"))
    bench.pass_(25.0)
    assert state_of(bench, "api/A.xml") is D.DEPLOYED


def test_what_the_runtime_took_and_validation_did_not_is_not_called_the_revisions() -> None:
    bench = leading(OLD)
    bench.put("api/A.xml", api("A", "twice").replace(b'context="/A"', b'context="/B"'))
    bench.pass_(3.0)
    assert at("api/A.xml") in bench.state.refused
    said = Heard(Saying.UPDATED, at("api/A.xml"), at=bench.wall())
    bench.handle(RuntimeHeard((said,), "x"))
    known = bench.node.deploying.here(at("api/A.xml"))
    assert known is not None
    assert (known.state, "other bytes" in known.reason) == (D.UNKNOWN, True)


def test_without_a_runtime_nothing_is_claimed_and_nothing_is_asked() -> None:
    bench = Bench(OLD, peers=()).lead()
    bench.put("api/A.xml", api("A", "new"))
    bench.pass_(200.0)
    assert bench.node.deploying.counts()[D.UNKNOWN] == 3
    assert not bench.told
    assert bench.node.reporting.own_row(bench.at)["runtime"] is None


def test_what_is_told_when_an_answer_is_final() -> None:
    bench = leading(OLD)
    told: list[tuple[str, Deployment]] = []
    bench.node.deploying.answered = lambda outcome, _now: told.append(
        (outcome.path.path, outcome.state)
    )
    bench.put("api/A.xml", api("A", "new"))
    bench.pass_(12.0)
    assert told == [("api/A.xml", D.DEPLOYED)]


def test_what_failed_at_a_start_without_a_name_is_found_where_the_others_are_named() -> None:
    bench = following(OLD)
    assert bench.gateway is not None
    bench.gateway.refuses = lambda path, _content: "no class" if path == "api/A.xml" else ""
    restart(bench)
    assert state_of(bench, "api/A.xml") is D.REJECTED
    assert state_of(bench, "api/B.xml") is D.DEPLOYED
    known = bench.node.deploying.here(at("api/A.xml"))
    assert known is not None
    assert known.reason == "no class"


def test_what_failed_at_a_start_without_a_name_is_what_had_changed() -> None:
    files = {**OLD, "sequences/t.xml": sequence("t")}
    bench = following(files)
    assert bench.gateway is not None
    bench.gateway.kill()
    bring(bench, {"sequences/t.xml": sequence("t", text="new")})
    refuse(bench)
    restart(bench)
    assert state_of(bench, "sequences/t.xml") is D.REJECTED
    assert state_of(bench, "sequences/s.xml") is D.DEPLOYED


def test_where_two_may_have_failed_at_a_start_neither_is_called_deployed() -> None:
    files = {**OLD, "sequences/t.xml": sequence("t")}
    bench = following(files)
    assert bench.gateway is not None
    bench.gateway.kill()
    bring(bench, {f"sequences/{name}.xml": sequence(name, text="later") for name in "st"})
    bench.gateway.refuses = lambda path, _content: "no class" if path.endswith("t.xml") else ""
    restart(bench)
    for name in "st":
        known = bench.node.deploying.here(at(f"sequences/{name}.xml"))
        assert known is not None
        assert (known.state, "may be" in known.reason) == (D.UNKNOWN, True)


def test_which_of_several_updates_killed_the_deployer_shows_at_the_next_start() -> None:
    bench = following(OLD)
    refuse(bench)
    bring(bench, {f"api/{name}.xml": api(name, "later") for name in "AB"})
    assert bench.gateway is not None
    bench.gateway.refuses = lambda path, _content: "no class" if path == "api/A.xml" else ""
    bench.pass_(30.0)
    assert bench.node.deploying.runtime.phase is Phase.STUCK
    assert state_of(bench, "api/A.xml") is not D.DEPLOYED
    restart(bench)
    assert state_of(bench, "api/A.xml") is D.REJECTED
    assert state_of(bench, "api/B.xml") is D.DEPLOYED


def test_a_rejected_file_that_stays_in_place_can_be_deleted_by_a_person() -> None:
    bench = leading(OLD, CARBON)
    refuse(bench)
    bench.put("api/Bad.xml", api("Bad"))
    bench.pass_(20.0)
    assert state_of(bench, "api/Bad.xml") is D.REJECTED
    assert bench.files["api/Bad.xml"] == api("Bad")
    bench.remove("api/Bad.xml")
    bench.pass_(5.0)
    assert bench.state.standing.revision.number == 3
    assert at("api/Bad.xml") not in bench.state.standing.manifest
    assert not bench.state.exempt
    assert sum(bench.node.deploying.counts().values()) == 3


def test_a_persons_edit_of_a_workers_restored_file_is_put_back() -> None:
    bench = following(OLD, CARBON)
    refuse(bench)
    bring(bench, {"api/A.xml": api("A", "new")})
    bench.pass_(20.0)
    restored = bench.files["api/A.xml"]
    assert state_of(bench, "api/A.xml") is D.REJECTED
    bench.pass_(10.0)
    bench.put("api/A.xml", api("A", "by hand"))
    bench.pass_(10.0)
    assert bench.files["api/A.xml"] == restored
    assert bench.events("drift")
    assert state_of(bench, "api/A.xml") is D.REJECTED


def test_a_stop_between_a_rejection_and_its_exemption_loses_nothing() -> None:
    bench = following(OLD, CARBON)
    refuse(bench)
    bring(bench, {"api/A.xml": api("A", "new")})
    bench.pass_(20.0)
    restored = bench.files["api/A.xml"]
    assert bench.state.exempt
    bench.history.stand(StandingChange(notes={"exempt": ""}))
    again(bench)
    bench.pass_(60.0)
    assert bench.files["api/A.xml"] == restored
    assert bench.state.exempt[at("api/A.xml")].because is Because.REJECTED
    assert not bench.events("drift")


def test_what_was_pending_at_a_stop_is_waited_for_by_the_next_agent() -> None:
    bench = following(OLD)
    bring(bench, {"api/A.xml": api("A", "new")})
    again(bench)
    bench.pass_(0.5)
    assert state_of(bench, "api/A.xml") is D.PENDING
    assert bench.node.deploying.waiting()
    bench.pass_(12.0)
    assert state_of(bench, "api/A.xml") is D.DEPLOYED


def test_what_was_said_while_no_agent_ran_is_heard_by_the_next() -> None:
    bench = following(OLD)
    bring(bench, {"api/A.xml": api("A", "new")})
    bench.runtime.stop()
    assert bench.gateway is not None
    bench.at += 15.0
    bench.gateway.run()
    again(bench)
    bench.pass_(1.0)
    assert state_of(bench, "api/A.xml") is D.DEPLOYED


def test_a_new_worker_that_is_filled_has_all_deployed_in_the_end() -> None:
    bench = Bench({}, manager=PEER).beside(SYNAPSE).start()
    bring(bench, dict(OLD))
    assert bench.node.deploying.counts()[D.PENDING] == 3
    bench.pass_(12.0)
    assert bench.node.deploying.counts()[D.DEPLOYED] == 3


def test_an_outcome_is_reported_to_the_manager_at_once() -> None:
    bench = following(OLD)
    bring(bench, {"api/A.xml": api("A", "new")})
    bench.pass_(1.0)
    bench.said(Report)
    assert bench.gateway is not None
    bench.gateway.scan()
    bench.pass_(0.3)
    (report,) = bench.said(Report)
    row = json.loads(report.body)["row"]
    assert (row["deployed"], row["pending"], row["runtime"]["phase"]) == (3, 0, "ready")


def test_describe_tells_what_each_nodes_runtime_did() -> None:
    bench = _aged(Bench(OLD)).beside(SYNAPSE).lead()
    link = bench.follow()
    runtime = {"kind": "synapse", "label": "x", "phase": "ready", "answers": True}
    rejected = {
        "tree": "synapse",
        "path": "api/A.xml",
        "digest": "?",
        "state": "Rejected",
        "reason": "no class",
        "excerpt": "ERROR no class",
    }
    row = {"revision": bench.state.standing.revision.number}
    body = {"row": row, "runtime": runtime, "outcomes": [rejected], "outcomes_total": 1}
    bench.hear(link, Done(bench.state.standing.revision, bench.state.base.digest))
    bench.hear(link, Report(json.dumps(body)))

    def peer_row(path: str) -> dict[str, object]:
        found = bench.answer("describe", artifact=path)
        assert isinstance(found, dict)
        return next(row for row in found["nodes"] if row["node"] == PEER)

    told = peer_row("api/A.xml")
    assert (told["state"], told["reason"]) == ("Rejected", "no class")
    assert told["excerpt"] == "ERROR no class"
    assert peer_row("api/B.xml")["state"] == "Deployed"
    # A list that is cut says nothing of what it leaves out.
    bench.hear(link, Report(json.dumps({**body, "outcomes_total": 700})))
    assert peer_row("api/B.xml")["state"] == "Unknown"


def test_a_rename_inside_one_scan_is_deployed_and_nothing_is_owed() -> None:
    bench = following(OLD)
    bring(bench, {"api/A.xml": None, "api/A2.xml": api("A")})
    bench.pass_(15.0)
    assert state_of(bench, "api/A2.xml") is D.DEPLOYED
    assert not bench.node.deploying.waiting()
    assert not bench.events("touched")


def test_what_the_runtime_lets_go_of_by_itself_is_shown_to_it_again() -> None:
    bench = following(OLD)
    gone = Heard(Saying.UNDEPLOYED, None, Kind.API, "A", at=bench.wall() + 0.5)
    bench.handle(RuntimeHeard((gone,), "x"))
    assert state_of(bench, "api/A.xml") is D.PENDING
    bench.pass_(80.0)
    assert bench.events("touched")
    assert state_of(bench, "api/A.xml") is D.DEPLOYED


# --- helpers ------------------------------------------------------------------------------------


def change(bench: Bench, path: str, content: bytes | None) -> None:
    """Change a file by a person's hand where the node leads, else by a revision."""
    if not bench.state.leads:
        bring(bench, {path: content})
    elif content is None:
        bench.remove(path)
    else:
        bench.put(path, content)


def refuse(bench: Bench) -> None:
    """Have the runtime refuse each new version from now on, but those that are `better`."""
    assert bench.gateway is not None
    bench.gateway.refuses = lambda path, content: (
        "no such class" if b"new" in content or path.endswith("Bad.xml") else ""
    )


def accept(bench: Bench) -> None:
    """Have the runtime take everything."""
    assert bench.gateway is not None
    bench.gateway.refuses = lambda _path, _content: ""


def restart(bench: Bench) -> None:
    """Kill the runtime and have it start again."""
    assert bench.gateway is not None
    bench.gateway.kill()
    bench.pass_(1.0)
    bench.gateway.boot()
    bench.pass_(60.0)
    assert bench.gateway.state.phase is Phase.READY


def registry(text: str) -> bytes:
    """Return a root file."""
    return f'<registry xmlns="{XMLNS}" provider="x"><!--{text}--></registry>'.encode()


def again(bench: Bench) -> None:
    """Have another agent take over where this one stops."""
    bench.runtime.stop()
    assert bench.gateway is not None
    bench.runtime = FakeRuntime(bench.gateway, bench.arrived.append)
    bench.join(bench.history, bench.guard)
    bench.start()


def _moved_unseen(bench: Bench) -> None:
    """Have the runtime refuse a new file and move it away, and its words be heard before it is missed."""
    refuse(bench)
    bring(bench, {"api/Bad.xml": api("Bad")})
    bench.at = bench.gateway.due() - WALL if bench.gateway is not None else 0.0
    assert bench.gateway is not None
    bench.gateway.run()
    assert "api/Bad.xml" not in bench.files
    while bench.arrived:
        event = bench.arrived.popleft()
        if isinstance(event, RuntimeHeard):
            bench.handle(event)
    assert state_of(bench, "api/Bad.xml") is D.REJECTED


def test_a_file_that_was_moved_away_is_nobodys_deletion_though_one_scan_missed_it_first() -> None:
    bench = following(OLD, writers=Writers.ANY)
    _moved_unseen(bench)
    # One scan is no proof that a file is gone, and none that it is there.
    bench.handle(WatchFault(T, WatchTrouble.OVERFLOW, ""))
    bench.pass_(60.0)
    assert not bench.said(Propose)
    assert bench.state.exempt[at("api/Bad.xml")].here is None
    assert not bench.events("drift")


def test_a_file_that_was_moved_away_is_nobodys_deletion_though_its_tree_did_not_answer() -> None:
    bench = following(OLD, writers=Writers.ANY)
    _moved_unseen(bench)
    bench.disk.conditions[T] = Condition.STALLED
    bench.handle(WatchFault(T, WatchTrouble.OVERFLOW, ""))
    bench.pass_(20.0)
    del bench.disk.conditions[T]
    bench.pass_(60.0)
    assert not bench.said(Propose)
    assert bench.state.exempt[at("api/Bad.xml")].here is None


def test_a_file_that_somebody_put_back_after_it_was_moved_away_can_be_deleted() -> None:
    bench = following(OLD, writers=Writers.ANY)
    _moved_unseen(bench)
    bench.put("api/Bad.xml", api("Bad"))
    bench.pass_(2.0)
    bench.gateway = None
    bench.remove("api/Bad.xml")
    bench.pass_(5.0)
    (proposal, *_) = bench.said(Propose)
    assert [change.path for change in proposal.changes] == [at("api/Bad.xml")]


def test_a_file_that_could_not_be_touched_is_not_said_to_have_been() -> None:
    bench = leading(OLD)
    assert bench.gateway is not None
    bench.gateway.mute = True
    bench.put("api/A.xml", api("A", "new"))
    bench.pass_(5.0)
    mtime = bench.disk.trees[T]["api/A.xml"][1]
    for _ in range(300):
        bench.disk.failing = "EROFS"  # for one call
        bench.pass_(1.0)
    known = bench.node.deploying.here(at("api/A.xml"))
    assert known is not None
    assert (known.state, known.reason) == (D.UNKNOWN, UNSHOWN)
    assert len(bench.events("touched")) == 2
    assert bench.disk.trees[T]["api/A.xml"][1] == mtime
    # Nothing is known of the deployer: it was shown nothing.
    assert "deployer" not in bench.state.alarms


def test_an_emptied_tree_is_held_as_a_whole_though_the_runtime_owes_answers_for_a_part() -> None:
    many = {f"sequences/s{n}.xml": sequence(f"s{n}") for n in range(6)}
    bench = leading(many)
    for n in range(3):
        bench.put(f"sequences/s{n}.xml", sequence(f"s{n}", text="new"))
    bench.pass_(1.0)
    number = bench.state.standing.revision.number
    assert bench.node.deploying.waiting()
    for path in many:
        bench.remove(path)
    bench.pass_(8.0)
    assert bench.state.standing.revision.number == number
    assert [hold.reason for hold in bench.state.holds.values()] == [HoldReason.TREE_EMPTIED]


def test_a_name_that_is_said_at_a_start_proves_nothing_of_a_file_that_shares_it() -> None:
    bench = leading(OLD)
    assert bench.gateway is not None
    bench.gateway.kill()
    bench.pass_(1.0)
    # Unseen by the watcher: another file takes the name of one that this runtime refuses now.
    bench.disk.put(at("api/Z.xml"), api("A", "by hand", context="/Z"))
    bench.gateway.refuses = lambda path, _content: "no class" if path == "api/A.xml" else ""
    bench.gateway.boot()
    bench.pass_(30.0)
    assert bench.gateway.serves("api", "A") == bench.files["api/Z.xml"]
    assert state_of(bench, "api/A.xml") in {D.UNKNOWN, D.REJECTED}
    assert state_of(bench, "api/B.xml") is D.DEPLOYED
