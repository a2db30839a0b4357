"""Real agents on loopback: settings written, keys exchanged, processes started, killed, asked.

    with Cluster(folder, {"gw-1": tree_to_copy, "gw-2": None, "gw-3": None}) as cluster:
        cluster.start()
        cluster.wait_synced()
        (cluster["gw-1"].tree / "api/New.xml").write_bytes(...)
        until(cluster.equal, "the workers follow")

Each node lives in `folder/NAME`: `tree` (what is kept equal), `state`, `settings.toml`, `log`, `pid`. The
first node is the static manager. Everything is asked through the program's own command line, as a
person would ask it. Leaving the `with` ends the agents that were started here, by their process ids.
"""

import atexit
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from syncagent.core.artifact import TreeKind
from syncagent.core.desk import JSON
from syncagent.core.errors import UnreachableError
from syncagent.core.ignore import Ignore
from syncagent.web.client import ask as ask_at

PATIENCE_S = 60.0
"""How long a fact may take on a machine that is busy with other tests."""

POLL_S = 0.05

PORTS = range(20_000, 32_000)
"""Below the ports that the kernel hands out to outgoing connections."""

IGNORED = {kind: Ignore(kind) for kind in TreeKind}
"""The names that nobody's tree shows: what the agent ignores where settings add nothing."""

Value = str | int | bool | list[str]
Sections = Mapping[str, Mapping[str, Value]]


def until(fact: Callable[[], object], what: str, patience_s: float = PATIENCE_S) -> None:
    """Poll until `fact()` is true; AssertionError naming `what` after `patience_s`."""
    deadline = time.monotonic() + patience_s
    pause = threading.Event()
    while not fact():
        assert time.monotonic() < deadline, f"not within {patience_s:.0f} s: {what}"
        pause.wait(POLL_S)


_CLAIMS: dict[int, socket.socket] = {}


def _claim(port: int) -> bool:
    """Keep a port as long as this process lives, from all others; false if it was given out already.

    What holds it is a UDP socket: an agent that is stopped for a while finds its port free again.
    """
    if port in _CLAIMS:
        return False
    claim = socket.socket(type=socket.SOCK_DGRAM)
    try:
        claim.bind(("127.0.0.1", port))
    except OSError:
        claim.close()
        return False
    _CLAIMS[port] = claim
    atexit.register(claim.close)
    return True


def free_ports(count: int) -> list[int]:
    """Find ports of 127.0.0.1 that nobody listens on, and that nobody was given before.

    Different processes look from different ends.
    """
    found: list[int] = []
    start = os.getpid() * 37 % len(PORTS)
    for step in range(len(PORTS)):
        port = PORTS[(start + step) % len(PORTS)]
        if not _claim(port):
            continue
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        found.append(port)
        if len(found) == count:
            return found
    raise AssertionError("no free ports on 127.0.0.1")


def files_of(tree: Path, kind: TreeKind = TreeKind.SYNAPSE) -> dict[str, bytes]:
    """Read a tree as path to bytes, without what the agent ignores or keeps for itself."""
    found: dict[str, bytes] = {}
    for path in sorted(tree.rglob("*")):
        name = path.relative_to(tree).as_posix()
        if not IGNORED[kind].hides_way(name) and path.is_file():
            found[name] = path.read_bytes()
    return found


def as_toml(sections: Sections) -> str:
    """Write sections of plain values; JSON's strings, numbers, booleans and lists are TOML's too."""
    lines: list[str] = []
    for title, values in sections.items():
        lines.append(f"[{title}]")
        lines += [f"{key} = {json.dumps(value)}" for key, value in values.items()]
    return "\n".join(lines) + "\n"


@dataclass(frozen=True)
class Place:
    """Where an agent runs: its address, and what its process is started with to be there."""

    address: str = "127.0.0.1"
    prefix: tuple[str, ...] = ()


@dataclass
class Agent:
    """One node: its folder, its settings, and its process while it runs."""

    name: str
    folder: Path
    port: int
    place: Place = Place()
    environment: dict[str, str] = field(default_factory=dict)
    prefix: list[str] = field(default_factory=list)
    """What `run` is started with: `["setpriv", ...]`."""
    process: subprocess.Popen[bytes] | None = None

    @property
    def tree(self) -> Path:
        return self.folder / "tree"

    @property
    def plans(self) -> Path:
        return self.folder / "plans"

    @property
    def state(self) -> Path:
        return self.folder / "state"

    @property
    def settings(self) -> Path:
        return self.folder / "settings.toml"

    @property
    def log(self) -> Path:
        return self.folder / "log"

    @property
    def address(self) -> str:
        return f"{self.place.address}:{self.port}"

    def _environment(self) -> dict[str, str]:
        # pytest's workers set the width of a terminal, for which tables would be made.
        ours = {key for key in os.environ if key.startswith("SYNCAGENT_")} | {"COLUMNS"}
        kept = {key: value for key, value in os.environ.items() if key not in ours}
        return kept | self.environment | {"SYNCAGENT_CONFIG": str(self.settings)}

    def run(self, *arguments: str, timeout_s: float = 120.0) -> subprocess.CompletedProcess[str]:
        """Run one command of the program against this node, whatever it exits with."""
        return subprocess.run(
            [*self.place.prefix, sys.executable, "-m", "syncagent", *arguments],
            cwd=self.folder,
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )

    def ask(self, *arguments: str) -> object:
        """Run a command with `-o json`; AssertionError with what it said unless it exits 0."""
        done = self.run(*arguments, "-o", "json")
        assert done.returncode == 0, f"{arguments} on {self.name}: {done.returncode} {done.stderr}"
        answer: object = json.loads(done.stdout)
        return answer

    def answer(self, verb: str, **arguments: JSON) -> JSON:
        """Ask over the control socket, as the command line does but without its start-up time."""
        return ask_at(self.state / "control.sock", verb, arguments, 30.0)

    def own_row(self) -> dict[str, JSON]:
        """Return this node's own row of its status."""
        status = self.answer("status")
        assert isinstance(status, dict)
        return next(row for row in status["nodes"] if row["name"] == self.name)

    def start(self) -> None:
        """Start the agent; it may not answer yet."""
        assert self.process is None or self.process.poll() is not None, f"{self.name} runs already"
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*self.place.prefix, *self.prefix, sys.executable, "-m", "syncagent", "run"],
                cwd=self.folder,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        (self.folder / "pid").write_text(f"{self.process.pid}\n")

    def live(self) -> bool:
        """Tell whether the agent answers on its control socket; its early end is an AssertionError."""
        if self.process is not None and self.process.poll() is not None:
            raise AssertionError(
                f"{self.name} ended with {self.process.returncode}:\n{self.log.read_text()}"
            )
        try:
            self.answer("status")
        except UnreachableError:
            return False
        return True

    def pause(self) -> None:
        """Stop the process where it is, as a hang would."""
        assert self.process is not None, f"{self.name} was never started"
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused process go on."""
        assert self.process is not None, f"{self.name} was never started"
        self.process.send_signal(signal.SIGCONT)

    @property
    def runs(self) -> bool:
        """Tell whether the process is there."""
        return self.process is not None and self.process.poll() is None

    def end(self, sign: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and wait for the end; returns what the process exited with."""
        assert self.process is not None, f"{self.name} was never started"
        if self.process.poll() is None:
            self.process.send_signal(sign)
        return self.ended()

    def ended(self) -> int:
        """Wait for the end of a process that was told to; AssertionError if it had to be killed."""
        assert self.process is not None, f"{self.name} was never started"
        try:
            return self.process.wait(timeout=PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"{self.name} did not end when it was told to") from None

    def kill(self) -> None:
        """End the agent as a power button would."""
        self.end(signal.SIGKILL)


class Cluster:
    """Agents that know each other. The trees start as copies of folders, or empty.

    `nodes` maps a name to the folder its tree is copied from, or None for an empty tree; the first
    leads. `sections` adds to or replaces settings of all nodes: `{"limits": {"reconcile": "2s"}}`;
    `own` those of one: `{"gw-2": {"tree": {"drift": "report"}}}`. With `plans` every node has a
    second tree, of Siddhi plans, that starts empty.
    """

    def __init__(
        self,
        folder: Path,
        nodes: Mapping[str, Path | None],
        sections: Sections | None = None,
        *,
        own: Mapping[str, Sections] | None = None,
        plans: bool = False,
    ) -> None:
        self.folder = folder
        self.sections = sections or {}
        self.own = own or {}
        self.plans = plans
        self.keys: dict[str, str] = {}
        self.agents = {
            name: Agent(name, folder / name, port, self.place_of(name))
            for name, port in zip(nodes, free_ports(len(nodes)), strict=True)
        }
        for name, source in nodes.items():
            agent = self.agents[name]
            agent.folder.mkdir(parents=True)
            if source is None:
                agent.tree.mkdir()
            else:
                shutil.copytree(source, agent.tree)
            if plans:
                agent.plans.mkdir()
        self._exchange_keys()

    def place_of(self, name: str) -> Place:
        """Return where a node is to run."""
        return Place()

    def __getitem__(self, name: str) -> Agent:
        return self.agents[name]

    def __iter__(self) -> Iterator[Agent]:
        return iter(self.agents.values())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def manager(self) -> Agent:
        """The node that the settings name; after `promote` another may lead."""
        return next(iter(self.agents.values()))

    @property
    def workers(self) -> list[Agent]:
        """The nodes that the settings do not name as the manager."""
        return list(self.agents.values())[1:]

    def write_settings(self, agent: Agent, keys: Mapping[str, str]) -> None:
        """Write an agent's settings file with the peers whose keys are known."""
        sections: dict[str, dict[str, Value]] = {
            "cluster": {"name": "loopback"},
            "node": {
                "name": agent.name,
                "state_dir": str(agent.state),
                "listen": agent.address,
            },
            "election": {"backend": "static", "manager": self.manager.name}
            if "election" not in self.sections
            else {},
            "runtime": {"kind": "none"},
        }
        tree: dict[str, Value] = {"name": "synapse", "kind": "synapse", "path": str(agent.tree)}
        sections["[tree]"] = tree
        own = self.own.get(agent.name, {})
        for title, values in [*self.sections.items(), *own.items()]:
            name = "[tree]" if title == "tree" else title
            sections[name] = {**sections.get(name, {}), **values}
        text = as_toml({title: sections[title] for title in sections if title != "[tree]"})
        text += as_toml({"[tree]": sections["[tree]"]})
        if self.plans:
            text += as_toml(
                {"[tree]": {"name": "plans", "kind": "siddhi", "path": str(agent.plans)}}
            )
        for peer in self:
            entry: dict[str, Value] = {"name": peer.name, "address": peer.address}
            if peer.name in keys:
                entry["key"] = keys[peer.name]
            text += as_toml({"[peer]": entry})
        agent.settings.write_text(text)

    def _exchange_keys(self) -> None:
        for agent in self:
            self.write_settings(agent, {})
        for agent in self:
            shown = agent.run("keys", "show")
            assert shown.returncode == 0, shown.stderr
            self.keys[agent.name] = shown.stdout.strip()
        for agent in self:
            self.write_settings(agent, self.keys)

    def start(self, *names: str) -> None:
        """Start the agents (all, if none is named) that do not run, and wait until they answer."""
        chosen = [self[name] for name in names] or list(self)
        for agent in chosen:
            if not agent.runs:
                agent.start()
        for agent in chosen:
            until(agent.live, f"{agent.name} answers")

    def wait_synced(self) -> None:
        """Wait until the cluster says that it is synced and every running tree is equal."""
        until(self.synced, "every node is Synced")
        until(self.equal, "the trees are equal")

    def synced(self) -> bool:
        """Tell whether the manager calls every node Synced at its current revision."""
        status = self.manager.answer("status")
        assert isinstance(status, dict)
        return status["revision"] > 0 and all(
            node["state"] == "Synced" and node["revision"] == status["revision"]
            for node in status["nodes"]
        )

    def equal(self) -> bool:
        """Tell whether every node's tree has the bytes of the manager's."""
        wanted = files_of(self.manager.tree)
        if any(files_of(agent.tree) != wanted for agent in self):
            return False
        wanted = files_of(self.manager.plans, TreeKind.SIDDHI)
        return all(files_of(agent.plans, TreeKind.SIDDHI) == wanted for agent in self)

    def close(self) -> None:
        """End the agents that were started here; those that do not end in time are killed."""
        running = [agent for agent in self if agent.runs]
        for agent in running:
            assert agent.process is not None
            agent.resume()
            agent.process.terminate()
        for agent in running:
            agent.ended()
