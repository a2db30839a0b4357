"""What an election does on any store that elects by itself, with real candidates and real servers.

The same tests run over every backend of `tests.servers.backends`; what one store's answers mean is in
`test_lease_contract`. Candidates push all the time while they lead, to a receiver with a real guard, so
that each test also sees that no push under an older epoch was ever committed.
"""

from __future__ import annotations

import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from syncagent.core.election import Won
from syncagent.core.lease import Timing
from tests.servers.backend import TIMING
from tests.servers.process import reached
from tests.servers.receiver import boot
from tests.servers.scene import BELIEF_S, POLL_S, SLACK_S, only_one_led_at_a_time

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.servers.backend import Backend
    from tests.servers.scene import Scene

pytestmark = [pytest.mark.e2e, pytest.mark.needs_servers]

DOWN_S = 0.1
"""How long a manager that stood still longer than its lease may take to notice, once it runs again."""
UNHURRIED = Timing(lease_s=15.0, renew_s=0.5, operation_s=3.0, margin_s=3.0)
"""A lease that runs out much later than the next look comes, on any machine."""


# Who leads, and for how long.


def test_candidates_that_start_together_on_an_empty_store_elect_one(
    backend: Backend, on: Callable[[Backend], Scene]
) -> None:
    scene = on(backend)
    nodes = [scene.standing(f"gw-{number}") for number in range(5)]
    reached(lambda: any(each.leads for each in nodes), "one leads")
    reached(lambda: scene.receiver.pushes("committed"), "it pushes")
    assert sum(len(each.won()) for each in nodes) == 1
    assert max(each.epoch for each in nodes if each.leads) == 1


def test_a_killed_manager_is_replaced_once_its_lease_has_run_out(
    backend: Backend, on: Callable[[Backend], Scene]
) -> None:
    scene = on(backend)
    first = scene.process("gw-1")
    reached(lambda: scene.receiver.pushes("committed", "gw-1"), "the first pushes")
    second = scene.standing("gw-2")
    reached(lambda: second.elector.outlook().token, "the second has seen who leads")
    killed = first.kill()
    reached(lambda: second.leads, "the second leads")
    won = second.won()[0]
    earliest = TIMING.lease_s - TIMING.renew_s - TIMING.operation_s
    assert won >= killed + earliest - TIMING.margin_s, "a lease was taken from a living manager"
    assert won <= killed + TIMING.lease_s + POLL_S + SLACK_S
    assert second.epoch == first.epochs()[-1] + 1


def test_a_stopped_manager_that_goes_on_is_refused_with_the_push_it_had_in_flight(
    backend: Backend, on: Callable[[Backend], Scene]
) -> None:
    scene = on(backend)
    receiver = scene.receiver
    first = scene.process("gw-1")
    reached(lambda: receiver.pushes("committed", "gw-1"), "the first pushes")
    second = scene.standing("gw-2")
    reached(lambda: second.elector.outlook().token, "the second has seen who leads")

    def stopped_in_flight() -> bool:
        """Stop it with a push past its check; let it go on if that was committed just before."""
        if receiver.in_flight("gw-1") is None:
            return False
        first.signal(signal.SIGSTOP)
        reached(lambda: _is_stopped(first.process.pid), "it is stopped")
        if receiver.in_flight("gw-1") is not None:
            return True
        first.signal(signal.SIGCONT)
        return False

    reached(stopped_in_flight, "a push is in flight in a manager that stands still")
    flying = receiver.in_flight("gw-1")
    assert flying is not None
    reached(lambda: receiver.pushes("committed", "gw-2"), "the second leads and pushes")
    woken = first.signal(signal.SIGCONT)
    reached(lambda: receiver.pushes("refused", "gw-1"), "what was in flight has arrived")
    refused = receiver.pushes("refused", "gw-1")[0]
    assert (refused.number, refused.epoch) == (flying.number, flying.epoch)
    reached(first.stirred, "the first knows that it does not lead")
    assert first.when("lost")[0] - woken < SLACK_S
    stirred = first.stirred()[0]
    assert stirred.took_s <= DOWN_S + stirred.machine_s
    late = [push for push in receiver.pushes("begun", "gw-1") if push.at > woken]
    assert [push for push in late if push.epoch == flying.epoch] == [], "it began another push"


@pytest.mark.parametrize("outage", ["killed", "hung"])
def test_a_manager_without_its_store_stops_in_time_and_a_new_epoch_follows(
    backend: Backend, on: Callable[[Backend], Scene], outage: str
) -> None:
    scene = on(backend)
    first = scene.standing("gw-1")
    reached(lambda: scene.receiver.pushes("committed"), "the first pushes")
    second = scene.standing("gw-2")
    reached(lambda: second.elector.outlook().token, "the second has seen who leads")
    epoch = first.epoch
    began = boot()
    (backend.kill if outage == "killed" else backend.hang)()
    reached(first.lost, "the first has stopped")
    lost = first.lost()[0]
    assert lost <= began + BELIEF_S + SLACK_S
    reached(lambda: boot() > began + 2 * TIMING.lease_s, "two leases are over")
    assert [push for push in scene.receiver.pushes("begun") if push.at > lost + 0.001] == []
    assert second.won() == []
    (backend.start if outage == "killed" else backend.wake)()
    reached(lambda: first.leads or second.leads, "there is a manager again")
    reached(
        lambda: scene.receiver.pushes("committed")[-1].epoch > epoch, "it pushes under a new epoch"
    )
    only_one_led_at_a_time(first, second)


def test_a_lease_that_outlived_its_managers_belief_keeps_nobody_out(
    backend: Backend, on: Callable[[Backend], Scene]
) -> None:
    scene = on(backend)
    only = scene.standing("gw-1")
    reached(lambda: only.leads, "it leads")
    backend.hang()
    reached(only.lost, "it has stepped down")
    backend.wake()
    reached(lambda: only.leads, "it leads again")
    assert only.epoch > 1


def test_who_resigns_is_followed_within_a_poll(
    backend: Backend, on: Callable[[Backend], Scene]
) -> None:
    scene = on(backend)
    first = scene.standing("gw-1", timing=UNHURRIED)
    reached(lambda: first.leads, "the first leads")
    second = scene.standing("gw-2", timing=UNHURRIED)
    reached(lambda: second.elector.outlook().token, "the second has seen who leads")
    resigned = boot()
    first.elector.resign()
    reached(lambda: second.leads, "the second leads")
    assert second.won()[0] < resigned + UNHURRIED.lease_s - UNHURRIED.renew_s, "it sat a lease out"
    assert second.epoch == 2
    assert first.won()[1:] == [], "who resigned does not stand again"


def test_a_restarted_manager_does_not_go_on_under_its_old_lease(
    backend: Backend, on: Callable[[Backend], Scene]
) -> None:
    scene = on(backend)
    first = scene.process("gw-1")
    reached(lambda: scene.receiver.pushes("committed", "gw-1"), "the first pushes")
    first.kill()
    again = scene.standing("gw-1")
    reached(lambda: again.leads, "it leads again")
    old = first.epochs()[-1]
    assert min(change.token.epoch for _, change in again.changes) > old, "it went on where it was"


# What hands and backups do to a store.


def test_a_record_that_is_deleted_or_altered_ends_the_managership_and_no_epoch_comes_twice(
    backend: Backend, on: Callable[[Backend], Scene]
) -> None:
    scene = on(backend)
    first, second = scene.standing("gw-1", floor=6), scene.standing("gw-2", floor=6)
    both = (first, second)
    harms = (backend.forget, backend.usurp, lambda cluster: backend.rewind(cluster, 1))
    for harm in harms:
        reached(lambda: scene.receiver.pushes("committed"), "one leads")
        epoch = scene.receiver.guard.state().epoch
        harm(scene.cluster)
        reached(
            lambda epoch=epoch: scene.receiver.pushes("committed")[-1].epoch > epoch,
            "one pushes under a higher epoch",
        )
    epochs = [
        change.token.epoch for each in both for _, change in each.changes if isinstance(change, Won)
    ]
    assert len(set(epochs)) == len(epochs)


def test_who_comes_new_after_the_store_was_wiped_leads_only_above_what_was_admitted(
    backend: Backend, on: Callable[[Backend], Scene]
) -> None:
    scene = on(backend)
    old = scene.standing("gw-1", floor=41)
    reached(lambda: scene.receiver.pushes("committed"), "the old one pushes")
    old.end()
    backend.forget(scene.cluster)
    new = scene.standing("gw-2")
    reached(lambda: scene.receiver.pushes("committed", "gw-2"), "the new one pushes")
    assert scene.receiver.pushes("refused", "gw-2")[0].epoch == 1
    assert new.epoch == 43


def test_the_epoch_outlives_a_restart_of_the_store(
    backend: Backend, on: Callable[[Backend], Scene]
) -> None:
    scene = on(backend)
    first = scene.standing("gw-1", floor=6)
    reached(lambda: first.leads, "the first leads")
    first.end()
    backend.kill()
    backend.start()
    second = scene.standing("gw-2")
    reached(lambda: second.leads, "the second leads")
    assert second.epoch == 8


# What networks do.


def test_an_acquire_whose_answer_was_lost_is_neither_won_nor_keeps_others_out(
    server: Backend, on: Callable[[Backend], Scene]
) -> None:
    scene = on(server)
    proxy = scene.proxy()
    proxy.cut_answer_to(server.taking)
    only = scene.standing("gw-1", port=proxy.port)
    reached(lambda: only.leads, "it leads")
    assert proxy.cuts == 1, "no answer was lost: this would show nothing"
    assert [change.token.epoch for _, change in only.changes] == [2], "epoch 1 was never told"


def test_a_renewal_whose_answer_was_lost_is_no_loss(
    server: Backend, on: Callable[[Backend], Scene]
) -> None:
    scene = on(server)
    proxy = scene.proxy()
    only = scene.standing("gw-1", port=proxy.port)
    reached(lambda: only.leads, "it leads")
    for number in range(1, 4):
        proxy.cut_answer_to(server.renewing)
        reached(lambda number=number: proxy.cuts == number, "a renewal's answer is lost")
    done = boot()
    reached(lambda: boot() > done + TIMING.lease_s, "a lease is over")
    assert only.lost() == []


def test_a_slow_store_is_borne_and_one_that_is_too_slow_is_given_up_in_time(
    server: Backend, on: Callable[[Backend], Scene]
) -> None:
    scene = on(server)
    proxy = scene.proxy()
    first = scene.standing("gw-1", port=proxy.port)
    second = scene.standing("gw-2", port=proxy.port)
    reached(lambda: scene.receiver.pushes("committed"), "one pushes")
    leader = first if first.leads else second
    proxy.delay_s = 0.6 * TIMING.operation_s / server.round_trips
    slow = boot()
    left: list[float] = []

    def a_lease_is_over() -> bool:
        belief = leader.elector.current()
        left.append(belief.expires - boot() if belief else 0.0)
        return boot() > slow + 1.2 * TIMING.lease_s

    reached(a_lease_is_over, "a lease is over")
    # The deadline counts from before the request: what its answer took is gone already.
    sampled = left[len(left) // 2 :]
    assert max(sampled) <= BELIEF_S - proxy.delay_s
    assert leader.lost() == [], "it flaps"
    proxy.delay_s = 2 * TIMING.operation_s
    reached(leader.lost, "it has given up")
    lost = leader.lost()[0]
    reached(lambda: boot() > lost + TIMING.renew_s, "it had time to push")
    begun = [push for push in scene.receiver.pushes("begun", leader.node) if push.at > lost + 0.001]
    assert [push for push in begun if push.epoch == 1] == []
    proxy.delay_s = 0.0
    reached(lambda: first.leads or second.leads, "there is a manager again")
    only_one_led_at_a_time(first, second)


def _is_stopped(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
