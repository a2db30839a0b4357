"""How Carbon deploys Siddhi plans: files and time in, log lines and what runs out.

[E] `EventProcessorDeployer`: an update is an undeploy and then a deploy, with nothing to go back to, so a
bad new plan leaves none; a start deploys what is there as it deploys what is new. It runs in the same
scans as the Synapse deployers, and costs them no pause.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from syncagent.core.runtime import Phase, Saying
from tests.fakes.runtime_deployer import Deed, Said, Turned, Word
from tests.fakes.runtime_judge import judge_plan
from tests.fakes.runtime_model import NEVER
from tests.fakes.runtime_words import Line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.fakes.runtime_deployer import Files
    from tests.fakes.runtime_words import Dialect

_LOGGER = "EventProcessorDeployer"


@dataclass
class PlanModel:
    """The plans of one tree, with the interface of `RuntimeModel`."""

    dialect: Dialect
    refuses: Callable[[str, bytes], str] = lambda _path, _content: ""
    phase: Phase = Phase.DOWN
    plans: dict[str, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.faults: list[tuple[str, bytes]] = []
        self._known: dict[str, int] = {}
        self._files: dict[str, str] = {}
        self._scan_at = NEVER

    def start(self, now: float) -> list[Deed]:
        """Start with the rest of the process."""
        self.phase = Phase.STARTING
        self._scan_at = now + self.dialect.start_s
        return [Turned(Phase.STARTING)]

    def kill(self) -> list[Deed]:
        """End the process; it says nothing."""
        self.phase = Phase.DOWN
        self.plans = {}
        self.__post_init__()
        return [Turned(Phase.DOWN)]

    def due(self) -> float:
        """Return the next instant at which it does something."""
        return self._scan_at

    def postpone(self, now: float) -> None:
        """Have it do now what it did not come to: it has stood still."""
        self._scan_at = max(self._scan_at, now)

    def serves(self, folder: str, name: str) -> bytes | None:
        """Return the plan that runs under this name; `folder` is not asked for."""
        del folder
        return self.plans.get(name)

    def serving(self) -> list[tuple[str, bytes]]:
        """Return the files of all that runs, with their bytes."""
        return [
            (path, self.plans[name]) for path, name in self._files.items() if name in self.plans
        ]

    def turn(self, now: float, files: Files) -> list[Deed]:
        """Scan: undeploys first, then deploys, by the names of the files."""
        self.phase = Phase.READY
        self._scan_at = now + self.dialect.scan_s
        step = self.dialect.mtime_ns
        here = {
            path: row[1] // step
            for path, row in files.items()
            if path.endswith(".siddhiql") and not path.rpartition("/")[2].startswith(".")
        }
        known, self._known = self._known, here
        changed = [path for path in sorted(here) if known.get(path) != here[path]]
        deeds: list[Deed] = []
        for path in sorted(known):
            if path not in here or path in changed:
                deeds.extend(self._undeploy(path))
        for path in changed:
            deeds.extend(self._deploy(path, files[path][0]))
        return deeds

    def _undeploy(self, path: str) -> Iterator[Deed]:
        base = path.rpartition("/")[2]
        self.plans.pop(self._files.pop(path, ""), None)
        text = f"Execution Plan was undeployed successfully : {base}"
        yield Said(Line("INFO", _LOGGER, text), Word(Saying.UNDEPLOYED, path))

    def _twin(self, name: str) -> str:
        """Say that a plan of this name runs, from another file ([E] CarbonEventProcessorService)."""
        twin = "Execution plan with the same name already exists. Please remove it and retry."
        return twin if name in self.plans else ""

    def _deploy(self, path: str, content: bytes) -> Iterator[Deed]:
        base = path.rpartition("/")[2]
        read = judge_plan(content)
        reason = read.reason or self._twin(read.name) or self.refuses(path, content)
        if reason:
            self.faults.append((path, content))
            text = f"Execution plan is not deployed and in inactive state : {base}"
            cause = f"\norg.wso2.carbon.event.processor.core.exception.ExecutionPlanConfigurationException: {reason}"
            yield Said(
                Line("ERROR", _LOGGER, text + cause), Word(Saying.REJECTED, path, "", reason)
            )
            yield Said(Line("ERROR", _LOGGER, f"Can't deploy the execution plan: {base}"))
            return
        self.plans[read.name], self._files[path] = content, read.name
        text = f"Execution plan is deployed successfully and in active state  : {read.name}"
        yield Said(Line("INFO", _LOGGER, text), Word(Saying.DEPLOYED, path, read.name))
