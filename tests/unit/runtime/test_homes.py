"""What an adapter finds in a gateway's home, and which adapter fits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from syncagent.core.artifact import ArtifactPath, Kind, TreeKind, TreeName
from syncagent.core.errors import SettingsError
from syncagent.core.runtime import NO_RUNTIME
from syncagent.core.settings import RuntimeSettings, TreeSettings
from syncagent.fsio import OsFS
from syncagent.ports import Instant
from syncagent.runtime.carbon import scan_s
from syncagent.runtime.choose import NO_HOME, Home, choose
from syncagent.runtime.listening import Means
from syncagent.runtime.names import RESOLVE_S, Names
from syncagent.runtime.synapse import log_of

if TYPE_CHECKING:
    from pathlib import Path


class Clock:
    def now(self) -> Instant:
        return Instant(0.0)

    def wall(self) -> float:
        return 0.0


MEANS = Means(OsFS(), Clock(), lambda _event: None)
SYNAPSE = Home("/opt/synapse", "Apache Synapse", "3.0.1")
API_MANAGER = Home("/opt/wso2am", "API Manager", "3.1.0", carbon=True)


@pytest.mark.parametrize(
    ("home", "kind", "log", "scan", "label"),
    [
        (SYNAPSE, "synapse", "/opt/synapse/logs/synapse.log", 10.0, "Apache Synapse 3.0.1"),
        (
            API_MANAGER,
            "carbon",
            "/opt/wso2am/repository/logs/wso2carbon.log",
            15.0,
            "API Manager 3.1.0",
        ),
    ],
)
def test_auto_is_what_the_home_holds(
    home: Home, kind: str, log: str, scan: float, label: str
) -> None:
    about = choose(MEANS, RuntimeSettings(), home).about
    assert (about.kind, about.log, about.scan_s, about.label) == (kind, log, scan, label)
    assert about.pause_s == 2.0
    assert about.shy
    assert about.answers


def test_without_a_home_auto_is_none() -> None:
    assert choose(MEANS, RuntimeSettings(), NO_HOME).about is NO_RUNTIME
    assert choose(MEANS, RuntimeSettings(kind="none"), SYNAPSE).about is NO_RUNTIME


def test_the_settings_log_wins() -> None:
    about = choose(MEANS, RuntimeSettings(log="/var/log/esb.log"), API_MANAGER).about
    assert about.log == "/var/log/esb.log"
    about = choose(MEANS, RuntimeSettings(kind="carbon", log="/var/log/esb.log"), NO_HOME).about
    assert about.log == "/var/log/esb.log"


@pytest.mark.parametrize(
    ("wanted", "text"),
    [
        (RuntimeSettings(kind="command"), "no program"),
        (RuntimeSettings(kind="synapse"), "log"),
        (RuntimeSettings(kind="jboss"), "jboss"),
    ],
)
def test_what_can_not_be_chosen_is_refused_with_the_reason(
    wanted: RuntimeSettings, text: str
) -> None:
    with pytest.raises(SettingsError, match=text):
        choose(MEANS, wanted, NO_HOME)


@pytest.mark.parametrize(
    ("text", "log"),
    [
        ("", "logs/synapse.log"),
        ("log4j.rootCategory=ERROR, A\nlog4j.appender.A.File=logs/other.log\n", "logs/other.log"),
        (
            "log4j.rootLogger = INFO, B, A\nlog4j.appender.A.File=a.log\nlog4j.appender.A=org.X\n",
            "a.log",
        ),
        ("log4j.rootLogger=INFO, A\nlog4j.appender.A.File=${x}/a.log\n", "logs/synapse.log"),
        ("# log4j.rootLogger=INFO, A\nlog4j.appender.A.File=a.log\n", "logs/synapse.log"),
    ],
)
def test_a_synapse_log_is_the_root_loggers_file(tmp_path: Path, text: str, log: str) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib/log4j.properties").write_text(text)
    assert log_of(OsFS(), str(tmp_path)) == f"{tmp_path}/{log}"


def test_an_absolute_log_stays_where_it_is(tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    properties = "log4j.rootLogger=INFO, A\nlog4j.appender.A.File=/var/log/a.log\n"
    (tmp_path / "lib/log4j.properties").write_text(properties)
    assert log_of(OsFS(), str(tmp_path)) == "/var/log/a.log"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("<a><DeploymentUpdateInterval>30</DeploymentUpdateInterval></a>", 30.0),
        ("<a><!-- <DeploymentUpdateInterval>30</DeploymentUpdateInterval> --></a>", 15.0),
        ("<a><DeploymentUpdateInterval>${x}</DeploymentUpdateInterval></a>", 15.0),
        ("<a><DeploymentUpdateInterval>0</DeploymentUpdateInterval></a>", 15.0),
    ],
)
def test_carbons_scan_interval_is_read_from_its_home(
    tmp_path: Path, text: str, seconds: float
) -> None:
    (tmp_path / "repository/conf").mkdir(parents=True)
    (tmp_path / "repository/conf/carbon.xml").write_text(text)
    assert scan_s(OsFS(), str(tmp_path)) == seconds


# --- names -----------------------------------------------------------------------------------------

TREES = (
    TreeSettings(TreeName("synapse"), TreeKind.SYNAPSE, "/srv/mount/default/"),
    TreeSettings(TreeName("siddhi"), TreeKind.SIDDHI, "/srv/mount/plans"),
    TreeSettings(TreeName("tenant-3"), TreeKind.SYNAPSE, "/srv/mount/t3"),
)
OTHER = "/home/wso2/wso2am"


@pytest.mark.parametrize(
    ("file", "found"),
    [
        ("/srv/mount/default/api/a.xml", ("synapse", "api/a.xml")),
        ("/real/mount/default/api/a.xml", ("synapse", "api/a.xml")),
        ("/real/mount/default/api/below/a.xml", ("synapse", "api/below/a.xml")),
        ("/srv/mount/plans/p.siddhiql", ("siddhi", "p.siddhiql")),
        ("/srv/mount/default-2/api/a.xml", None),
        ("/elsewhere/a.xml", None),
        # Another container's name for the same folders.
        (
            f"{OTHER}/repository/deployment/server/synapse-configs/default/api/a.xml",
            ("synapse", "api/a.xml"),
        ),
        (
            f"{OTHER}/repository/deployment/server/executionplans/p.siddhiql",
            ("siddhi", "p.siddhiql"),
        ),
        (
            f"{OTHER}/repository/tenants/3/synapse-configs/default/api/a.xml",
            ("tenant-3", "api/a.xml"),
        ),
        (f"{OTHER}/repository/tenants/4/synapse-configs/default/api/a.xml", None),
        ("/opt/synapse/repository/conf/synapse-config/api/a.xml", ("synapse", "api/a.xml")),
    ],
)
def test_a_file_is_known_by_its_resolved_name(file: str, found: tuple[str, str] | None) -> None:
    names = Names(TREES, lambda path: path.replace("/srv/", "/real/"))
    wanted = ArtifactPath(TreeName(found[0]), found[1]) if found else None
    assert names.of_file(file) == wanted


@pytest.mark.parametrize(
    ("kind", "tenant", "found"),
    [
        (Kind.API, "-1234", ("synapse", "api/x")),
        (Kind.LOCAL_ENTRY, "", ("synapse", "local-entries/x")),
        (Kind.API, "3", ("tenant-3", "api/x")),
        (Kind.PLAN, "-1234", ("siddhi", "x")),
        (Kind.PLAN, "3", None),
        (None, "", None),
        (Kind.FILE, "", None),
    ],
)
def test_a_bare_file_name_is_known_by_kind_and_tenant(
    kind: Kind | None, tenant: str, found: tuple[str, str] | None
) -> None:
    names = Names(TREES, lambda path: path)
    wanted = ArtifactPath(TreeName(found[0]), found[1]) if found else None
    assert names.of_base(kind, "x", tenant) == wanted


@pytest.mark.parametrize("rest", ["api/../../../etc/passwd", "api/a\0.xml", "api/\x1b[2J.xml", ""])
def test_what_no_tree_can_hold_is_no_artifact_whatever_a_log_says(rest: str) -> None:
    names = Names(TREES, lambda path: path)
    root = TREES[0].path
    assert names.of_file(f"{root}/{rest}") is None
    assert names.of_file(f"{OTHER}/repository/deployment/server/executionplans/{rest}") is None
    assert names.of_base(Kind.API, f"{rest}\n", "") is None


def test_two_trees_of_one_tenant_leave_a_bare_name_unknown() -> None:
    twice = (*TREES, TreeSettings(TreeName("other"), TreeKind.SYNAPSE, "/srv/other"))
    assert Names(twice, lambda path: path).of_base(Kind.API, "x.xml", "") is None


def test_a_root_that_leads_elsewhere_now_is_resolved_again_but_not_for_each_name() -> None:
    where, asked, now = {"to": "/old"}, list[str](), {"s": 0.0}

    def resolve(path: str) -> str:
        asked.append(path)
        return where["to"]

    names = Names(TREES[:1], resolve, lambda: now["s"])
    where["to"] = "/new"
    assert names.of_file("/new/api/a.xml") is None
    now["s"] = RESOLVE_S
    assert names.of_file("/new/api/a.xml") == ArtifactPath(TreeName("synapse"), "api/a.xml")
    for _ in range(5):
        names.of_file("/nobody/api/a.xml")
    assert len(asked) == 2
