"""What is on trial, what workers don't get meanwhile, and what a rollback goes back to."""

from __future__ import annotations

from dataclasses import replace

from syncagent.core.artifact import ArtifactPath, TreeName
from syncagent.core.change import Change
from syncagent.core.digest import digest_of
from syncagent.core.entry import Entry
from syncagent.core.manifest import Manifest
from syncagent.core.trials import (
    UNPROVEN,
    Trial,
    begun,
    current,
    from_note,
    proven,
    stopped_groups,
    ties,
    to_note,
    withheld,
)

T = TreeName("synapse")


def at(path: str) -> ArtifactPath:
    return ArtifactPath(T, path)


def entry(text: str) -> Entry:
    return Entry(digest_of(text.encode()), len(text))


API, SEQ, OTHER = at("api/a.xml"), at("sequences/a.xml"), at("api/b.xml")
ONE, TWO, THREE = entry("one"), entry("two"), entry("three")


def three() -> dict[ArtifactPath, Trial]:
    changes = [Change(API, ONE, TWO), Change(SEQ, None, ONE), Change(OTHER, ONE, THREE)]
    return begun({}, changes, {API: "g", SEQ: "g", OTHER: "h"}, 7)


def test_what_is_not_proven_is_withheld_with_its_group() -> None:
    trials = three()
    assert withheld(trials, nacks_stop=True) == {API, SEQ, OTHER}
    trials[OTHER] = proven(trials[OTHER])
    trials[API] = proven(trials[API])
    assert withheld(trials, nacks_stop=True) == {API, SEQ}
    trials[SEQ] = proven(trials[SEQ])
    assert withheld(trials, nacks_stop=True) == frozenset()


def test_a_refusal_withholds_a_group_that_was_proven() -> None:
    trials = {path: proven(trial) for path, trial in three().items()}
    trials[API] = replace(trials[API], nacked_by="gw-2", reason="no")
    assert withheld(trials, nacks_stop=True) == {API, SEQ}
    assert withheld(trials, nacks_stop=False) == frozenset()
    assert list(stopped_groups(trials)) == ["g"]
    assert [trial.path for trial in stopped_groups(trials)["g"]] == [API, SEQ]


def test_what_a_dead_canary_has_not_proved_stops_too() -> None:
    trials = three()
    trials[OTHER] = proven(trials[OTHER])
    assert list(stopped_groups(trials)) == []
    assert [trial.path for trial in stopped_groups(trials, stuck=True)[UNPROVEN]] == [API, SEQ]


def test_a_refusal_that_stops_nobody_is_as_good_as_a_proof() -> None:
    trials = three()
    trials[OTHER] = replace(trials[OTHER], nacked_by="gw-1")
    assert OTHER not in withheld(trials, nacks_stop=False)


def test_a_second_try_goes_back_to_what_was_there_before_the_first() -> None:
    trials = three()
    trials[API] = replace(trials[API], nacked_by="gw-1")
    again = begun(trials, [Change(API, TWO, THREE)], {API: "g"}, 8)
    assert again[API] == Trial(API, "g", ONE, THREE, 8)


def test_a_change_after_a_proven_one_goes_back_to_the_proven_one() -> None:
    trials = {path: proven(trial) for path, trial in three().items()}
    assert begun(trials, [Change(API, TWO, THREE)], {API: "g"}, 8)[API].before == TWO


def test_going_back_by_hand_is_no_trial() -> None:
    assert API not in begun(three(), [Change(API, TWO, ONE)], {API: "g"}, 8)


def test_what_is_taken_away_untried_waits_until_that_is_declared() -> None:
    trials = begun(three(), [Change(API, TWO, None)], {}, 8)
    assert trials == three()
    before, after = Manifest.of([(API, TWO)]), Manifest.of([])
    assert API in current(trials, before, 7)
    assert API not in current(trials, after, 8)


def test_a_change_without_a_group_is_not_tried() -> None:
    assert not begun({}, [Change(API, ONE, TWO)], {}, 7)


def test_a_deletion_is_tied_to_what_is_new_in_its_folder() -> None:
    new = at("api/new.xml")
    assert ties([Change(API, ONE, None), Change(new, None, ONE)]) == {API: new}
    assert ties([Change(API, ONE, None), Change(SEQ, None, ONE)]) == {}
    assert ties([Change(API, ONE, None), Change(OTHER, ONE, TWO)]) == {}


def test_the_note_gives_back_what_was_written_down() -> None:
    trials = three()
    trials[API] = replace(proven(trials[API]), nacked_by="gw-2", reason="said so")
    assert from_note(to_note(trials)) == trials
    assert to_note({}) == ""
    assert from_note("") == {}


def test_what_a_dead_canary_has_not_proved_is_decided_on_once() -> None:
    changes = [Change(at(f"api/a{number}.xml"), ONE, TWO) for number in range(6)]
    trials = begun({}, changes, {c.path: f"g{n // 2}" for n, c in enumerate(changes)}, 7)
    trials[changes[0].path] = replace(trials[changes[0].path], nacked_by="gw-1")
    found = stopped_groups(trials, stuck=True)
    assert list(found) == ["g0", UNPROVEN]
    assert [trial.path for trial in found["g0"]] == [c.path for c in changes[:2]]
    assert [trial.path for trial in found[UNPROVEN]] == [c.path for c in changes[2:]]


def test_stopped_groups_are_sorted_and_whole_however_many_there_are() -> None:
    changes = [Change(at(f"api/a{number:05}.xml"), ONE, TWO) for number in range(20_000)]
    groups = {change.path: f"g{number // 2}" for number, change in enumerate(changes)}
    trials = {
        path: replace(trial, nacked_by="gw-2")
        for path, trial in begun({}, changes, groups, 7).items()
    }
    found = stopped_groups(trials)
    assert list(found) == sorted(set(groups.values()))
    assert {trial.path for group in found.values() for trial in group} == trials.keys()
    assert all(len(group) == 2 for group in found.values())
    assert stopped_groups({}, stuck=True) == {}
