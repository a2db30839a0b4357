"""A cluster that is paused: nothing moves, every node knows it, and it ends."""

from __future__ import annotations

import json

import pytest

from syncagent.agent.node.hearsay import NUMBER_MAX
from syncagent.agent.node.pausing import NOTE, paused_row, read_word
from syncagent.core.errors import BusyError, SettingsError
from syncagent.core.revision import REVISION_ZERO
from syncagent.core.settings import Writers
from syncagent.core.wire.messages import Commit, Declined, Offer, Prepared, Propose, Report, View
from tests.fakes.agent_bench import PEER, WALL, Bench, adds, at, entry, revision, rows, sequence

FILES = {f"sequences/{name}.xml": sequence(name) for name in "ab"}
NEW = "sequences/new.xml"
EDITED = sequence("a", text="edited")


def leading() -> tuple[Bench, int]:
    bench = Bench(FILES, manager="gw-1").lead()  # type: ignore[arg-type]
    link = bench.follow()
    bench.pass_(1)
    bench.said(Offer)
    return bench, link


def following(**given: object) -> tuple[Bench, int]:
    bench = Bench(FILES, manager=PEER, standing=FILES, **given).start()  # type: ignore[arg-type]
    link, _ = bench.managed()
    bench.pass_(1)
    return bench, link


def told(bench: Bench, link: int, **word: object) -> None:
    """Let the manager's view bring a word."""
    pause = {"number": 1, "on": True, "by": "ann@gw-2", "ago_s": 5, "left_s": 60, **word}
    bench.hear(link, View(json.dumps({"revision": 1, "nodes": [], "pause": pause})))


# --- on the manager -------------------------------------------------------------------------------


def test_a_paused_manager_declares_nothing_and_goes_on_where_it_was() -> None:
    bench, link = leading()
    bench.answer("pause", by="ann")
    bench.put(NEW, sequence("new"))
    bench.pass_(10)
    assert bench.state.standing.revision.number == 1
    assert bench.said(Offer) == []
    assert bench.answer("resume") == {"resumed": True}
    bench.pass_(2)
    assert bench.state.standing.revision.number == 2
    assert bench.said(Offer, link)


def test_a_paused_manager_sends_nothing_that_it_has_declared() -> None:
    bench, link = leading()
    bench.put(NEW, sequence("new"))
    bench.pass_(1)
    bench.said(Offer)
    bench.answer("pause", by="ann")
    bench.hear(link, Prepared(bench.state.standing.revision))
    late = bench.follow(standing=REVISION_ZERO)
    bench.pass_(40)
    assert (bench.said(Commit), bench.said(Offer)) == ([], [])
    bench.answer("resume")
    assert bench.said(Offer, late)


def test_a_paused_manager_is_not_woken_for_who_declined() -> None:
    bench, link = leading()
    bench.put(NEW, sequence("new"))
    bench.pass_(1)
    bench.hear(link, Declined(bench.state.standing.revision, "held", "a person is to say so"))
    bench.answer("pause", by="ann")
    bench.pass_(40)
    assert bench.wake_at > bench.at


@pytest.mark.parametrize("name", ["ago_s", "left_s"])
@pytest.mark.parametrize("length", [NUMBER_MAX, -NUMBER_MAX])
def test_a_length_that_no_calendar_has_is_taken_for_the_longest(name: str, length: int) -> None:
    bench, link = following()
    told(bench, link, **{name: length})
    bench.pass_(1)
    assert bool(bench.state.paused) == (length > 0 or name == "ago_s")
    bench.answer("status")


def test_a_pause_ends_by_itself() -> None:
    bench, _ = leading()
    answer = bench.answer("pause", by="ann", for_s=60)
    assert isinstance(answer, dict)
    assert (answer["by"], answer["left_s"]) == ("ann", 60.0)
    bench.put(NEW, sequence("new"))
    bench.pass_(58)
    assert bench.state.standing.revision.number == 1
    bench.pass_(4)
    assert bench.state.standing.revision.number == 2
    assert bench.events("resumed") == [{"reason": "its time is over"}]


def test_it_outlasts_a_restart() -> None:
    bench, _ = leading()
    bench.answer("pause", by="ann", for_s=3600)
    bench.rest()
    bench.join(bench.history, bench.guard)
    assert bench.state.paused.endswith("by ann")
    bench.lead()
    bench.put(NEW, sequence("new"))
    bench.pass_(5)
    assert bench.state.standing.revision.number == 1


def test_status_says_until_when_and_by_whom() -> None:
    bench, _ = leading()
    bench.answer("pause", by="ann", for_s=60)
    status = bench.answer("status")
    assert isinstance(status, dict)
    paused = status["paused"]
    assert isinstance(paused, dict)
    assert (paused["by"], paused["left_s"]) == ("ann", 60.0)
    row = status["nodes"][0]
    assert row["state"] == "Paused"
    assert row["reason"].startswith("paused since")
    bench.answer("resume")
    assert bench.answer("status")["paused"] is None  # type: ignore[index]


def test_who_asks_for_a_revision_is_told_why_there_is_none() -> None:
    bench, _ = leading()
    bench.disk.keep(at(NEW), sequence("new"), "conflict", "kept")  # type: ignore[arg-type]
    bench.answer("pause", by="ann")
    with pytest.raises(BusyError, match="nothing new is declared: the cluster is paused") as caught:
        bench.answer("restore", what=NEW)
    assert caught.value.hint == "syncagent resume"


@pytest.mark.parametrize("for_s", [0, -1, True, "soon", 1e9])
def test_an_odd_length_is_refused(for_s: object) -> None:
    bench, _ = leading()
    with pytest.raises(SettingsError, match="a pause can't last"):
        bench.answer("pause", by="ann", for_s=for_s)
    assert bench.state.paused == ""


def test_nothing_to_resume_is_no_mistake() -> None:
    bench, _ = leading()
    assert bench.answer("resume") == {"resumed": False}


@pytest.mark.parametrize("verb", ["pause", "resume"])
def test_a_worker_says_who_can(verb: str) -> None:
    bench, _ = following()
    with pytest.raises(BusyError, match="only the manager can") as caught:
        bench.answer(verb, by="ann")
    assert caught.value.hint == f"on gw-2: syncagent {verb}"


# --- on workers -----------------------------------------------------------------------------------


def test_a_worker_puts_nothing_back_while_it_lasts() -> None:
    bench, link = following()
    told(bench, link)
    bench.put("sequences/a.xml", EDITED)
    bench.pass_(50)
    assert bench.files["sequences/a.xml"] == EDITED
    bench.pass_(10)
    assert bench.files == FILES


def test_a_worker_proposes_nothing_while_it_lasts() -> None:
    bench, link = following(writers=Writers.ANY)
    told(bench, link)
    bench.put("sequences/a.xml", EDITED)
    bench.pass_(30)
    assert bench.said(Propose) == []
    told(bench, link, number=2, on=False)
    bench.pass_(1)
    assert len(bench.said(Propose)) == 1


def test_a_worker_knows_it_by_its_own_clock_and_without_its_manager() -> None:
    bench, link = following()
    told(bench, link)
    bench.cut(link)
    bench.rest()
    bench.join(bench.history, bench.guard)
    bench.start()
    assert "by ann@gw-2" in bench.state.paused
    bench.pass_(61)
    assert bench.state.paused == ""


def test_an_older_word_changes_nothing_and_the_same_one_is_not_written_again() -> None:
    bench, link = following()
    told(bench, link, number=4)
    told(bench, link, number=3, on=False)
    told(bench, link, number=4, left_s=5)
    bench.pass_(10)
    assert bench.state.paused
    assert len(bench.events("paused")) == 1


def test_of_two_managers_words_that_of_the_higher_epoch_is_the_newer() -> None:
    bench, _ = leading()
    bench.answer("pause", by="ann, on a manager that another has deposed")
    bench.answer("resume")
    bench.answer("pause", by="ann again")
    mine = bench.node.pausing.told()
    assert (mine["epoch"], mine["number"]) == (1, 3)
    said = {"number": 1, "epoch": 2, "on": True, "by": "bob", "ago_s": 1, "left_s": 5}
    bench.node.pausing.heard(said, bench.at)
    assert "by bob" in bench.state.paused
    bench.node.pausing.heard(mine, bench.at)
    bench.pass_(6)
    assert bench.state.paused == "", "what was said under the older epoch counts no more"


@pytest.mark.parametrize(
    "odd",
    [
        {"number": "9"},
        {"number": None},
        {"number": 2, "epoch": "3"},
        {"number": 1, "left_s": "x", "by": None, "ago_s": []},
    ],
)
def test_what_makes_no_sense_does_no_harm(odd: dict[str, object]) -> None:
    bench, link = following()
    told(bench, link, **odd)
    assert bench.state.paused in {"", bench.node.pausing._word.text}
    bench.hear(link, View('{"pause": 7}'))


def test_a_new_manager_learns_it_from_its_workers() -> None:
    bench, link = leading()
    pause = {"number": 3, "on": True, "by": "ann", "ago_s": 9, "left_s": None}
    bench.hear(link, Report(json.dumps({"row": {}, "pause": pause})))
    assert bench.state.paused.endswith("until it is resumed by ann")
    assert bench.node.pausing._word.since == WALL + bench.at - 9
    bench.answer("resume")
    bench.hear(link, Report(json.dumps({"row": {}, "pause": pause})))
    assert bench.state.paused == ""


def test_an_offer_that_was_made_before_is_still_taken() -> None:
    bench, link = following()
    told(bench, link)
    token = bench.token(2)
    new = revision(
        bench.state.standing.revision, rows(FILES), adds({NEW: sequence("new")}), epoch=2
    )
    bench.offer(link, token, new)
    assert entry(sequence("new")).digest
    assert bench.node.advancing.job is not None


def test_files_alone_say_it_too() -> None:
    bench, _ = leading()
    bench.answer("pause", by="ann", for_s=60)
    bench.rest()
    word = read_word(bench.history.standing().notes[NOTE])
    assert paused_row(word, bench.wall() + 61) is None
    shown = paused_row(word, bench.wall() + 10)
    assert shown is not None
    assert (shown["by"], shown["left_s"]) == ("ann", 50.0)
