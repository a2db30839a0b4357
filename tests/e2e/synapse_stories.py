"""What a real Apache Synapse does with the files it is given: each story is one runtime's day.

A story writes, waits for the next look of hot deployment, writes again; what the log said in each
step and what HTTP answered is kept under a name for the tests in `test_synapse_runtime`. All stories
run at the same time, each on a runtime of its own, as the looks are 10 s apart.
"""

import os
import shutil
import socket
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from tests.e2e.cluster import until
from tests.e2e.synapse import (
    PORT_TAKEN,
    READY,
    START_FAILED,
    Reply,
    SynapseHome,
    answering,
    put,
)

NS = 'xmlns="http://ws.apache.org/ns/synapse"'
NOWHERE = "http://127.0.0.1:1/"


def of(text: str) -> bytes:
    """Return an artifact; `@` stands for the namespace declaration."""
    return text.replace("@", NS).encode()


ENDPOINT = of(f'<endpoint @ name="E"><address uri="{NOWHERE}"/></endpoint>')
SEQUENCE = of('<sequence @ name="S"><log/></sequence>')
ENTRY = of('<localEntry @ key="L">text</localEntry>')
TEMPLATE = of('<template @ name="T"><sequence><log/></sequence></template>')
ENDPOINT_TEMPLATE = of(
    f'<template @ name="TE"><endpoint name="$name"><address uri="{NOWHERE}"/></endpoint></template>'
)
PROXY = of('<proxy @ name="P"><target><inSequence><drop/></inSequence></target></proxy>')
TASK = of(
    '<task @ name="K" class="org.apache.synapse.startup.tasks.MessageInjector" group="synapse.simple.quartz">'
    '<trigger interval="86400"/></task>'
)
EVENT_SOURCE = of(
    '<eventSource @ name="V"><subscriptionManager'
    ' class="org.apache.synapse.eventing.managers.DefaultInMemorySubscriptionManager">'
    '<property name="topicHeaderName" value="Topic"/><property name="topicHeaderNS" value="urn:t"/>'
    "</subscriptionManager></eventSource>"
)
EXECUTOR = of(
    '<priorityExecutor @ name="X"><queues><queue size="9" priority="1"/><queue size="9" priority="2"/>'
    "</queues></priorityExecutor>"
)
STORE = of('<messageStore @ name="M"/>')
PROCESSOR = of(
    '<messageProcessor @ name="R" messageStore="M"'
    ' class="org.apache.synapse.message.processors.sampler.SamplingProcessor">'
    '<parameter name="interval">86400000</parameter><parameter name="sequence">S</parameter>'
    "</messageProcessor>"
)
IMPORT = of('<import @ name="i" package="org.x" status="enabled"/>')

OF_EACH_KIND = {
    "endpoints/E.xml": ENDPOINT,
    "event-sources/V.xml": EVENT_SOURCE,
    "imports/I.xml": IMPORT,
    "local-entries/L.xml": ENTRY,
    "message-processors/R.xml": PROCESSOR,
    "message-stores/M.xml": STORE,
    "priority-executors/X.xml": EXECUTOR,
    "proxy-services/P.xml": PROXY,
    "sequences/S.xml": SEQUENCE,
    "tasks/K.xml": TASK,
    "templates/T.xml": TEMPLATE,
    "templates/TE.xml": ENDPOINT_TEMPLATE,
}
NO_SLASH = answering("Bad", "bad", "v2")
UNKNOWN_MEDIATOR = of('<sequence @ name="S"><noSuchMediator/></sequence>')
CUT_OFF = answering("Cut", "/cut", "v2")[:-25]

RESTORED = "Restoring the existing artifact into the file : "

REFUSED_UPDATES: Mapping[str, tuple[str, bytes, bytes]] = {
    "api": ("api/Bad.xml", answering("Bad", "/bad", "v1"), NO_SLASH),
    "sequence": ("sequences/S.xml", SEQUENCE, UNKNOWN_MEDIATOR),
    "endpoint": ("endpoints/E.xml", ENDPOINT, of('<endpoint @ name="E"><http/></endpoint>')),
    "template": (
        "templates/T.xml",
        TEMPLATE,
        of('<template @ name="T"><sequence><noSuchMediator/></sequence></template>'),
    ),
    "proxy": ("proxy-services/P.xml", PROXY, of('<proxy @ name="P"><target/></proxy>')),
    "task": ("tasks/K.xml", TASK, of('<task @ name="K"/>')),
    "local-entry": ("local-entries/L.xml", ENTRY, of('<localEntry @ key="L" src="no:such"/>')),
    "store": (
        "message-stores/M.xml",
        STORE,
        of('<messageStore @ name="M" class="no.such.Class"/>'),
    ),
    "processor": ("message-processors/R.xml", PROCESSOR, PROCESSOR + b"\n"),
    "event-source": ("event-sources/V.xml", EVENT_SOURCE, of('<eventSource @ name="V"/>')),
    "executor": ("priority-executors/X.xml", EXECUTOR, of('<priorityExecutor @ name="X"/>')),
}
"""By kind: where, a good artifact, and a well-formed update of it that the runtime refuses. That of a
message processor says the same as before: no update of one is ever taken."""


@dataclass
class Seen:
    """What one story saw: log by step, other facts by name, and the files it left."""

    logs: dict[str, str] = field(default_factory=dict)
    replies: dict[str, Reply] = field(default_factory=dict)
    files: dict[str, dict[str, bytes]] = field(default_factory=dict)
    died: dict[str, bool] = field(default_factory=dict)
    names: dict[str, list[str]] = field(default_factory=dict)


class Story:
    """A runtime, and the hands that change its files between two looks."""

    def __init__(self, home: SynapseHome) -> None:
        self.home = home
        self.seen = Seen()
        self.mark = 0
        self._markers = 0

    def path(self, name: str) -> Path:
        return self.home.config / name

    def put(self, name: str, content: bytes, *, later_s: int = 0) -> None:
        """Write a file as an agent does."""
        self.path(name).parent.mkdir(exist_ok=True)
        put(self.path(name), content, later_s=later_s)

    def put_all(self, files: Mapping[str, bytes]) -> None:
        for name, content in files.items():
            self.put(name, content)

    def mark_look(self) -> None:
        """Put a file by whose deployment the next look is known; proxy services come late in it."""
        self._markers += 1
        name = f"zz-{self._markers}"
        self.put(f"proxy-services/{name}.xml", proxy_of(name))

    def look(self, step: str) -> str:
        """Wait for the end of the look that was marked; its log and the files become `step`."""
        line = f"ProxyService named 'zz-{self._markers}' has been deployed"
        self.home.wait_log(line, self.mark, 60)
        return self.keep(step)

    def scan(self, step: str) -> str:
        """Mark the next look and wait for its end."""
        self.mark_look()
        return self.look(step)

    def keep(self, step: str) -> str:
        """Keep what the log says since the last step, and the files, as `step`."""
        text = self.home.log_text(self.mark)
        self.mark += len(text.encode())
        self.seen.logs[step] = text
        self.seen.files[step] = {
            str(path.relative_to(self.home.config)): path.read_bytes()
            for path in self.home.config.rglob("*")
            if path.is_file()
        }
        return text

    def text(self) -> str:
        """Return the log since the last step."""
        return self.home.log_text(self.mark)

    def ask(self, name: str, path: str) -> Reply:
        """Ask over HTTP and keep the answer as `name`."""
        reply = self.seen.replies[name] = self.home.get(path)
        return reply

    def start(self, step: str) -> None:
        self.home.start()
        self.keep(step)

    def two_looks(self) -> None:
        """Let at least one look pass where no file would show it: hot deployment may be dead."""
        threading.Event().wait(11.0)


# --- the stories --------------------------------------------------------------------------------


def changes(story: Story) -> None:
    """Good artifacts of all kinds come, change, are renamed, and go."""
    story.put("api/AtStart.xml", answering("AtStart", "/at-start", "v1"))
    story.start("start")
    story.ask("at start", "/at-start")
    story.ask("no api", "/no-such-api")
    story.put_all(OF_EACH_KIND)
    for name in ("Hello", "Same", "Older", "Equal", "Renamed", "Named"):
        story.put(f"api/{name}.xml", answering(name, f"/{name.lower()}", "v1"))
    story.put("api/.Dot.xml", answering("Dot", "/dot", "v1"))
    story.put("api/below/Deep.xml", answering("Deep", "/deep", "v1"))
    story.put("api/.below/Hidden.xml", answering("Hidden", "/hidden", "v1"))
    story.put("api/Upper.XML", answering("Upper", "/upper", "v1"))
    story.put("api/NoDotxml", answering("NoDot", "/no-dot", "v1"))
    story.put("api/Needs.xml", answering("Needs", "/needs", "v1", inside=NEEDS))
    story.scan("new")
    story.home.wait_log("Message Processor named 'R'")
    for name in ("hello", "dot", "deep", "hidden", "upper", "no-dot", "needs"):
        story.ask(f"new {name}", f"/{name}")
    updates(story)
    renames(story)
    for name in OF_EACH_KIND:
        story.path(name).unlink(missing_ok=True)
    story.path("api/Hello.xml").unlink()
    story.scan("deleted")
    story.ask("deleted", "/hello")


NEEDS = '      <sequence key="later"/>\n'


def updates(story: Story) -> None:
    story.put("api/Hello.xml", answering("Hello", "/hello", "v2"))
    story.put("api/Same.xml", answering("Same", "/same", "v1"))
    for name, stamp in (("Older", 1_577_836_800.0), ("Equal", None)):
        path = story.path(f"api/{name}.xml")
        was = path.stat().st_mtime_ns
        path.write_bytes(answering(name, f"/{name.lower()}", "v2"))
        os.utime(path, ns=(was, was) if stamp is None else (int(stamp * 1e9),) * 2)
    story.put("sequences/Later.xml", SEQUENCE.replace(b'"S"', b'"later"'))
    for name in ("local-entries/L.xml", "proxy-services/P.xml", "tasks/K.xml", "templates/T.xml"):
        story.put(name, OF_EACH_KIND[name] + b"\n")
    story.mark_look()
    story.home.wait_log("API: Hello has been updated", story.mark, 30)
    story.ask("while updating", "/hello")
    story.look("updated")
    for name in ("hello", "older", "equal", "needs"):
        story.ask(f"updated {name}", f"/{name}")
    for name in ("endpoints/E.xml", "sequences/S.xml", "message-stores/M.xml"):
        story.put(name, OF_EACH_KIND[name] + b"\n")
    story.scan("updated others")
    story.put("priority-executors/X.xml", EXECUTOR + b"\n")
    story.put("event-sources/V.xml", EVENT_SOURCE + b"\n")
    story.put("imports/I.xml", IMPORT + b"\n")
    story.scan("updated the rest")


def renames(story: Story) -> None:
    story.path("api/Renamed.xml").rename(story.path("api/Renamed-2.xml"))
    story.put("api/Named.xml", answering("Named2", "/named-2", "v2"))
    story.scan("renamed")
    story.ask("renamed", "/renamed")
    story.ask("named", "/named")
    story.ask("named 2", "/named-2")


def refused(story: Story) -> None:
    """New files that are refused, and updates that are no XML."""
    story.put("api/First.xml", answering("First", "/first", "v1"))
    story.put("api/Cut.xml", answering("Cut", "/cut", "v1"))
    story.put("api/Burnt.xml", answering("Burnt", "/burnt", "v1"))
    story.start("start")
    story.put("api/NoXml.xml", b"this is no XML")
    story.put("api/Empty.xml", b"")
    story.put("api/NewCut.xml", answering("NewCut", "/new-cut", "v1")[:-25])
    story.put("api/NoName.xml", answering("X", "/x", "v1").replace(b'name="X" ', b""))
    story.put("api/NoSlash.xml", NO_SLASH)
    story.put("api/SameContext.xml", answering("SameContext", "/first", "v1"))
    story.put("api/SameName.xml", answering("First", "/same-name", "v1"))
    story.put("endpoints/E.xml", ENDPOINT)
    story.put("sequences/E.xml", SEQUENCE.replace(b'"S"', b'"E"'))
    story.put("sequences/S.xml", UNKNOWN_MEDIATOR)
    for name in ("main", "fault"):
        story.put(f"sequences/{name}.xml", SEQUENCE.replace(b'"S"', f'"{name}"'.encode()))
    story.put("proxy-services/P.xml", b'<proxy xmlns="http://ws.apache.org/ns/synapse" name="P"/>')
    story.scan("new")
    story.scan("one look later")
    story.put("api/NoXml.xml", b"this is no XML either")
    story.put("api/NoName.xml", answering("X", "/x", "v1").replace(b'name="X" ', b""))
    story.put("api/Cut.xml", CUT_OFF)
    story.put("api/Burnt.xml", b"no XML at all")
    story.scan("updates")
    story.ask("cut off", "/cut")
    story.ask("restored", "/burnt")
    story.put("api/Cut.xml", answering("Cut", "/cut", "v3"))
    story.put("api/Burnt.xml", answering("Burnt", "/burnt", "v3"))
    story.scan("good again")
    story.ask("good again: cut", "/cut")
    story.ask("good again: burnt", "/burnt")
    story.put("api/Burnt.xml", answering("Burnt", "/burnt", "v3"), later_s=2)
    story.path("api/Cut.xml.back").rename(story.path("api/Moved.aside"))
    story.scan("touched again")
    story.ask("touched again: burnt", "/burnt")
    story.put("api/Cut.xml", answering("Cut", "/cut", "v3"))
    story.home.stop()
    story.keep("stop")
    story.start("restart")
    story.ask("restarted: cut", "/cut")


def lost(story: Story) -> None:
    """Renames over two looks, folders that go, sequences that can't go, deletes that fail."""
    story.put("sequences/main.xml", SEQUENCE.replace(b'"S"', b'"main"'))
    story.put("sequences/fault.xml", SEQUENCE.replace(b'"S"', b'"fault"'))
    story.put("api/Old.xml", answering("Lost", "/lost", "v1"))
    story.start("start")
    story.put("api/Stays.xml", answering("Stays", "/stays", "v1"))
    story.put("api/New.xml", answering("Lost", "/lost", "v1"))
    story.put("api/NoXml.xml", b"no XML")
    story.scan("copied")
    story.ask("copied", "/lost")
    story.path("api/Old.xml").unlink()
    story.path("sequences/main.xml").unlink()
    story.path("sequences/fault.xml").unlink()
    story.scan("old deleted")
    story.ask("old deleted", "/lost")
    story.path("api/NoXml.xml").unlink()
    story.scan("never deployed deleted")
    story.path("api").rename(story.home.folder / "away")
    story.scan("folder away")
    story.ask("folder away", "/stays")
    (story.home.folder / "away").rename(story.path("api"))
    story.scan("folder back")
    story.ask("folder back", "/stays")
    shutil.rmtree(story.path("api"))
    story.path("api").mkdir()
    story.scan("folder empty")
    story.ask("folder empty", "/stays")


def startup(story: Story) -> None:
    """A tree with broken files is there at the start; its root is a link to another place."""
    elsewhere = story.home.folder / "elsewhere"
    story.home.config.rename(elsewhere)
    story.home.config.symlink_to(elsewhere)
    story.put_all(OF_EACH_KIND)
    story.put("api/Good.xml", answering("Good", "/good", "v1"))
    story.put("api/NoXml.xml", b"no XML")
    story.put("api/NoSlash.xml", NO_SLASH)
    story.put("api/ASame.xml", answering("ASame", "/good", "v1"))
    story.put("api/.Dot.xml", answering("Dot", "/dot", "v1"))
    story.put("api/NoDotxml", answering("NoDot", "/no-dot", "v1"))
    story.put("api/below/Deep.xml", answering("Deep", "/deep", "v1"))
    story.put("sequences/Unknown.xml", UNKNOWN_MEDIATOR.replace(b'"S"', b'"Unknown"'))
    shutil.rmtree(story.path("event-sources"))
    for number in range(6):
        story.put(f"api/Many{number}.xml", answering(f"Many{number}", f"/many/{number}", "v1"))
    story.start("start")
    for name in ("good", "dot", "no-dot", "deep"):
        story.ask(name, f"/{name}")
    story.scan("first look")
    story.put("api/NoSlash.xml", answering("Bad", "/bad", "v1"))
    story.scan("mended")
    story.ask("mended", "/bad")
    for number in range(6):
        story.put(f"api/Many{number}.xml", answering(f"Many{number}", f"/many/{number}", "v2"))
    story.put("local-entries/L.xml", ENTRY + b"\n")
    story.scan("many")
    story.put("local-entries/L.xml", ENTRY + b"\n\n")
    story.scan("after many")
    story.put("synapse.xml", of("<definitions @>") + ROOT_API + b"</definitions>")
    story.scan("root file")
    story.ask("root file", "/in-root-file")
    story.home.stop()
    story.keep("stop")
    story.start("restart")
    story.ask("root file after a restart", "/in-root-file")


ROOT_API = answering("InRootFile", "/in-root-file", "v1")


def no_root(story: Story) -> None:
    """The folder of all artifacts is not there at the start."""
    shutil.rmtree(story.home.config)
    story.home.launch()
    wait_for(lambda: not story.home.runs, "it ends")
    story.keep("start")


def refused_update(kind: str) -> Callable[[Story], None]:
    """Return the story of a well-formed update of a `kind` that the runtime refuses."""
    where, good, bad = REFUSED_UPDATES[kind]

    def story_of(story: Story) -> None:
        story.put_all({"message-stores/M.xml": STORE, "sequences/S.xml": SEQUENCE, where: good})
        story.put("api/Good.xml", answering("Good", "/good", "v1"))
        story.start("start")
        story.put(where, bad)
        wait_for(lambda: story.home.deployer_died or RESTORED in story.text(), "it is refused")
        story.seen.died["update"] = story.home.deployer_died
        story.keep("update")
        story.put("api/New.xml", answering("New", "/new", "v1"))
        if story.home.deployer_died:
            story.two_looks()
        else:
            wait_for(lambda: "API named 'New' has been deployed" in story.text(), "it is deployed")
        story.keep("later")
        story.ask("new", "/new")
        story.ask("good", "/good")
        story.ask("bad", "/bad")
        story.home.stop()
        story.home.launch()
        wait_for(lambda: story.home.listens or START_FAILED in story.text(), "it starts or fails")
        story.seen.died["start"] = START_FAILED in story.text()
        story.seen.died["process"] = not story.home.runs
        story.keep("restart")
        story.ask("restarted: new", "/new")
        story.ask("restarted: bad", "/bad")

    return story_of


MANY = 20
ROUNDS = 5
"""A look undeploys in an order of its own: one in `MANY` rounds shows nothing."""


def dropped(story: Story) -> None:
    """A file that never deployed goes, or changes, in one look with others that did deploy."""
    names = [f"D{number}" for number in range(MANY)]
    for name in names:
        story.put(f"api/{name}.xml", answering(name, f"/{name.lower()}", "v1"))
    story.start("start")
    left: list[str] = []
    for _ in range(ROUNDS):
        story.put("api/NoXml.xml", b"no XML")
        story.scan("bad file")
        for name in ["NoXml", *names]:
            story.path(f"api/{name}.xml").unlink()
        story.scan("deleted")
        left = [name for name in names if story.home.get(f"/{name.lower()}").status == 200]
        if left:
            break
        story.put_all({f"api/{n}.xml": answering(n, f"/{n.lower()}", "v1") for n in names})
    story.seen.names["left"] = left
    story.scan("one look later")
    left = [name for name in names if story.home.get(f"/{name.lower()}").status == 200]
    story.seen.names["left one look later"] = left
    story.put_all({f"api/{n}.xml": answering(n, f"/{n.lower()}", "v2") for n in left})
    story.scan("put again")
    story.seen.names["serves v2"] = [n for n in left if story.home.says(f"/{n.lower()}", "v2")]
    story.home.stop()
    story.keep("stop")
    story.start("restart")
    left = [name for name in names if story.home.get(f"/{name.lower()}").status == 200]
    story.seen.names["left after a restart"] = left


def dropped_proxies(story: Story) -> None:
    """A file that never deployed changes in one look with proxy services that did deploy."""
    names = [f"P{number}" for number in range(MANY)]
    story.put_all({f"proxy-services/{name}.xml": proxy_of(name) for name in names})
    story.start("start")
    for turn in range(ROUNDS):
        story.put("api/NoXml.xml", b"no XML")
        story.scan("bad file")
        story.put("api/NoXml.xml", b"no XML either")
        story.put_all({f"proxy-services/{n}.xml": proxy_of(n) + b"\n" * turn for n in names})
        story.scan("changed")
        if "failed - Continue in fail-safe mode" in story.seen.logs["changed"]:
            break
    story.put_all({f"proxy-services/{name}.xml": proxy_of(name) + b" " for name in names})
    wait_for(lambda: story.text().count("has been updated") >= MANY, "all are updated")
    story.keep("touched again")


def proxy_of(name: str) -> bytes:
    return PROXY.replace(b'"P"', f'"{name}"'.encode())


def port_taken(story: Story) -> None:
    """Another process listens on the runtime's port."""
    with socket.create_server(("127.0.0.1", story.home.port)):
        story.home.launch()
        story.home.wait_log(READY)
        story.home.wait_log(PORT_TAKEN)
        story.seen.died["process"] = not story.home.runs
        story.keep("start")


STORIES: Mapping[str, Callable[[Story], None]] = {
    "changes": changes,
    "refused": refused,
    "lost": lost,
    "startup": startup,
    "port-taken": port_taken,
    "no-root": no_root,
    "dropped": dropped,
    "dropped-proxies": dropped_proxies,
    **{f"refused-update-{kind}": refused_update(kind) for kind in REFUSED_UPDATES},
}


def run_all(homes: Mapping[str, SynapseHome]) -> dict[str, Future[Seen]]:
    """Run all stories side by side, and return when the last has ended, how ever it did."""

    def run(name: str) -> Seen:
        story = Story(homes[name])
        try:
            STORIES[name](story)
        finally:
            story.home.stop()
            story.keep("end")
            record(name, story)
        return story.seen

    with ThreadPoolExecutor(len(STORIES)) as pool:
        return {name: pool.submit(run, name) for name in STORIES}


def record(name: str, story: Story) -> None:
    """Keep log and console in the folder that SYNCAGENT_RECORD_LOGS names, as if from /opt."""
    if "SYNCAGENT_RECORD_LOGS" not in os.environ:
        return
    folder = Path(os.environ["SYNCAGENT_RECORD_LOGS"])
    folder.mkdir(parents=True, exist_ok=True)
    place = str(story.home.folder.resolve())
    for path in (story.home.log, story.home.console):
        text = path.read_text().replace(place, "/opt/synapse")
        (folder / f"{name}.{path.name.removeprefix('synapse.')}").write_text(text)


def wait_for(fact: Callable[[], object], what: str) -> None:
    """Wait for what a look of hot deployment brings."""
    until(fact, what, 40.0)
