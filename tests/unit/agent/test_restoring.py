"""What a worker kept is listed by its manager too, and comes back wherever a person asks for it."""

import dataclasses
import json

import pytest

from syncagent.agent.node.collecting import ANSWER_S, ROWS_MAX
from syncagent.core.digest import digest_of
from syncagent.core.errors import ExitCode, RefusedError, SettingsError, SyncagentError
from syncagent.core.intent import Keep
from syncagent.core.settings import Writers
from syncagent.core.wire.messages import Answered, Ask, Missing, Want
from tests.fakes.agent_bench import ME, PEER, THIRD, Bench, at, sequence

FILES = {"sequences/a.xml": sequence("a"), "sequences/b.xml": sequence("b")}
PATH = "sequences/a.xml"
MINE = sequence("a", text="a worker's")
OTHER = sequence("a", text="another's")


class Pair:
    """A manager and a worker, each on its own bench, with all that they say carried across.

    Both benches are called gw-1; the manager knows the worker as gw-2, and it the manager.
    """

    def __init__(self, writers: Writers = Writers.MANAGER) -> None:
        self.manager = Bench(FILES, writers=writers).lead().pass_(3)
        self.worker = Bench(manager=PEER, writers=writers).start()
        self.there = self.manager.link()
        self.here = self.worker.link(dialled=False)
        self.talk()
        assert self.manager.state.token is not None
        self.worker.sent.clear()

    def talk(self, seconds: float = 3.0) -> None:
        """Carry everything to and fro; what the manager says comes from gw-2, its holder."""
        for _ in range(int(seconds * 10)):
            for _, message in self._said(self.manager, self.there):
                self.worker.hear(self.here, _renamed(message))
            for _, message in self._said(self.worker, self.here):
                self.manager.hear(self.there, _renamed(message))
            self.manager.pass_(0.1)
            self.worker.pass_(0.1)

    @staticmethod
    def _said(bench: Bench, link: int) -> list[tuple[int, object]]:
        found = [row for row in bench.sent if row[0] == link]
        bench.sent = [row for row in bench.sent if row[0] != link]
        return found  # type: ignore[return-value]

    def keep(self, content: bytes = MINE, path: str = PATH, reason: Keep = Keep.DRIFT) -> str:
        """Put bytes into the worker's quarantine; return their id."""
        return self.worker.disk.keep(at(path), content, reason, "by hand").id

    def answer(self, bench: Bench, verb: str, **arguments: object) -> object:
        """Ask one of the two, let them talk, and return the answer or raise the error."""
        request = bench.ask(verb, **arguments)
        self.talk()
        reply = bench.replies[request]
        if reply.error is not None:
            raise reply.error
        return reply.result


def _renamed(message: object) -> object:
    """Swap the two names in a token, so that each end sees the other's."""
    token = getattr(message, "token", None)
    if token is None:
        return message
    holder = {ME: PEER, PEER: ME}[token.holder]
    return dataclasses.replace(message, token=dataclasses.replace(token, holder=holder))  # type: ignore[type-var]


@pytest.fixture
def pair() -> Pair:
    made = Pair()
    assert made.worker.files == FILES
    return made


# --- lists ----------------------------------------------------------------------------------------


def test_a_manager_lists_what_its_workers_kept_under_their_names(pair: Pair) -> None:
    theirs = pair.keep()
    own = pair.manager.disk.keep(at(PATH), OTHER, Keep.CONFLICT, "").id
    answer = pair.answer(pair.manager, "kept", what="quarantine")
    assert isinstance(answer, dict)
    assert answer["missing"] == []
    assert {(row["id"], row["node"]) for row in answer["entries"]} == {
        (own, ME),
        (f"{PEER}:{theirs}", PEER),
    }
    assert all(row["path"] == PATH and row["reason"] for row in answer["entries"])
    conflicts = pair.answer(pair.manager, "kept", what="conflicts")
    assert isinstance(conflicts, dict)
    assert [row["id"] for row in conflicts["entries"]] == [own]


def test_a_worker_lists_its_own_only_and_says_whose_they_are(pair: Pair) -> None:
    own = pair.keep()
    pair.manager.disk.keep(at(PATH), OTHER, Keep.CONFLICT, "")
    answer = pair.answer(pair.worker, "kept", what="quarantine")
    assert isinstance(answer, dict)
    assert [(row["id"], row["node"]) for row in answer["entries"]] == [(own, ME)]


def test_a_worker_that_does_not_answer_is_named_and_not_waited_for() -> None:
    bench = Bench(FILES).lead().pass_(3)
    bench.follow()
    silent = bench.follow(THIRD)
    request = bench.ask("kept", what="quarantine")
    bench.hear(1, Answered(bench.said(Ask, 1)[0].id, '{"result": [{"id": "k1", "path": "p"}]}'))
    assert request not in bench.replies
    bench.pass_(ANSWER_S)
    answer = bench.replies[request].result
    assert isinstance(answer, dict)
    assert [row["id"] for row in answer["entries"]] == ["gw-2:k1"]
    assert answer["missing"] == [{"node": THIRD, "reason": "no answer within 5 s"}]
    bench.hear(silent, Answered(bench.said(Ask, silent)[0].id, '{"result": []}'))


def test_a_worker_that_is_gone_is_named_at_once() -> None:
    bench = Bench(FILES).lead().pass_(3)
    link = bench.follow()
    request = bench.ask("kept", what="quarantine")
    bench.cut(link)
    answer = bench.replies[request].result
    assert isinstance(answer, dict)
    assert "connection broke" in answer["missing"][0]["reason"]
    again = bench.answer("kept", what="conflicts")
    assert isinstance(again, dict)
    assert again["missing"] == [{"node": PEER, "reason": "cut"}]


@pytest.mark.parametrize("body", ["[]", '{"result": 5}', '{"result": [5, {}]}'])
def test_nonsense_for_a_list_harms_nobody(body: str) -> None:
    bench = Bench(FILES).lead().pass_(3)
    link = bench.follow()
    request = bench.ask("kept", what="quarantine")
    bench.hear(link, Answered(bench.said(Ask, link)[0].id, body))
    json.dumps(bench.replies[request].result)


def test_a_worker_sends_its_manager_the_newest_rows_only(pair: Pair) -> None:
    for number in range(ROWS_MAX + 20):
        pair.worker.disk.keep(at(PATH), b"%d" % number, Keep.DRIFT, "")
    assert len(pair.worker.answer("quarantine")) == ROWS_MAX + 20  # type: ignore[arg-type]
    answer = pair.answer(pair.manager, "kept", what="quarantine")
    assert isinstance(answer, dict)
    assert len(answer["entries"]) == ROWS_MAX


def test_a_list_that_there_is_not_is_refused() -> None:
    bench = Bench(FILES).lead()
    with pytest.raises(SettingsError, match="no list of what was kept"):
        bench.answer("kept", what="everything")


# --- restore on a worker --------------------------------------------------------------------------


@pytest.mark.parametrize("writers", list(Writers))
def test_a_worker_s_kept_bytes_become_the_next_revision_whoever_may_write(writers: Writers) -> None:
    pair = Pair(writers)
    answer = pair.answer(pair.worker, "restore", what=pair.keep())
    assert answer == {"tree": "synapse", "path": PATH, "digest": digest_of(MINE), "revision": 2}
    assert pair.manager.files == pair.worker.files == FILES | {PATH: MINE}
    (record, _), *_ = pair.manager.history.revisions(1)
    assert record.author == PEER
    assert record.note.startswith("restore k")


def test_what_the_manager_refuses_is_not_restored_and_named_once(pair: Pair) -> None:
    kept = pair.keep(b"<broken", "sequences/x.xml", Keep.REFUSED)
    with pytest.raises(SyncagentError) as caught:
        pair.answer(pair.worker, "restore", what=kept)
    assert caught.value.exit_code == ExitCode.REJECTED
    assert str(caught.value).startswith("synapse:sequences/x.xml is not restored: ")
    assert str(caught.value).count("sequences/x.xml") == 1
    assert caught.value.hint
    assert pair.manager.files == pair.worker.files == FILES


def test_bytes_that_the_worker_has_lost_meanwhile_are_not_restored(pair: Pair) -> None:
    request = pair.worker.ask("restore", what=pair.keep())
    (wish,) = pair.worker.said(Ask)
    pair.manager.hear(pair.there, wish)
    (want,) = pair.manager.said(Want)
    pair.manager.hear(pair.there, Missing(want.revision, want.blobs))
    pair.talk()
    assert "not there any more" in str(pair.worker.replies[request].error)


def test_the_manager_s_newer_bytes_win_over_a_wish_of_before(pair: Pair) -> None:
    request = pair.worker.ask("restore", what=pair.keep())
    (wish,) = pair.worker.said(Ask)
    pair.manager.put(PATH, OTHER)
    pair.manager.pass_(2)
    pair.manager.hear(pair.there, wish)
    pair.talk()
    assert "gw-1, the manager, has other bytes" in str(pair.worker.replies[request].error)
    assert pair.manager.files[PATH] == OTHER


def test_the_revision_s_own_bytes_are_put_back_without_a_new_one(pair: Pair) -> None:
    kept = pair.keep(FILES[PATH])
    answer = pair.answer(pair.worker, "restore", what=kept)
    assert isinstance(answer, dict)
    assert answer["revision"] == 1


def test_a_worker_that_loses_its_manager_meanwhile_says_that_it_does_not_know(pair: Pair) -> None:
    request = pair.worker.ask("restore", what=pair.keep())
    pair.worker.cut(pair.here)
    error = pair.worker.replies[request].error
    assert isinstance(error, SyncagentError)
    assert (error.exit_code, "done or not" in str(error)) == (ExitCode.UNREACHABLE, True)


def test_a_node_that_leads_no_more_says_so_to_who_waits(pair: Pair) -> None:
    request = pair.worker.ask("restore", what=pair.keep())
    (wish,) = pair.worker.said(Ask)
    pair.manager.hear(pair.there, wish)
    assert pair.manager.said(Want)
    pair.manager.managed(epoch=9)
    (answer,) = pair.manager.said(Answered)
    pair.worker.hear(pair.here, answer)
    assert "not the manager any more" in str(pair.worker.replies[request].error)


# --- restore on the manager -----------------------------------------------------------------------


@pytest.mark.parametrize("named", ["with its node", "plainly", "by its path"])
def test_a_manager_restores_what_a_worker_kept(pair: Pair, named: str) -> None:
    kept = pair.keep()
    what = {"with its node": f"{PEER}:{kept}", "plainly": kept, "by its path": f"synapse:{PATH}"}
    answer = pair.answer(pair.manager, "restore", what=what[named])
    assert isinstance(answer, dict)
    assert (answer["path"], answer["revision"]) == (PATH, 2)
    assert pair.manager.files == pair.worker.files == FILES | {PATH: MINE}


def test_a_node_s_own_id_may_be_named_with_its_name(pair: Pair) -> None:
    own = pair.manager.disk.keep(at(PATH), OTHER, Keep.CONFLICT, "").id
    answer = pair.answer(pair.manager, "restore", what=f"{ME}:{own}")
    assert isinstance(answer, dict)
    assert pair.manager.files[PATH] == OTHER


def test_an_id_that_two_workers_have_must_be_named_with_its_node() -> None:
    bench = Bench(FILES).lead().pass_(3)
    links = [bench.follow(), bench.follow(THIRD)]
    request = bench.ask("restore", what="t5-aa")
    for link in links:
        (question,) = bench.said(Ask, link)
        bench.hear(link, Answered(question.id, '{"result": [{"id": "t5-aa", "path": "x"}]}'))
    error = bench.replies[request].error
    assert isinstance(error, RefusedError)
    assert error.hint == "syncagent restore gw-2:t5-aa or gw-3:t5-aa"


def test_what_nobody_kept_is_said_with_who_could_not_be_asked(pair: Pair) -> None:
    pair.manager.cut(pair.there)
    with pytest.raises(RefusedError, match="nothing is kept under 'k9'") as caught:
        pair.manager.answer("restore", what="k9")
    assert "gw-2: cut" in caught.value.hint


def test_a_worker_that_is_away_can_t_be_asked_for_its_id(pair: Pair) -> None:
    pair.manager.cut(pair.there)
    with pytest.raises(SyncagentError, match="gw-2 is not connected"):
        pair.manager.answer("restore", what="gw-2:k9")


# --- what a manager takes from a worker -----------------------------------------------------------

WISH = {"tree": "synapse", "path": "x.txt", "before": None, "after": [digest_of(b"x"), 1]}


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"tree": "elsewhere"}, "does not list the tree"),
        ({"path": "../x"}, "leads out of the tree"),
        ({"after": None}, "no bytes are named"),
        ({"after": [digest_of(b"x"), -1]}, "no digest and size"),
        ({"after": [digest_of(b"x"), 1 << 40]}, "no digest and size"),
        ({"after": ["xxh3:0", 1]}, "no digest"),
        ({"before": "all"}, "no digest and size"),
    ],
)
def test_a_wish_that_makes_no_sense_is_refused(wrong: dict[str, object], words: str) -> None:
    bench = Bench(FILES).lead().pass_(3)
    link = bench.follow()
    bench.hear(link, Ask(7, "adopt", json.dumps(WISH | wrong)))
    (answer,) = bench.said(Answered, link)
    assert words in json.loads(answer.body)["error"]["message"]


def test_only_an_admitted_worker_of_a_manager_may_wish() -> None:
    bench = Bench(FILES).lead().pass_(3)
    for link in (bench.link(), bench.link(THIRD, dialled=False)):
        bench.hear(link, Ask(7, "adopt", json.dumps(WISH)))
        (answer,) = bench.said(Answered, link)
        assert json.loads(answer.body)["error"]["message"] == "not allowed"
    with pytest.raises(RefusedError, match="what a worker asks"):
        bench.answer("adopt", **WISH)


def test_a_manager_that_only_observes_takes_no_wish() -> None:
    bench = Bench(FILES, apply=False).lead()
    link = bench.follow()
    bench.hear(link, Ask(7, "adopt", json.dumps(WISH)))
    (answer,) = bench.said(Answered, link)
    assert "apply = false" in json.loads(answer.body)["error"]["message"]
