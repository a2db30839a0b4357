"""Becoming manager: survey, acquire, admit, catch up, lead; and ceasing to be."""

from dataclasses import replace

import pytest

from syncagent.agent import effects as fx
from syncagent.agent import results as rs
from syncagent.agent.node.state import Role
from syncagent.core.errors import BusyError, StateError
from syncagent.core.events import DialFailed, Received
from syncagent.core.manifest import Manifest
from syncagent.core.revision import REVISION_ZERO
from syncagent.core.settings import PeerSettings
from syncagent.core.wire.messages import (
    Admit,
    Admitted,
    Blobs,
    Fenced,
    ManifestPart,
    Missing,
    Survey,
    Surveyed,
    Want,
)
from syncagent.core.wire.packing import compress_batch
from tests.fakes.agent_bench import (
    ME,
    PEER,
    THIRD,
    Bench,
    T,
    adds,
    entry,
    revision,
    rows,
    sequence,
)

FILES = {f"sequences/{name}.xml": sequence(name) for name in "ab"}
THREE = (PeerSettings(PEER, "10.0.0.2:7421", ""), PeerSettings(THIRD, "10.0.0.3:7421", ""))


def surveyed(bench: Bench, epoch: int = 0, holder: str = PEER) -> Surveyed:
    """What a peer says that stands where this node stands."""
    highest = replace(bench.token(max(epoch, 1)), holder=holder) if epoch else None
    return Surveyed(highest, bench.state.standing.revision, bench.state.base.digest, (T,))


def begun(**given: object) -> Bench:
    """A node that has just started, with nothing carried out."""
    bench = Bench(FILES, **given)  # type: ignore[arg-type]
    bench.node.start(bench.at)
    bench._drain()
    return bench


def acquires(bench: Bench) -> list[fx.Acquire]:
    return [effect for effect in bench.hands if isinstance(effect, fx.Acquire)]


# --- at start -------------------------------------------------------------------------------------


def test_who_is_named_asks_everybody_before_it_takes_the_lease() -> None:
    bench = begun(peers=THREE)
    assert (bench.state.role, bench.dialled) == (Role.SURVEYING, [PEER, THIRD])
    link = bench.link()
    assert bench.said(Survey) == [Survey()]
    bench.handle(Received(link, surveyed(bench)))
    assert acquires(bench) == []
    bench.handle(DialFailed(THIRD, "refused"))
    assert acquires(bench) == [fx.Acquire(0, promoted=False)]


def test_who_does_not_answer_is_waited_for_five_seconds() -> None:
    bench = begun()
    bench.at += 4.9
    bench.tick()
    assert acquires(bench) == []
    bench.at += 0.2
    bench.tick()
    assert acquires(bench) == [fx.Acquire(0, promoted=False)]


def test_an_answer_that_comes_late_does_not_make_it_ask_twice() -> None:
    bench = begun()
    link = bench.link()
    bench.at += 6
    bench.tick()
    bench.handle(Received(link, surveyed(bench)))
    assert len(acquires(bench)) == 1


def test_who_is_not_named_stays_a_worker() -> None:
    bench = Bench(FILES, manager=PEER).start()
    assert (bench.state.role, bench.dialled) == (Role.WORKER, [])
    bench.pass_(30)
    assert bench.dialled == [PEER], "it has knocked, once"


@pytest.mark.parametrize(("holder", "role"), [(ME, Role.SURVEYING), (PEER, Role.WORKER)])
def test_once_an_epoch_was_admitted_the_guard_decides_not_the_settings(
    holder: str, role: Role
) -> None:
    bench = Bench(FILES, manager=holder, standing=FILES)  # type: ignore[arg-type]
    bench.state.settings = replace(
        bench.settings, election=replace(bench.settings.election, manager=PEER)
    )
    bench.node.start(bench.at)
    assert bench.state.role is role


def test_a_higher_epoch_at_a_peer_makes_it_a_worker() -> None:
    bench = begun()
    link = bench.link()
    bench.handle(Received(link, surveyed(bench, epoch=7)))
    assert (bench.state.role, acquires(bench)) == (Role.WORKER, [])
    assert (link, "no longer manager") in bench.hung_up


def test_a_lease_that_somebody_else_holds_makes_it_a_worker() -> None:
    bench = begun()
    bench.elect = lambda _wish: rs.NotElected("gw-2 holds the lease")
    bench.pass_(6)
    assert bench.state.role is Role.WORKER
    bench.handle(rs.NotElected("again"))
    assert bench.state.role is Role.WORKER


def test_a_guard_that_can_t_be_written_makes_it_a_worker() -> None:
    bench = begun()

    def lost(_what: str) -> None:
        raise StateError("the guard's file is gone")

    bench.guard.fail = lost
    bench.pass_(6)
    assert (bench.state.role, bench.state.token) == (Role.WORKER, None)


# --- admission and catching up --------------------------------------------------------------------


def admitting(bench: Bench) -> int:
    """Bring a node as far as it asks its peer to admit its token."""
    link = bench.link()
    bench.hear(link, surveyed(bench))
    assert bench.state.role is Role.ADMITTING
    assert bench.said(Admit, link) == [Admit(bench.state.token)]  # type: ignore[arg-type]
    return link


def test_it_leads_when_everybody_who_can_be_reached_has_admitted_its_token() -> None:
    bench = begun()
    link = admitting(bench)
    assert not bench.state.leads
    bench.admit(link)
    assert bench.state.leads
    assert bench.guard.state().highest == bench.state.token


def test_who_does_not_admit_in_time_is_not_waited_for() -> None:
    bench = begun()
    admitting(bench)
    bench.pass_(5.1)
    assert bench.state.leads


def test_who_goes_while_it_is_asked_is_not_waited_for() -> None:
    bench = begun()
    link = admitting(bench)
    bench.cut(link)
    assert bench.state.leads


def test_an_answer_about_another_token_means_nothing() -> None:
    bench = begun()
    link = admitting(bench)
    bench.hear(link, Admitted(bench.token(1), REVISION_ZERO, Manifest().digest, (T,)))
    assert bench.state.role is Role.ADMITTING


NEWER = FILES | {"sequences/new.xml": sequence("new")}


def catching_up(bench: Bench) -> tuple[int, object]:
    """Let the peer say that it stands on a newer revision than this node."""
    link = admitting(bench)
    before = bench.state.standing
    changes = [c for c in adds(NEWER) if before.manifest.get(c.path) != c.after]
    newer = revision(before.revision, before.manifest, changes)
    bench.admit(link, newer.id)
    assert bench.state.role is Role.CATCHING_UP
    assert bench.said(Want, link) == [Want(newer.id, manifest=True)]
    return link, newer


def batch(*contents: bytes) -> Blobs:
    return Blobs(*compress_batch([(entry(content), content) for content in contents]))


def test_it_catches_up_with_the_newest_before_it_leads() -> None:
    bench = begun(standing=FILES)
    link, newer = catching_up(bench)
    bench.hear(link, ManifestPart(newer.id, tuple(rows(NEWER)), last=True))
    assert not bench.state.leads
    bench.hear(link, batch(NEWER["sequences/new.xml"]))
    assert bench.state.leads
    assert (bench.files, bench.state.standing.revision) == (NEWER, newer.id)
    bench.pass_(3)
    assert bench.state.standing.revision == newer.id, "nothing was lost, so nothing is declared"


def test_while_it_catches_up_it_is_not_woken_for_nothing() -> None:
    bench = begun(standing=FILES)
    catching_up(bench)
    bench.at += 6
    bench.rest()
    assert bench.wake_at > bench.at


def test_a_catch_up_that_failed_is_tried_again() -> None:
    bench = begun(standing=FILES)
    link, newer = catching_up(bench)
    bench.hear(link, Missing(newer.id, ()))
    assert "cannot catch up to revision 2" in bench.state.alarms["catch-up"]
    bench.pass_(6)
    assert bench.said(Want, link) == [Want(newer.id, manifest=True)]
    bench.cut(link)
    bench.pass_(60)
    assert not bench.state.leads, "who knows of it has to come back"
    assert "promote --force" in bench.state.alarms["catch-up"]
    bench.ask("promote", force=True)
    bench.handle(DialFailed(PEER, "refused"))
    bench.pass_(60)
    assert bench.state.leads, "a person said so: it leads from what it has"
    assert "catch-up" not in bench.state.alarms


def test_a_stuck_commit_is_finished_before_it_catches_up() -> None:
    bench = Bench(FILES, manager=PEER, standing=FILES).start()

    def stop(point: str) -> None:
        if point == "stepped":
            raise StateError("the disk went away")

    bench.disk.crash_at = stop
    bench.put("sequences/a.xml", sequence("a", text="by hand"))
    bench.pass_(2)
    assert bench.node.advancing.job is not None
    bench.ask("promote", force=True)
    link = bench.link()
    bench.hear(link, surveyed(bench, epoch=1))
    newer = revision(bench.state.standing.revision, rows(FILES), adds({"x.txt": b"x"}))
    bench.admit(link, newer.id)
    assert bench.state.role is Role.CATCHING_UP
    bench.disk.crash_at = lambda _point: None
    bench.pass_(40)
    assert bench.said(Want, link)[0] == Want(newer.id, manifest=True)


def test_who_holds_a_higher_epoch_ends_it() -> None:
    bench = begun()
    link = admitting(bench)
    bench.hear(link, Fenced(bench.token(9), "epoch 1 is over: epoch 9 was admitted"))
    assert (bench.state.role, bench.state.token) == (Role.WORKER, None)
    assert fx.Resign(1) in bench.others


def test_a_candidate_steps_back_from_a_tie_that_a_promotion_ends() -> None:
    bench = begun()
    link = admitting(bench)
    bench.hear(link, Fenced(bench.token(1, THIRD), "epoch 1 is held by gw-3"))
    assert not bench.state.leads, "who leads already goes on: two are worse than one"
    request = bench.ask("promote", force=True)
    link = bench.link()
    bench.hear(link, surveyed(bench, epoch=1, holder=THIRD))
    bench.admit(link)
    assert bench.replies[request].result == {"epoch": 2, "manager": ME}
    assert "tie" not in bench.state.alarms


def test_a_lower_epoch_in_an_answer_is_not_waited_for() -> None:
    bench = begun()
    link = admitting(bench)
    bench.hear(link, Fenced(None, "its guard is lost"))
    assert bench.state.leads


# --- promotion ------------------------------------------------------------------------------------


def test_a_promotion_takes_over_from_the_manager_that_is_asked() -> None:
    bench = Bench(FILES, manager=PEER, standing=FILES).start()
    old, _ = bench.managed(2)
    request = bench.ask("promote")
    assert bench.dialled == [PEER]
    link = bench.link()
    bench.hear(link, surveyed(bench, epoch=2))
    bench.admit(link)
    assert bench.replies[request].result == {"epoch": 3, "manager": ME}
    assert bench.state.manager_link is None
    assert bench.answer("promote") == {"epoch": 3, "manager": ME}, "asked again, it says so"
    assert old != link


def test_a_manager_that_can_t_be_reached_stops_a_promotion() -> None:
    bench = Bench(FILES, manager=PEER, standing=FILES).start()
    request = bench.ask("promote")
    bench.handle(DialFailed(PEER, "no route"))
    error = bench.replies[request].error
    assert isinstance(error, BusyError)
    assert "--force" in error.hint
    assert bench.state.role is Role.WORKER
    forced = bench.ask("promote", force=True)
    bench.handle(DialFailed(PEER, "no route"))
    bench.rest()
    assert bench.replies[forced].result == {"epoch": 2, "manager": ME}


def test_one_promotion_at_a_time() -> None:
    bench = Bench(FILES, manager=PEER, standing=FILES).start()
    bench.ask("promote")
    second = bench.ask("promote")
    assert isinstance(bench.replies[second].error, BusyError)


def test_a_promotion_that_is_not_elected_says_so() -> None:
    bench = Bench(FILES, manager=PEER, standing=FILES).start()
    bench.elect = lambda _wish: rs.NotElected("gw-3 holds the lease")
    request = bench.ask("promote", force=True)
    bench.pass_(6)
    assert "gw-3 holds the lease" in str(bench.replies[request].error)


def test_a_promotion_during_the_start_asks_for_one_epoch_more() -> None:
    """Both attempts may be granted: it leads under the higher token, which its guard admitted."""
    bench = begun(peers=())
    assert len(acquires(bench)) == 1
    request = bench.ask("promote")
    bench.pass_(2)
    assert bench.state.leads
    assert bench.state.token == bench.guard.state().highest
    assert request in bench.replies
    bench.pass_(3)
    assert bench.state.standing.revision.number == 1


# --- stepping down --------------------------------------------------------------------------------


def test_a_manager_obeys_a_higher_token() -> None:
    bench = Bench(FILES).lead().pass_(3)
    own = bench.follow()
    link = bench.link(dialled=False)
    bench.put("sequences/c.xml", sequence("c"))
    reconcile = bench.ask("reconcile")
    bench.pass_(3)
    assert bench.state.standing.revision.number == 2
    bench.put("sequences/d.xml", sequence("d"))
    bench.hear(link, Admit(bench.token(9)))
    assert (bench.state.role, bench.state.manager_link) == (Role.WORKER, link)
    assert (own, "no longer manager") in bench.hung_up
    assert isinstance(bench.replies[reconcile].error, BusyError)
    bench.pass_(20)
    assert bench.state.standing.revision.number == 2, "it declares nothing any more"


def test_no_record_of_a_deposed_manager_is_committed() -> None:
    bench = Bench(FILES).lead().pass_(3)
    bench.put("sequences/c.xml", sequence("c"))
    while not any(isinstance(effect, fx.Declare) for effect in bench.hands):
        bench.at += 0.05
        bench.tick()
        while bench.hands and not isinstance(bench.hands[0], fx.Declare):
            bench.step()
    bench.guard.admit(bench.token(9))
    bench.rest()
    assert bench.history.standing().revision.number == 1
    assert "declare" in bench.state.alarms


def test_a_new_manager_does_not_dial_who_is_connected() -> None:
    bench = Bench(FILES).lead()
    bench.follow()
    bench.dialled.clear()
    bench.pass_(30)
    assert bench.dialled == []


def test_a_late_token_of_its_own_means_nothing_to_a_worker() -> None:
    bench = Bench(FILES, manager=PEER).start()
    own = replace(bench.token(3, ME), incarnation="i1")
    bench.handle(rs.TokenAdmitted(own, bench.guard.state(), None))
    assert bench.state.role is Role.WORKER
