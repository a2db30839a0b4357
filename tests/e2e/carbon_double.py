"""A process that stands in for a WSO2 product on Carbon, which can't be had here: a double, no product.

It behaves as the model in `tests/fakes/runtime_model` says, on a real home: scans its folders, writes
back into them, keeps `repository/logs/wso2carbon.log` and rotates it, can be killed and started. All
times are divided by `FACTOR`: a scan every half second in place of 15 s. What it serves is asked over HTTP.

    with carbon_home(folder) as home:
        home.start()
        put(home.config / "api/A.xml", api("A"))
        until(lambda: home.serves("api", "A") == api("A"), "it is deployed")

An artifact that holds the text `no.such.Class` is refused, as one with a class that is not there.
Tenants are loaded by `home.load_tenant(3)` and say nothing before.
"""

import argparse
import http.client
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from syncagent.core.runtime import Phase
from tests.e2e.cluster import free_ports, until
from tests.fakes.runtime_deployer import Deed, Moved, Said, Wrote
from tests.fakes.runtime_model import RuntimeModel
from tests.fakes.runtime_plans import PlanModel
from tests.fakes.runtime_words import CARBON, CARBON_2, Dialect, in_log

FACTOR = 30.0
ROOT = Path(__file__).resolve().parents[2]
SERVER = "repository/deployment/server"
SYNAPSE, PLANS = "synapse-configs/default", "executionplans"
LOG = "repository/logs/wso2carbon.log"
MAIN = "org.wso2.carbon.bootstrap.Bootstrap"
SUPER = "-1234"
"""How Carbon's log calls the tenant that is always there."""
INTERVAL = "<DeploymentUpdateInterval>1</DeploymentUpdateInterval>"
PAUSE_S = 0.01
VERSIONS = {"3.2.0": CARBON, "2.6.0": CARBON_2}

Model = RuntimeModel | PlanModel


# --- the process ------------------------------------------------------------------------------------


class Log:
    """A log that is rotated by size: the full file gets a date and a number, as log4j2 does it."""

    def __init__(self, path: Path, dialect: Dialect, bytes_max: int) -> None:
        self.path = path
        self.dialect = dialect
        self.bytes_max = bytes_max
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("ab")

    def say(self, at: float, said: Said, tenant: str) -> None:
        self._file.write(in_log(self.dialect, at, said.line, tenant).encode() + b"\n")
        self._file.flush()
        if self._file.tell() > self.bytes_max:
            self._rotate(at)

    def _rotate(self, at: float) -> None:
        self._file.close()
        day = datetime.fromtimestamp(at, UTC).strftime("%m-%d-%Y")
        number = 1
        while (full := self.path.with_name(f"wso2carbon-{day}-{number}.log")).exists():
            number += 1
        self.path.rename(full)
        self._file = self.path.open("ab")


class Double:
    """All trees of one home, each with its model, and the log that they share."""

    def __init__(self, home: Path, dialect: Dialect, log_bytes: int) -> None:
        self.home = home
        self.dialect = dialect
        self.log = Log(home / LOG, dialect, log_bytes)
        self.lock = threading.Lock()
        self.trees: dict[Path, tuple[Model, str]] = {}
        self._add(home / SERVER, SUPER)

    def _add(self, base: Path, tenant: str) -> list[Model]:
        root = base / SYNAPSE
        made: list[tuple[Path, Model]] = []
        if root.is_dir():
            made.append((root, RuntimeModel(self.dialect, str(root.resolve()), _refuses)))
        if (base / PLANS).is_dir():
            made.append((base / PLANS, PlanModel(self.dialect, _refuses)))
        self.trees |= {place: (model, tenant) for place, model in made}
        return [model for _, model in made]

    def start(self) -> None:
        now = _now()
        with self.lock:
            for root, (model, tenant) in self.trees.items():
                deeds = model.start(now)
                # One process has one start, whatever it deploys.
                self._carry_out(root, [] if isinstance(model, PlanModel) else deeds, tenant, now)

    def load_tenant(self, tenant: str) -> None:
        """Load a tenant's trees, as its first request does: it is served when this returns."""
        with self.lock:
            if tenant in {known for _, known in self.trees.values()}:
                return
            dialect, self.dialect = self.dialect, replace(self.dialect, start_s=0.0, load_s=0.0)
            for model in self._add(self.home / "repository/tenants" / tenant, tenant):
                model.start(_now())
            self.dialect = dialect
            self._step()

    def unload_tenant(self, tenant: str) -> None:
        """Unload a tenant that was idle: it says nothing and serves nothing."""
        with self.lock:
            self.trees = {root: row for root, row in self.trees.items() if row[1] != tenant}

    def console(self, name: str, content: bytes) -> None:
        """Save an API as the admin console does."""
        with self.lock:
            root = self.home / SERVER / SYNAPSE
            model = self.trees[root][0]
            assert isinstance(model, RuntimeModel), "the Synapse tree's"
            path, now = f"api/{name}.xml", _now()
            self._carry_out(root, model.console(path, name, content, now), SUPER, now)

    def serves(self, tenant: str, folder: str, name: str) -> bytes | None:
        with self.lock:
            for model, owner in self.trees.values():
                found = model.serves(folder, name) if owner == tenant else None
                if found is not None:
                    return found
        return None

    def step(self) -> None:
        """Do what is due in each tree."""
        with self.lock:
            self._step()

    def _step(self) -> None:
        for root, (model, tenant) in self.trees.items():
            while model.due() <= (now := _now()):
                # What a tenant's models say of a start is no start of the server.
                deeds = model.turn(now, _files(root))
                quiet = tenant != SUPER and model.phase is Phase.STARTING
                self._carry_out(root, deeds, tenant, now, quiet=quiet)

    def _carry_out(
        self, root: Path, deeds: list[Deed], tenant: str, now: float, *, quiet: bool = False
    ) -> None:
        for deed in deeds:
            match deed:
                case Said(line) if not quiet and not _of_start(line.logger, tenant):
                    self.log.say(now, deed, tenant)
                case Wrote(path, content):
                    # Over the file, not beside it: whoever reads meanwhile sees a part.
                    (root / path).parent.mkdir(parents=True, exist_ok=True)
                    (root / path).write_bytes(content)
                case Moved(path, target):
                    (root / path).rename(root / target)


def _of_start(logger: str, tenant: str) -> bool:
    return tenant != SUPER and logger in {"StartupFinalizerServiceComponent", "CarbonCoreActivator"}


def _refuses(_path: str, content: bytes) -> str:
    return "Class no.such.Class not found in the path" if b"no.such.Class" in content else ""


def _now() -> float:
    return time.clock_gettime(time.CLOCK_REALTIME)


def _files(root: Path) -> dict[str, tuple[bytes, int]]:
    found: dict[str, tuple[bytes, int]] = {}
    for folder, _, names in os.walk(root):
        for name in names:
            path = Path(folder, name)
            with suppress(FileNotFoundError):
                row = (path.read_bytes(), path.stat().st_mtime_ns)
                found[path.relative_to(root).as_posix()] = row
    return found


def _handler(double: Double) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        """`GET /TENANT/FOLDER/NAME`: what is served; `POST /VERB/NAME`: what a person does."""

        def do_GET(self) -> None:
            _, tenant, folder, name = self.path.split("/", 3)
            self._answer(double.serves(tenant, folder, name))

        def do_POST(self) -> None:
            _, verb, name = self.path.split("/", 2)
            content = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            if verb == "console":
                double.console(name, content)
            else:
                (double.load_tenant if verb == "load" else double.unload_tenant)(name)
            self._answer(b"")

        def _answer(self, content: bytes | None) -> None:
            self.send_response(404 if content is None else 200)
            self.send_header("Content-Length", str(len(content or b"")))
            self.end_headers()
            self.wfile.write(content or b"")

        def log_message(self, *args: object, **more: object) -> None:
            """Write nothing: the log is another's."""

    return Handler


def main() -> None:
    """Be the process, until SIGTERM."""
    parser = argparse.ArgumentParser()
    parser.add_argument("home", type=Path)
    parser.add_argument("version")
    parser.add_argument("port", type=int)
    parser.add_argument("log_bytes", type=int)
    parser.add_argument("main", help="what the process of a real one is known by")
    wish = parser.parse_args()
    full = VERSIONS[wish.version]
    dialect = replace(
        full,
        scan_s=full.scan_s / FACTOR,
        pause_s=full.pause_s / FACTOR,
        load_s=full.load_s / FACTOR,
        start_s=full.start_s / FACTOR,
        persist_s=full.persist_s / FACTOR,
    )
    over = threading.Event()
    signal.signal(signal.SIGTERM, lambda _number, _frame: over.set())
    (wish.home / "wso2carbon.pid").write_text(f"{os.getpid()}\n")
    double = Double(wish.home, dialect, wish.log_bytes)
    server = ThreadingHTTPServer(("127.0.0.1", wish.port), _handler(double))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    double.start()
    while not over.wait(PAUSE_S):
        double.step()
    server.shutdown()


# --- the home, as tests see it ----------------------------------------------------------------------


@dataclass
class CarbonHome:
    """A home with the double in it. `log_bytes` is the size at which the log is rotated."""

    folder: Path
    version: str = "3.2.0"
    log_bytes: int = 10_000_000
    tenants: tuple[str, ...] = ()
    process: subprocess.Popen[bytes] | None = None
    port: int = field(default_factory=lambda: free_ports(1)[0])

    def __post_init__(self) -> None:
        places = [self.folder / SERVER, *(self.tenant(number) for number in self.tenants)]
        for place in places:
            for kind in ("api", "sequences", "endpoints", "local-entries"):
                (place / SYNAPSE / kind).mkdir(parents=True, exist_ok=True)
            (place / PLANS).mkdir(parents=True, exist_ok=True)
        files = {
            "bin/version.txt": f"WSO2 API Manager {self.version}",
            # Whole seconds are all that it takes; the double is faster than it says.
            "repository/conf/carbon.xml": f"<Server><Axis2Config>{INTERVAL}</Axis2Config></Server>",
        }
        for name, text in files.items():
            (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / name).write_text(text)

    @property
    def config(self) -> Path:
        """The Synapse tree."""
        return self.folder / SERVER / SYNAPSE

    @property
    def plans(self) -> Path:
        return self.folder / SERVER / PLANS

    @property
    def log(self) -> Path:
        return self.folder / LOG

    def tenant(self, number: str) -> Path:
        return self.folder / "repository/tenants" / number

    def launch(self) -> None:
        """Start the process; quiet if it runs."""
        if self.process is not None:
            return
        command = [sys.executable, "-m", "tests.e2e.carbon_double", str(self.folder)]
        command += [self.version, str(self.port), str(self.log_bytes), MAIN]
        self.process = subprocess.Popen(command, cwd=ROOT)

    def start(self) -> None:
        """Start it and wait until it is ready."""
        before = self.starts()
        self.launch()
        until(lambda: self.starts() > before, "it says that it is ready")

    def stop(self) -> None:
        """End it as an operator does."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def _end(self, sign: signal.Signals) -> None:
        if self.process is not None:
            self.process.send_signal(sign)
            self.process.wait()
            self.process = None

    def text(self) -> str:
        """Return the whole log, rotated files first."""
        rotated = sorted(
            self.log.parent.glob("wso2carbon-*.log"), key=lambda path: path.stat().st_mtime_ns
        )
        files = [*rotated, self.log] if self.log.exists() else rotated
        return "".join(path.read_text() for path in files)

    def starts(self) -> int:
        """Return how often it got ready."""
        return self.text().count("WSO2 Carbon started in")

    def serves(self, folder: str, name: str, tenant: str = SUPER) -> bytes | None:
        """Return what answers under this name, None if nothing does, or nobody is there."""
        status, content = self._ask("GET", f"/{tenant}/{folder}/{name}")
        return content if status == http.client.OK else None

    def load_tenant(self, number: str) -> None:
        self._ask("POST", f"/load/{number}")

    def unload_tenant(self, number: str) -> None:
        self._ask("POST", f"/unload/{number}")

    def save_in_console(self, name: str, content: bytes) -> None:
        self._ask("POST", f"/console/{name}", content)

    def _ask(self, method: str, path: str, content: bytes = b"") -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request(method, path, content)
            reply = connection.getresponse()
            return reply.status, reply.read()
        except ConnectionError:
            return 0, b""
        finally:
            connection.close()


@contextmanager
def carbon_home(
    folder: Path,
    version: str = "3.2.0",
    *,
    log_bytes: int = 10_000_000,
    tenants: tuple[str, ...] = (),
) -> Iterator[CarbonHome]:
    """Make a home; its process, if one was started, ends with the block."""
    home = CarbonHome(folder, version, log_bytes, tenants)
    try:
        yield home
    finally:
        home.kill()


if __name__ == "__main__":
    main()
