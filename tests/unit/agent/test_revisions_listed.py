"""`get revisions` says where this node caught up: no list looks whole that is not."""

from __future__ import annotations

import json

from syncagent.core.ledger import StandingChange
from syncagent.core.manifest import Manifest
from syncagent.core.revision import RevisionId
from tests.fakes.agent_bench import WALL, Bench, adds, revision, rows, sequence

FILES = {"sequences/a.xml": sequence("a")}


def grown(bench: Bench, *numbers: int) -> None:
    """Take revisions one by one, as a worker that is there does."""
    for number in numbers:
        standing = bench.history.standing()
        made = revision(
            standing.revision,
            standing.manifest,
            adds({f"sequences/{number}.xml": sequence(f"s{number}")}),
        )
        bench.history.stand(StandingChange(made.id, made.changes))
        bench.history.record(made, WALL)


def catch_up(bench: Bench, number: int) -> None:
    """Stand on a revision of which only the manifest came."""
    manifest = rows({f"sequences/at-{number}.xml": sequence(f"at-{number}")})
    own = RevisionId(1, number, manifest.digest)
    bench.history.stand(StandingChange(own, manifest=manifest))


def listed(bench: Bench, limit: int = 50) -> list[tuple[object, object]]:
    request = bench.ask("revisions", limit=limit)
    found = bench.replies[request].result
    assert isinstance(found, list)
    json.dumps(found)
    return [(row["number"], row["note"]) for row in found]


def test_what_came_one_by_one_is_listed_one_by_one() -> None:
    bench = Bench().start()
    grown(bench, 1, 2)
    assert listed(bench) == [(2, "edit"), (1, "edit")]


def test_a_gap_is_named_and_nothing_is_made_up_for_it() -> None:
    bench = Bench().start()
    grown(bench, 1, 2)
    catch_up(bench, 9)
    grown(bench, 10)
    note = "caught up from 2 to 9: what each of them changed is not remembered here"
    assert listed(bench) == [(10, "edit"), (9, note), (2, "edit"), (1, "edit")]
    request = bench.ask("revisions")
    found = bench.replies[request].result
    assert isinstance(found, list)
    gap = found[1]
    assert gap["digest"] == bench.history.revisions(1)[0][0].parent.digest
    assert [gap[name] for name in ("author", "at", "added", "updated", "deleted")] == [
        "",
        None,
        None,
        None,
        None,
    ]
    assert listed(bench, 2) == [(10, "edit"), (9, note)]


def test_a_node_that_has_just_caught_up_lists_where_it_stands() -> None:
    bench = Bench().start()
    grown(bench, 1)
    catch_up(bench, 4)
    assert listed(bench)[0][0] == 4


def test_a_node_that_joined_late_lists_where_it_stands() -> None:
    bench = Bench().start()
    assert listed(bench) == []
    catch_up(bench, 4)
    assert listed(bench) == [
        (4, "caught up from 0 to 4: what each of them changed is not remembered here")
    ]


def test_one_revision_that_came_whole_is_one() -> None:
    bench = Bench().start()
    grown(bench, 1)
    catch_up(bench, 2)
    assert listed(bench)[0] == (2, "came as a whole: what it changed is not remembered here")


def test_revisions_of_a_manager_that_was_deposed_are_no_gap() -> None:
    bench = Bench().start()
    grown(bench, 1, 2)
    first = bench.history.revisions(9)[1][0]
    stray = bench.history.revisions(9)[0][0]
    base = Manifest().after(first.changes)
    made = revision(first.id, base, adds({"sequences/x.xml": sequence("x")}), epoch=2)
    bench.history.stand(StandingChange(made.id, manifest=base.after(made.changes)))
    bench.history.record(made, WALL)
    assert listed(bench) == [(2, "edit"), (stray.id.number, "edit"), (1, "edit")]
