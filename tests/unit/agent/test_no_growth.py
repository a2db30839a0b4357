"""Weeks of files that come and go leave nothing behind in memory."""

import threading

from syncagent.agent.hands.memory import Memory
from syncagent.core.digest import digest_of
from syncagent.validation.validator import ArtifactValidator
from tests.fakes.agent_bench import PEER, Bench, T, at, sequence

FILES = {"sequences/a.xml": sequence("a")}
ROUNDS = 10


def test_drift_that_was_put_back_long_ago_is_forgotten() -> None:
    bench = Bench(FILES, standing=FILES, manager=PEER).start()
    bench.managed()
    for number in range(ROUNDS):
        bench.put(f"tmp{number}.txt", b"x")
        bench.pass_(8)
    bench.pass_(1000)
    bench.put("last.txt", b"x")
    bench.pass_(200)
    assert bench.files == FILES
    view = bench.node.observing.views[T]
    assert len(bench.node.working._reverts) == 1
    assert (view.gone, view.new_since) == (set(), {})
    assert len(bench.memory._verdicts) == 1


def test_what_a_manager_saw_deleted_is_forgotten() -> None:
    bench = Bench(FILES).lead()
    for number in range(ROUNDS):
        bench.put(f"tmp{number}.txt", b"%d" % number)
        bench.pass_(3)
        bench.remove(f"tmp{number}.txt")
        bench.pass_(5)
    bench.pass_(100)
    view = bench.node.observing.views[T]
    assert (view.gone, view.new_since) == (set(), {})


def test_a_file_that_a_scan_alone_saw_come_and_go_is_new_when_it_comes_again() -> None:
    bench = Bench(FILES).lead()
    bench.pass_(3)
    broken = b"<not xml"
    bench.disk.put(at("sequences/b.xml"), broken)
    bench.pass_(100)
    view = bench.node.observing.views[T]
    assert set(view.new_since) == {"sequences/b.xml"}
    bench.disk.remove(at("sequences/b.xml"))
    bench.pass_(100)
    assert not view.new_since


def test_bytes_are_counted_right_by_two_hands_at_once() -> None:
    memory = Memory(ArtifactValidator(1024), {})
    contents = [b"%d" % number for number in range(2_000)]

    def work() -> None:
        for content in contents:
            memory.remember(digest_of(content), content)
            memory.let_go(digest_of(content))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert memory._bytes == sum(len(content) for content in memory._contents.values())
