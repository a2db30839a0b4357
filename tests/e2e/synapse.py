"""A real Apache Synapse 3.0.1 on loopback: a home in a folder, a process, its log, its answers.

    with synapse_home(folder) as home:
        home.start()
        (home.config / "api/Hello.xml").write_bytes(hello("Hello", "/hello", "v1"))
        until(lambda: home.get("/hello").body == b"<r>v1</r>", "it answers")

`home.config` is the tree that an agent watches, `home.log` the log that it reads. Hot deployment looks
at the folders every 10 s, on a grid that began at the start; the number is in the code of Axis2
(`DeploymentIterator`), no configuration changes it. The runtime itself is fetched once by
`scripts/synapse-home`. Only what was started here is ended, by its process id.
"""

import http.client
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from tests.e2e.cluster import free_ports, until

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / "tests/data/synapse"

SCAN_S = 10.0
"""Between two looks of hot deployment at the folders."""

READY = "Apache Synapse started successfully"
PORT_TAKEN = "BindException: Address already in use"
"""In the log where the port is not to be had; the line `READY` follows all the same."""

START_FAILED = "Error starting Apache Synapse, trying a clean shutdown"
"""In the log of a start that came to nothing; the process stays."""
FOLDERS = (
    "api",
    "endpoints",
    "event-sources",
    "imports",
    "local-entries",
    "message-processors",
    "message-stores",
    "priority-executors",
    "proxy-services",
    "sequences",
    "tasks",
    "templates",
)
"""What Apache Synapse looks for below `synapse-config`; it knows no inbound endpoints."""

DEFINITIONS = b'<definitions xmlns="http://ws.apache.org/ns/synapse"/>\n'
NO_DEPLOYER_LEFT = 'Exception in thread "Timer-'
"""On standard error once the thread of hot deployment has died: nothing is deployed any more."""


class MissingError(Exception):
    """A real Synapse can't be had on this machine; the text says why."""


@cache
def library() -> Path:
    """Return the shared library folder, fetched first if need be; raises MissingError."""
    done = subprocess.run(
        [ROOT / "scripts/synapse-home"], capture_output=True, text=True, timeout=900, check=False
    )
    if done.returncode != 0:
        raise MissingError(done.stderr.strip())
    return Path(done.stdout.strip())


@dataclass(frozen=True)
class Reply:
    """What an HTTP request got: status 0 where nobody answered."""

    status: int
    body: bytes


@dataclass
class SynapseHome:
    """One runtime: the folder it lives in, and its process while it runs."""

    folder: Path
    port: int
    rotate_kb: int = 1000
    """Size at which its log is rotated; the distribution's is 1000."""
    options: tuple[str, ...] = ()
    """More options for Java."""
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        shared = library()
        conf = self.folder / "repository/conf"
        for name in FOLDERS:
            (conf / "synapse-config" / name).mkdir(parents=True)
        (conf / "synapse-config/synapse.xml").write_bytes(DEFINITIONS)
        for name in ("lib", "logs", "repository/modules", "repository/services", "work/temp"):
            (self.folder / name).mkdir(parents=True)
        for file in (shared / "lib").iterdir():
            (self.folder / "lib" / file.name).symlink_to(file)
        shutil.copy(shared / "modules/addressing.mar", self.folder / "repository/modules")
        shutil.copy(DATA / "axis2_blocking_client.xml", conf)
        self._fill("axis2.xml", conf / "axis2.xml", "@PORT@", self.port)
        self._fill(
            "log4j.properties", self.folder / "lib/log4j.properties", "@ROTATE_KB@", self.rotate_kb
        )

    @staticmethod
    def _fill(name: str, to: Path, mark: str, value: int) -> None:
        to.write_text((DATA / name).read_text().replace(mark, str(value)))

    @property
    def config(self) -> Path:
        """The tree of artifacts: what the agent of this node watches."""
        return self.folder / "repository/conf/synapse-config"

    @property
    def log(self) -> Path:
        """The log file; rotated to `synapse.log.1` and so on."""
        return self.folder / "logs/synapse.log"

    @property
    def console(self) -> Path:
        """What the process wrote to standard output and error: stack traces of dead threads."""
        return self.folder / "console"

    def command(self) -> list[str]:
        """Return what starts this home; its working folder must be the home."""
        java = "java"
        if "JAVA_HOME" in os.environ:
            java = f"{os.environ['JAVA_HOME']}/bin/java"
        home = str(self.folder.absolute())
        conf = f"{home}/repository/conf"
        return [
            *(java, "-Xmx256M", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"),
            *self.options,
            *(
                f"-Djava.io.tmpdir={Path(home, 'work', 'temp')}",
                "-cp",
                f"{conf}:{home}/lib:{home}/lib/*",
            ),
            *("org.apache.synapse.SynapseServer", f"{home}/repository", f"{conf}/axis2.xml", home),
            *(f"{conf}/synapse-config", f"{home}/repository"),
        ]

    # --- the process --------------------------------------------------------------------------

    def launch(self) -> None:
        """Start the process; it is not ready yet."""
        assert not self.runs, f"{self.folder.name} runs already"
        with self.console.open("ab") as console:
            self.process = subprocess.Popen(
                self.command(),
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                start_new_session=True,
            )
        (self.folder / "pid").write_text(f"{self.process.pid}\n")

    def start(self) -> None:
        """Start it, and wait until its log says that it is ready and its port answers."""
        before = self.log_size()
        self.launch()
        until(lambda: self._ready(before), f"{self.folder.name} is ready")

    def _ready(self, since: int) -> bool:
        if not self.runs:
            raise AssertionError(f"Synapse ended early:\n{self.console.read_text()[-4000:]}")
        text = self.log_text(since)
        if PORT_TAKEN in text or START_FAILED in text:
            raise AssertionError(f"Synapse does not serve:\n{text[-4000:]}")
        return READY in text and self.listens

    @property
    def listens(self) -> bool:
        """Tell whether its port accepts connections: the ready line alone does not say so."""
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
            return True
        return False

    @property
    def runs(self) -> bool:
        """Tell whether the process is there."""
        return self.process is not None and self.process.poll() is None

    @property
    def pid(self) -> int:
        """The process id of the runtime that was started last."""
        assert self.process is not None, "never started"
        return self.process.pid

    def stop(self) -> None:
        """End it as an operator would (SIGTERM); killed if it takes longer than a minute."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it as a power button would."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Stop and start: what heals a dead hot deployment."""
        self.stop()
        self.start()

    def _end(self, sign: signal.Signals) -> None:
        if self.process is None or self.process.poll() is not None:
            return
        self.process.send_signal(sign)
        try:
            self.process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"{self.folder.name} did not end when it was told to") from None

    # --- the log ------------------------------------------------------------------------------

    def log_size(self) -> int:
        """Return the length of the log: a mark for `log_text`."""
        with suppress(FileNotFoundError):
            return self.log.stat().st_size
        return 0

    def log_text(self, since: int = 0) -> str:
        """Return the log from a mark on; one rotation since then is seen through."""
        size = self.log_size()
        text = b""
        if size < since:
            text = self.log.with_name("synapse.log.1").read_bytes()[since:]
            since = 0
        with suppress(FileNotFoundError):
            text += self.log.read_bytes()[since:]
        return text.decode(errors="replace")

    def wait_log(self, wanted: str, since: int = 0, patience_s: float = 4 * SCAN_S) -> str:
        """Wait for a text in the log; returns the log from the mark on."""
        until(lambda: wanted in self.log_text(since), f"the log says {wanted!r}", patience_s)
        return self.log_text(since)

    @property
    def deployer_died(self) -> bool:
        """Tell whether the thread of hot deployment has died since the first start."""
        with suppress(FileNotFoundError):
            return NO_DEPLOYER_LEFT in self.console.read_text(errors="replace")
        return False

    # --- what it serves -----------------------------------------------------------------------

    def get(self, path: str, timeout_s: float = 10.0) -> Reply:
        """Ask for a resource. A path that no API serves gets 202 and no body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout_s)
        try:
            # We hang up, not the server: its port would stay taken for a minute (no SO_REUSEADDR).
            connection.request("GET", path)
            response = connection.getresponse()
            return Reply(response.status, response.read())
        except OSError:
            return Reply(0, b"")
        finally:
            connection.close()

    def says(self, path: str, word: str) -> bool:
        """Tell whether the resource answers with `answering`'s word."""
        return self.get(path) == said(word)


@contextmanager
def synapse_homes(folder: Path, *names: str, rotate_kb: int = 1000) -> Iterator[list[SynapseHome]]:
    """Make a home for each name, not started; what runs at the end is stopped."""
    with ExitStack() as stack:
        homes = []
        for name, port in zip(names, free_ports(len(names)), strict=True):
            home = SynapseHome(folder / name, port, rotate_kb)
            stack.callback(home.kill)
            homes.append(home)
        yield homes


@contextmanager
def synapse_home(folder: Path, rotate_kb: int = 1000) -> Iterator[SynapseHome]:
    """Make one home in `folder`, not started; if it runs at the end it is stopped."""
    with synapse_homes(folder, "synapse", rotate_kb=rotate_kb) as (home,):
        yield home


# --- artifacts and files ------------------------------------------------------------------------


def answering(name: str, context: str, word: str, *, inside: str = "") -> bytes:
    """Return an API that answers a GET itself: `<r>WORD</r>`."""
    return (
        f'<api xmlns="http://ws.apache.org/ns/synapse" name="{name}" context="{context}">\n'
        f'  <resource methods="GET">\n    <inSequence>\n{inside}'
        f'      <payloadFactory><format><r xmlns="">{word}</r></format></payloadFactory>\n'
        '      <property name="NO_ENTITY_BODY" scope="axis2" action="remove"/>\n'
        '      <property name="messageType" scope="axis2" value="application/xml"/>\n'
        '      <property name="RESPONSE" value="true"/>\n'
        '      <header name="To" action="remove"/>\n      <send/>\n'
        "    </inSequence>\n  </resource>\n</api>\n"
    ).encode()


def said(word: str) -> Reply:
    """Return the reply of an API that `answering` made with `word`."""
    return Reply(200, f"<r>{word}</r>".encode())


def put(path: Path, content: bytes, *, later_s: int = 0) -> None:
    """Write a file as the agent does: whole, by rename, its time at least a second after the old."""
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(content)
    stamp = int(part.stat().st_mtime)
    with suppress(FileNotFoundError):
        stamp = max(stamp, int(path.stat().st_mtime) + 1)
    os.utime(part, (stamp + later_s, stamp + later_s))
    part.rename(path)
