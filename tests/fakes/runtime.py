"""The `Runtime` port with a modelled runtime behind it, on a `FakeDisk` and a clock that a test moves.

`FakeGateway` is the runtime's process and its log: it lives on while agents come and go. `FakeRuntime` is
an agent's ear at it. The log's text is skipped: what a line means goes straight into `Heard`.

    gateway = FakeGateway(disk, SYNAPSE, wall)
    gateway.boot()
    gateway.run()          # carries out all that is due by now
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from syncagent.core.artifact import FOLDERS, ArtifactPath, Kind, TreeKind, TreeName
from syncagent.core.events import RuntimeHeard, RuntimeTurned
from syncagent.core.ignore import Ignore
from syncagent.core.runtime import About, Heard, Phase, RuntimeState, Saying
from syncagent.core.snapshot import Condition
from tests.fakes.disk import SECOND_NS
from tests.fakes.runtime_deployer import Moved, Said, Turned, Wrote, folder_of
from tests.fakes.runtime_model import RuntimeModel
from tests.fakes.runtime_plans import PlanModel

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from syncagent.core.events import ShellEvent
    from syncagent.core.runtime import Order
    from tests.fakes.disk import FakeDisk
    from tests.fakes.runtime_deployer import Deed
    from tests.fakes.runtime_words import Dialect

TREE = TreeName("synapse")


_IGNORE = Ignore(TreeKind.SYNAPSE)


def backed_up(_tree: TreeName, path: str) -> bool:
    """Tell whether a name is one that an agent leaves out, as `.back` files are."""
    return _IGNORE.hides_way(path)


def _nobody(_path: ArtifactPath) -> None:
    """Watch nothing."""


@dataclass
class FakeGateway:
    """One runtime beside an agent. `wrote` is told of each of its own writes, as a watcher would be.

    `refuses` returns why it refuses a well-formed artifact, "" if it takes it. `mute` makes it say
    nothing of what it does, as if its log were lost.
    """

    disk: FakeDisk
    dialect: Dialect
    wall: Callable[[], float]
    tree: TreeName = TREE
    plans: TreeName | None = None
    """The tree of Siddhi plans, for a Carbon that runs some"""
    refuses: Callable[[str, bytes], str] = lambda _path, _content: ""
    wrote: Callable[[ArtifactPath], None] = _nobody
    regenerates: Mapping[str, bytes] = field(default_factory=dict)
    mute: bool = False
    log: list[Heard | RuntimeState] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.model = RuntimeModel(
            self.dialect,
            f"/{self.tree}",
            self._refused,
            self.regenerates,
        )
        self._models: dict[TreeName, RuntimeModel | PlanModel] = {self.tree: self.model}
        if self.plans is not None:
            self._models[self.plans] = PlanModel(self.dialect, self._refused)
        self.state = RuntimeState(Phase.DOWN)
        self.listeners: list[FakeRuntime] = []
        self._starts = 0

    @property
    def trees(self) -> tuple[TreeName, ...]:
        """The trees that it deploys from."""
        return tuple(self._models)

    @property
    def about(self) -> About:
        """What an agent is told of it."""
        dialect = self.dialect
        return About(
            dialect.name.partition("-")[0],
            dialect.label,
            answers=True,
            scan_s=dialect.scan_s,
            pause_s=dialect.pause_s,
            shy=True,
            log=f"/{self.tree}.log",
        )

    # --- its life -----------------------------------------------------------------------------

    def boot(self, *, begun_s: float = 0.0) -> None:
        """Start the process, or have it been started so long ago; quiet if it runs."""
        if self.model.phase is not Phase.DOWN:
            return
        self._starts += 1
        at = self.wall() - begun_s
        name, pid = f"start-{self._starts}", f"pid {self._starts}"
        self.state = RuntimeState(Phase.DOWN, name, started_at=at, detail=pid)
        for tree, model in self._models.items():
            self._take(tree, model.start(at), at)

    def ready(self) -> FakeGateway:
        """Start it and be ready at once, with the tree loaded as it is now."""
        self.boot(begun_s=self.dialect.start_s)
        self.run()
        return self

    def kill(self) -> None:
        """End the process; quiet if it does not run."""
        if self.model.phase is not Phase.DOWN:
            for tree, model in self._models.items():
                self._take(tree, model.kill(), self.wall())

    def due(self) -> float:
        """Return the wall time at which it does something next."""
        return min(model.due() for model in self._models.values())

    def run(self) -> bool:
        """Carry out all that is due by now; tell whether anything was."""
        busy = False
        while (at := self.due()) <= self.wall():
            busy = True
            tree, model = min(self._models.items(), key=lambda each: each[1].due())
            self._take(tree, model.turn(at, self._files(tree)), at)
        return busy

    def stand_still(self) -> None:
        """Have it do nothing up to now: what was due waits, and is dated when it is done."""
        for model in self._models.values():
            model.postpone(self.wall())

    def scan(self) -> None:
        """Have it scan now, whenever it would have, and go through all that it finds."""
        before = self.model.phase
        assert before is Phase.READY, f"it is {before}"
        now = self.wall()
        self._take(self.tree, self.model.scan_now(now, self._files(self.tree)), now)

    def console(self, path: str, name: str, content: bytes) -> None:
        """Save an artifact in its console: it serves it at once, and writes the file later."""
        now = self.wall()
        self._take(self.tree, self.model.console(path, name, content, now), now)

    def serves(self, folder: str, name: str) -> bytes | None:
        """Return what answers under this name (of folder `plan`: what runs), None if nothing does."""
        tree = self.plans if folder == "plan" else self.tree
        return self._models[tree].serves(folder, name) if tree is not None else None

    def serving(self) -> list[tuple[ArtifactPath, bytes]]:
        """Return all that it serves, with the files from which it came."""
        return [
            (ArtifactPath(tree, path), content)
            for tree, model in self._models.items()
            for path, content in model.serving()
        ]

    def faults(self) -> list[tuple[ArtifactPath, bytes]]:
        """Return, once, the bytes in which it has found a fault, or that it could not take."""
        found = [
            (ArtifactPath(tree, path), content)
            for tree, model in self._models.items()
            for path, content in model.faults
        ]
        for model in self._models.values():
            model.faults.clear()
        return found

    # --- private ------------------------------------------------------------------------------

    def _refused(self, path: str, content: bytes) -> str:
        """Ask as it is now: a test may change its mind."""
        return self.refuses(path, content)

    def _files(self, tree: TreeName) -> dict[str, tuple[bytes, int]]:
        """Return what a listing shows: nothing of a tree that is away."""
        there = self.disk.conditions.get(tree, Condition.GOOD) is Condition.GOOD
        return dict(self.disk.trees[tree]) if there else {}

    def _take(self, tree: TreeName, deeds: list[Deed], at: float) -> None:
        before = len(self.log)
        for deed in deeds:
            match deed:
                case Wrote(path, content):
                    self._write(ArtifactPath(tree, path), content, at)
                case Moved(path, target):
                    rows = self.disk.trees[tree]
                    rows[target] = rows.pop(path)
                    self.wrote(ArtifactPath(tree, path))
                    self.wrote(ArtifactPath(tree, target))
                case Turned(phase, console) if tree == self.tree:
                    self._turn(phase, console, at)
                case Said():
                    self._say(tree, deed, at)
        if len(self.log) > before:
            for listener in self.listeners:
                listener.read_on()

    def _write(self, path: ArtifactPath, content: bytes, at: float) -> None:
        self.disk.put(path, content)
        self.disk.trees[path.tree][path.path] = (content, int(at * SECOND_NS))
        self.wrote(path)

    def _turn(self, phase: Phase, console: str, at: float) -> None:
        detail = f"its deployer died: {console}" if phase is Phase.STUCK else self.state.detail
        ready_at = at if phase is Phase.READY else self.state.ready_at
        self.state = replace(self.state, phase=phase, ready_at=ready_at, detail=detail)
        self.log.append(self.state)

    def _say(self, tree: TreeName, said: Said, at: float) -> None:
        if said.word is None or self.mute:
            return
        word = said.word
        path = ArtifactPath(tree, word.path) if word.path else None
        kind = FOLDERS.get(word.folder or folder_of(word.path), Kind.PLAN)
        text = said.line.text
        aside = tree if word.saying in {Saying.SAVED, Saying.DROPPED} else None
        self.log.append(Heard(word.saying, path, kind, word.name, word.reason, text, at, aside))


class FakeRuntime:
    """An agent's ear at a gateway. The mark is the number of log entries that were heard."""

    def __init__(self, gateway: FakeGateway, post: Callable[[ShellEvent], None]) -> None:
        self.gateway = gateway
        self.told: list[Order] = []
        self.asked: list[Order] = []
        self._post = post
        self._read = 0

    @property
    def about(self) -> About:
        return self.gateway.about

    def start(self, mark: str | None) -> None:
        """Say all that was said since the mark, or since the last start, and then the present state.

        As the log is read: of the turns on the way only those of the process that runs now are told.
        """
        log = self.gateway.log
        if mark is not None and mark.isdecimal() and int(mark) <= len(log):
            self._read = int(mark)
        else:
            self._read = _last_start(log)
        self.gateway.listeners.append(self)
        if self.read_on(catching_up=True) != self.gateway.state:
            self._post(RuntimeTurned(self.gateway.state))

    def tell(self, order: Order) -> None:
        self.told.append(order)

    def verify(self, order: Order) -> None:
        self.asked.append(order)

    def stop(self) -> None:
        if self in self.gateway.listeners:
            self.gateway.listeners.remove(self)

    def read_on(self, *, catching_up: bool = False) -> RuntimeState | None:
        """Post what was said since; a change of state in its place among the sayings. Return the last."""
        log, heard, last = self.gateway.log, list[Heard](), None
        while self._read < len(log):
            entry = log[self._read]
            self._read += 1
            if isinstance(entry, Heard):
                heard.append(entry)
                continue
            self._flush(heard, self._read - 1)
            if not catching_up or entry.incarnation == self.gateway.state.incarnation:
                self._post(RuntimeTurned(entry))
                last = entry
        self._flush(heard, self._read)
        return last

    def _flush(self, heard: list[Heard], mark: int) -> None:
        if heard:
            self._post(RuntimeHeard(tuple(heard), str(mark)))
            heard.clear()


def _last_start(log: list[Heard | RuntimeState]) -> int:
    starts = (
        number
        for number, entry in reversed(list(enumerate(log)))
        if isinstance(entry, RuntimeState) and entry.phase is Phase.STARTING
    )
    return next(starts, 0)
