"""What happens to a lease store and to the ways to it, drawn from a seed."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tests.fakes.lease_house import House, LeaseHouse, Row, StoreWeather

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from syncagent.core.artifact import NodeName
    from syncagent.core.lease import Timing
    from tests.simulation.world import World

HOUR_S = 3600.0


class Storm:
    """Makes a lease store, and trouble for it until it is told to stop.

    `kept`: whether the store has never lost anything. One that was wiped or restored may let two
    nodes believe that they lead; what protects the workers then is the epoch alone.
    """

    def __init__(self, world: World, timing: Timing, nodes: Sequence[NodeName]) -> None:
        self.world = world
        self.rng = rng = world.rng
        self.nodes = nodes
        self.kept = True
        kind = rng.choice(("row", "row", "lease", "session"))
        store = LeaseHouse(
            world.now,
            lease_s=timing.lease_s,
            server_expiry=kind != "row",
            sessions=kind == "session",
        )
        slowest_s = rng.choice((0.01, 0.1, timing.operation_s * 0.45))
        self._fair = StoreWeather(delay_most_s=slowest_s)
        self.house = House(
            store, rng, world.later, timeout_s=timing.operation_s, weather=replace(self._fair)
        )
        self._lease_s = timing.lease_s
        self._backup = Row()
        self._stopped = False

    def acts(self) -> dict[str, tuple[Callable[[], None], float]]:
        """Return what may happen, with how often it does beside the others."""
        return {
            "store-down": (self._down, 2.0),
            "store-hang": (self._hang, 2.0),
            "store-slow": (self._slow, 1.5),
            "store-loss": (self._loss, 1.5),
            "store-away": (self._away, 2.5),
            "store-backup": (self._take_backup, 0.7),
            "store-restore": (self._restore, 0.4),
            "store-clock": (self._turn_clock, 1.0),
        }

    def stop(self) -> None:
        """Mend everything."""
        self._stopped = True
        self._mend()
        self.house.away.clear()

    def _mend(self) -> None:
        if self.house.weather.hangs or self.house.weather.refuses:
            self.house.store.begin_again()
        self.house.restart()
        self.house.weather = replace(self._fair)

    def _for_a_while(self, what: str, weather: StoreWeather) -> None:
        for_s = self.rng.choice((0.2, 0.7, 1.5, 4.0)) * self._lease_s
        self.world.tell("store", f"! {what} for {for_s:.1f} s")
        self.house.weather = weather

        def over() -> None:
            if self.house.weather is weather:
                self.world.tell("store", f"! {what} no more")
                self._mend()

        self.world.later(for_s, over)

    def _down(self) -> None:
        self._for_a_while("down", replace(self._fair, refuses=True))

    def _hang(self) -> None:
        self._for_a_while("hangs", replace(self._fair, hangs=True))

    def _slow(self) -> None:
        most_s = self.house.timeout_s * self.rng.choice((0.9, 1.5))
        self._for_a_while("slow", replace(self._fair, delay_most_s=most_s))

    def _loss(self) -> None:
        some = self.rng.choice((0.1, 0.5))
        self._for_a_while(
            "loses", replace(self._fair, lost=some, answer_lost=some, twice=some, lagging=some)
        )

    def _away(self) -> None:
        """Some nodes don't reach the store, though they reach each other."""
        nodes = self.rng.sample(list(self.nodes), self.rng.randint(1, len(self.nodes)))
        self.away(nodes, self.rng.choice((0.3, 1.5, 4.0)) * self._lease_s)

    def away(self, nodes: Sequence[NodeName], for_s: float) -> None:
        """Have these nodes not reach the store."""
        self.world.tell("store", f"! away from {sorted(nodes)} for {for_s:.1f} s")
        self.house.away.update(nodes)
        self.world.later(for_s, lambda: self.house.away.difference_update(nodes))

    def _take_backup(self) -> None:
        self._backup = self.house.store.row

    def _restore(self) -> None:
        row = self.rng.choice((self._backup, Row()))
        self.world.tell("store", f"! restored to {row.version} {row.token}")
        self.kept = False
        self.house.store.restore(row)

    def _turn_clock(self) -> None:
        by_s = self.rng.choice((-HOUR_S, HOUR_S))
        self.world.tell("store", f"! its wall clock is turned by {by_s:.0f} s")
        self.house.store.turned_s += by_s
