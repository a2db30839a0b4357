"""What the loop publishes, and how often."""

from __future__ import annotations

from syncagent.agent.hands.bulletin import READ_S, STATUS_S, UNREAD_S, Bulletin
from syncagent.core.settings import HttpSettings
from tests.fakes.agent_bench import Bench, sequence

FILES = {"sequences/a.xml": sequence("a")}


def published(**given: object) -> tuple[Bench, Bulletin]:
    bench = Bench(FILES, **given).lead().pass_(3)
    return bench, Bulletin(bench.node, lambda: None)


def made_at(bulletin: Bulletin) -> float:
    known = bulletin.status()
    assert known is not None
    return known[1]


def test_without_a_door_nothing_is_published() -> None:
    bench, bulletin = published()
    bulletin.turned(bench.at)
    assert (bulletin.pulse, bulletin.status()) == (None, None)


def test_each_turn_has_its_pulse_and_the_first_a_status() -> None:
    bench, bulletin = published(http=HttpSettings("127.0.0.1:1"))
    bulletin.turned(bench.at)
    pulse, known = bulletin.pulse, bulletin.status()
    assert pulse is not None
    assert (pulse.at, pulse.node, pulse.token) == (bench.at, "gw-1", bench.state.token)
    assert known == (bench.node.reporting.status(bench.at), bench.at)
    bulletin.turned(bench.at + 0.1)
    assert bulletin.pulse is not None
    assert bulletin.pulse.at == bench.at + 0.1


def test_a_status_that_is_read_is_kept_fresh_and_one_that_is_not_costs_little() -> None:
    bench, bulletin = published(http=HttpSettings("127.0.0.1:1"))
    first = bench.at
    bulletin.turned(first)
    bulletin.turned(first + UNREAD_S - 0.1)
    assert made_at(bulletin) == first, "nobody had read it"
    read = first + UNREAD_S
    bulletin.turned(read)
    bulletin.turned(read + STATUS_S)
    assert made_at(bulletin) == read + STATUS_S
    bulletin.turned(read + STATUS_S)
    late = read + STATUS_S + READ_S
    bulletin.turned(late)
    bulletin.turned(late + STATUS_S)
    assert made_at(bulletin) == late, "nobody has read it for long"


def test_a_loop_that_slept_says_when_it_woke() -> None:
    bench, bulletin = published(http=HttpSettings("127.0.0.1:1"))
    bulletin.turned(bench.at)
    bulletin.turned(bench.at + 3600.0)
    assert bulletin.pulse is not None
    assert bulletin.pulse.woke_at == bench.at + 3600.0
