"""The second tour: three Apache Synapse runtimes, an agent beside each. What counts is what they answer."""

from quickstart_tour import HELD, REJECTED, Broken, Tour, show

from tests.e2e.gateways import make_gateways
from tests.e2e.synapse import READY, answering

NAMES = ("gw-1", "gw-2", "gw-3")
WAIT = ("wait", "--synced", "--deployed", "--timeout", "2m")
TARGET = "gw-1/tree/api/Hello.xml"
BAD_CLASS = "com.example.Discount"
MENDED = '      <log><property name="discount" value="none"/></log>\n'
VERSIONS = {
    "v1": answering("Hello", "/hello", "v1"),
    "v2": answering("Hello", "/hello", "v2"),
    "v3": answering("Hello", "/hello", "v3", inside=f'      <class name="{BAD_CLASS}"/>\n'),
    "v4": answering("Hello", "/hello", "v4", inside=MENDED),
}


class Gateways(Tour):
    """Three agents, three real runtimes."""

    what = "Three Apache Synapse gateways on this machine, an agent beside each"
    patience_s = 120.0

    def __init__(self, folder):
        self.gateways = make_gateways(folder, *NAMES)
        super().__init__(folder, self.gateways.agents)
        (folder / "versions").mkdir()
        for name, content in VERSIONS.items():
            (folder / "versions" / f"Hello-{name}.xml").write_bytes(content)

    def close(self):
        self.gateways.close()

    def logs(self):
        return [*super().logs(), *(home.log for home in self.gateways.homes.values())]

    def port(self, name):
        return self.gateways.homes[name].port

    def url(self, name):
        return f"http://127.0.0.1:{self.port(name)}/hello"

    def all_answer(self, word):
        """Call each gateway once, show what it answers, and check it."""
        for name, home in self.gateways.homes.items():
            reply = home.get("/hello")
            show(f"{name}: GET {self.url(name)}   {reply.status} {reply.body.decode()}")
        self.claim(
            f"all three gateways answer {word}",
            lambda: self.gateways.say("/hello", word) == [*NAMES],
        )

    def everywhere(self, state):
        return self.gateways.states("api/Hello") == dict.fromkeys(NAMES, state)

    # --- the steps ----------------------------------------------------------------------------

    def start(self):
        self.headline("Three gateways run, without any API; the agents find them")
        self.cluster.start()
        self.ask(self.manager, *WAIT)
        self.claim("every agent hears the runtime beside it", self.all_heard)
        for name in NAMES:
            show(f"{name}: {self.runtime(name)['label']} at http://127.0.0.1:{self.port(name)}")
        self.ask(self.manager, "status")

    def runtime(self, name):
        return self.row(name)["runtime"] or {}

    def all_heard(self):
        return all(self.runtime(name).get("phase") == "ready" for name in NAMES)

    def publish(self):
        self.headline("An API is published on gw-1: its runtime tries it, then the workers get it")
        self.type(f"cp versions/Hello-v1.xml {TARGET}")
        show("(a Synapse looks at its files every 10 s; each node waits for the one before)")
        self.ask(self.manager, *WAIT)
        self.all_answer("v1")
        self.claim("and each runtime said so of it", lambda: self.everywhere("Deployed"))
        self.ask(self.manager, "describe", "api/Hello")

    def update(self):
        self.headline("A new version of it goes the same way")
        self.type(f"cp versions/Hello-v2.xml {TARGET}")
        self.ask(self.manager, *WAIT)
        self.all_answer("v2")
        self.ask(self.manager, "status")

    def refused(self):
        self.headline("A bad version: its XML is right, but it needs a class that nobody has")
        self.type("diff versions/Hello-v2.xml versions/Hello-v3.xml || true")
        self.type(f"cp versions/Hello-v3.xml {TARGET}")
        self.ask(self.manager, *WAIT, codes=(HELD, REJECTED))
        self.claim("it is held: no other gateway gets it", self.gateways.held)
        self.ask(self.manager, "get", "held")
        self.ask(self.manager, "describe", "api/Hello")
        told = self.ask(self.manager, "status")
        if "restart" not in told.stdout or BAD_CLASS not in self.gateways.words(
            "api/Hello", "gw-1"
        ):
            raise Broken("status and describe do not say what the runtime said")
        self.all_answer("v2")

    def put_back(self):
        self.headline("Put it back by a word, and restart the runtime whose deployer died of it")
        for hold in self.gateways.held():
            self.ask(self.manager, "reject", hold)
        self.type(f"cmp versions/Hello-v2.xml {TARGET} && echo '   gw-1 has the bytes of v2 again'")
        home = self.gateways.homes["gw-1"]
        show("(the runtime of gw-1 is restarted)")
        home.restart()
        self.claim("it is ready again", lambda: home.log_text().count(READY) > 1)
        self.ask(self.manager, *WAIT)
        self.all_answer("v2")
        self.claim("and is deployed everywhere", lambda: self.everywhere("Deployed"))
        self.ask(self.manager, "get", "quarantine")
        self.ask(self.manager, "status")

    def mended(self):
        self.headline("Published again, mended: everywhere, and nothing is odd any more")
        self.type(f"cp versions/Hello-v4.xml {TARGET}")
        self.ask(self.manager, *WAIT)
        self.all_answer("v4")
        self.claim("gw-1 calls all three Synced", self.cluster.synced)
        self.ask(self.manager, "status")

    def all_steps(self):
        self.start()
        self.publish()
        self.update()
        self.refused()
        self.put_back()
        self.mended()

    def usage(self):
        return "\n  ".join(f"curl {self.url(name)}" for name in NAMES)
