"""A node that rightly holds something else than its revision: withheld, undeployed, in portions."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from syncagent.agent.effects import Note
from syncagent.agent.node.housekeeping import FIRST_S
from syncagent.core.artifact import TreeName
from syncagent.core.change import Change
from syncagent.core.events import RuntimeHeard
from syncagent.core.exempt import (
    NONE_WITHHELD,
    NOTE,
    WITHHELD_NOTE,
    Because,
    Exemption,
    from_note,
    overlay,
    paths_digest,
    to_note,
    withheld_to_note,
)
from syncagent.core.intent import Keep
from syncagent.core.ledger import StandingChange
from syncagent.core.runtime import Heard, Saying
from syncagent.core.settings import RolloutSettings, Writers
from syncagent.core.wire.messages import Blobs, Commit, Done, Offer, Prepared, Propose, Want
from syncagent.core.wire.packing import compress_batch
from tests.fakes.agent_bench import (
    PEER,
    XMLNS,
    Bench,
    adds,
    at,
    entry,
    revision,
    rows,
    sequence,
)
from tests.fakes.runtime_words import SYNAPSE
from tests.unit.agent.test_deploying import _aged

if TYPE_CHECKING:
    from syncagent.core.revision import Token
    from tests.fakes.agent_bench import Files

ONE, TWO = sequence("one"), sequence("two")
ONE_NEW, TWO_NEW = sequence("one", text="new"), sequence("two", text="new")
A, B, E = "sequences/one.xml", "sequences/two.xml", "endpoints/e.xml"
OLD = {A: ONE, B: TWO}


def worker(**given: object) -> Bench:
    return Bench(OLD, manager=PEER, standing=OLD, **given).start()


def offered(bench: Bench, link: int, token: object, new: dict[str, bytes], *withheld: str) -> None:
    changes = tuple(Change(at(path), entry(OLD[path]), entry(new[path])) for path in sorted(new))
    of = revision(bench.state.standing.revision, rows(OLD), changes, epoch=2)
    paths = tuple(at(path) for path in withheld)
    bench.hear(link, Offer(token, of.id, of.parent, PEER, "edit", (), of.changes, paths))  # type: ignore[arg-type]
    _bring(bench, link, new)


def _bring(bench: Bench, link: int, new: dict[str, bytes]) -> None:
    for want in bench.said(Want, link):
        items = [(entry(c), c) for c in new.values() if entry(c).digest in want.blobs]
        bench.hear(link, Blobs(*compress_batch(items)))


def committed(bench: Bench, link: int, token: object) -> Done:
    (prepared,) = bench.said(Prepared, link)
    bench.hear(link, Commit(token, prepared.revision))  # type: ignore[arg-type]
    (done,) = bench.said(Done, link)
    return done


def test_what_is_withheld_stays_as_it_was_and_the_node_stands_on_the_revision() -> None:
    bench = worker()
    link, token = bench.managed()
    offered(bench, link, token, {A: ONE_NEW, B: TWO_NEW}, B)
    done = committed(bench, link, token)
    assert bench.files == {A: ONE_NEW, B: TWO}
    assert done.revision.number == 2
    assert done.withheld == paths_digest([at(B)])
    assert done.projection == rows({A: ONE_NEW, B: TWO_NEW}).digest
    assert bench.state.withheld[at(B)].because is Because.WITHHELD
    assert not bench.node.observing.differing()
    bench.pass_(200.0)
    assert bench.files == {A: ONE_NEW, B: TWO}, (
        "drift is what no revision and no exemption asked for"
    )


def test_the_same_revision_offered_with_less_withheld_brings_the_rest() -> None:
    bench = worker()
    link, token = bench.managed()
    offered(bench, link, token, {A: ONE_NEW, B: TWO_NEW}, B)
    done = committed(bench, link, token)
    bench.hear(link, Offer(token, done.revision, bench.state.standing.revision, PEER, "", (), None))
    assert not bench.said(Prepared, link), "a revision can't be its own parent"
    parent = done.revision._replace(number=1)
    bench.hear(link, Offer(token, done.revision, parent, PEER, "", (), None))
    _bring(bench, link, {B: TWO_NEW})
    again = committed(bench, link, token)
    assert again.revision == done.revision
    assert again.withheld == NONE_WITHHELD
    assert bench.files == {A: ONE_NEW, B: TWO_NEW}
    assert not bench.state.withheld


def test_what_is_withheld_is_so_after_a_restart() -> None:
    bench = worker()
    link, token = bench.managed()
    offered(bench, link, token, {A: ONE_NEW, B: TWO_NEW}, B)
    committed(bench, link, token)
    bench.join(bench.history, bench.guard)
    bench.start()
    assert bench.state.withheld_as == paths_digest([at(B)])
    assert not bench.node.observing.differing()


def test_an_artifact_that_a_person_takes_away_stays_away_and_comes_back_in_time() -> None:
    bench = worker()
    bench.managed()
    bench.node.exempting.undeploy([at(A)], bench.wall() + 3600.0, "debugging", bench.at)
    bench.rest()
    assert bench.files == {B: TWO}
    assert bench.disk.kept()[0].reason is Keep.DELETED
    bench.pass_(1800.0)
    assert bench.files == {B: TWO}
    bench.pass_(1900.0)
    assert bench.files == OLD
    assert not bench.state.exempt


def test_an_undeployed_artifact_is_put_back_at_a_word_and_no_drift_is_told() -> None:
    bench = worker()
    bench.managed()
    bench.node.exempting.undeploy([at(A)], bench.wall() + 3600.0, "", bench.at)
    bench.rest()
    bench.join(bench.history, bench.guard)
    bench.start()
    assert bench.files == {B: TWO}, "it is durable"
    bench.node.exempting.lift([at(A)], bench.at)
    bench.rest()
    assert bench.files == OLD
    assert not bench.events("drift")


def test_on_the_manager_an_undeployed_artifact_is_no_deletion() -> None:
    bench = Bench(OLD, standing=OLD).lead()
    number = bench.state.standing.revision.number
    bench.node.exempting.undeploy([at(A)], bench.wall() + 600.0, "", bench.at)
    bench.rest()
    assert bench.files == {B: TWO}
    bench.pass_(300.0)
    assert bench.state.standing.revision.number == number
    bench.pass_(400.0)
    assert bench.files == OLD
    assert bench.state.standing.revision.number == number


def test_a_new_version_of_an_undeployed_artifact_ends_the_exemption() -> None:
    bench = worker()
    link, token = bench.managed()
    bench.node.exempting.undeploy([at(A)], bench.wall() + 3600.0, "", bench.at)
    bench.rest()
    offered(bench, link, token, {A: ONE_NEW})
    committed(bench, link, token)
    assert bench.files == {A: ONE_NEW, B: TWO}
    assert not bench.state.exempt


def updates(count: int) -> tuple[Files, Files]:
    """Return that many sequences, and a new version of each."""
    old = {f"sequences/s{n:02}.xml": sequence(f"s{n:02}") for n in range(count)}
    return old, {path: sequence(path[10:13], text="new") for path in old}


def offered_all(bench: Bench, link: int, token: Token, old: Files, new: Files) -> None:
    """Have a worker prepare a revision in which all of `old` becomes `new`."""
    changes = tuple(Change(at(p), entry(old[p]), entry(new[p])) for p in sorted(old))
    of = revision(bench.state.standing.revision, rows(old), changes, epoch=2)
    bench.hear(link, Offer(token, of.id, of.parent, PEER, "edit", (), of.changes))
    _bring(bench, link, new)


def first_portion_of(bench: Bench, old: Files, new: Files) -> tuple[int, list[bool]]:
    """Have a first portion committed beside a runtime that answers; return the link, and if it is busy."""
    waiting = [True]
    bench.node.exempting.answers = lambda: True
    bench.node.exempting.busy = lambda: waiting[0]
    link, token = bench.managed()
    offered_all(bench, link, token, old, new)
    committed(bench, link, token)
    return link, waiting


def test_a_runtime_that_answers_gets_25_updates_at_once_and_the_next_when_it_has_said_so() -> None:
    old, new = updates(60)
    bench = Bench(old, manager=PEER, standing=old).start()
    link, waiting = first_portion_of(bench, old, new)

    def updated() -> int:
        return sum(bench.files[path] == new[path] for path in new)

    assert updated() == 25
    bench.pass_(100.0)
    assert updated() == 25
    waiting[0] = False
    bench.tick()
    waiting[0] = True
    link_wants(bench, link, new)
    assert updated() == 50
    waiting[0] = False
    bench.tick()
    link_wants(bench, link, new)
    assert updated() == 60
    assert not bench.state.withheld


def sixty_updates() -> tuple[Bench, int, Token, Files]:
    """Return a worker beside a Synapse, with sixty updates prepared."""
    old, new = updates(60)
    bench = Bench(old, manager=PEER, standing=old).beside(SYNAPSE).start().pass_(20.0)
    assert bench.gateway is not None
    link, token = bench.managed()
    bench.gateway.kill()
    bench.gateway.boot()
    bench.pass_(0.5)
    assert not bench.node.deploying.may_write
    offered_all(bench, link, token, old, new)
    return bench, link, token, new


def test_a_runtime_that_is_starting_gets_25_updates_when_it_is_ready() -> None:
    bench, link, token, new = sixty_updates()
    (prepared,) = bench.said(Prepared, link)
    bench.hear(link, Commit(token, prepared.revision))
    bench.pass_(5.0)
    assert sum(bench.files[path] == new[path] for path in new) == 25


def test_an_agent_that_starts_anew_goes_on_with_its_portions() -> None:
    bench, link, token, new = sixty_updates()
    bench.pass_(5.0)
    committed(bench, link, token)
    bench.history.stand(StandingChange(), [(entry(content), content) for content in new.values()])
    bench.join(bench.history, bench.guard)
    bench.start()
    assert sum(bench.files[path] == new[path] for path in new) == 25
    bench.pass_(400.0)
    assert bench.files == new


def test_portions_wait_for_the_manager_that_has_their_bytes() -> None:
    old, new = updates(30)
    bench = Bench(old, manager=PEER, standing=old).start()
    link, waiting = first_portion_of(bench, old, new)
    bench.cut(link)
    waiting[0] = False
    bench.pass_(120.0)
    assert not bench.events("job-failed")
    link, _ = bench.managed()
    link_wants(bench, link, new)
    assert bench.files == new


def test_what_can_not_be_put_back_is_tried_again_in_peace() -> None:
    bench = worker()
    bench.node.exempting.undeploy([at(A)], bench.wall() + 60.0, "", bench.at)
    bench.rest()
    lost, has = {entry(ONE).digest}, bench.history.has
    bench.state.has_blob = lambda digest: digest not in lost and has(digest)
    bench.pass_(660.0)
    assert bench.files == {B: TWO}
    assert 3 <= len(bench.events("job-failed")) <= 10
    lost.clear()
    bench.node.exempting.lift([at(A)], bench.at)
    bench.rest()
    assert bench.files == OLD, "a person's word does not wait"


def link_wants(bench: Bench, link: int, new: dict[str, bytes]) -> None:
    bench.rest()
    _bring(bench, link, new)
    bench.rest()


def test_dependencies_go_before_dependants_if_it_is_to_be_ordered() -> None:
    head = f'<endpoint xmlns="{XMLNS}" name="e">'
    old = {E: f"{head}<default/></endpoint>".encode(), A: ONE}
    new = {E: f"{head}<default/><!--new--></endpoint>".encode(), A: ONE_NEW}
    bench = Bench(old, manager=PEER, standing=old, rollout=RolloutSettings(ordered=True)).start()
    link, waiting = first_portion_of(bench, old, new)
    assert bench.files == {**old, E: new[E]}
    waiting[0] = False
    bench.tick()
    link_wants(bench, link, new)
    assert bench.files == new


def test_what_never_deployed_on_a_synapse_is_replaced_in_a_look_of_its_own() -> None:
    bench = _aged(Bench(OLD, manager=PEER, standing=OLD)).beside(SYNAPSE).start()
    gateway = bench.gateway
    assert gateway is not None
    gateway.refuses = lambda _path, content: "no" if content == ONE_NEW else ""
    link, token = bench.managed()
    offered(bench, link, token, {A: ONE_NEW})
    committed(bench, link, token)
    bench.pass_(20.0)
    gateway.kill()
    gateway.ready()
    bench.pass_(20.0)
    assert bench.state.exempt[at(A)].because is Because.REJECTED
    now = {A: ONE_NEW, B: TWO}
    changes = tuple(Change(at(p), entry(now[p]), entry(c)) for p, c in ((A, ONE), (B, TWO_NEW)))
    of = revision(bench.state.standing.revision, rows(now), changes, epoch=2)
    bench.hear(link, Offer(token, of.id, of.parent, PEER, "edit", (), of.changes))
    _bring(bench, link, {A: ONE, B: TWO_NEW})
    committed(bench, link, token)
    assert bench.files == {A: ONE_NEW, B: TWO_NEW}, "the others first"
    bench.pass_(40.0)
    _bring(bench, link, {A: ONE})
    bench.pass_(40.0)
    assert bench.files == {A: ONE, B: TWO_NEW}
    assert gateway.serves("sequences", "one") == ONE
    assert gateway.serves("sequences", "two") == TWO_NEW


def test_a_wish_to_take_away_is_about_the_version_that_is_there_when_it_is_carried_out() -> None:
    bench = worker()
    link, token = bench.managed()
    offered(bench, link, token, {A: ONE_NEW})
    (prepared,) = bench.said(Prepared, link)
    bench.node.exempting.undeploy([at(A), at(B)], bench.wall() + 600.0, "", bench.at)
    bench.rest()
    assert bench.files == OLD, "the revision goes first"
    bench.hear(link, Commit(token, prepared.revision))
    bench.pass_(1.0)
    assert bench.files == {}
    assert bench.state.exempt[at(A)].wanted == entry(ONE_NEW).digest
    bench.pass_(650.0)
    assert bench.files == {A: ONE_NEW, B: TWO}


def test_a_wish_whose_time_is_over_before_it_could_be_carried_out_is_none() -> None:
    bench = worker()
    link, token = bench.managed()
    offered(bench, link, token, {A: ONE_NEW})
    (prepared,) = bench.said(Prepared, link)
    bench.node.exempting.undeploy([at(B)], bench.wall() + 1.0, "", bench.at)
    bench.pass_(2.0)
    bench.hear(link, Commit(token, prepared.revision))
    bench.pass_(1.0)
    assert bench.files == {A: ONE_NEW, B: TWO}
    assert not bench.state.exempt


def test_a_message_processor_on_a_synapse_goes_before_its_new_version_comes() -> None:
    path = "message-processors/P.xml"
    head = f'<messageProcessor xmlns="{XMLNS}" name="P" messageStore="M" class="c.C">'
    old, new = f"{head}</messageProcessor>".encode(), f"{head}<!--2--></messageProcessor>".encode()
    bench = Bench({path: old}, manager=PEER, standing={path: old}).beside(SYNAPSE).start()
    gateway = bench.gateway
    assert gateway is not None
    link, token = bench.managed()
    changes = (Change(at(path), entry(old), entry(new)),)
    of = revision(bench.state.standing.revision, rows({path: old}), changes, epoch=2)
    bench.hear(link, Offer(token, of.id, of.parent, PEER, "edit", (), of.changes))
    _bring(bench, link, {path: new})
    committed(bench, link, token)
    assert bench.files == {}
    for _ in range(4):
        bench.pass_(10.0)
        _bring(bench, link, {path: new})
    assert bench.files == {path: new}
    assert gateway.serves("message-processors", "P") == new


def first_offer(bench: Bench, link: int, token: Token, new: Files, *withheld: str) -> None:
    """Offer a node that stands nowhere its first revision; it gets all bytes, and the word."""
    of = revision(bench.state.standing.revision, rows({}), adds(new), epoch=2)
    paths = tuple(at(path) for path in withheld)
    bench.hear(link, Offer(token, of.id, of.parent, PEER, "edit", (), of.changes, paths))
    for hold in tuple(bench.state.holds):
        bench.answer("approve", id=hold)
    _bring(bench, link, new)
    committed(bench, link, token)
    bench.pass_(1.0)


@pytest.mark.parametrize("there", [ONE, ONE_NEW])
def test_a_node_that_joins_keeps_what_it_has_of_what_is_withheld(there: bytes) -> None:
    new = {A: ONE_NEW, B: TWO}
    bench = Bench({A: there, B: TWO}, manager=PEER).start()
    link, token = bench.managed()
    first_offer(bench, link, token, new, A)
    assert bench.files == {A: there, B: TWO}, "a live file is not taken away for a canary"
    bench.pass_(400.0)
    assert bench.files == {A: there, B: TWO}
    standing = bench.state.standing.revision
    bench.hear(link, Offer(token, standing, standing, PEER, "", (), None, ()))
    _bring(bench, link, new)
    if bench.files != new:
        committed(bench, link, token)
    assert bench.files == new


def test_a_node_that_joins_with_the_revision_s_files_loses_none_for_its_order() -> None:
    sent = f'<endpoint xmlns="{XMLNS}" name="e"><default/></endpoint>'.encode()
    files = {E: sent, **OLD}
    bench = Bench(files, manager=PEER, rollout=RolloutSettings(ordered=True)).start()
    bench.node.exempting.answers = lambda: True
    bench.node.exempting.busy = lambda: True
    link, token = bench.managed()
    first_offer(bench, link, token, files)
    assert bench.files == files
    assert not bench.state.withheld


def test_what_a_runtime_refuses_at_once_is_one_record_of_the_ledger() -> None:
    files = {f"sequences/s{n:03}.xml": sequence(f"s{n:03}") for n in range(300)}
    bench = Bench(files, manager=PEER, standing=files).beside(SYNAPSE).start().pass_(20.0)
    # Each is waited for: what nobody waits for needs a look first.
    bench.node.deploying.redeploy([at(path) for path in files], bench.at)
    bench.node.drain()
    said = tuple(
        Heard(Saying.REJECTED, at(path), reason="no", at=bench.wall()) for path in sorted(files)
    )
    bench.node.handle(RuntimeHeard(said, "m"), bench.at)
    effects = bench.node.drain()
    assert len(bench.state.exempt) == 300
    (note,) = [effect for effect in effects if isinstance(effect, Note)]
    assert from_note(note.change.notes[NOTE]) == bench.state.exempt
    assert bench.state.base == overlay(bench.state.rows, bench.state.exemptions)


def test_who_wrote_what_is_withheld_from_the_others_has_it() -> None:
    bench = worker(writers=Writers.ANY)
    link, token = bench.managed()
    bench.put(A, ONE_NEW)
    bench.pass_(3.0)
    assert bench.said(Propose)
    offered(bench, link, token, {A: ONE_NEW}, A)
    committed(bench, link, token)
    bench.pass_(1.0)
    assert bench.files == {A: ONE_NEW, B: TWO}
    assert not bench.node.observing.differing()
    assert bench.state.withheld_as == paths_digest([at(A)])


def test_what_is_exempt_in_a_tree_that_is_not_listed_any_more_is_forgotten() -> None:
    bench = Bench(OLD, manager=PEER, standing=OLD)
    path = at("api/x.xml", TreeName("tenant-7"))
    came_back = Exemption(path, Because.REJECTED, None, entry(b"x"), 0.0, "it can't be undeployed")
    later = replace(came_back, because=Because.PORTION)
    notes = {
        NOTE: to_note({path: came_back}),
        WITHHELD_NOTE: withheld_to_note(NONE_WITHHELD, {path: later}),
    }
    bench.history.stand(StandingChange(notes=notes))
    bench.join(bench.history, bench.guard)
    bench.start()
    bench.managed()
    bench.pass_(10.0)
    assert bench.state.base == bench.state.rows
    assert not bench.state.exemptions


def _stray(bench: Bench, was: bytes | None, came: bytes) -> tuple[Bench, Done]:
    """Have what is withheld stand where a person wrote what has a name of the revision."""
    link, token = bench.managed()
    bench.put(B, sequence("three"))
    bench.pass_(1.0)
    before = rows(OLD)
    changes = (
        Change(at(B), entry(was) if was else None, entry(TWO_NEW)),
        Change(at("sequences/three.xml"), None, entry(came)),
    )
    of = revision(bench.state.standing.revision, before, changes, epoch=2)
    offer = Offer(token, of.id, of.parent, PEER, "edit", (), of.changes, (at(B),))
    bench.hear(link, offer)
    _bring(bench, link, {B: TWO_NEW, "sequences/three.xml": came})
    return bench, committed(bench, link, token)


def test_a_stray_in_the_place_of_what_is_withheld_gives_way_to_the_version_before() -> None:
    came = sequence("three", text="the revision's")
    bench, done = _stray(worker(writers=Writers.ANY), TWO, came)
    assert bench.files == {A: ONE, B: TWO, "sequences/three.xml": came}
    assert done.withheld == paths_digest([at(B)])
    assert bench.state.withheld[at(B)].here == entry(TWO)
    assert [kept.digest for kept in bench.disk.kept()] == [entry(sequence("three")).digest]


def test_nothing_stands_in_for_what_is_withheld_if_the_version_before_is_in_the_way_too() -> None:
    named_two = sequence("two", text="the revision's")
    bench = worker(writers=Writers.ANY)
    bench.put("sequences/three.xml", sequence("one", text="stray"))
    link, token = bench.managed()
    changes = (
        Change(at(B), entry(TWO), entry(sequence("moved"))),
        Change(at("sequences/new.xml"), None, entry(named_two)),
    )
    of = revision(bench.state.standing.revision, rows(OLD), changes, epoch=2)
    bench.hear(link, Offer(token, of.id, of.parent, PEER, "edit", (), of.changes, (at(B),)))
    _bring(bench, link, {"sequences/new.xml": named_two})
    committed(bench, link, token)
    assert B not in bench.files
    assert bench.files["sequences/new.xml"] == named_two
    assert bench.state.withheld[at(B)].here is None


def put_back(bench: Bench, path: str, content: bytes) -> Bench:
    """Have the runtime have put its own version back at a path that the revision leaves empty."""
    put = Exemption(at(path), Because.REJECTED, None, entry(content), 0.0, "it was put back")
    note = StandingChange(notes={NOTE: to_note({at(path): put})})
    bench.history.stand(note, [(entry(content), content)])
    bench.disk.put(at(path), content)
    bench.join(bench.history, bench.guard)
    return bench.start()


def test_what_the_runtime_put_back_is_not_tidied_away() -> None:
    restored = sequence("x", text="re-serialised")
    bench = put_back(Bench(OLD, manager=PEER, standing=OLD), "sequences/x.xml", restored)
    bench.pass_(FIRST_S + 1.0)
    assert bench.history.has(entry(restored).digest)
    bench.put("sequences/x.xml", sequence("x", text="by hand"))
    bench.pass_(5.0)
    assert bench.files["sequences/x.xml"] == restored


def test_what_the_runtime_put_back_gives_way_to_the_revision_also_when_it_was_edited() -> None:
    bench = put_back(Bench(OLD, manager=PEER), "sequences/x.xml", sequence("new"))
    link, token = bench.managed()
    bench.put("sequences/x.xml", sequence("other"))
    bench.pass_(1.0)
    came = {"sequences/new.xml": sequence("new", text="the revision's")}
    of = revision(bench.state.standing.revision, rows({}), adds({**OLD, **came}), epoch=2)
    bench.offer(link, token, of)
    (hold,) = bench.state.holds
    bench.answer("approve", id=hold)
    _bring(bench, link, came)
    committed(bench, link, token)
    assert bench.files == {**OLD, **came}
    assert not bench.state.exempt
