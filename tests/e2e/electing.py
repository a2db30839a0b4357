"""Real agents with an election of their own: a lease in SQLite, short enough for a test."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

from syncagent.core.errors import SyncagentError
from tests.e2e.cluster import Agent, Cluster, until

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from syncagent.core.desk import JSON
    from tests.e2e.cluster import Sections

TIMES = {"lease": "6s", "renew": "1s", "operation": "1s", "margin": "2s"}


class Electorate(Cluster):
    """A cluster whose manager is elected. `manager` is whoever leads now."""

    def __init__(
        self,
        folder: Path,
        nodes: Mapping[str, Path | None],
        sections: Sections | None = None,
        **given: object,
    ) -> None:
        self.database = folder / "lease.db"
        election = {"backend": "sql", "url": f"sqlite:///{self.database}", **TIMES}
        folder.mkdir(parents=True, exist_ok=True)
        super().__init__(folder, nodes, {"election": election, **(sections or {})}, **given)  # type: ignore[arg-type]
        if self.sections["election"]["backend"] == "sql":
            made = next(iter(self)).run("init", "--lease-table")
            assert made.returncode == 0, made.stderr

    @property
    def manager(self) -> Agent:
        """The node that leads; AssertionError if none does."""
        found = self.leader()
        assert found is not None, "nobody leads"
        return found

    def leader(self) -> Agent | None:
        """Return the node that says of itself that it leads."""
        for agent in self:
            try:
                if agent.runs and agent.own_row()["role"] == "manager":
                    return agent
            except SyncagentError:
                continue
        return None

    def wait_led(self, *, but: Agent | None = None) -> Agent:
        """Wait until somebody leads, another than `but`, and leads all that run."""
        until(
            lambda: (found := self.leader()) is not None and found is not but, "another node leads"
        )
        until(self._all_led, "all that run are led")
        return self.manager

    def _all_led(self) -> bool:
        leader = self.leader()
        return leader is not None and all(
            self.status_of(agent)["manager"] == leader.name for agent in self if agent.runs
        )

    @staticmethod
    def status_of(agent: Agent) -> dict[str, JSON]:
        """Return what an agent answers to `status`."""
        status = agent.answer("status")
        assert isinstance(status, dict)
        return status

    def epoch(self) -> int:
        """Return the highest epoch of the lease, as the database has it."""
        with closing(sqlite3.connect(self.database)) as database:
            row: tuple[int] | None = database.execute(
                "SELECT epoch FROM syncagent_lease"
            ).fetchone()
        return row[0] if row is not None else 0
