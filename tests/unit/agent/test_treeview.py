"""What is believed of one tree: presence, absence, and difference from base."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syncagent.agent.node.treeview import CAREFUL_S, CONFIRM_S, TreeView
from syncagent.core.artifact import ArtifactPath, TreeKind, TreeName
from syncagent.core.digest import digest_of
from syncagent.core.manifest import Entry, Manifest
from syncagent.core.plan import UNKNOWN
from syncagent.core.snapshot import Condition, Seen, Snapshot, Unread
from syncagent.core.verdict import Examined, Facts, Problem

T = TreeName("synapse")
A, B = Entry(digest_of(b"a"), 1), Entry(digest_of(b"b"), 1)
BIG = Unread(Problem("too-large", "it has 9 MiB"))
FINE = Examined(Facts())


def manifest(files: dict[str, Entry]) -> Manifest:
    return Manifest.of((ArtifactPath(T, path), entry) for path, entry in files.items())


def view_of(base: dict[str, Entry], files: dict[str, Entry] | None = None) -> TreeView:
    """A view that has seen `files` (by default what base says) in a scan at 0."""
    view = TreeView(T, TreeKind.SYNAPSE)
    view.rebase(manifest(base))
    view.take_scan(scan(base if files is None else files), 0.0, 0.0)
    return view


def scan(files: dict[str, Entry], *folders: str) -> Snapshot:
    seen = {path: Seen(entry, 1) for path, entry in files.items()}
    parents = {path.rpartition("/")[0] for path in files}
    return Snapshot(T, Condition.GOOD, seen, frozenset({"", *parents, *folders}))


def test_what_was_never_seen_counts_as_base_says() -> None:
    view = TreeView(T, TreeKind.SYNAPSE)
    view.rebase(manifest({"x": A}))
    assert view.observed("x") == A.digest
    assert view.observed("y") is None
    assert (view.ready, view.differing) == (False, set())


def test_a_look_that_finds_no_file_is_enough() -> None:
    view = view_of({"x": A})
    assert view.take_look({"x": None}, 5.0) == set()
    assert view.observed("x") is None
    assert view.differing == {"x"}


def test_one_scan_alone_does_not_prove_absence() -> None:
    view = view_of({"x": A, "y": A})
    view.take_scan(scan({"y": A}), 10.0, 10.1)
    assert (view.observed("x"), view.differing) == (A.digest, set())
    assert view.confirm_at == 10.0 + CONFIRM_S
    view.take_scan(scan({"y": A}), 10.0 + CONFIRM_S / 2, 10.6)
    assert view.differing == set(), "the second scan began too early"
    view.take_scan(scan({"y": A}), 10.0 + CONFIRM_S, 11.2)
    assert (view.observed("x"), view.differing, view.confirm_at) == (None, {"x"}, None)


def test_a_file_that_comes_back_in_between_was_never_gone() -> None:
    view = view_of({"x": A, "y": A})
    view.take_scan(scan({"y": A}), 10.0, 10.1)
    view.take_scan(scan({"x": A, "y": A}), 11.0, 11.1)
    view.take_scan(scan({"y": A}), 12.0, 12.1)
    assert view.differing == set(), "its absence is one second old again"


def test_absence_is_not_concluded_where_the_folder_could_not_be_listed() -> None:
    view = view_of({"api/x": A, "y": A})
    for started in (10.0, 12.0, 14.0):
        snapshot = Snapshot(
            T, Condition.GOOD, {"y": Seen(A, 1)}, frozenset({""}), unlisted=frozenset({"api"})
        )
        view.take_scan(snapshot, started, started)
    assert (view.differing, view.confirm_at) == (set(), None)


@pytest.mark.parametrize("condition", [c for c in Condition if c is not Condition.GOOD])
def test_nothing_is_concluded_from_a_tree_that_can_t_be_believed(condition: Condition) -> None:
    view = view_of({"x": A})
    view.busy = True
    view.take_scan(Snapshot(T, condition, reason="why"), 10.0, 10.1)
    assert (view.ready, view.reason, view.busy) == (False, "why", False)
    assert (view.observed("x"), view.differing) == (A.digest, set())
    view.take_scan(scan({"x": A}), 20.0, 20.1)
    assert view.ready


def test_what_can_t_be_read_is_neither_there_nor_gone() -> None:
    view = view_of({"x": A})
    view.take_look({"x": BIG}, 5.0)
    assert (view.observed("x"), view.differing) == (UNKNOWN, {"x"})
    view.take_look({"x": Seen(A, 2)}, 6.0)
    assert view.differing == set()


def test_a_look_that_was_overtaken_by_a_commit_is_not_believed() -> None:
    view = view_of({"x": A})
    view.busy = True
    view.committed("x", B)
    view.rebase(manifest({"x": B}), ["x"])
    assert view.take_look({"x": Seen(A, 1)}, 5.0) == {"x"}, "look again"
    assert (view.observed("x"), view.differing, view.busy) == (B.digest, set(), False)


def test_a_scan_that_was_overtaken_by_a_commit_is_believed_for_the_rest() -> None:
    view = view_of({"x": A, "y": A, "z": A})
    view.busy = True
    view.committed("x", B)
    view.committed("z", None)
    view.rebase(manifest({"x": B, "y": A}), ["x", "z"])
    assert view.take_scan(scan({"x": A, "y": B, "z": A}), 5.0, 5.1) == {"x", "z"}
    assert view.observed("x") == B.digest
    assert view.observed("z") is None
    assert view.differing == {"y"}


def test_an_own_commit_is_known_at_once() -> None:
    view = view_of({"x": A})
    view.examined["x"] = FINE
    view.committed("x", None)
    view.rebase(manifest({}), ["x"])
    assert (view.observed("x"), view.differing, view.examined) == (None, set(), {})
    view.committed("x", B)
    view.rebase(manifest({"x": B}), ["x"])
    assert (view.observed("x"), view.differing) == (B.digest, set())


def test_a_file_is_new_until_base_has_it() -> None:
    view = view_of({})
    view.take_look({"x": Seen(A, 1)}, 5.0)
    view.take_look({"x": Seen(B, 1)}, 9.0)
    assert view.new_since == {"x": 5.0}
    view.rebase(manifest({"x": B}), ["x"])
    assert view.new_since == {}
    scanned = view_of({}, {"x": A})
    assert scanned.new_since == {"x": 0.0}


def test_folders_that_vanished_with_their_files_are_named() -> None:
    view = view_of({"api/x": A, "api/deep/y": A, "z": A}, {"z": A})
    assert view.vanished(["api/x", "api/deep/y", "z"]) == {
        ArtifactPath(T, "api"),
        ArtifactPath(T, "api/deep"),
    }
    assert view_of({"api/x": A}, {"api/y": A}).vanished(["api/x"]) == set()


def test_verdicts_go_with_their_files() -> None:
    view = view_of({"x": A, "y": A})
    view.examined.update({"x": FINE, "y": FINE})
    view.take_scan(scan({"y": A}), 10.0, 10.0)
    assert view.examined == {"y": FINE}
    view.take_look({"y": None}, 11.0)
    assert view.examined == {}


def test_what_is_gone_is_whole_when_a_scan_began_after_it_was_missed() -> None:
    view = view_of({"x": A, "y": A, "z": A})
    assert view.absence_is_whole
    view.take_look({"x": None}, 5.0)
    assert not view.absence_is_whole
    view.take_scan(scan({"y": A, "z": A}), 4.9, 5.2)
    assert not view.absence_is_whole, "it began before"
    view.take_scan(scan({"z": A}), 5.5, 5.6)
    assert not view.absence_is_whole, "another one is missing, perhaps"
    view.take_scan(scan({"z": A}), 6.6, 6.7)
    view.take_scan(scan({"z": A}), 7.0, 7.1)
    assert view.absence_is_whole
    assert view.differing == {"x", "y"}


NAMES = st.sampled_from(["api/a", "api/b", "c"])
FILES = st.dictionaries(NAMES, st.sampled_from([A, B]), max_size=3)
STEP = st.one_of(
    FILES.map(lambda files: ("scan", files)),
    FILES.map(lambda files: ("look", files)),
    FILES.map(lambda files: ("rebase", files)),
    st.tuples(NAMES, st.sampled_from([A, B, None])).map(lambda pair: ("commit", pair)),
)


@settings(deadline=None, max_examples=150)
@given(FILES, FILES, st.lists(STEP, max_size=8))
def test_however_it_came_about_differing_is_observed_against_base(
    base: dict[str, Entry], files: dict[str, Entry], steps: list[tuple[str, object]]
) -> None:
    view = view_of(base, files)
    at = 0.0
    for kind, what in steps:
        at += 0.7
        if kind == "scan":
            view.take_scan(scan(what, "api"), at, at)
        elif kind == "look":
            view.take_look({n: Seen(what[n], 1) if n in what else None for n in ("api/a", "c")}, at)
        elif kind == "rebase":
            view.rebase(manifest(what))
        else:
            path, entry = what
            now = {**view.base}
            now.pop(path, None)
            view.committed(path, entry)
            view.rebase(manifest(now | ({path: entry} if entry else {})), [path])
        wrong = {
            path
            for path in {*view.base, *view.files, *view.differing}
            if view.observed(path) != (view.base[path].digest if path in view.base else None)
        }
        assert view.differing == wrong
        assert not view.gone & view.files.keys()
        assert not view.absent.keys() & view.files.keys()
    for _ in range(3):
        at += CONFIRM_S
        view.take_scan(scan(files, "api"), at, at)
    assert {p: e.digest for p, e in files.items()} == {
        p: view.observed(p) for p in {*view.base, *files} if view.observed(p) is not None
    }


def test_what_went_before_base_had_it_is_missed_at_once() -> None:
    """A revision was on its way into the ledger while one of its files was removed."""
    view = view_of({}, {"x": A, "y": A})
    view.take_look({"x": None}, 5.0)
    view.rebase(manifest({"x": A, "y": A}), ["x", "y"])
    assert view.observed("x") == A.digest, "not proved yet"
    assert view.unlike_base() == {"x"}
    assert not view.absence_is_whole
    assert view.next_scan_at <= CONFIRM_S
    view.take_scan(scan({"y": A}), 6.0, 6.1)
    assert (view.observed("x"), view.differing) == (None, {"x"})


def careful_view(base: dict[str, Entry], files: dict[str, Entry] | None = None) -> TreeView:
    """A view of a tree on a share."""
    view = view_of(base, files)
    view.watched("poll 2 s (nfs)", marked=True, poll_s=2.0)
    return view


@pytest.mark.parametrize(
    ("how", "marked", "poll_s", "expected"),
    [
        ("inotify", False, 2.0, CONFIRM_S),
        ("inotify", True, 2.0, CAREFUL_S),
        ("starting", True, 2.0, CAREFUL_S),
        ("poll 2 s (fuse.sshfs)", False, 2.0, CAREFUL_S),
        ("poll 2 s (fuse.sshfs)", False, 30.0, 30.0),
        ("poll 42.5 s (nfs4)", False, 2.0, 42.5),
        ("scans only (no watches left)", False, 2.0, CONFIRM_S),
    ],
)
def test_where_others_serve_the_files_two_scans_are_far_apart(
    how: str, marked: bool, poll_s: float, expected: float
) -> None:
    view = view_of({"x": A})
    view.watched(how, marked=marked, poll_s=poll_s)
    assert (view.watch, view.confirm_s, view.careful) == (how, expected, expected > CONFIRM_S)


def test_on_a_share_a_look_that_finds_no_file_proves_nothing() -> None:
    view = careful_view({"x": A, "y": A})
    view.take_look({"x": None}, 5.0)
    assert (view.observed("x"), view.differing) == (A.digest, set())
    assert view.unlike_base() == {"x"}
    assert not view.absence_is_whole, "somebody has to scan"
    view.take_scan(scan({"y": A}), 6.0, 6.1)
    assert view.confirm_at == 6.0 + CAREFUL_S
    view.take_scan(scan({"y": A}), 6.0 + CAREFUL_S - 0.1, 16.0)
    assert view.differing == set()
    view.take_scan(scan({"y": A}), 6.0 + CAREFUL_S, 16.1)
    assert (view.observed("x"), view.differing) == (None, {"x"})
    assert view.absence_is_whole


def test_on_a_share_what_was_deleted_here_needs_one_scan_more() -> None:
    view = careful_view({"x": A, "y": A})
    view.heard_here("x", 4.0, deleted=True)
    view.take_look({"x": None}, 5.0)
    assert view.differing == {"x"}
    assert not view.absence_is_whole
    view.take_scan(scan({"y": A}), 5.1, 5.2)
    assert view.absence_is_whole
    assert view.differing == {"x"}


def test_on_a_share_a_scan_alone_finds_what_was_deleted_here() -> None:
    view = careful_view({"x": A, "y": A})
    view.heard_here("x", 4.0, deleted=True)
    view.take_scan(scan({"y": A}), 5.1, 5.2)
    assert (view.differing, view.absence_is_whole) == ({"x"}, True)


@pytest.mark.parametrize("careful", [True, False])
def test_a_scan_in_the_moment_in_which_an_editor_swaps_two_files_proves_nothing(
    careful: bool,
) -> None:
    view = careful_view({"x": A, "y": A}) if careful else view_of({"x": A, "y": A})
    view.heard_here("x", 4.0, deleted=True)
    view.take_scan(scan({"y": A}), 4.9, 4.9)
    assert view.differing == set()
    view.take_scan(scan({"x": A, "y": A}), 5.5, 5.5)
    assert (view.differing, view.absence_is_whole) == (set(), True)


def test_what_was_deleted_here_and_came_back_is_missed_like_any_other() -> None:
    for again in (
        lambda view: view.heard_here("x", 5.0, deleted=False),
        lambda view: view.take_look({"x": Seen(A, 1)}, 5.0),
        lambda view: view.take_scan(scan({"x": A, "y": A}), 5.0, 5.0),
    ):
        view = careful_view({"x": A, "y": A})
        view.heard_here("x", 4.0, deleted=True)
        again(view)
        view.take_scan(scan({"y": A}), 6.0, 6.1)
        assert view.differing == set()


def test_between_two_scans_that_miss_a_file_none_may_be_in_doubt() -> None:
    for doubt in (
        lambda view: view.take_scan(Snapshot(T, Condition.MISSING), 8.0, 8.0),
        lambda view: view.stall("no answer"),
    ):
        view = careful_view({"x": A, "y": A})
        view.take_scan(scan({"y": A}), 5.0, 5.0)
        doubt(view)
        view.take_scan(scan({"y": A}), 5.0 + CAREFUL_S, 15.0)
        assert view.differing == set()
        view.take_scan(scan({"y": A}), 5.0 + 2 * CAREFUL_S, 25.0)
        assert view.differing == {"x"}


def test_what_a_share_does_not_show_yet_is_missed_only_after_two_scans() -> None:
    view = careful_view({}, {"y": A})
    view.rebase(manifest({"x": A, "y": A}), ["x", "y"])
    assert view.unlike_base() == {"x"}
    assert view.next_scan_at == 0.0
    view.take_scan(scan({"y": A}), 1.0, 1.0)
    assert view.differing == set()
    view.take_scan(scan({"x": A, "y": A}), 1.0 + CAREFUL_S, 11.0)
    assert view.absence_is_whole
    assert view.differing == set()


sights = st.lists(
    st.tuples(
        st.sampled_from(["there", "missed", "doubt", "look", "heard", "stall"]),
        st.floats(0.5, 12.0),
    ),
    max_size=14,
)


@settings(deadline=None)
@given(sights=sights)
def test_on_a_share_nothing_is_gone_without_two_scans_in_a_row_or_an_event_and_one(
    sights: list[tuple[str, float]],
) -> None:
    view = careful_view({"x": A, "y": A})
    at, first, heard = 0.0, None, None
    for what, later in sights:
        at += later
        proved = False
        if what == "there":
            view.take_scan(scan({"x": A, "y": A}), at, at)
            first, heard = None, None
        elif what == "missed":
            view.take_scan(scan({"y": A}), at, at)
            first = at if first is None else first
            told = heard is not None and at - heard >= CONFIRM_S
            proved = told or at - first >= CAREFUL_S
        elif what == "look":
            view.take_look({"x": None}, at)
            proved = heard is not None
        elif what == "heard":
            view.heard_here("x", at, deleted=True)
            heard = at
        else:
            if what == "doubt":
                view.take_scan(Snapshot(T, Condition.MISSING), at, at)
            else:
                view.stall("no answer")
            first = None
        if proved:
            assert "x" in view.gone
            return
        assert view.gone == set()


def test_a_folder_that_can_not_even_be_told_for_one_is_unlisted() -> None:
    view = view_of({"api/deep/x": A, "y": A})
    stale = Unread(Problem("unreadable", "it can't be read: Stale file handle (ESTALE)"))
    seen = {"api": stale, "y": Seen(A, 1)}
    snapshot = Snapshot(T, Condition.GOOD, seen, frozenset({""}))
    for now in (10.0, 20.0):
        assert view.blind == frozenset(), "one scan may have met a moment's race"
        view.take_scan(snapshot, now, now)
    assert view.blind == frozenset({"api"})
    assert view.observed("api/deep/x") == A.digest, "it counts as what base says"
    view.take_scan(scan({"api/deep/x": A, "y": A}), 30.0, 30.0)
    assert (view.blind, view.unlisted) == (frozenset(), frozenset())
