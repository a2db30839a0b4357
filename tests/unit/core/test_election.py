"""The election's rules on a clock that only the test moves."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syncagent.core.artifact import NodeName
from syncagent.core.election import (
    NEVER,
    POLL_SHARE,
    Action,
    Election,
    GiveBack,
    Lost,
    Observe,
    Outlook,
    Renew,
    Rest,
    TryAcquire,
    Won,
)
from syncagent.core.lease import (
    PRIORITY_MAX,
    Candidate,
    LeadershipLost,
    LeaseView,
    StoreUnavailable,
    Timing,
)
from syncagent.core.revision import Token
from tests.fakes.leases import MemoryStore, MemoryTable

TIMING = Timing()
LEASE_S, RENEW_S, MARGIN_S = TIMING.lease_s, TIMING.renew_s, TIMING.margin_s


@dataclass
class Hand:
    """The test's clock."""

    now: float = 100.0


@dataclass
class Player:
    """An election, the store it asks, and what it told."""

    name: str
    table: MemoryTable
    hand: Hand
    start: str = "start-1"
    told: list[Won | Lost] = field(default_factory=list)
    server_expiry: bool = False
    priority: int = PRIORITY_MAX

    def __post_init__(self) -> None:
        self.store = MemoryStore(self.table)
        self.election = Election(
            Candidate("apim", NodeName(self.name), self.start, priority=self.priority),
            TIMING,
            server_expiry=self.server_expiry,
            never_expires=False,
            jitter=lambda: 0.5,
        )
        self.election.campaign()

    def step(self) -> Action:
        """Do the next thing, however long the store takes for it."""
        action = self.election.next(self.hand.now)
        sent = self.hand.now
        try:
            self._ask(action, sent)
        except LeadershipLost as error:
            assert isinstance(action, Renew)
            self._tell(self.election.lost(action.token, str(error)))
        except StoreUnavailable:
            self.election.unavailable(self.hand.now)
        return action

    def _ask(self, action: Action, sent: float) -> None:
        election, now = self.election, lambda: self.hand.now
        match action:
            case Observe():
                view = self.store.observe()
                election.observed(now(), view)
            case TryAcquire(seen, floor):
                token = self.store.try_acquire(election.me, seen, floor)
                self._tell(election.took(sent, now(), token))
            case Renew(renewing):
                self.store.renew(renewing)
                self._tell(election.renewed(sent, now(), renewing))
            case GiveBack(mine):
                self.store.resign(mine)
                election.gave_back(now(), mine)
            case Rest():
                pass

    def settle(self) -> None:
        """Work until there is nothing to ask at this instant."""
        self._tell(self.election.expire(self.hand.now))
        for _ in range(50):
            if isinstance(self.step(), Rest):
                return
        pytest.fail(f"{self.name} asks the store without a rest")

    def _tell(self, change: Won | Lost | None) -> None:
        if change is not None:
            self.told.append(change)

    @property
    def epoch(self) -> int | None:
        belief = self.election.leadership(self.hand.now)
        return None if belief is None else belief.token.epoch


@pytest.fixture
def hand() -> Hand:
    return Hand()


@pytest.fixture
def table() -> MemoryTable:
    return MemoryTable(lease_s=LEASE_S)


def run(hand: Hand, players: list[Player], until_s: float, step_s: float = 0.25) -> None:
    end = hand.now + until_s
    while hand.now < end:
        for player in players:
            player.settle()
        hand.now += step_s


def test_a_free_lease_is_taken_at_the_first_look(hand: Hand, table: MemoryTable) -> None:
    one = Player("gw-1", table, hand)
    one.settle()
    assert one.epoch == 1
    assert one.election.deadline == hand.now + LEASE_S - MARGIN_S


def test_nobody_is_asked_before_the_campaign(hand: Hand, table: MemoryTable) -> None:
    idle = Election(
        Candidate("apim", NodeName("gw-1"), "start-1"),
        TIMING,
        server_expiry=False,
        never_expires=False,
        jitter=lambda: 0.5,
    )
    assert idle.next(hand.now) == Rest(NEVER)
    assert idle.deadline == NEVER


def test_a_holder_renews_for_ever(hand: Hand, table: MemoryTable) -> None:
    one = Player("gw-1", table, hand)
    run(hand, [one], 10 * LEASE_S)
    assert one.epoch == 1
    assert one.store.calls.count("renew") >= 10 * LEASE_S / RENEW_S - 2


def test_a_free_lease_is_left_to_those_of_a_higher_priority_for_as_long_as_they_look(
    hand: Hand, table: MemoryTable
) -> None:
    low = Player("gw-1", table, hand, priority=PRIORITY_MAX - 1)
    low.settle()
    high = Player("gw-2", table, hand)
    run(hand, [low], RENEW_S * POLL_SHARE * 1.2)
    assert low.epoch is None
    high.settle()
    run(hand, [low, high], LEASE_S)
    assert (low.epoch, high.epoch) == (None, 1)


def test_a_low_priority_only_delays(hand: Hand, table: MemoryTable) -> None:
    low = Player("gw-1", table, hand, priority=0)
    began = hand.now
    while low.epoch is None and hand.now < began + 3 * LEASE_S:
        low.settle()
        hand.now += 0.25
    assert low.epoch == 1
    assert hand.now - began > TIMING.head_start_s(0) == 5 * RENEW_S


def test_a_person_s_word_waits_for_no_priority(hand: Hand, table: MemoryTable) -> None:
    low = Player("gw-1", table, hand, priority=0)
    low.settle()
    assert low.epoch is None
    low.election.me = replace(low.election.me, promoted=True)
    low.settle()
    assert low.epoch == 1


def test_a_store_that_gives_nothing_is_not_asked_in_a_circle(
    hand: Hand, table: MemoryTable
) -> None:
    one = Player("gw-1", table, hand)
    one.election.took(hand.now, hand.now, None)
    action = one.election.next(hand.now)
    assert isinstance(action, Rest)
    assert action.until > hand.now


def test_a_live_holder_is_never_robbed(hand: Hand, table: MemoryTable) -> None:
    one, two = Player("gw-1", table, hand), Player("gw-2", table, hand)
    run(hand, [one, two], 10 * LEASE_S)
    assert (one.epoch, two.epoch, table.epoch) == (1, None, 1)


def test_a_dead_holders_lease_is_taken_after_it_was_watched_for_a_lease(
    hand: Hand, table: MemoryTable
) -> None:
    one, two = Player("gw-1", table, hand), Player("gw-2", table, hand)
    one.settle()
    began = hand.now
    while two.epoch is None and hand.now < began + 3 * LEASE_S:
        two.settle()
        hand.now += 0.25
    assert two.epoch == 2
    assert LEASE_S <= hand.now - began <= LEASE_S + RENEW_S + 1


def test_with_a_store_that_ends_leases_a_held_one_is_left_alone(
    hand: Hand, table: MemoryTable
) -> None:
    one = Player("gw-1", table, hand)
    two = Player("gw-2", table, hand, server_expiry=True)
    one.settle()
    run(hand, [two], 3 * LEASE_S)
    assert two.epoch is None
    table.token = None  # the store ended it
    run(hand, [two], RENEW_S)
    assert two.epoch == 2


def test_the_deadline_counts_from_before_the_request(hand: Hand, table: MemoryTable) -> None:
    one = Player("gw-1", table, hand)
    one.settle()
    hand.now += RENEW_S
    sent = hand.now

    def slow() -> None:
        hand.now += 2.0

    one.store.after = slow
    one.step()
    assert one.election.deadline == sent + LEASE_S - MARGIN_S


def test_a_slow_acquire_counts_from_before_the_request(hand: Hand, table: MemoryTable) -> None:
    one = Player("gw-1", table, hand)
    one.step()
    sent = hand.now

    def slow() -> None:
        hand.now += 2.5

    one.store.after = slow
    one.step()
    assert one.election.deadline == sent + LEASE_S - MARGIN_S


def test_an_acquire_that_answers_too_late_never_leads(hand: Hand, table: MemoryTable) -> None:
    one = Player("gw-1", table, hand)
    one.step()

    def very_slow() -> None:
        hand.now += LEASE_S

    one.store.after = very_slow
    one.step()
    assert (one.epoch, one.told) == (None, [])
    assert one.election.next(hand.now) == GiveBack(Token("apim", 1, NodeName("gw-1"), "start-1"))


def test_a_renewal_that_answers_too_late_does_not_bring_the_belief_back(
    hand: Hand, table: MemoryTable
) -> None:
    one = Player("gw-1", table, hand)
    one.settle()
    hand.now += RENEW_S

    def very_slow() -> None:
        hand.now += LEASE_S
        change = one.election.expire(hand.now)  # the watchdog, meanwhile
        assert isinstance(change, Lost)

    one.store.after = very_slow
    one.step()
    assert one.epoch is None
    one.store.after = lambda: None
    run(hand, [one], RENEW_S)
    assert one.epoch == 2, "leading again takes a new epoch"


def test_a_renewal_that_answers_too_late_ends_the_belief_without_a_watchdog(
    hand: Hand, table: MemoryTable
) -> None:
    one = Player("gw-1", table, hand)
    one.settle()
    hand.now += RENEW_S

    def very_slow() -> None:
        hand.now += LEASE_S

    one.store.after = very_slow
    one.step()
    assert isinstance(one.told[-1], Lost)


def test_a_store_that_is_down_ends_the_belief_at_the_deadline_and_not_before(
    hand: Hand, table: MemoryTable
) -> None:
    one = Player("gw-1", table, hand)
    one.settle()
    began = hand.now
    one.store.down = True
    run(hand, [one], LEASE_S - MARGIN_S, step_s=0.5)
    assert hand.now == began + LEASE_S - MARGIN_S
    assert one.epoch is None
    one.settle()
    assert [type(change) for change in one.told] == [Won, Lost]
    assert one.store.calls.count("renew") > 3, "it was tried again and again"
    one.store.down = False
    run(hand, [one], 2 * RENEW_S)
    assert one.epoch == 2


def test_a_store_that_is_just_not_too_slow_makes_nobody_flap(
    hand: Hand, table: MemoryTable
) -> None:
    one = Player("gw-1", table, hand)

    def slow() -> None:
        hand.now += TIMING.operation_s * 0.9

    one.store.after = slow
    run(hand, [one], 20 * LEASE_S)
    assert one.told == [Won(Token("apim", 1, NodeName("gw-1"), "start-1"))]


def test_of_a_hundred_candidates_one_leads(hand: Hand, table: MemoryTable) -> None:
    players = [Player(f"gw-{number}", table, hand) for number in range(100)]
    run(hand, players, LEASE_S, step_s=1.0)
    assert [player.name for player in players if player.epoch is not None] == ["gw-0"]
    players[0].election.stand_back()
    players[0].settle()
    run(hand, players, RENEW_S, step_s=1.0)
    assert sum(player.epoch is not None for player in players) == 1
    assert table.epoch == 2


def test_a_record_changed_by_hand_is_surely_lost(hand: Hand, table: MemoryTable) -> None:
    one = Player("gw-1", table, hand)
    one.settle()
    table.wipe()
    hand.now += RENEW_S
    one.step()
    assert isinstance(one.told[-1], Lost)
    assert one.epoch is None


def test_a_wiped_store_gives_an_epoch_above_the_floor(hand: Hand, table: MemoryTable) -> None:
    one = Player("gw-1", table, hand)
    one.election.raise_floor(41)
    one.settle()
    assert one.epoch == 42
    table.wipe()
    run(hand, [one], 2 * RENEW_S)
    assert one.epoch == 43


def test_an_acquire_whose_answer_was_lost_is_given_back_and_taken_anew(
    hand: Hand, table: MemoryTable
) -> None:
    one = Player("gw-1", table, hand)
    one.step()
    one.store.answer_lost = True
    one.step()
    assert (table.epoch, one.epoch) == (1, None), "unknown is not success"
    run(hand, [one], RENEW_S)
    assert one.epoch == 2


def test_a_lease_that_outlives_the_belief_does_not_keep_everybody_out(
    hand: Hand, table: MemoryTable
) -> None:
    """The step-down was local, the store still shows our token: it is given back first."""
    one = Player("gw-1", table, hand, server_expiry=True)
    one.settle()
    hand.now += LEASE_S
    run(hand, [one], 2 * RENEW_S)
    assert one.epoch == 2


def test_the_same_node_after_a_restart_does_not_resume(hand: Hand, table: MemoryTable) -> None:
    Player("gw-1", table, hand).settle()
    again = Player("gw-1", table, hand, start="start-2")
    began = hand.now
    while again.epoch is None and hand.now < began + 3 * LEASE_S:
        again.settle()
        hand.now += 0.25
    assert again.epoch == 2
    assert hand.now >= began + LEASE_S


def test_resigning_hands_over_within_one_poll(hand: Hand, table: MemoryTable) -> None:
    one, two = Player("gw-1", table, hand), Player("gw-2", table, hand)
    run(hand, [one, two], LEASE_S)
    change = one.election.stand_back()
    assert isinstance(change, Lost)
    one.settle()
    began = hand.now
    run(hand, [one, two], 0.5 * RENEW_S)
    assert two.epoch == 2
    assert two.told == [Won(Token("apim", 2, NodeName("gw-2"), "start-1"))]
    assert hand.now - began <= 0.5 * RENEW_S
    assert one.epoch is None, "who stood back does not try again"


def test_a_higher_epoch_elsewhere_ends_the_belief(hand: Hand, table: MemoryTable) -> None:
    one = Player("gw-1", table, hand)
    one.settle()
    assert one.election.fenced(1) is None, "its own epoch does not fence it"
    change = one.election.fenced(9)
    assert isinstance(change, Lost)
    run(hand, [one], RENEW_S)
    assert one.epoch == 10


def test_wanting_a_higher_epoch_ends_a_lower_belief_only(hand: Hand, table: MemoryTable) -> None:
    one = Player("gw-1", table, hand)
    one.settle()
    assert one.election.outbid(0) is None
    assert isinstance(one.election.outbid(1), Lost)
    assert one.election.outbid(1) is None
    run(hand, [one], RENEW_S)
    assert one.epoch == 2


def test_being_fenced_while_acquiring_makes_that_epoch_unwanted(
    hand: Hand, table: MemoryTable
) -> None:
    one = Player("gw-1", table, hand)
    one.step()
    one.store.after = lambda: one.election.raise_floor(5)
    one.step()
    assert one.epoch is None
    one.store.after = lambda: None
    run(hand, [one], RENEW_S)
    assert one.epoch == 6


def test_standing_back_while_acquiring_gives_the_lease_back(hand: Hand, table: MemoryTable) -> None:
    one = Player("gw-1", table, hand)
    one.step()

    def stand_back() -> None:
        one.election.stand_back()

    one.store.after = stand_back
    one.step()
    one.store.after = lambda: None
    one.settle()
    assert (one.epoch, table.token, one.told) == (None, None, [])


def test_a_lease_that_could_not_be_given_back_is_when_the_store_answers(
    hand: Hand, table: MemoryTable
) -> None:
    """A session that goes on would keep it for ever, for nobody asks who does not stand for it."""
    one = Player("gw-1", table, hand, server_expiry=True)
    one.settle()
    one.election.stand_back()
    one.store.down = True
    run(hand, [one], LEASE_S)
    assert table.token is not None
    one.store.down = False
    run(hand, [one], RENEW_S)
    assert (one.epoch, table.token) == (None, None)
    assert one.election.next(hand.now) == Rest(NEVER)


def test_an_acquire_of_unknown_outcome_is_looked_after_also_by_who_stands_back(
    hand: Hand, table: MemoryTable
) -> None:
    one = Player("gw-1", table, hand, server_expiry=True)
    one.step()

    def stand_back() -> None:
        one.election.stand_back()

    one.store.answer_lost = True
    one.store.after = stand_back
    one.step()
    one.store.after = lambda: None
    assert table.token is not None
    run(hand, [one], RENEW_S)
    assert (one.epoch, table.token, one.told) == (None, None, [])


def test_a_lease_that_ran_out_for_its_holder_is_given_back_though_it_stands_back(
    hand: Hand, table: MemoryTable
) -> None:
    one = Player("gw-1", table, hand, server_expiry=True)
    one.settle()
    hand.now += LEASE_S
    one.election.expire(hand.now)
    one.election.stand_back()
    run(hand, [one], RENEW_S)
    assert (one.epoch, table.token) == (None, None)


def test_who_only_looks_after_what_is_left_takes_nothing(hand: Hand, table: MemoryTable) -> None:
    one = Player("gw-1", table, hand)
    one.store.down = True
    one.step()
    one.election.stand_back()
    one.store.down = False
    run(hand, [one], RENEW_S)
    assert table.epoch == 0
    assert one.store.calls == ["observe", "observe"]


def test_answers_about_another_token_change_nothing(hand: Hand, table: MemoryTable) -> None:
    one = Player("gw-1", table, hand)
    one.settle()
    before = one.election.leadership(hand.now)
    other = Token("apim", 99, NodeName("gw-9"), "start-9")
    assert one.election.renewed(hand.now, hand.now, other) is None
    assert one.election.lost(other, "not ours") is None
    one.election.gave_back(hand.now, other)
    assert one.election.leadership(hand.now) == before
    assert one.election.fenced(9) is not None
    given_back = one.election.next(hand.now)
    assert isinstance(given_back, GiveBack)
    assert one.election.lost(given_back.token, "the store says so") is None
    assert isinstance(one.election.next(hand.now + RENEW_S), Observe), "not given back again"


def test_a_lease_that_never_expires_is_not_renewed(hand: Hand) -> None:
    election = Election(
        Candidate("apim", NodeName("gw-1"), "start-1"),
        TIMING,
        server_expiry=False,
        never_expires=True,
        jitter=lambda: 0.5,
    )
    election.campaign()
    held = Token("apim", 1, NodeName("gw-1"), "start-1")
    election.observed(hand.now, LeaseView(held, "1", 1, NEVER))
    action = election.next(hand.now)
    assert isinstance(action, TryAcquire), "static asks its guard, whoever it shows"
    won = election.took(hand.now, hand.now, Token("apim", 2, NodeName("gw-1"), "start-1"))
    assert isinstance(won, Won)
    assert election.next(hand.now + 1e9) == Rest(NEVER)
    assert election.expire(hand.now + 1e9) is None


@pytest.mark.parametrize(
    ("timing", "fits"),
    [
        pytest.param(Timing(), True, id="the defaults"),
        pytest.param(Timing(lease_s=13.0), False, id="a lease too short for two operations"),
        pytest.param(Timing(margin_s=1.0), False, id="a margin too short"),
        pytest.param(Timing(renew_s=6.0), False, id="renewing too rarely"),
        pytest.param(Timing(operation_s=0.0), False, id="no time for an operation"),
    ],
)
def test_lengths_that_do_not_fit_are_named(timing: Timing, fits: bool) -> None:
    assert (timing.faults() == ()) is fits


def _misfortune(rng: random.Random, player: Player, hand: Hand) -> None:
    """Something that happens to one node, or only time that passes."""
    match rng.randrange(12):
        case 0:
            player.store.down = not player.store.down
        case 1:
            player.store.answer_lost = True
        case 2:
            pause_s = rng.uniform(0, LEASE_S)

            def slow() -> None:
                hand.now += pause_s

            player.store.after = slow
            player.step()
            player.store.after = lambda: None
        case 3:
            player.election.fenced(player.table.epoch + rng.randrange(2))
        case 4:
            player.election.stand_back()
            player.election.campaign()
        case _:
            hand.now += rng.uniform(0, 2.0)


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 2**32), count=st.integers(2, 5))
def test_whatever_fails_no_two_nodes_ever_believe_to_lead(seed: int, count: int) -> None:
    rng = random.Random(seed)
    hand, table = Hand(), MemoryTable(lease_s=LEASE_S)
    players = [Player(f"gw-{number}", table, hand) for number in range(count)]
    epochs: list[int] = []
    for _ in range(400):
        _misfortune(rng, rng.choice(players), hand)
        for each in players:
            each.election.expire(hand.now)
            each.step()
            believers = [p.name for p in players if p.epoch is not None]
            assert len(believers) <= 1
        epochs.extend(c.token.epoch for p in players for c in p.told if isinstance(c, Won))
        for each in players:
            each.told.clear()
    assert epochs == sorted(set(epochs)), "every leadership has a higher epoch than the one before"
    for player in players:
        player.store.down = False
    run(hand, players, 3 * LEASE_S)
    assert sum(player.epoch is not None for player in players) == 1


# --- what people are told, and what a person wants ------------------------------------------------


def test_who_holds_the_lease_knows_when_it_was_renewed_and_what_is_wrong(
    hand: Hand, table: MemoryTable
) -> None:
    one = Player("gw-1", table, hand)
    assert one.election.outlook == Outlook(campaigning=True)
    one.settle()
    taken_at = hand.now
    run(hand, [one], RENEW_S + 1)
    outlook = one.election.outlook
    assert (outlook.token, outlook.fault) == (table.token, "")
    assert outlook.renewed_at is not None
    assert taken_at + RENEW_S <= outlook.renewed_at < hand.now
    one.store.down = True
    down_at = hand.now
    run(hand, [one], RENEW_S)
    since = one.election.outlook.unavailable_since
    assert since is not None
    assert down_at <= since < hand.now
    one.store.down = False
    run(hand, [one], RENEW_S)
    assert one.election.outlook.unavailable_since is None


def test_who_does_not_hold_it_knows_whose_it_is_and_when_that_was_last_renewed(
    hand: Hand, table: MemoryTable
) -> None:
    one, two = Player("gw-1", table, hand), Player("gw-2", table, hand)
    one.settle()
    run(hand, [one, two], RENEW_S + 3)
    outlook = two.election.outlook
    assert outlook.token == table.token
    assert outlook.renewed_at is not None
    assert hand.now - outlook.renewed_at < RENEW_S


def test_a_reason_for_silence_is_kept_until_the_store_answers(hand: Hand) -> None:
    one = Player("gw-1", MemoryTable(), hand)
    one.election.unavailable(hand.now, "refused")
    one.election.unavailable(hand.now + 1, "timed out")
    outlook = one.election.outlook
    assert (outlook.unavailable_since, outlook.fault) == (hand.now, "timed out")


def test_who_is_woken_looks_at_once_and_takes_no_lease_a_moment_earlier(
    hand: Hand, table: MemoryTable
) -> None:
    one, two = Player("gw-1", table, hand), Player("gw-2", table, hand)
    one.settle()
    two.settle()
    two.election.wake()
    two.settle()
    assert two.epoch is None
    one.election.stand_back()
    assert one.election.giving_back
    one.settle()
    assert not one.election.giving_back
    two.election.wake()
    two.settle()
    assert two.epoch == 2


def test_a_lease_that_is_given_back_for_a_node_is_taken_at_once_by_it(
    hand: Hand, table: MemoryTable
) -> None:
    low = Player("gw-1", table, hand)
    low.election = Election(
        replace(low.election.me, priority=1),
        TIMING,
        server_expiry=False,
        never_expires=False,
        jitter=lambda: 0.5,
    )
    low.election.campaign()
    low.settle()
    assert low.epoch is None, "it leaves it to others"
    low.election.wake(first=True)
    low.settle()
    assert low.epoch == 1


def test_a_person_s_word_takes_a_lease_that_is_held_once(hand: Hand, table: MemoryTable) -> None:
    one, two = Player("gw-1", table, hand), Player("gw-2", table, hand)
    one.settle()
    two.election.me = replace(two.election.me, promoted=True)
    two.settle()
    assert (two.epoch, two.election.me.promoted) == (2, False)
    run(hand, [one, two], RENEW_S + 1)
    assert [type(change) for change in one.told] == [Won, Lost]
    assert one.epoch is None


def test_a_lease_of_an_earlier_start_is_taken_over_at_once_with_a_higher_epoch(
    hand: Hand, table: MemoryTable
) -> None:
    one = Player("gw-1", table, hand, "key.folder.1")
    one.settle()
    other = Player("gw-2", table, hand, "key-2.folder-2.1")
    other.settle()
    again = Player("gw-1", table, hand, "key.folder.2")
    again.settle()
    assert (again.epoch, other.epoch) == (2, None)


@pytest.mark.parametrize("start", ["key.another.2", "other.folder.2", "start-2"])
def test_a_lease_of_a_copy_or_of_another_key_is_waited_for(
    hand: Hand, table: MemoryTable, start: str
) -> None:
    Player("gw-1", table, hand, "key.folder.1").settle()
    again = Player("gw-1", table, hand, start)
    again.settle()
    assert again.epoch is None
    run(hand, [again], LEASE_S + 3)
    assert again.epoch == 2


def test_where_the_store_ends_leases_an_earlier_one_is_waited_for(
    hand: Hand, table: MemoryTable
) -> None:
    Player("gw-1", table, hand, "key.folder.1").settle()
    again = Player("gw-1", table, hand, "key.folder.2", server_expiry=True)
    again.settle()
    assert again.epoch is None
