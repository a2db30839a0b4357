"""The model of hot deployment against what is known of the real one, a sentence per rule.

Rules that a real Apache Synapse showed are tested on it too (`tests/e2e/test_synapse_runtime.py`, logs in
`tests/data/logs`); those of Carbon are from its sources alone, named in `runtime_words` and the model.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from syncagent.core.runtime import Phase
from tests.fakes.runtime_deployer import Deed, Files, Moved, Said, Turned, Wrote
from tests.fakes.runtime_model import RuntimeModel
from tests.fakes.runtime_plans import PlanModel
from tests.fakes.runtime_words import CARBON, CARBON_2, SYNAPSE, WORDS, Dialect, Line, in_log

NS = 'xmlns="http://ws.apache.org/ns/synapse"'
START = 1_700_000_000.0
LOGS = Path(__file__).resolve().parents[2] / "data/logs/apache-synapse-3.0.1"
ROOT = "/opt/synapse/repository/conf/synapse-config"
BOTH = pytest.mark.parametrize("dialect", [SYNAPSE, CARBON], ids=lambda each: each.name)


def api(name: str, text: str = "", context: str | None = None) -> bytes:
    where = f"/{name.lower()}" if context is None else context
    return f'<api {NS} name="{name}" context="{where}"><resource/><!--{text}--></api>'.encode()


def sequence(name: str, text: str = "") -> bytes:
    return f'<sequence {NS} name="{name}"><log/><!--{text}--></sequence>'.encode()


CUT_OFF = api("A")[:-5]
NO_XML = b"this is no XML"


class Home:
    """A tree, the runtime's model on it, and a clock.

    `said` is the log since the last look, `observed` what it says of its configuration.
    """

    def __init__(self, dialect: Dialect, **files: bytes) -> None:
        self.model = RuntimeModel(dialect, ROOT)
        self.now = START
        self.files: Files = {}
        self.said: list[str] = []
        self.observed: list[str] = []
        self.phases: list[Phase] = []
        for name, content in files.items():
            self.put(f"api/{name}.xml", content)

    def put(self, path: str, content: bytes, *, later_s: float = 1.0) -> None:
        """Write a file; its mtime is that of the one before, and so much more, or now."""
        known = self.files.get(path)
        at = self.now if known is None else max(self.now, known[1] / 1e9 + later_s)
        self.files[path] = (content, int(at * 1e9))

    def stamp(self, path: str, seconds: float) -> None:
        """Move a file's mtime."""
        content, mtime_ns = self.files[path]
        self.files[path] = (content, mtime_ns + int(seconds * 1e9))

    def take(self, deeds: list[Deed]) -> None:
        for deed in deeds:
            match deed:
                case Said(line):
                    aside = line.logger == "DependencyTracker"
                    log = self.observed if aside else self.said
                    log.append(line.text.partition("\n")[0])
                case Wrote(path, content):
                    self.files[path] = (content, int(self.now * 1e9))
                case Moved(path, target):
                    self.files[target] = self.files.pop(path)
                case Turned(phase):
                    self.phases.append(phase)

    def until(self, now: float) -> None:
        while (due := self.model.due()) <= now:
            self.now = max(self.now, due)
            self.take(self.model.turn(due, self.files))
        self.now = max(self.now, now)

    def start(self) -> Home:
        self.take(self.model.start(self.now))
        self.until(self.now + self.model.dialect.start_s)
        self.said.clear()
        return self

    def scan(self) -> list[str]:
        """Let the next scan happen, to its end; return what it said."""
        self.said.clear()
        self.until(self.model.due())
        while self.model._jobs:
            self.until(self.model.due())
        return list(self.said)

    def serves(self, name: str, folder: str = "api") -> bytes | None:
        return self.model.serves(folder, name)


# --- the scan ---------------------------------------------------------------------------------------


@BOTH
def test_a_new_file_serves_from_the_next_scan_on(dialect: Dialect) -> None:
    home = Home(dialect).start()
    home.put("api/A.xml", api("A"))
    assert home.serves("A") is None
    assert home.scan() == [f"API named 'A' has been deployed from file : {ROOT}/api/A.xml"]
    assert home.serves("A") == api("A")


@BOTH
def test_the_same_bytes_with_a_later_mtime_are_deployed_again(dialect: Dialect) -> None:
    home = Home(dialect, A=api("A")).start()
    home.scan()
    home.stamp("api/A.xml", 1)
    assert home.scan() == [f"API: A has been updated from the file: {ROOT}/api/A.xml"]


@BOTH
def test_an_equal_mtime_is_seen_by_neither(dialect: Dialect) -> None:
    home = Home(dialect, A=api("A")).start()
    home.scan()
    home.files["api/A.xml"] = (api("A", "v2"), home.files["api/A.xml"][1])
    assert home.scan() == []
    assert home.serves("A") == api("A")


@pytest.mark.parametrize(("dialect", "seen"), [(SYNAPSE, False), (CARBON, True)])
def test_an_older_mtime_is_a_change_to_carbon_only(dialect: Dialect, seen: bool) -> None:
    home = Home(dialect, A=api("A")).start()
    home.scan()
    home.files["api/A.xml"] = (api("A", "v2"), home.files["api/A.xml"][1] - 3_600 * 10**9)
    assert bool(home.scan()) is seen
    assert (home.serves("A") == api("A", "v2")) is seen


def test_less_than_a_second_is_nothing_to_carbon_on_java_8() -> None:
    home = Home(CARBON, A=api("A")).start()
    home.scan()
    home.stamp("api/A.xml", 0.4)
    assert home.scan() == []


@pytest.mark.parametrize(("dialect", "seen"), [(SYNAPSE, True), (CARBON, False)])
def test_a_hidden_name_is_deployed_by_apache_only(dialect: Dialect, seen: bool) -> None:
    home = Home(dialect).start()
    home.put("api/.A.xml", api("A"))
    assert bool(home.scan()) is seen


@BOTH
def test_at_the_start_even_hidden_names_that_only_end_in_xml_are_loaded(dialect: Dialect) -> None:
    home = Home(dialect)
    home.put("api/.tmpxml", api("Tmp"))
    home.start()
    assert home.serves("Tmp") == api("Tmp")


@BOTH
def test_another_suffix_and_the_root_are_never_looked_at(dialect: Dialect) -> None:
    home = Home(dialect).start()
    for path in ("api/A.XML", "api/A.xml.back", "registry.xml", "notes/A.xml", "api/.1-2.part"):
        home.put(path, api("A"))
    assert home.scan() == []


@BOTH
def test_subfolders_are_scanned_too(dialect: Dialect) -> None:
    home = Home(dialect).start()
    home.put("api/below/A.xml", api("A"))
    assert home.scan() == [f"API named 'A' has been deployed from file : {ROOT}/api/below/A.xml"]


@BOTH
def test_each_update_keeps_the_scan_waiting_for_two_seconds(dialect: Dialect) -> None:
    home = Home(dialect, A=api("A"), B=api("B"), C=api("C")).start()
    home.scan()
    for name in "ABC":
        home.put(f"api/{name}.xml", api(name, "v2"))
    began = home.model.due()
    home.until(began)
    assert [home.serves(n) == api(n, "v2") for n in "ABC"] == [True, False, False]
    home.until(began + 2)
    assert [home.serves(n) == api(n, "v2") for n in "ABC"] == [True, True, False]
    home.until(began + 4)
    assert home.serves("C") == api("C", "v2")


@BOTH
def test_local_entries_and_new_files_keep_nobody_waiting(dialect: Dialect) -> None:
    home = Home(dialect)
    for key in "ab":
        home.put(
            f"local-entries/{key}.xml", f'<localEntry {NS} key="{key}">1</localEntry>'.encode()
        )
    home.start()
    home.scan()
    for key in "ab":
        home.put(
            f"local-entries/{key}.xml", f'<localEntry {NS} key="{key}">2</localEntry>'.encode()
        )
    home.put("api/A.xml", api("A"))
    home.until(home.model.due())
    assert len(home.said) == 3
    # It says `Endpoint` of a local entry.
    assert f"Endpoint: a has been updated from the file: {ROOT}/local-entries/a.xml" in home.said


def test_apache_scans_on_a_grid_that_began_at_the_start() -> None:
    home = Home(SYNAPSE, A=api("A")).start()
    home.scan()
    assert home.now == START + 10
    home.put("api/A.xml", api("A", "v2"))
    home.scan()
    home.scan()
    assert home.now == START + 30, "the two seconds of an update do not move it"


def test_carbon_scans_so_long_after_the_last_one_ended() -> None:
    home = Home(CARBON, A=api("A")).start()
    home.scan()
    first = home.now
    home.put("api/A.xml", api("A", "v2"))
    home.scan()
    assert home.now == first + 15
    home.scan()
    assert home.now == first + 15 + 2 + 15


@BOTH
def test_a_file_is_read_when_its_turn_has_come(dialect: Dialect) -> None:
    home = Home(dialect, A=api("A"), B=api("B")).start()
    home.scan()
    for name in "AB":
        home.put(f"api/{name}.xml", api(name, "v2"))
    began = home.model.due()
    home.until(began)
    home.files["api/B.xml"] = (api("B", "v3"), home.files["api/B.xml"][1])
    home.until(began + 2)
    assert home.serves("B") == api("B", "v3")


def test_carbon_goes_by_the_names_of_files_and_apache_as_they_are_listed() -> None:
    for dialect, expected in ((CARBON, ["A", "B"]), (SYNAPSE, ["B", "A"])):
        home = Home(dialect).start()
        home.put("api/B.xml", api("B"))
        home.put("api/A.xml", api("A"))
        assert [line[11:12] for line in home.scan()] == expected


# --- the table: what lands on disk ------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("content", [NO_XML, b""], ids=["no xml", "empty"])
def test_a_new_file_that_is_no_xml_stays_and_is_not_tried_again(
    dialect: Dialect, content: bytes
) -> None:
    home = Home(dialect).start()
    home.put("api/A.xml", content)
    [said] = home.scan()
    assert said.startswith(
        f"Deployment of synapse artifact failed. Error parsing {ROOT}/api/A.xml : "
    )
    assert home.scan() == []
    assert "api/A.xml" in home.files
    home.put("api/A.xml", api("A"))
    assert f"API named 'A' has been deployed from file : {ROOT}/api/A.xml" in home.scan()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (CUT_OFF, ""),
        (
            f"<api {NS} context='/a'/>".encode(),
            "Attribute 'name' is required for an API definition",
        ),
        (api("A", context="a"), "API context must begin with '/' character"),
        (api("Other"), "Duplicate resource definition by the name: Other"),
        (
            api("A", context="/other"),
            "URL context: /other is already registered with the API: Other",
        ),
    ],
    ids=["cut off", "no name", "no slash", "same name", "same context"],
)
def test_apache_moves_a_new_file_that_it_refuses_to_back(content: bytes, reason: str) -> None:
    home = Home(SYNAPSE, Other=api("Other")).start()
    home.scan()
    home.put("api/A.xml", content)
    failed, deployment, backed_up = home.scan()
    assert failed == f"API deployment from the file : {ROOT}/api/A.xml : Failed."
    assert (
        deployment == f"Deployment of the Synapse Artifact from file : {ROOT}/api/A.xml : Failed!"
    )
    assert backed_up == f"The file has been backed up into : {ROOT}/api/A.xml.back"
    assert home.files["api/A.xml.back"][0] == content
    assert "api/A.xml" not in home.files
    assert reason in home.model._deployer._read("api/A.xml", content).reason
    assert home.scan() == [], "that it moved the file itself is no undeploy"


def test_each_further_backup_has_a_number() -> None:
    home = Home(SYNAPSE).start()
    for _ in range(3):
        home.put("api/A.xml", CUT_OFF)
        home.scan()
        home.scan()
    assert set(home.files) == {"api/A.xml.back", "api/A.xml.1.back", "api/A.xml.2.back"}


def test_carbon_leaves_a_new_file_that_it_refuses_where_it_is() -> None:
    home = Home(CARBON).start()
    home.put("api/A.xml", api("A", context="no-slash"))
    assert home.scan()[-1] == "The file has been backed up into : NO_BACKUP_ON_WORKER.INFO"
    assert "api/A.xml" in home.files
    assert home.scan() == []


@BOTH
@pytest.mark.parametrize("content", [NO_XML, b""], ids=["no xml", "empty"])
def test_an_update_that_is_bad_from_its_first_byte_is_written_over_with_the_old_version(
    dialect: Dialect, content: bytes
) -> None:
    home = Home(dialect, A=api("A")).start()
    home.scan()
    home.put("api/A.xml", content)
    said = home.scan()
    assert said[-2] == f"Restoring the existing artifact into the file : {ROOT}/api/A.xml"
    assert said[-1] == "API named 'A' has been restored"
    restored = home.files["api/A.xml"][0]
    assert restored != api("A"), "it is serialised anew"
    assert b'name="A"' in restored
    assert ("api/A.xml.back" in home.files) is dialect.moves_back, "Carbon destroys the bad bytes"
    assert home.serves("A") == api("A")


@BOTH
def test_after_a_restore_the_next_change_of_that_file_is_swallowed_once(dialect: Dialect) -> None:
    home = Home(dialect, A=api("A")).start()
    home.scan()
    home.put("api/A.xml", NO_XML)
    home.scan()
    home.put("api/A.xml", api("A", "v2"))
    assert home.scan() == [], "it takes it for its own write"
    assert home.serves("A") == api("A")
    home.stamp("api/A.xml", 1)
    assert home.scan() == [f"API: A has been updated from the file: {ROOT}/api/A.xml"]
    assert home.serves("A") == api("A", "v2")


def test_after_an_update_that_breaks_off_only_a_restart_heals_apache() -> None:
    home = Home(SYNAPSE, A=api("A")).start()
    home.scan()
    home.put("api/A.xml", CUT_OFF)
    [said] = home.scan()
    assert "Error parsing" in said
    assert home.files["api/A.xml"][0] == CUT_OFF, "neither backed up nor restored"
    assert home.serves("A") == api("A"), "the old one serves"
    home.put("api/A.xml", api("A", "v2"))
    lost, _, _, backed_up = home.scan()
    assert lost == f"Artifact representing the filename {ROOT}/api/A.xml is not deployed on Synapse"
    assert backed_up.endswith("/api/A.xml.back")
    assert home.serves("A") == api("A")
    home.put("api/A.xml", api("A", "v2"))
    home.take(home.model.kill())
    home.start()
    assert home.serves("A") == api("A", "v2")


def test_carbon_restores_after_an_update_that_breaks_off() -> None:
    home = Home(CARBON, A=api("A")).start()
    home.scan()
    home.put("api/A.xml", CUT_OFF)
    assert home.scan() == [
        f"Update of the Synapse Artifact from file : {ROOT}/api/A.xml : Failed!",
        "The updated file has been backed up into : NO_BACKUP_ON_WORKER.INFO",
        f"Restoring the existing artifact into the file : {ROOT}/api/A.xml",
        "API named 'A' has been restored",
    ]
    assert b'name="A"' in home.files["api/A.xml"][0]


def test_a_refused_update_ends_hot_deployment_of_apache_until_a_restart() -> None:
    home = Home(SYNAPSE, A=api("A"), B=api("B")).start()
    home.scan()
    home.put("api/A.xml", api("A", context="no-slash"))
    home.put("sequences/S.xml", sequence("S"))
    assert home.scan() == ["API context must begin with '/' character"]
    assert home.phases[-1] is Phase.STUCK
    assert home.model.due() == float("inf")
    assert home.serves("A") == api("A")
    assert home.serves("S", "sequences") is None
    home.take(home.model.kill())
    home.start()
    assert home.serves("S", "sequences") is not None


@pytest.mark.parametrize("folder", sorted(WORDS))
def test_a_refused_update_kills_the_deployer_of_apache_for_most_kinds(folder: str) -> None:
    def artifact(text: str) -> bytes:
        root = {"imports": "import", "local-entries": "localEntry"}.get(folder, "")
        root = root or {
            "api": "api",
            "event-sources": "eventSource",
            "message-stores": "messageStore",
            "message-processors": "messageProcessor",
            "inbound-endpoints": "inboundEndpoint",
            "priority-executors": "priorityExecutor",
            "proxy-services": "proxy",
        }.get(folder, folder.removesuffix("s"))
        return f'<{root} {NS} name="N" key="N" context="/n"><!--{text}--></{root}>'.encode()

    home = Home(SYNAPSE)
    home.model.refuses = lambda _path, content: "no such class" if b"bad" in content else ""
    home.put(f"{folder}/N.xml", artifact("good"))
    home.start()
    home.scan()
    home.put(f"{folder}/N.xml", artifact("bad"))
    home.scan()
    alive = folder in {"proxy-services", "priority-executors", "imports"}
    assert (home.phases[-1] is Phase.READY) is alive
    name = "{}N" if folder == "imports" else "N"
    assert home.serves(name, folder) == artifact("good")


def test_a_refused_update_drops_the_rest_of_that_scan_on_api_manager_2() -> None:
    home = Home(CARBON_2, A=api("A"), B=api("B"), C=api("C")).start()
    home.scan()
    home.put("api/A.xml", api("A", "v2"))
    home.put("api/B.xml", api("B", context="no-slash"))
    home.put("api/C.xml", api("C", "v2"))
    said = home.scan()
    assert said[-1] == "Error while running deployment scheduler.. "
    assert home.serves("A") == api("A", "v2")
    assert home.serves("C") == api("C"), "it came later in that scan"
    assert home.scan() == [], "and is not tried again"
    home.stamp("api/C.xml", 1)
    home.scan()
    assert home.serves("C") == api("C", "v2")


def test_a_refused_update_is_restored_on_api_manager_3() -> None:
    home = Home(CARBON, A=api("A"), C=api("C")).start()
    home.scan()
    home.put("api/A.xml", api("A", context="no-slash"))
    home.put("api/C.xml", api("C", "v2"))
    home.scan()
    assert b'context="/a"' in home.files["api/A.xml"][0]
    assert home.serves("C") == api("C", "v2"), "what comes later is deployed"


@BOTH
def test_a_deleted_file_is_undeployed(dialect: Dialect) -> None:
    home = Home(dialect, A=api("A")).start()
    home.scan()
    del home.files["api/A.xml"]
    assert home.scan() == ["API named 'A' has been undeployed"]
    assert home.serves("A") is None


@BOTH
@pytest.mark.parametrize("name", ["main", "fault"])
def test_the_main_and_fault_sequences_come_back_when_they_are_deleted(
    dialect: Dialect, name: str
) -> None:
    path = f"sequences/{name}.xml"
    home = Home(dialect)
    home.put(path, sequence(name))
    home.start()
    home.scan()
    del home.files[path]
    assert home.scan() == [
        f"Cannot Undeploy the {name} sequence",
        f"Unable to undeploy the artifact from file : {ROOT}/{path}",
        f"Restoring the artifact into the file : {ROOT}/{path}",
        f"Sequence named '{name}' has been restored",
    ]
    assert path in home.files
    assert home.scan() == []


@pytest.mark.parametrize(("dialect", "said_so"), [(SYNAPSE, True), (CARBON, False)])
def test_only_apache_minds_the_delete_of_what_never_deployed_and_deploys_go_on(
    dialect: Dialect, said_so: bool
) -> None:
    home = Home(dialect)
    home.put("sequences/Never.xml", NO_XML)
    home.start()
    home.scan()
    del home.files["sequences/Never.xml"]
    home.put("api/New.xml", api("New"))
    said = home.scan()
    assert any("Never.xml is not deployed on Synapse" in line for line in said) is said_so
    assert home.serves("New") == api("New")


def test_deletes_that_come_after_one_that_never_deployed_are_dropped_on_apache() -> None:
    home = Home(SYNAPSE, Z=api("Z"))
    home.put("endpoints/Never.xml", NO_XML)
    home.start()
    home.scan()
    del home.files["api/Z.xml"]
    del home.files["endpoints/Never.xml"]
    assert home.scan() == [
        f"Artifact representing the filename {ROOT}/endpoints/Never.xml is not deployed on Synapse"
    ]
    assert home.serves("Z") == api("Z"), "it serves on, though its file is gone"
    assert home.scan() == [], "and nothing ever takes it away"


def test_what_never_deployed_takes_the_updates_of_its_scan_with_it_on_apache() -> None:
    """A file that was refused at the start is mended, and others change in the same scan."""
    home = Home(SYNAPSE, A=api("A"), B=api("B"))
    home.put("templates/T.xml", CUT_OFF)
    home.start()
    home.scan()
    home.put("templates/T.xml", f'<template {NS} name="T"/>'.encode())
    home.put("api/A.xml", api("A", "v2"))
    home.put("api/New.xml", api("New"))
    said = home.scan()
    assert f"The file has been backed up into : {ROOT}/api/A.xml.back" in said
    assert home.serves("A") == api("A"), "its update came as a duplicate of itself"
    assert home.serves("T", "templates") is not None
    assert home.serves("New") == api("New")
    assert home.serves("B") == api("B")


@BOTH
def test_a_rename_within_one_scan_is_an_undeploy_and_a_deploy(dialect: Dialect) -> None:
    home = Home(dialect, A=api("A")).start()
    home.scan()
    home.files["api/B.xml"] = home.files.pop("api/A.xml")
    assert home.scan() == [
        "API named 'A' has been undeployed",
        f"API named 'A' has been deployed from file : {ROOT}/api/B.xml",
    ]


@BOTH
def test_a_new_name_that_is_seen_one_scan_before_the_old_one_goes_loses_the_artifact(
    dialect: Dialect,
) -> None:
    home = Home(dialect, A=api("A")).start()
    home.scan()
    home.put("api/B.xml", api("A"))
    assert any("B.xml : Failed" in line for line in home.scan())
    del home.files["api/A.xml"]
    home.scan()
    assert home.serves("A") is None


@BOTH
def test_another_name_in_the_same_file_takes_the_place_of_the_old_one(dialect: Dialect) -> None:
    home = Home(dialect, A=api("A")).start()
    home.scan()
    home.put("api/A.xml", api("New"))
    assert home.scan() == [
        "API: A has been undeployed",
        f"API: New has been updated from the file: {ROOT}/api/A.xml",
    ]
    assert (home.serves("A"), home.serves("New")) == (None, api("New"))


@BOTH
def test_a_folder_that_vanishes_takes_all_its_artifacts_along_until_it_is_back(
    dialect: Dialect,
) -> None:
    home = Home(dialect, A=api("A"), B=api("B")).start()
    home.scan()
    kept, home.files = home.files, {}
    assert len(home.scan()) == 2
    home.files = kept
    assert len(home.scan()) == 2
    assert home.serves("A") == api("A")


def test_an_endpoint_and_a_sequence_can_not_have_one_name() -> None:
    home = Home(SYNAPSE)
    home.put("endpoints/E.xml", f'<endpoint {NS} name="E"/>'.encode())
    home.start()
    home.scan()
    home.put("sequences/E.xml", sequence("E"))
    assert any("sequences/E.xml : Failed" in line for line in home.scan())


# --- the start ------------------------------------------------------------------------------------------


@BOTH
def test_a_broken_file_is_skipped_at_the_start_and_the_rest_is_served(dialect: Dialect) -> None:
    home = Home(dialect, A=api("A"), Cut=CUT_OFF)
    home.take(home.model.start(home.now))
    home.until(home.now + dialect.start_s)
    assert any("Cut.xml - Continue in fail-safe mode" in line for line in home.said)
    assert home.serves("A") == api("A")


def test_apache_names_no_file_of_an_api_that_it_refuses_at_the_start() -> None:
    home = Home(SYNAPSE, Bad=api("Bad", context="no-slash"))
    home.take(home.model.start(home.now))
    home.until(home.now + 1)
    assert "API configuration cannot be built - Continue in fail-safe mode" in home.said
    assert not any("Bad.xml" in line for line in home.said)


def test_what_carbon_loaded_is_swallowed_if_it_changes_before_the_first_scan() -> None:
    home = Home(CARBON, A=api("A")).start()
    home.put("api/A.xml", api("A", "v2"))
    home.put("api/New.xml", api("New"))
    said = home.scan()
    assert said == [f"API named 'New' has been deployed from file : {ROOT}/api/New.xml"]
    assert home.scan() == [], "disk shows it, and it is never deployed"
    assert home.serves("A") == api("A")
    home.stamp("api/A.xml", 1)
    home.scan()
    assert home.serves("A") == api("A", "v2"), "a later touch cures it"


def test_what_apache_loaded_is_seen_if_it_changes_before_the_first_scan() -> None:
    home = Home(SYNAPSE, A=api("A")).start()
    home.put("api/A.xml", api("A", "v2"))
    assert home.scan() == [f"API: A has been updated from the file: {ROOT}/api/A.xml"]


def test_a_scan_before_the_server_has_started_skips_silently() -> None:
    slow = Dialect(**{**SYNAPSE.__dict__, "start_s": 12.0})
    home = Home(slow)
    home.take(home.model.start(home.now))
    home.until(START + 5)
    home.put("api/A.xml", api("A"))
    home.until(START + 40)
    assert not any("named 'A'" in line for line in home.said), "it took note of it, and no more"
    home.stamp("api/A.xml", 1)
    assert f"API named 'A' has been deployed from file : {ROOT}/api/A.xml" in home.scan()


def test_files_made_from_the_node_s_own_settings_are_written_anew_at_each_start() -> None:
    home = Home(CARBON)
    path = "inbound-endpoints/SecureWebSocketInboundEndpoint.xml"
    home.model.regenerates = {path: f'<inboundEndpoint {NS} name="Secure"/>'.encode()}
    home.put(path, b"<somebody/>")
    home.start()
    assert home.files[path][0] == home.model.regenerates[path]


def test_a_start_makes_the_default_sequences_where_they_are_missing() -> None:
    home = Home(CARBON)
    home.model.makes_defaults = True
    home.start()
    assert set(home.files) == {"sequences/main.xml", "sequences/fault.xml"}
    assert home.scan() == []


def test_what_the_console_saves_is_served_at_once_and_swallows_the_next_change() -> None:
    home = Home(CARBON, A=api("A")).start()
    home.scan()
    home.said.clear()
    home.take(home.model.console("api/A.xml", "A", api("A", "console"), home.now))
    assert home.observed == ["API : A was updated from the Synapse configuration successfully"]
    assert home.serves("A") == api("A", "console")
    assert home.files["api/A.xml"][0] == api("A")
    home.until(home.now + CARBON.persist_s)
    assert home.files["api/A.xml"][0] == api("A", "console")
    home.put("api/A.xml", api("A", "v2"))
    assert home.scan() == []


def test_the_configuration_is_spoken_of_beside_the_deployer_s_own_words() -> None:
    home = Home(CARBON).start()
    end = "the Synapse configuration successfully"
    home.put("api/A.xml", api("A"))
    home.scan()
    home.put("api/A.xml", api("A", "v2"))
    home.put("sequences/s.xml", sequence("s"))
    home.scan()
    home.put("sequences/s.xml", sequence("s", "v2"))
    del home.files["api/A.xml"]
    home.scan()
    assert home.observed == [
        f"API : A was added to {end}",
        f"API : A was updated from {end}",
        f"Sequence : s was added to {end}",
        f"API : A was removed from {end}",
    ]


def test_a_sequence_that_the_console_saves_is_taken_out_first() -> None:
    home = Home(CARBON).start()
    end = "the Synapse configuration successfully"
    for text in ("", "v2"):
        home.take(home.model.console("sequences/s.xml", "s", sequence("s", text), home.now))
        home.until(home.now + CARBON.persist_s)
    assert home.files["sequences/s.xml"][0] == sequence("s", "v2")
    assert home.observed == [
        f"Sequence : s was added to {end}",
        f"Sequence : s was  removed from {end}",
        f"Sequence : s was added to {end}",
    ]


# --- its log ------------------------------------------------------------------------------------------


def test_entries_look_as_each_product_writes_them() -> None:
    line = Line("INFO", "APIDeployer", "API named 'A' has been undeployed")
    assert in_log(SYNAPSE, START + 0.25, line) == (
        "2023-11-14 22:13:20,250 [-] [Timer-0]  INFO APIDeployer API named 'A' has been undeployed"
    )
    assert in_log(CARBON, START, line) == (
        "TID: [-1234] [] [2023-11-14 22:13:20,000]  INFO"
        " {org.apache.synapse.deployers.APIDeployer} - API named 'A' has been undeployed"
    )


def template(text: str) -> str:
    """What is left of a line without names, places and what an XML reader complains of."""
    text = re.sub(r"(Error parsing \S+ : ).*", r"\1", text)
    text = re.sub(rf"{ROOT}/[\w./-]+?\.xml((?:\.\d+)?\.back)?(?=[\s:]|$)", r"F\1", text)
    text = re.sub(r"file : [\w.]+\.xml - Continue", "file : BASE - Continue", text)
    text = re.sub(r"'[^'/ ]+'|(?<=: )(?!F\b|BASE\b)[/\w]+(?= has | is |$)", "N", text)
    return re.sub(r"(?<=context: )/\w+", "N", text)


def test_apache_s_lines_are_those_of_a_real_one() -> None:
    """Each line that a day with everything in it gives has been seen in a real log, but for names."""
    real = {
        template(line.split("]", 2)[2].lstrip().partition(" ")[2].partition(" ")[2])
        for file in sorted(LOGS.glob("*.log"))
        for line in file.read_text().splitlines()
        if line.startswith("20")
    }
    home = Home(SYNAPSE, A=api("A"), Cut=CUT_OFF, Bad=api("Bad", context="no-slash"))
    for name in ("main", "fault"):
        home.put(f"sequences/{name}.xml", sequence(name))
    home.put("proxy-services/P.xml", f'<proxy {NS} name="P"/>'.encode())
    home.put("endpoints/E.xml", f'<endpoint {NS} name="E"/>'.encode())
    home.take(home.model.start(home.now))
    home.until(home.now + 1)
    said = list(home.said)
    steps: list[dict[str, bytes | None]] = [
        {"api/B.xml": api("B"), "api/C.xml": CUT_OFF, "api/D.xml": api("A"), "api/E.xml": NO_XML},
        {"api/F.xml": api("F", context="/a"), "sequences/E.xml": sequence("E")},
        {
            "api/A.xml": api("A", "v2"),
            "endpoints/E.xml": f'<endpoint {NS} name="E" x="2"/>'.encode(),
        },
        {"sequences/main.xml": None},
        {"api/B.xml": None, "api/E.xml": None},
        {"api/A.xml": api("Named"), "proxy-services/P.xml": b"<proxy/>"},
        {"proxy-services/Q.xml": b"<proxy/>", "api/A.xml": NO_XML},
        {"api/A.xml": CUT_OFF},
        {"api/A.xml": CUT_OFF},
        {"api/A.xml": api("A")},
    ]
    for step in steps:
        for path, content in step.items():
            if content is None:
                del home.files[path]
            else:
                home.put(path, content)
        said += home.scan()
    unseen = {template(line) for line in said} - real
    assert not unseen
    assert len({template(line) for line in said}) > 20, "the day had a bit of everything"


def test_the_same_files_at_the_same_instants_give_the_same_log() -> None:
    def story() -> list[str]:
        home = Home(SYNAPSE, A=api("A"), B=api("B")).start()
        said = home.scan()
        home.put("api/A.xml", api("A", "v2"))
        home.put("api/C.xml", CUT_OFF)
        return said + home.scan() + home.scan()

    assert story() == story()


def test_a_second_plan_of_one_name_is_refused_and_takes_nothing_away() -> None:
    model = PlanModel(CARBON)
    first, twin = (f"@Plan:name('p')\ndefine stream {s} (a int);\n".encode() for s in "st")
    files: Files = {"p.siddhiql": (first, 10**18), "q.siddhiql": (twin, 10**18)}
    model.start(START)
    model.turn(START + 40.0, files)
    assert model.serving() == [("p.siddhiql", first)]
    assert [path for path, _ in model.faults] == ["q.siddhiql"]
    del files["q.siddhiql"]
    model.turn(START + 60.0, files)
    assert model.serving() == [("p.siddhiql", first)]
