"""The double of a Carbon product: that it behaves as the model, and that the agent's adapter hears it."""

import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from syncagent.agent.wiring.assembly import SystemClock
from syncagent.agent.wiring.runtime import make_runtime
from syncagent.core.artifact import ArtifactPath, TreeName
from syncagent.core.events import RuntimeHeard, RuntimeTurned, ShellEvent
from syncagent.core.runtime import Heard, Phase, Saying
from syncagent.fsio import OsFS
from syncagent.ports import Runtime
from syncagent.runtime.listening import Means
from syncagent.settings.load import interpret
from tests.e2e.carbon_double import SUPER, SYNAPSE, CarbonHome, carbon_home
from tests.e2e.cluster import until
from tests.e2e.synapse import put

pytestmark = pytest.mark.e2e

NS = 'xmlns="http://ws.apache.org/ns/synapse"'
PLAN = b"@Plan:name('Limits')\nfrom Requests select * insert into Throttled;\n"


def api(name: str, text: str = "", context: str = "") -> bytes:
    where = context or f"/{name.lower()}"
    return f'<api {NS} name="{name}" context="{where}"><resource/><!--{text}--></api>'.encode()


@pytest.fixture
def home(tmp_path: Path) -> Iterator[CarbonHome]:
    with carbon_home(tmp_path / "home", tenants=("3",)) as made:
        yield made


def said(home: CarbonHome, words: str) -> bool:
    return words in home.text()


# --- as a process ---------------------------------------------------------------------------------------


def test_it_deploys_updates_and_undeploys_what_lands_in_its_folders(home: CarbonHome) -> None:
    home.start()
    path = home.config / "api/A.xml"
    put(path, api("A", "v1"))
    until(lambda: home.serves("api", "A") == api("A", "v1"), "it is deployed")
    put(path, api("A", "v2"))
    until(lambda: home.serves("api", "A") == api("A", "v2"), "it is updated")
    path.unlink()
    until(lambda: home.serves("api", "A") is None, "it is undeployed")
    assert said(home, f"API named 'A' has been deployed from file : {path.resolve()}")
    assert said(home, f"API: A has been updated from the file: {path.resolve()}")


def test_a_refused_update_is_written_over_and_the_bad_bytes_are_lost(home: CarbonHome) -> None:
    path = home.config / "api/A.xml"
    put(path, api("A"))
    home.start()
    put(home.config / "api/First.xml", api("First"))
    until(lambda: home.serves("api", "First") is not None, "the first scan was")
    bad = api("A", "no.such.Class")
    put(path, bad)
    until(lambda: said(home, "API named 'A' has been restored"), "it is restored")
    until(lambda: path.read_bytes() not in {bad, b""}, "the old version is back")
    assert b"no.such.Class" not in path.read_bytes()
    assert said(home, "NO_BACKUP_ON_WORKER.INFO")
    assert home.serves("api", "A") == api("A")
    assert not list(home.config.rglob("*.back"))


def test_what_it_loaded_is_swallowed_if_it_changes_before_the_first_scan(home: CarbonHome) -> None:
    path = home.config / "api/A.xml"
    put(path, api("A"))
    home.start()
    put(path, api("A", "v2"))
    put(home.config / "api/New.xml", api("New"))
    until(lambda: home.serves("api", "New") is not None, "the first scan was")
    assert home.serves("api", "A") == api("A")
    stamp = path.stat().st_mtime + 1
    os.utime(path, (stamp, stamp))
    until(lambda: home.serves("api", "A") == api("A", "v2"), "a touch cures it")


def test_a_tenant_deploys_nothing_before_it_is_loaded(home: CarbonHome) -> None:
    home.start()
    put(home.tenant("3") / SYNAPSE / "api/T.xml", api("T"))
    put(home.config / "api/A.xml", api("A"))
    until(lambda: home.serves("api", "A") is not None, "a scan was")
    assert home.serves("api", "T", tenant="3") is None
    assert not said(home, "'T'")
    home.load_tenant("3")
    until(lambda: home.serves("api", "T", tenant="3") == api("T"), "it is loaded")
    put(home.tenant("3") / SYNAPSE / "api/U.xml", api("U"))
    until(lambda: said(home, "API named 'U' has been deployed"), "it deploys")
    assert "TID: [3] " in next(line for line in home.text().splitlines() if "'U'" in line)
    home.unload_tenant("3")
    assert home.serves("api", "T", tenant="3") is None


def test_plans_are_deployed_and_a_bad_update_leaves_none(home: CarbonHome) -> None:
    path = home.plans / "Limits.siddhiql"
    home.start()
    put(path, PLAN)
    until(lambda: home.serves("plan", "Limits") == PLAN, "it runs")
    put(path, b"from nowhere")
    until(lambda: home.serves("plan", "Limits") is None, "there is nothing to go back to")
    assert said(home, "in active state  : Limits")
    assert said(home, "Execution Plan was undeployed successfully : Limits.siddhiql")
    assert said(home, "Can't deploy the execution plan: Limits.siddhiql")


def test_after_a_kill_it_serves_what_is_there_when_it_starts_again(home: CarbonHome) -> None:
    path = home.config / "api/A.xml"
    put(path, api("A"))
    home.start()
    home.kill()
    assert home.serves("api", "A") is None
    put(path, api("A", "v2"))
    home.start()
    assert home.serves("api", "A") == api("A", "v2")
    assert home.starts() == 2


def test_what_the_console_saves_is_served_at_once_and_in_its_file_soon(home: CarbonHome) -> None:
    path = home.config / "api/A.xml"
    put(path, api("A"))
    home.start()
    home.save_in_console("A", api("A", "console"))
    assert home.serves("api", "A") == api("A", "console")
    until(lambda: path.read_bytes() == api("A", "console"), "it is written")
    assert said(home, "API : A was updated from the Synapse configuration successfully")
    assert not said(home, "API: A has been updated")


# --- as the agent hears it ------------------------------------------------------------------------------


@dataclass
class Ear:
    """What an adapter posts about a home."""

    home: CarbonHome
    events: list[ShellEvent] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.runtime = self._make()

    def _make(self) -> Runtime:
        text = (
            '[cluster]\nname = "c"\n[node]\nname = "n"\nstate_dir = "/nowhere/state"\n'
            f'[gateway]\nhome = "{self.home.folder}"\n'
        )
        settings = interpret(text, "s.toml", {}).settings
        return make_runtime(settings, Means(OsFS(), SystemClock(), self._post, settings.trees))

    def _post(self, event: ShellEvent) -> None:
        with self.lock:
            self.events.append(event)

    def heard(self) -> list[Heard]:
        with self.lock:
            events = list(self.events)
        return [each for event in events if isinstance(event, RuntimeHeard) for each in event.heard]

    def phase(self) -> Phase | None:
        with self.lock:
            turns = [event for event in self.events if isinstance(event, RuntimeTurned)]
        return turns[-1].state.phase if turns else None

    def has(self, saying: Saying, path: str, tree: str = "synapse") -> bool:
        where = ArtifactPath(TreeName(tree), path)
        return any(each.saying is saying and each.path == where for each in self.heard())


@pytest.fixture
def ear(home: CarbonHome) -> Iterator[Ear]:
    made = Ear(home)
    yield made
    made.runtime.stop()


def test_the_adapter_hears_what_becomes_of_each_file(home: CarbonHome, ear: Ear) -> None:
    home.start()
    ear.runtime.start(None)
    until(lambda: ear.phase() is Phase.READY, "it is ready")
    put(home.config / "api/A.xml", api("A"))
    put(home.plans / "Limits.siddhiql", PLAN)
    until(lambda: ear.has(Saying.DEPLOYED, "api/A.xml"), "it is deployed")
    put(home.config / "api/A.xml", api("A", "v2"))
    until(lambda: ear.has(Saying.UPDATED, "api/A.xml"), "it is updated")
    put(home.config / "api/A.xml", api("A", "no.such.Class"))
    until(lambda: ear.has(Saying.REJECTED, "api/A.xml"), "it is rejected")
    until(lambda: ear.has(Saying.RESTORED, "api/A.xml"), "it is restored")
    reasons = {each.reason for each in ear.heard() if each.saying is Saying.REJECTED}
    assert any("no.such.Class not found" in reason for reason in reasons), reasons
    (home.config / "api/A.xml").unlink()
    until(
        lambda: any(
            each.saying is Saying.UNDEPLOYED and (each.name == "A" or each.path is not None)
            for each in ear.heard()
        ),
        "it is undeployed",
    )


def test_the_adapter_sees_it_go_and_come(home: CarbonHome, ear: Ear) -> None:
    ear.runtime.start(None)
    until(lambda: ear.phase() is not None, "a first state is told")
    assert ear.phase() in {Phase.DOWN, Phase.UNKNOWN}
    home.start()
    until(lambda: ear.phase() is Phase.READY, "it came")
    home.kill()
    until(lambda: ear.phase() is Phase.DOWN, "it went")
    home.start()
    until(lambda: ear.phase() is Phase.READY, "it came again")


def test_the_adapter_misses_nothing_while_the_log_is_rotated(tmp_path: Path) -> None:
    with carbon_home(tmp_path / "home", log_bytes=1_000) as home:
        ear = Ear(home)
        home.start()
        ear.runtime.start(None)
        try:
            for number in range(40):
                put(home.config / f"api/A{number}.xml", api(f"A{number}"))
            until(
                lambda: all(ear.has(Saying.DEPLOYED, f"api/A{n}.xml") for n in range(40)),
                "all forty are heard",
            )
        finally:
            ear.runtime.stop()
        assert len(list(home.log.parent.glob("wso2carbon-*.log"))) >= 5, "it was rotated"


@pytest.mark.parametrize("version", ["3.2.0", "2.6.0"])
def test_the_adapter_reads_the_layouts_of_both_lines_of_products(
    tmp_path: Path, version: str
) -> None:
    with carbon_home(tmp_path / "home", version) as home:
        ear = Ear(home)
        home.start()
        ear.runtime.start(None)
        try:
            put(home.config / "api/A.xml", api("A"))
            put(home.config / "api/B.xml", api("B", "no.such.Class"))
            until(lambda: ear.has(Saying.DEPLOYED, "api/A.xml"), "one is deployed")
            until(lambda: ear.has(Saying.REJECTED, "api/B.xml"), "one is rejected")
        finally:
            ear.runtime.stop()


def test_a_tenant_s_artifacts_are_heard_under_its_tree(home: CarbonHome, ear: Ear) -> None:
    home.start()
    home.load_tenant("3")
    ear.runtime.start(None)
    put(home.tenant("3") / SYNAPSE / "api/T.xml", api("T"))
    until(lambda: ear.has(Saying.DEPLOYED, "api/T.xml", "tenant-3"), "it is heard")
    assert home.serves("api", "T", tenant=SUPER) is None
