"""The hands: what they carry out, and that no refusal of disk, guard or history ends the agent."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from syncagent.agent import effects as fx
from syncagent.agent import results as rs
from syncagent.agent.hands.committer import Committer
from syncagent.agent.hands.eye import Eye
from syncagent.agent.hands.fetching import Fetching
from syncagent.agent.hands.memory import CONTENT_BYTES_MAX, Memory
from syncagent.agent.hands.recovery import finish_interrupted
from syncagent.agent.hands.serving import ROWS_PER_PART, Serving
from syncagent.core.artifact import TreeKind
from syncagent.core.change import Change
from syncagent.core.digest import digest_of
from syncagent.core.errors import DiskError, FencedError, StateError
from syncagent.core.intent import Intent, Keep, Step
from syncagent.core.ledger import StandingChange
from syncagent.core.manifest import Entry, Manifest
from syncagent.core.revision import RevisionId
from syncagent.core.snapshot import Condition, Seen
from syncagent.core.wire.messages import Blobs, Delta, ManifestPart, Missing, Want
from syncagent.core.wire.packing import apply_delta, compress_batch, make_delta, split_batch
from syncagent.fsio import OsFS
from syncagent.history.node_history import NodeHistory
from syncagent.validation.validator import ArtifactValidator
from tests.fakes.agent_bench import (
    PEER,
    Bench,
    T,
    adds,
    at,
    entry,
    revision,
    rows,
    sequence,
)

FILES = {f"sequences/{name}.xml": sequence(name) for name in "ab"}
A = at("sequences/a.xml")
NEW = sequence("a", text="2")


def batch(*contents: bytes) -> Blobs:
    return Blobs(*compress_batch([(entry(content), content) for content in contents]))


def standing() -> Bench:
    """A node whose trees and history hold FILES, revision 1."""
    return Bench(FILES, manager=PEER, standing=FILES)


def put(txid: int = 7) -> Step:
    return Step(A, entry(FILES[A.path]).digest, entry(NEW))


def update(bench: Bench) -> StandingChange:
    change = Change(A, entry(FILES[A.path]), entry(NEW))
    manifest = bench.history.standing().manifest.after([change])
    return StandingChange(RevisionId(1, 2, manifest.digest), (change,), txid=7)


def committing(bench: Bench) -> fx.CommitIntent:
    """Stage an update and return its commit."""
    assert isinstance(bench.do(fx.StageBlobs(7, batch(NEW), (put(),))), rs.Staged)
    assert bench.do(fx.Seal(7)) == rs.Sealed(7)
    change = update(bench)
    assert change.revision is not None
    made = revision(
        bench.history.standing().revision, bench.history.standing().manifest, change.changes
    )
    intent = Intent(7, change.revision, (put(),))
    return fx.CommitIntent(bench.guard.state().highest, intent, change, made)


# --- the committer --------------------------------------------------------------------------------


def test_a_commit_is_live_in_the_ledger_and_remembered() -> None:
    bench = standing()
    result = bench.do(committing(bench))
    assert isinstance(result, rs.CommitDone)
    assert result.at == bench.wall()
    assert bench.files[A.path] == NEW
    assert bench.history.standing().txid == 7
    assert bench.history.revisions(1)[0][0].id == bench.history.standing().revision


def test_the_own_repair_runs_under_whatever_token_the_guard_holds() -> None:
    bench = standing()
    effect = replace(committing(bench), token=None)
    assert isinstance(bench.do(effect), rs.CommitDone)
    empty = Bench(FILES)
    fenced = empty.do(replace(effect, token=None))
    assert isinstance(fenced, rs.CommitFenced)
    assert (fenced.reason, empty.files) == ("the guard holds no token", FILES)


def test_a_commit_under_another_token_changes_nothing() -> None:
    bench = standing()
    effect = committing(bench)
    result = bench.do(replace(effect, token=bench.token(9)))
    assert isinstance(result, rs.CommitFenced)
    assert (result.state, bench.files) == (bench.guard.state(), FILES)


def test_what_a_crash_interrupted_is_finished_with_its_record() -> None:
    class Crash(BaseException):
        pass

    points: list[str] = []
    while True:
        bench = standing()
        effect = committing(bench)
        left = len(points) + 1

        def crash(point: str) -> None:
            nonlocal left
            left -= 1
            if left == 0:
                points.append(point)
                raise Crash

        bench.disk.crash_at = crash
        try:
            bench.do(effect)
        except Crash:
            bench.disk.crash_at = lambda _point: None
            bench.disk.killed()
            history = bench.history.crash()
            found = finish_interrupted(bench.disk, history, 1.0)
            whole = bench.files[A.path] == NEW
            assert (found is not None) == whole
            assert (history.standing().txid == 7) == whole
            assert finish_interrupted(bench.disk, history, 1.0) is None
            continue
        break
    assert "step 0" in points
    assert "synced" in points


def test_a_commit_that_stuck_is_finished_by_recovery() -> None:
    bench = standing()
    effect = committing(bench)

    def stop(point: str) -> None:
        if point == "stepped":
            raise StateError("the disk went away")

    bench.disk.crash_at = stop
    stuck = bench.do(effect)
    assert stuck == rs.CommitFailed(7, "the disk went away", stuck=True)
    again = fx.Recover(effect.intent, effect.change, effect.revision)
    assert bench.do(again) == rs.CommitFailed(7, "the disk went away", stuck=True)
    bench.disk.crash_at = lambda _point: None
    assert isinstance(bench.do(again), rs.CommitDone)
    assert bench.history.standing().txid == 7
    never = bench.do(replace(again, intent=replace(effect.intent, txid=99)))
    assert never == rs.CommitFailed(99, "its intent was never durable", stuck=False)


def test_a_ledger_that_fails_after_the_commit_leaves_it_to_recovery() -> None:
    bench = standing()
    effect = committing(bench)

    def full(_what: str) -> None:
        raise DiskError("no space left", errno_name="ENOSPC")

    bench.history.fail = full
    assert bench.do(effect) == rs.CommitFailed(7, "no space left", stuck=True)
    no_steps = replace(effect, intent=replace(effect.intent, steps=()))
    assert bench.do(no_steps) == rs.CommitFailed(7, "no space left", stuck=False)


def test_what_the_history_lacks_is_named() -> None:
    bench = standing()
    result = bench.do(fx.StageOwn(7, (put(),)))
    assert isinstance(result, rs.Staged)
    assert result.lacking == (entry(NEW).digest,)
    bench.memory.remember(entry(NEW).digest, NEW)
    again = bench.do(fx.StageOwn(7, (put(), Step(at("empty"), None, entry(b"")))))
    assert isinstance(again, rs.Staged)
    assert again.lacking == ()


def test_own_bytes_that_are_invalid_by_now_are_refused() -> None:
    bench = standing()
    bad = b"<sequence name='a'"
    bench.memory.remember(digest_of(bad), bad)
    result = bench.do(fx.StageOwn(7, (Step(A, None, entry(bad)),)))
    assert isinstance(result, rs.Staged)
    assert [row.path for row in result.refused] == [A]


def test_a_delta_needs_its_base() -> None:
    bench = standing()
    old = FILES[A.path]
    good = Delta(entry(NEW), digest_of(old), make_delta(old, NEW))
    assert isinstance(bench.do(fx.StageBlobs(7, good, (put(),))), rs.Staged)
    assert bench.history.blob(digest_of(NEW)) == NEW
    baseless = replace(good, base=digest_of(b"elsewhere"))
    result = bench.do(fx.StageBlobs(7, baseless, (put(),)))
    assert isinstance(result, rs.StageFailed)
    assert "which is not here" in result.reason


def test_blobs_of_a_proposal_are_kept_if_they_are_what_they_say() -> None:
    bench = standing()
    assert bench.do(fx.KeepBlobs(3, batch(NEW))) == rs.BlobsKept(3, (digest_of(NEW),))
    forged = Blobs((Entry(digest_of(b"other"), len(NEW)),), batch(NEW).frame)
    result = bench.do(fx.KeepBlobs(3, forged))
    assert isinstance(result, rs.BlobsKept)
    assert (result.digests, bool(result.fault)) == ((), True)
    assert not bench.history.has(digest_of(b"other"))


def test_a_file_is_kept_once_and_only_if_it_is_still_that() -> None:
    bench = standing()
    effect = fx.KeepFile(A, digest_of(FILES[A.path]), Keep.REFUSED, "why")
    assert isinstance(bench.do(effect), rs.KeptFile)
    assert bench.do(effect) is None
    assert bench.do(replace(effect, digest=digest_of(NEW))) is None
    assert len(bench.disk.kept()) == 1


# --- the Nth call fails ---------------------------------------------------------------------------


class Refusing:
    """Stands before a part: its call number `nth` fails with `error`."""

    def __init__(self, part: object, nth: int, error: Exception) -> None:
        self.part, self.left, self.error = part, nth, error

    def __getattr__(self, name: str) -> object:
        value = getattr(self.part, name)
        if not callable(value):
            return value

        def call(*args: object, **named: object) -> object:
            self.left -= 1
            if self.left == 0:
                raise self.error
            return value(*args, **named)

        return call


def effects(bench: Bench) -> dict[str, fx.Effect]:
    commit = committing(bench)
    old = FILES[A.path]
    made = revision(
        bench.history.standing().revision,
        bench.history.standing().manifest,
        [Change(A, entry(old), None), *adds({f"n{n}": b"%d" % n for n in range(30)})],
    )
    token = bench.guard.state().highest
    assert token is not None
    for number in range(30):
        bench.disk.put(at(f"n{number}"), b"%d" % number)
    declare = fx.Declare(token, made, tuple((c.path, c.after) for c in made.changes if c.after))
    return {
        "commit": commit,
        "repair": replace(commit, token=None),
        "recover": fx.Recover(commit.intent, commit.change, commit.revision),
        "declare": declare,
        "declare a little": replace(declare, blobs=declare.blobs[:3]),
        "admit": fx.AdmitToken(bench.token(9), 1),
        "fence": fx.AdmitToken(replace(token, incarnation="other"), 1),
        "stage own": fx.StageOwn(8, (Step(A, None, entry(old)),)),
        "stage blobs": fx.StageBlobs(8, batch(NEW), (put(),)),
        "stage a delta": fx.StageBlobs(
            8, Delta(entry(NEW), digest_of(old), make_delta(old, NEW)), (put(),)
        ),
        "stage what is refused": fx.StageBlobs(8, batch(b"<bad"), (Step(A, None, entry(b"<bad")),)),
        "keep blobs": fx.KeepBlobs(1, batch(NEW)),
        "seal": fx.Seal(7),
        "discard": fx.Discard(7),
        "note": fx.Note(StandingChange(notes={"x": "1"})),
        "keep a file": fx.KeepFile(A, digest_of(old), Keep.REFUSED, ""),
        "backfill": fx.Backfill(((A, entry(old)), (at("n1"), entry(b"1")))),
        "recall": fx.Recall(((A, digest_of(old)),)),
        "tidy": fx.Tidy((), 1.0, 1),
    }


NAMES = sorted(effects(standing()))
ERRORS: dict[str, Callable[[], Exception]] = {
    "disk": lambda: DiskError("EIO", errno_name="EIO"),
    "history": lambda: DiskError("EIO", errno_name="EIO"),
    "guard": lambda: StateError("the guard's file is damaged"),
}


@pytest.mark.parametrize("part", ERRORS)
@pytest.mark.parametrize("name", NAMES)
def test_whichever_call_is_refused_the_committer_answers(name: str, part: str) -> None:
    for nth in range(1, 60):
        bench = standing()
        effect = effects(bench)[name]
        parts = {"disk": bench.disk, "history": bench.history, "guard": bench.guard}
        refusing = Refusing(parts[part], nth, ERRORS[part]())
        parts[part] = refusing  # type: ignore[assignment]
        hand = Committer(parts["disk"], parts["guard"], parts["history"], bench.memory, bench)  # type: ignore[arg-type]
        hand.do(effect)
        if refusing.left > 0:
            return
    raise AssertionError("it never ran through")


def test_a_guard_that_is_fenced_and_then_lost_is_still_an_answer() -> None:
    bench = standing()

    class Lost:
        def admit(self, *_args: object, **_named: object) -> None:
            raise FencedError("lower")

        def state(self) -> None:
            raise StateError("the file is gone")

    hand = Committer(bench.disk, Lost(), bench.history, bench.memory, bench)  # type: ignore[arg-type]
    token = bench.token(1)
    assert hand.do(fx.AdmitToken(token, 1)) == rs.TokenRefused(token, None, "lower", 1)


# --- the eye --------------------------------------------------------------------------------------


def test_a_look_at_a_tree_that_is_away_tells_so() -> None:
    bench = standing()
    bench.disk.conditions[T] = Condition.MISSING
    result = bench.do(fx.Look(T, (A.path,)))
    assert isinstance(result, rs.Scanned)
    assert (result.snapshot.condition, result.identity) == (Condition.MISSING, None)


def test_a_look_brings_verdicts_and_forgets_what_is_gone() -> None:
    bench = standing()
    result = bench.do(fx.Look(T, (A.path, "sequences/none.xml")))
    assert isinstance(result, rs.Looked)
    assert result.examined.keys() == {A.path}
    assert result.examined[A.path].facts.name == "a"
    bench.disk.remove(A)
    gone = bench.do(fx.Look(T, (A.path,)))
    assert isinstance(gone, rs.Looked)
    assert gone.seen == {A.path: None}
    assert bench.memory.verdict(A, digest_of(FILES[A.path])) is None


def test_a_root_that_changed_during_a_scan_is_not_learnt() -> None:
    bench = standing()

    class Changing(type(bench.disk)):  # type: ignore[misc]
        def scan(self, tree, examiner):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
            self.identity[T] = "another"
            return super().scan(tree, examiner)

    bench.disk.__class__ = Changing
    result = bench.do(fx.Scan(T))
    assert isinstance(result, rs.Scanned)
    assert result.identity is None


def test_a_tree_that_can_t_be_watched_says_why() -> None:
    bench = standing()
    bench.hints.lose_root(T)
    result = bench.do(fx.StartWatch(T))
    assert isinstance(result, rs.Watching)
    assert "no root" in result.fault


def test_bytes_that_the_history_has_are_not_kept_in_memory() -> None:
    bench = standing()
    bench.disk.put(at("new.txt"), b"new")
    eye = Eye(bench.disk, bench.hints, bench.memory, bench, bench.history.has)
    result = eye.do(fx.Scan(T))
    assert isinstance(result, rs.Scanned)
    assert isinstance(result.snapshot.files["new.txt"], Seen)
    assert bench.memory.content(digest_of(b"new")) == b"new"
    assert bench.memory.content(digest_of(FILES[A.path])) is None


# --- memory ---------------------------------------------------------------------------------------


def test_memory_keeps_the_newest_bytes_and_is_bounded() -> None:
    memory = Memory(ArtifactValidator(1024), {T: TreeKind.SYNAPSE})
    third = CONTENT_BYTES_MAX // 3
    contents = [bytes([n]) * third for n in range(5)]
    for content in contents:
        memory.remember(digest_of(content), content)
        memory.remember(digest_of(content), content)
    held = [memory.content(digest_of(content)) is not None for content in contents]
    assert held == [False, False, True, True, True]
    memory.remember(digest_of(b"big"), b"x" * (CONTENT_BYTES_MAX + 1))
    assert memory.content(digest_of(b"big")) is None
    for content in contents:
        memory.let_go(digest_of(content))
        memory.let_go(digest_of(content))
    whole = b"y" * CONTENT_BYTES_MAX
    memory.remember(digest_of(whole), whole)
    assert memory.content(digest_of(whole)) is not None, "what was let go is room again"


def test_bytes_are_judged_once() -> None:
    class Counting:
        judged = 0

        def examine(self, kind, path, content):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
            self.judged += 1
            return ArtifactValidator(1024).examine(kind, path, content)

    validator = Counting()
    memory = Memory(validator, {T: TreeKind.SYNAPSE})
    for content in (NEW, NEW, FILES[A.path], NEW):
        memory.examine(A, digest_of(content), content)
    assert validator.judged == 3
    memory.forget(A)
    assert memory.verdict(A, digest_of(NEW)) is None


# --- serving --------------------------------------------------------------------------------------


def served(bench: Bench, want: Want, manifest: Manifest | None = None) -> list[object]:
    bench.do(fx.Serve(1, want, manifest))
    sent, bench.sent = [message for _, message in bench.sent], []
    return sent


def test_blobs_come_in_batches_and_what_is_not_here_is_named() -> None:
    bench = standing()
    here = tuple(digest_of(content) for content in FILES.values())
    own = bench.history.standing().revision
    bench.memory.remember(digest_of(b"new"), b"new")
    wanted = (*here, digest_of(b"new"), digest_of(b"nowhere"))
    *blobs, missing = served(bench, Want(own, manifest=False, blobs=wanted))
    assert missing == Missing(own, (digest_of(b"nowhere"),))
    got = [
        content
        for message in blobs
        if isinstance(message, Blobs)
        for content in split_batch(message.entries, message.frame)
    ]
    assert sorted(got) == sorted([*FILES.values(), b"new"])


@pytest.mark.parametrize("deltas", [True, False])
def test_a_delta_comes_where_the_base_is_on_both_sides(deltas: bool) -> None:
    bench = standing()
    old, new = FILES[A.path], FILES["sequences/b.xml"]
    own = bench.history.standing().revision
    bases = (digest_of(old), None) if deltas else ()
    want = Want(own, manifest=False, blobs=(digest_of(new), digest_of(old)), bases=bases)
    messages = served(bench, want)
    kinds = sorted(type(message).__name__ for message in messages)
    assert kinds == (["Blobs", "Delta"] if deltas else ["Blobs"])
    for message in messages:
        if isinstance(message, Delta):
            assert apply_delta(old, message.frame, message.entry.size) == new


@pytest.mark.parametrize("count", [0, 1, ROWS_PER_PART, ROWS_PER_PART + 1])
def test_a_manifest_comes_in_parts_that_end(count: int) -> None:
    bench = standing()
    manifest = Manifest.of((at(f"{n}.txt"), entry(b"x")) for n in range(count))
    want = Want(RevisionId(1, 1, manifest.digest), manifest=True)
    parts = served(bench, want, manifest=manifest)
    assert all(isinstance(part, ManifestPart) for part in parts)
    assert [part.last for part in parts] == [False] * (len(parts) - 1) + [True]  # type: ignore[attr-defined]
    assert Manifest.of(row for part in parts for row in part.rows) == manifest  # type: ignore[attr-defined]


def test_whichever_call_of_the_history_is_refused_the_asker_is_told() -> None:
    for nth in range(1, 40):
        bench = standing()
        refusing = Refusing(bench.history, nth, DiskError("EIO"))
        sent: list[object] = []
        hand = Serving(refusing, bench.memory, lambda _link, message: sent.append(message))  # noqa: B023  # type: ignore[arg-type]
        own = bench.history.standing().revision
        old, new = FILES[A.path], FILES["sequences/b.xml"]
        want = Want(
            own, manifest=True, blobs=(digest_of(new), digest_of(old)), bases=(digest_of(old), None)
        )
        hand.do(fx.Serve(1, want, rows(FILES)))
        if refusing.left > 0:
            assert not any(isinstance(message, Missing) for message in sent)
            return
        assert isinstance(sent[-1], Missing)
    raise AssertionError("it never ran through")


# --- fetching -------------------------------------------------------------------------------------


@pytest.mark.parametrize("part", ["disk", "history"])
@pytest.mark.parametrize(
    ("what", "argument"),
    [
        ("quarantine", "{}"),
        ("conflicts", "{}"),
        ("revisions", '{"limit": 5}'),
        ("events", '{"after": 0}'),
        ("diff", '{"from": 1, "to": 0}'),
        ("kept", '{"what": "sequences/a.xml"}'),
        ("keys_trust", '{"name": "x"}'),
    ],
)
def test_whichever_call_is_refused_a_question_is_answered(
    what: str, argument: str, part: str
) -> None:
    for nth in range(1, 40):
        bench = standing()
        bench.disk.keep(A, b"kept", Keep.DRIFT, "")
        parts = {"disk": bench.disk, "history": bench.history}
        refusing = Refusing(parts[part], nth, DiskError("EIO"))
        parts[part] = refusing  # type: ignore[assignment]
        kinds = {T: TreeKind.SYNAPSE}
        hand = Fetching(parts["disk"], parts["history"], bench, kinds, lambda _n, _k: {})  # type: ignore[arg-type]
        result = hand.do(fx.Fetch(1, what, argument))
        assert (result.error is not None) == (refusing.left <= 0)
        hand.report(fx.Report("drift", {"path": "x"}))
        if refusing.left > 0:
            return
    raise AssertionError("it never ran through")


@pytest.mark.parametrize("number", ["-1", "9223372036854775808", '"9223372036854775808"'])
@pytest.mark.parametrize("what", ["revisions", "events", "diff", "quarantine"])
def test_a_number_that_counts_nothing_is_answered_as_if_none_was_given(
    tmp_path: Path, what: str, number: str
) -> None:
    bench = standing()
    history = NodeHistory(OsFS(), str(tmp_path), wall=bench.wall)
    history.load()
    history.event(1.0, "x", {})
    hand = Fetching(bench.disk, history, bench, {T: TreeKind.SYNAPSE}, lambda _n, _k: {})
    asked = json.dumps(dict.fromkeys(("limit", "after", "from"), json.loads(number)))
    result, plain = hand.do(fx.Fetch(1, what, asked)), hand.do(fx.Fetch(2, what, "{}"))
    history.close()
    if what == "diff":
        assert "is not remembered here" in str(result.error)
    else:
        assert (result.value, result.error) == (plain.value, None)


def test_an_event_is_remembered_at_the_time_that_it_tells_else_now() -> None:
    bench = standing()
    bench.fetching.report(fx.Report("then", {}, at=123.0))
    bench.fetching.report(fx.Report("now", {}))
    told = [(at, what) for _, at, what, _ in bench.history.events(0, 100)]
    assert told[-2:] == [(123.0, "then"), (bench.wall(), "now")]
