"""A runtime's deployer as it behaves: files and time in; log lines, writes and what is served out.

Pure and deterministic. Two products (`runtime_words`): Apache Synapse with Axis2 1.7.9, and Carbon
(WSO2 API Manager). Each rule names its source: a class in the sources, or [L], the logs of a real
Apache Synapse in `tests/data/logs`. What follows from reading alone says so.

Whoever drives it hands in the tree at the instants that `due` names and carries out what comes back,
in its order:

    while model.due() <= now:
        for deed in model.turn(model.due(), files):
            ...

A scan is not one instant: each update of most kinds keeps it waiting, and a file is read only when
its turn has come. So the tree is handed in again for each part of a scan.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from syncagent.core.runtime import Phase
from tests.fakes.runtime_deployer import (
    DEFAULTS,
    AbortedError,
    Deed,
    Deployer,
    DiesError,
    DroppedError,
    Files,
    Moved,
    Said,
    Turned,
    Wrote,
    folder_of,
)
from tests.fakes.runtime_judge import Read, written_back
from tests.fakes.runtime_words import WORDS, Dialect, Line, key_space

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

NEVER = float("inf")
_NOTHING_S = 0.001
AT_START = (
    *("local-entries", "endpoints", "sequences", "templates", "proxy-services", "tasks"),
    *("event-sources", "priority-executors", "message-stores", "message-processors", "imports"),
    *("inbound-endpoints", "api"),
)
"""The order of the start ([S] config/xml/MultiXMLConfigurationBuilder:139-150)."""


@dataclass
class RuntimeModel:
    """One runtime and one tree. `root` is the tree's canonical path: log lines name files by it.

    `refuses` returns why a well-formed artifact is refused, "" if it is not: what no static check
    could know. `regenerates` are files that each start writes anew.
    """

    dialect: Dialect
    root: str = "/opt/synapse/repository/conf/synapse-config"
    refuses: Callable[[str, bytes], str] = lambda _path, _content: ""
    regenerates: Mapping[str, bytes] = field(default_factory=dict)
    makes_defaults: bool = False
    """Whether a start writes the main and fault sequences that it does not find"""
    phase: Phase = Phase.DOWN

    def __post_init__(self) -> None:
        self.faults: list[tuple[str, bytes]] = []
        """Bytes in which it has found a fault, or of whose file it has lost track"""
        self._forget()

    def _forget(self) -> None:
        self._deployer = Deployer(self.dialect, self.root, self._refused, self.faults)
        self._writes: dict[str, float] = {}
        """What the console saved and is not in its file yet: when it is written"""
        self._known: dict[str, int] = {}
        self._jobs: list[tuple[str, bool]] = []
        self._began_at = self._load_at = self._ready_at = self._scan_at = self._job_at = NEVER

    def _refused(self, path: str, content: bytes) -> str:
        return self.refuses(path, content)

    # --- its life -----------------------------------------------------------------------------

    def start(self, now: float) -> list[Deed]:
        """Start the process."""
        assert self.phase is Phase.DOWN, "it runs already"
        self._forget()
        self.phase = Phase.STARTING
        self._began_at = now
        self._load_at, self._ready_at = now + self.dialect.load_s, now + self.dialect.start_s
        self._scan_at = now + self.dialect.scan_s if self.dialect.on_grid else NEVER
        if self.dialect.name == "synapse":
            line = Line("INFO", "SynapseServer", "Starting Apache Synapse...", "main")
        else:
            line = Line("INFO", "CarbonCoreActivator", "Starting WSO2 Carbon...")
        return [Turned(Phase.STARTING), Said(line)]

    def kill(self) -> list[Deed]:
        """End the process; it says nothing."""
        self.phase = Phase.DOWN
        self._forget()
        return [Turned(Phase.DOWN)]

    def due(self) -> float:
        """Return the next instant at which it does something."""
        deploying = self._job_at if self._jobs else self._scan_at
        writing = min(self._writes.values(), default=NEVER)
        return min(self._load_at, self._ready_at, deploying, writing)

    def postpone(self, now: float) -> None:
        """Have it do now what it did not come to: it has stood still, and dates what it does later."""
        self._load_at, self._ready_at = max(self._load_at, now), max(self._ready_at, now)
        self._scan_at, self._job_at = max(self._scan_at, now), max(self._job_at, now)
        self._writes = {path: max(at, now) for path, at in self._writes.items()}

    def serves(self, folder: str, name: str) -> bytes | None:
        """Return what answers under this name, None if nothing does."""
        found = self._deployer.artifacts.get((key_space(folder), name))
        return found.content if found is not None and found.folder == folder else None

    def serving(self) -> list[tuple[str, bytes]]:
        """Return the files of all that answers, with their bytes."""
        return [(found.file, found.content) for found in self._deployer.artifacts.values()]

    def console(self, path: str, name: str, content: bytes, now: float) -> list[Deed]:
        """Save an artifact as the console and a Publisher do: in memory at once, in its file later.

        The file is marked as restored when it is written ([W] MultiXMLConfigurationSerializer), so that no
        deployer speaks of it, and a change of it before the next scan is swallowed.
        """
        folder = folder_of(path)
        there = (key_space(folder), name) in self._deployer.artifacts
        self._deployer.add(path, Read(name), content)
        self._writes[path] = now + self.dialect.persist_s
        return list(self._deployer.observed(folder, name, updated=there))

    def _persist(self, now: float) -> list[Deed]:
        """Write what is in the configuration now, whoever put it there since."""
        due = [path for path, at in self._writes.items() if at <= now]
        deeds: list[Deed] = []
        for path in due:
            del self._writes[path]
            name = self._deployer.names.get(path, "")
            held = self._deployer.artifacts.get((key_space(folder_of(path)), name))
            if held is not None:
                self._deployer.restored.add(path)
                deeds.append(Wrote(path, held.content))
        return deeds

    def turn(self, now: float, files: Files) -> list[Deed]:
        """Do what is due at `now`, with the tree as it is then."""
        if now >= self._load_at:
            self._load_at = NEVER
            return list(self._load(files))
        if now >= self._ready_at:
            self._ready_at = NEVER
            return self._ready(now)
        if now >= min(self._writes.values(), default=NEVER):
            return self._persist(now)
        if not self._jobs:
            self._scan(files)
        return self._go_on(now, files)

    def scan_now(self, now: float, files: Files) -> list[Deed]:
        """Scan at once, and take all that is found without its pauses."""
        deeds: list[Deed] = []
        there = dict(files)
        if not self._jobs:
            self._scan(there)
        for _ in range(len(self._jobs) + 1):
            for deed in self._go_on(now, there):
                deeds.append(deed)
                _carry_out(deed, there)
            if not self._jobs:
                break
        return deeds

    # --- the start ----------------------------------------------------------------------------

    def _load(self, files: Files) -> Iterator[Deed]:
        """Load the tree: a broken file is skipped, the rest goes on (fail-safe mode)."""
        if not self.dialect.marks_loaded:
            # Axis2 lists the files before Synapse loads them, so the first scan sees what is new.
            self._known = {path: self._mtime(row) for path, row in files.items() if deploys(path)}
        for path, content in self.regenerates.items():
            yield Wrote(path, content)
            files = {**files, path: (content, 0)}
        for folder in AT_START:
            # Names need only end in `xml`, and may be hidden ([W] MultiXMLConfigurationBuilder:576).
            for path in sorted(p for p in files if folder_of(p) == folder and p.endswith("xml")):
                yield from self._deployer.load(path, files[path][0])
        yield from self._load_defaults()
        if self.dialect.marks_loaded:
            self._deployer.restored.update(self._deployer.names)

    def _load_defaults(self) -> Iterator[Deed]:
        """Make up the two sequences that every configuration has."""
        for path, name in DEFAULTS.items():
            if self.makes_defaults and ("registry", name) not in self._deployer.artifacts:
                text = f'<sequence xmlns="http://ws.apache.org/ns/synapse" name="{name}"/>'
                self._deployer.add(path, Read(name), text.encode())
                yield Wrote(path, written_back(text.encode()))

    def _ready(self, now: float) -> list[Deed]:
        self.phase = Phase.READY
        if self.dialect.on_grid:
            line = Line("INFO", "ServerManager", "Server ready for processing...", "main")
        else:
            self._scan_at = now + self.dialect.scan_s
            text = f"WSO2 Carbon started in {self.dialect.start_s:.0f} sec"
            line = Line("INFO", "StartupFinalizerServiceComponent", text)
        return [Said(line), Turned(Phase.READY)]

    # --- a scan ([A] RepositoryListener, WSInfoList; [X] the same) --------------------------------

    def _scan(self, files: Files) -> None:
        """Find what changed by mtime alone: all undeploys come first, then all deploys."""
        here = {path: self._mtime(row) for path, row in files.items() if self._sees(path)}
        known = self._known
        order = sorted(here, key=self._order(files))
        changed = {p for p in order if p in known and self._differs(here[p], known[p])}
        gone = sorted(sorted(known.keys() - here.keys()), key=self._order(files))
        self._jobs = [(path, False) for path in (*(p for p in order if p in changed), *gone)]
        self._jobs += [(path, True) for path in order if path not in known or path in changed]
        self._known = {**here, **{p: known[p] for p in here if p in known and p not in changed}}
        if self.phase is not Phase.READY:
            # "Skipped the artifact deployment", at DEBUG: what came until now is never looked at.
            self._jobs = []

    def _go_on(self, now: float, files: Files) -> list[Deed]:
        """Take jobs up to the next pause; the rest waits for it."""
        deeds: list[Deed] = []
        there = dict(files)
        while self._jobs:
            path, deploying = self._jobs.pop(0)
            try:
                for deed in self._step(path, there, deploying=deploying):
                    deeds.append(deed)
                    _carry_out(deed, there)
            except AbortedError:
                # One `try` around all undeploys ([A] DeploymentEngine.unDeploy).
                self._jobs = [job for job in self._jobs if job[1]]
            except DroppedError:
                self._jobs = []
            except DiesError as error:
                self._jobs, self._scan_at, self.phase = [], NEVER, Phase.STUCK
                return [*deeds, Turned(Phase.STUCK, f'Exception in thread "Timer-0" {error}')]
            if self._deployer.pausing:
                self._deployer.pausing = False
                now = self._job_at = now + self.dialect.pause_s
                if self._jobs:
                    return deeds
        self._scan_at = (
            self._next_on_grid(now) if self.dialect.on_grid else now + self.dialect.scan_s
        )
        return deeds

    def _step(self, path: str, files: Files, *, deploying: bool) -> Iterator[Deed]:
        step = self._deployer.deploy if deploying else self._deployer.undeploy
        return step(path, files)

    def _next_on_grid(self, now: float) -> float:
        passed = int((now - self._began_at + _NOTHING_S) // self.dialect.scan_s)
        return self._began_at + (passed + 1) * self.dialect.scan_s

    def _sees(self, path: str) -> bool:
        hidden = path.rpartition("/")[2].startswith(".")
        return deploys(path) and not (hidden and self.dialect.skips_hidden)

    def _differs(self, here: int, known: int) -> bool:
        return here > known if self.dialect.newer_only else here != known

    def _mtime(self, row: tuple[bytes, int]) -> int:
        return row[1] // self.dialect.mtime_ns

    def _order(self, files: Files) -> Callable[[str], tuple[int, object]]:
        places = {folder: number for number, folder in enumerate(self.dialect.folders)}
        listed = {path: number for number, path in enumerate(files)}
        if self.dialect.by_name:
            return lambda path: (places[folder_of(path)], path.rpartition("/")[2])
        return lambda path: (places[folder_of(path)], listed.get(path, -1))


def deploys(path: str) -> bool:
    """Tell whether hot deployment looks at a file: its folder, and its suffix as it is written."""
    return folder_of(path) in WORDS and path.endswith(".xml")


def _carry_out(deed: Deed, files: Files) -> None:
    """Have the rest of a turn see what was done to the tree."""
    if isinstance(deed, Wrote):
        files[deed.path] = (deed.content, 0)
    elif isinstance(deed, Moved):
        files[deed.target] = files.pop(deed.path)
