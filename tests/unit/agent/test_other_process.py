"""A manager meets workers that another process of its name, or of its epoch, leads."""

from syncagent.core.artifact import NodeName
from syncagent.core.wire.messages import Fenced
from tests.fakes.agent_bench import ME, PEER, Bench, sequence

THIRD = NodeName("gw-3")
FILES = {"sequences/a.xml": sequence("a")}


def test_who_is_led_by_another_process_of_this_name_is_let_go() -> None:
    bench = Bench(FILES).lead()
    link = bench.link()
    bench.hear(link, Fenced(bench.token(1, ME), "epoch 1 is held by gw-1"))
    assert bench.hung_up == [(link, "it is led by another process of this name")]
    assert bench.state.leads
    assert "tie" in bench.state.alarms


def test_who_is_led_by_another_node_under_the_same_epoch_can_be_asked_further() -> None:
    bench = Bench(FILES).lead()
    bench.hear(bench.link(), Fenced(bench.token(1, THIRD), "epoch 1 is held by gw-3"))
    assert bench.hung_up == []
    assert "tie" in bench.state.alarms


def test_who_is_led_by_another_process_of_this_name_is_dialled_again_but_not_soon() -> None:
    bench = Bench(FILES).lead()
    link = bench.link()
    bench.hear(link, Fenced(bench.token(1, ME), "epoch 1 is held by gw-1"))
    bench.dialled.clear()
    bench.cut(link)
    bench.pass_(5)
    assert bench.dialled == []
    bench.pass_(60)
    assert bench.dialled == [PEER]
