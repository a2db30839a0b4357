"""Every way in which the vendor has its folders mounted, in both forms, on real mounts.

A gateway's home as the product has it: the super tenant's artifacts, plans, and a tenant's. What is
mounted is set up by `init --share` alone, found from the home or named tree by tree.
"""

import json
import shutil
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.e2e.cluster import Agent, free_ports, until
from tests.servers.mounts import Mount, bindfs

ROOT = Path(__file__).resolve().parents[2]
RELEASE = ROOT / "tests/data/corpus/apim-releases/v3.0.0/synapse-configs/default"
FAULT = "synapse-configs/default/sequences/_auth_failure_handler_.xml"
MAIN = "synapse-configs/default/sequences/main.xml"
PLAN = "@Plan:name('One')\ndefine stream One (key string);\nfrom One select key insert into Two;\n"

pytestmark = [pytest.mark.e2e, pytest.mark.needs_root]


class Site:
    """One node at a gateway's home, and mounts of folders that lie in `behind`."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder = folder
        self.stack = stack
        self.home = folder / "am"
        self.server = self.home / "repository/deployment/server"
        self.tenants = self.home / "repository/tenants"
        self.behind = folder / "behind"
        self.agent = Agent("gw-1", folder / "gw-1", free_ports(1)[0])
        self.agent.folder.mkdir()
        for path in (self.server, self.tenants, self.behind):
            path.mkdir(parents=True)

    def fill(self, server: Path, tenants: Path) -> None:
        """Put artifacts into a server's folder and a tenants' folder."""
        shutil.copytree(RELEASE, server / "synapse-configs/default")
        shutil.copytree(RELEASE, tenants / "7/synapse-configs/default")
        (server / "executionplans").mkdir()
        (server / "executionplans/One.siddhiql").write_text(PLAN)

    def mount(self, name: str, point: Path) -> Mount:
        """Mount the folder `name` of `behind`."""
        for folder in (self.behind / name, point, self.folder / f"of-{name}"):
            folder.mkdir(parents=True, exist_ok=True)
        found = bindfs(self.folder / f"of-{name}", self.behind / name, point)
        return self.stack.enter_context(found)

    def configure(self, shared: str) -> None:
        """Write the settings; `shared` is what they say of the share."""
        self.agent.settings.write_text(
            f'[cluster]\nname = "c"\nmode = "shared"\n[node]\nname = "gw-1"\n'
            f'state_dir = "{self.agent.state}"\n[gateway]\nhome = "{self.home}"\n'
            f'[runtime]\nkind = "none"\n{shared}'
        )

    def init(self, *more: str) -> list[str]:
        """Prepare the share as a person would; return what was done for each tree."""
        made = self.agent.run("init", "--share", "-o", "json", *more)
        assert made.returncode == 0, made.stderr
        return [f"{row['tree']}: {row['did']}" for row in json.loads(made.stdout)["trees"]]

    def start(self) -> None:
        """Start the agent and wait until all is as it should be."""
        self.agent.start()
        self.stack.callback(self.agent.end)
        until(self.agent.live, "it answers")
        until(self.synced, "every node is Synced")

    def synced(self) -> bool:
        status = self.agent.answer("status")
        assert isinstance(status, dict)
        rows = status["nodes"]
        return status["revision"] > 0 and all(row["state"] == "Synced" for row in rows)

    def revision(self) -> int:
        status = self.agent.answer("status")
        assert isinstance(status, dict)
        number = status["revision"]
        assert isinstance(number, int)
        return number

    def holds(self) -> list[str]:
        rows = self.agent.answer("held")
        assert isinstance(rows, list)
        return [str(row["reason"]) for row in rows if isinstance(row, dict)]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with ExitStack() as stack:
        yield Site(tmp_path, stack)


def append(path: Path, words: str) -> bytes:
    """Edit an artifact; return its bytes."""
    content = path.read_bytes() + f"<!-- {words} -->\n".encode()
    path.write_bytes(content)
    return content


def test_the_whole_server_and_the_tenants_as_the_source(site: Site) -> None:
    site.fill(site.server, site.tenants)
    site.mount("server", site.folder / "mnt/server")
    site.mount("tenants", site.folder / "mnt/tenants")
    mnt = site.folder / "mnt"
    site.configure(f'[shared]\nserver = "{mnt}/server"\ntenants = "{mnt}/tenants"\n')
    assert site.init() == [
        "synapse: made, with its folder,",
        "siddhi: made, with its folder,",
        "tenant-7: made, with its folder,",
    ]
    site.start()
    server, tenants = site.behind / "server", site.behind / "tenants"
    until((tenants / "7" / MAIN).exists, "the share is filled")
    assert (server / "executionplans/One.siddhiql").read_text() == PLAN
    edited = append(mnt / "tenants/7" / FAULT, "on the tenant's share")
    until(lambda: (site.tenants / "7" / FAULT).read_bytes() == edited, "it comes to the tenant")
    edited = append(site.server / MAIN, "by the gateway")
    until(lambda: (server / MAIN).read_bytes() == edited, "it goes to the share")

    # A tenant that is new has no folder on the share yet.
    shutil.copytree(RELEASE, site.tenants / "9/synapse-configs/default")
    assert site.agent.process is not None
    site.agent.process.send_signal(signal.SIGHUP)
    until(lambda: "tenant-9" in "".join(site.holds()), "its tree is held on the share")
    assert site.init()[-1] == "tenant-9: made, with its folder,"
    until((tenants / "9" / MAIN).exists, "the share gets its artifacts")
    until(lambda: not site.holds(), "nothing is held any more")
    until(site.synced, "every node is Synced")


def test_two_folders_each_mounted_for_itself_as_the_source(site: Site) -> None:
    site.fill(site.behind, site.folder / "elsewhere")
    site.mount("synapse-configs", site.folder / "mnt/configs")
    site.mount("executionplans", site.folder / "mnt/plans")
    for part in ("synapse-configs/default", "executionplans"):
        (site.server / part).mkdir(parents=True)
    mnt = site.folder / "mnt"
    site.configure(
        f'[[tree]]\nname = "synapse"\nshare = "{mnt}/configs/default"\n'
        f'[[tree]]\nname = "siddhi"\nshare = "{mnt}/plans"\n'
    )
    asked = site.agent.run("init", "--share")
    assert asked.returncode == 5, asked.stderr
    assert site.init("--from", "share") == ["synapse: made", "siddhi: made"]
    assert (site.server / "executionplans/One.siddhiql").read_text() == PLAN
    site.start()
    edited = append(site.server / MAIN, "by the gateway")
    until(lambda: (site.behind / MAIN).read_bytes() == edited, "it goes to the share")
    (mnt / "plans/Two.siddhiql").write_text(PLAN.replace("One", "Two"))
    two = site.server / "executionplans/Two.siddhiql"
    until(two.exists, "a plan comes from the share")
    inside = {path.name for path in (site.behind / "executionplans").iterdir()}
    assert inside == {"One.siddhiql", "Two.siddhiql", ".syncagent", ".syncagent-root"}


def test_the_whole_server_and_the_tenants_in_place(site: Site) -> None:
    site.fill(site.behind / "server", site.behind / "tenants")
    site.configure('[shared]\nform = "in-place"\n')
    refused = site.agent.run("init", "--share")
    assert refused.returncode == 2
    assert "is the share mounted?" in refused.stderr or "mount the share" in refused.stderr
    server = site.mount("server", site.server)
    site.mount("tenants", site.tenants)
    assert site.init() == ["synapse: made", "siddhi: made", "tenant-7: made"]
    site.start()

    server.unmount(lazy=True)
    until(lambda: len(site.holds()) == 2, "both trees on that mount are held")
    assert all("Mount the share: it resumes by itself." in text for text in site.holds())
    status = site.agent.answer("status")
    assert isinstance(status, dict)
    revision = status["revision"]
    until(lambda: not server.process.running, "nobody keeps it in use")
    server.serve()
    until(lambda: not site.holds(), "it resumes by itself")
    until(site.synced, "it is Synced")
    assert site.revision() == revision, "nothing was concluded from the empty folder"
    assert site.agent.ask("get", "conflicts") == []

    # A tenant that is new on the mount: the others go on until a person says that it is one.
    shutil.copytree(RELEASE, site.tenants / "9/synapse-configs/default")
    assert site.agent.process is not None
    site.agent.process.send_signal(signal.SIGHUP)
    until(lambda: "tenant-9" in "".join(site.holds()), "its tree is held")
    append(site.server / MAIN, "in place")
    until(lambda: site.revision() == revision + 1, "another tree's change is declared")
    assert site.init()[-1] == "tenant-9: made"
    until(lambda: site.revision() == revision + 2, "the tenant's artifacts are declared")
    until(lambda: not site.holds(), "nothing is held any more")
