"""What a real Apache Synapse 3.0.1 does with the files it is given; the agent is built on these facts.

All stories of `synapse_stories` run once, side by side; each test reads what one of them saw.
"""

import re
from collections.abc import Callable, Iterator
from datetime import datetime

import pytest

from tests.e2e.synapse import Reply, said, synapse_homes
from tests.e2e.synapse_stories import MANY, NO_SLASH, OF_EACH_KIND, STORIES, Seen, run_all

pytestmark = [pytest.mark.e2e, pytest.mark.needs_synapse]

NO_API = Reply(202, b"")
KILLS = ("api", "sequence", "endpoint", "template", "local-entry", "store", "event-source", "task")
TOLERATED = ("proxy", "executor")

Stories = Callable[[str], Seen]


@pytest.fixture(scope="module")
def stories(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stories]:
    folder = tmp_path_factory.mktemp("homes")
    with synapse_homes(folder, *STORIES) as homes:
        told = run_all(dict(zip(STORIES, homes, strict=True)))
        yield lambda name: told[name].result()


def lines(log: str, *parts: str) -> list[str]:
    """Return the lines that hold all of `parts`."""
    return [line for line in log.splitlines() if all(part in line for part in parts)]


def at(log: str, part: str) -> float:
    """Return when the first line with `part` was written, in seconds."""
    stamp = datetime.strptime(lines(log, part)[0][:23], "%Y-%m-%d %H:%M:%S,%f")  # noqa: DTZ007
    return stamp.timestamp()


# --- good artifacts -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("file", "said_of_it"),
    [
        ("api/Hello.xml", "API named 'Hello' has been deployed from file : "),
        ("endpoints/E.xml", "Endpoint named 'E' has been deployed from file : "),
        ("event-sources/V.xml", "EventSource named 'V' has been deployed from file : "),
        ("imports/I.xml", "Synapse Library Import named '{org.x}i has been deployed from file : "),
        ("local-entries/L.xml", "LocalEntry named 'L' has been deployed from file : "),
        ("message-processors/R.xml", "Message Processor named 'R' has been deployed from file : "),
        ("message-stores/M.xml", "Message Store named 'M' has been deployed from file : "),
        ("priority-executors/X.xml", "PriorityExecutor named 'X' has been deployed from file : "),
        ("proxy-services/P.xml", "ProxyService named 'P' has been deployed from file : "),
        ("sequences/S.xml", "Sequence named 'S' has been deployed from file : "),
        ("tasks/K.xml", "StartupTask named 'K' has been deployed from file : "),
        ("templates/T.xml", "Template named 'T' has been deployed from file : "),
        ("templates/TE.xml", "Endpoint Template named 'TE' has been deployed from file : "),
    ],
)
def test_a_new_file_is_deployed_by_the_next_look_and_the_log_names_it(
    stories: Stories, file: str, said_of_it: str
) -> None:
    seen = stories("changes")
    log = seen.logs["new"] + seen.logs["updated"]
    (line,) = [text for text in lines(log, said_of_it) if text.endswith(file)]
    assert re.search(r"\[Timer-0\]  INFO \w+Deployer ", line)


def test_an_api_answers_from_the_start_and_a_new_one_from_the_next_look(stories: Stories) -> None:
    replies = stories("changes").replies
    assert replies["at start"] == said("v1")
    assert replies["new hello"] == said("v1")


def test_what_is_there_at_the_start_has_no_line_of_its_own_unless_it_fails(
    stories: Stories,
) -> None:
    log = stories("changes").logs["start"]
    assert lines(log, "AtStart") == lines(log, "Initializing API: AtStart")
    assert "has been deployed" not in log


def test_a_path_that_no_api_serves_is_accepted_with_an_empty_body(stories: Stories) -> None:
    assert stories("changes").replies["no api"] == NO_API


def test_a_look_is_no_order_of_dependency(stories: Stories) -> None:
    log = stories("changes").logs["new"]
    assert at(log, "API named 'Hello'") < at(log, "Sequence named 'S'")
    first, last = lines(log, "Endpoint named 'E'")[0], lines(log, "API named 'Hello'")[0]
    assert log.index(first) < log.index(last)


def test_a_hidden_name_is_deployed_and_what_lies_in_a_hidden_folder_is_not(
    stories: Stories,
) -> None:
    replies = stories("changes").replies
    assert replies["new dot"] == said("v1")
    assert replies["new hidden"] == NO_API


def test_a_suffix_counts_as_it_is_written(stories: Stories) -> None:
    replies = stories("changes").replies
    assert replies["new upper"] == NO_API
    assert replies["new no-dot"] == NO_API


def test_a_file_in_a_sub_folder_deploys_while_running_but_not_at_a_start(stories: Stories) -> None:
    assert stories("changes").replies["new deep"] == said("v1")
    assert stories("startup").replies["deep"] == NO_API


def test_an_api_deploys_without_the_sequence_it_names_and_works_once_that_is_there(
    stories: Stories,
) -> None:
    seen = stories("changes")
    assert lines(seen.logs["new"], "API named 'Needs' has been deployed")
    assert seen.replies["new needs"] == NO_API
    assert seen.replies["updated needs"] == said("v1")
    assert lines(seen.logs["updated"], "ERROR", "Sequence named", "'later'", "cannot be found")


# --- updates ------------------------------------------------------------------------------------


def test_an_updated_api_serves_its_new_version_from_its_line_on(stories: Stories) -> None:
    seen = stories("changes")
    assert seen.replies["while updating"] == said("v2")
    assert lines(seen.logs["updated"], "API: Hello has been updated from the file: ")


def test_the_look_pauses_two_seconds_after_an_update_before_the_old_is_destroyed(
    stories: Stories,
) -> None:
    log = stories("changes").logs["updated"]
    pause = at(log, "Destroying API: Hello") - at(log, "API: Hello has been updated")
    assert 2.0 <= pause < 3.0


def test_the_same_bytes_with_a_newer_time_are_deployed_again(stories: Stories) -> None:
    assert lines(stories("changes").logs["updated"], "API: Same has been updated from the file: ")


@pytest.mark.parametrize("name", ["Older", "Equal"])
def test_other_bytes_with_an_older_or_the_same_time_are_never_seen(
    stories: Stories, name: str
) -> None:
    seen = stories("changes")
    assert seen.replies[f"updated {name.lower()}"] == said("v1")
    later = [log for step, log in seen.logs.items() if step not in {"start", "new", "end"}]
    assert lines("".join(later), name) == []


@pytest.mark.parametrize(
    "update",
    [
        "Endpoint: L has been updated from the file: ",  # sic: a local entry
        "Template: T has been updated from the file: ",
        "StartupTask: K has been updated from the file: ",
        "ProxyService named 'P' has been updated from file : ",
        "Endpoint: E has been updated from the file: ",
        "Sequence: S has been updated from the file: ",
        "MessageStore: M has been updated from the file: ",
        "PriorityExecutor: X has been updated from the file: ",
        "EventSource named 'V' has been update from file : ",  # sic
    ],
)
def test_an_update_is_logged_in_the_words_of_its_kind(stories: Stories, update: str) -> None:
    logs = stories("changes").logs
    log = logs["updated"] + logs["updated others"] + logs["updated the rest"]
    assert len(lines(log, update)) == 1


def test_local_entries_templates_tasks_and_proxies_are_updated_without_a_pause(
    stories: Stories,
) -> None:
    log = stories("changes").logs["updated"]
    updates = len(lines(log, "API: ", "has been updated"))
    first, last = at(log, "has been updated"), at(log, "ProxyService named 'P' has been updated")
    assert 2.0 * updates <= last - first < 2.0 * updates + 1.0


def test_no_update_of_an_import_is_taken_and_the_old_one_is_written_back(stories: Stories) -> None:
    seen = stories("changes")
    log = seen.logs["updated the rest"]
    assert lines(log, "ERROR", "Duplicate Synapse Library {org.x}i")
    assert lines(log, "ERROR", "Update of the Synapse Artifact from file : ", "I.xml : Failed!")
    assert lines(log, "The updated file has been backed up into : ", "imports/I.xml.back")
    assert "imports/I.xml" not in seen.files["updated the rest"]


def test_many_updates_delay_each_other_and_looks_stay_on_their_grid(stories: Stories) -> None:
    seen = stories("startup")
    log = seen.logs["many"]
    updates = len(lines(log, "API: Many", "has been updated"))
    assert updates == 6
    last = lines(log, "API: Many", "has been updated")[-1]
    first = at(log, "has been updated")
    assert at(last, "Many") - first >= 2.0 * (updates - 1)
    later = at(seen.logs["after many"], "Endpoint: L has been updated") - first
    assert 0.0 < later < 40.0
    assert min(later % 10.0, 10.0 - later % 10.0) < 0.5


# --- renames and deletes ------------------------------------------------------------------------


def test_a_file_renamed_within_one_look_is_undeployed_and_deployed_again_in_it(
    stories: Stories,
) -> None:
    seen = stories("changes")
    log = seen.logs["renamed"]
    gap = at(log, "API named 'Renamed' has been deployed") - at(log, "'Renamed' has been undeploy")
    assert 0.0 <= gap < 1.0
    assert seen.replies["renamed"] == said("v1")


def test_an_artifact_renamed_inside_its_file_comes_before_the_old_goes(stories: Stories) -> None:
    seen = stories("changes")
    assert lines(seen.logs["renamed"], "API: Named has been undeployed")
    assert lines(seen.logs["renamed"], "API: Named2 has been updated from the file: ")
    assert seen.replies["named"] == NO_API
    assert seen.replies["named 2"] == said("v2")


@pytest.mark.parametrize(
    "line",
    [
        "API named 'Hello' has been undeployed",
        "Endpoint named 'E' has been undeployed",
        "EventSource named 'V' has been undeployed",
        "LocalEntry named 'L' has been undeployed",
        "MessageProcessor named 'R' has been undeployed",
        "MessageStore named 'M' has been undeployed",
        "PriorityExecutor named 'X' has been undeployed",
        "ProxyService named 'P' has been undeployed",
        "Sequence named 'S' has been undeployed",
        "StartupTask named 'K' has been undeployed",
        "Template named 'T' has been undeployed",
        "Template named 'TE' has been undeployed",
    ],
)
def test_a_deleted_file_is_undeployed_and_the_log_names_the_artifact_not_the_file(
    stories: Stories, line: str
) -> None:
    seen = stories("changes")
    found = lines(seen.logs["deleted"] + seen.logs["end"], line)
    assert len(found) == 1
    assert ".xml" not in found[0]
    assert seen.replies["deleted"] == NO_API


def test_an_api_copied_to_a_new_name_and_deleted_under_the_old_one_look_later_is_lost(
    stories: Stories,
) -> None:
    seen = stories("lost")
    assert lines(seen.logs["copied"], "ERROR", "Duplicate resource definition by the name: Lost")
    assert seen.replies["copied"] == said("v1")
    assert "api/New.xml" not in seen.files["copied"]
    assert "api/New.xml.back" in seen.files["copied"]
    assert lines(seen.logs["old deleted"], "API named 'Lost' has been undeployed")
    assert seen.replies["old deleted"] == NO_API


@pytest.mark.parametrize("name", ["main", "fault"])
def test_main_and_fault_cannot_be_undeployed_and_are_written_back_in_other_bytes(
    stories: Stories, name: str
) -> None:
    seen = stories("lost")
    log = seen.logs["old deleted"]
    assert lines(log, "ERROR", f"Cannot Undeploy the {name} sequence")
    assert lines(log, "ERROR", "Unable to undeploy the artifact from file : ", f"{name}.xml")
    assert lines(log, "Restoring the artifact into the file : ", f"{name}.xml")
    assert lines(log, f"Sequence named '{name}' has been restored")
    file = f"sequences/{name}.xml"
    assert seen.files["old deleted"][file] != seen.files["copied"][file]


def test_deleting_a_file_that_never_deployed_is_an_error_in_the_log(stories: Stories) -> None:
    log = stories("lost").logs["never deployed deleted"]
    assert lines(log, "ERROR", "Artifact representing the filename", "NoXml.xml is not deployed")


def test_deletes_that_come_after_it_in_that_look_are_dropped_and_their_artifacts_serve_on(
    stories: Stories,
) -> None:
    seen = stories("dropped")
    left = seen.names["left"]
    log = seen.logs["deleted"]
    assert lines(log, "ERROR", "Artifact representing the filename", "NoXml.xml is not deployed")
    assert left
    for name in left:
        assert f"api/{name}.xml" not in seen.files["deleted"]
        assert lines(log, f"API named '{name}' has been undeployed") == []
    assert seen.names["left one look later"] == left


def test_what_is_left_behind_so_refuses_its_own_file_and_goes_only_with_a_restart(
    stories: Stories,
) -> None:
    seen = stories("dropped")
    assert seen.names["serves v2"] == []
    for name in seen.names["left"]:
        reason = f"Duplicate resource definition by the name: {name}"
        assert lines(seen.logs["put again"], "ERROR", reason)
        assert f"api/{name}.xml.back" in seen.files["put again"]
    assert seen.names["left after a restart"] == []


def test_a_changed_file_that_never_deployed_keeps_proxies_from_their_update_in_that_look(
    stories: Stories,
) -> None:
    seen = stories("dropped-proxies")
    log = seen.logs["changed"]
    assert lines(log, "Two services cannot have same name")
    failed = re.findall(r"hot deployment from file: \S+/(P\d+)\.xml failed", log)
    assert failed
    for name in failed:
        assert lines(log, f"ProxyService named '{name}' has been updated") == []


def test_touching_such_a_proxy_once_more_updates_it(stories: Stories) -> None:
    log = stories("dropped-proxies").logs["touched again"]
    updated = set(re.findall(r"ProxyService named '(P\d+)' has been updated", log))
    assert updated == {f"P{number}" for number in range(MANY)}


def test_a_folder_that_goes_away_undeploys_all_that_was_in_it(stories: Stories) -> None:
    seen = stories("lost")
    assert lines(seen.logs["folder away"], "API named 'Stays' has been undeployed")
    assert seen.replies["folder away"] == NO_API


def test_a_folder_that_comes_back_is_deployed_again(stories: Stories) -> None:
    seen = stories("lost")
    assert lines(seen.logs["folder back"], "API named 'Stays' has been deployed from file : ")
    assert seen.replies["folder back"] == said("v1")


def test_an_empty_folder_undeploys_all_that_was_in_it(stories: Stories) -> None:
    assert stories("lost").replies["folder empty"] == NO_API


# --- new files that are refused -----------------------------------------------------------------


@pytest.mark.parametrize("name", ["NoXml", "Empty"])
def test_a_new_file_that_is_no_xml_stays_and_is_not_tried_again_until_its_time_changes(
    stories: Stories, name: str
) -> None:
    seen = stories("refused")
    error = f"Deployment of synapse artifact failed. Error parsing .*/{name}.xml : "
    assert len(re.findall(error, seen.logs["new"])) == 1
    assert f"api/{name}.xml" in seen.files["new"]
    assert lines(seen.logs["one look later"], f"{name}.xml") == []


def test_a_file_that_is_no_xml_is_tried_again_when_its_time_changes(stories: Stories) -> None:
    log = stories("refused").logs["updates"]
    assert lines(log, "ERROR", "Artifact representing the filename", "NoXml.xml is not deployed")
    assert lines(log, "ERROR", "Error parsing", "NoXml.xml")


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        ("api/NoName.xml", "Attribute 'name' is required for an API definition"),
        ("api/NoSlash.xml", "API context must begin with '/' character"),
        (
            "api/SameContext.xml",
            "URL context: /first is already registered with the API: First",
        ),
        ("api/SameName.xml", "Duplicate resource definition by the name: First"),
        ("sequences/E.xml", "Duplicate sequence definition for key : E"),  # an endpoint has it
        ("sequences/S.xml", "Unknown mediator referenced by configuration element : "),
    ],
)
def test_a_new_artifact_that_is_refused_is_moved_away_and_hot_deployment_lives(
    stories: Stories, file: str, reason: str
) -> None:
    seen = stories("refused")
    log = seen.logs["new"]
    assert lines(log, "ERROR", reason)
    assert lines(log, "ERROR", "eployment from the file : ", f"/{file} : Failed.")
    assert lines(log, "ERROR", "Deployment of the Synapse Artifact from file", f"{file} : Failed!")
    assert lines(log, "The file has been backed up into : ", f"/{file}.back")
    assert file not in seen.files["new"]
    assert f"{file}.back" in seen.files["new"]


@pytest.mark.parametrize("name", ["main", "fault"])
def test_main_and_fault_that_come_while_it_runs_are_refused_as_it_has_made_its_own(
    stories: Stories, name: str
) -> None:
    seen = stories("refused")
    assert lines(seen.logs["new"], "ERROR", f"Duplicate sequence definition for key : {name}")
    assert f"sequences/{name}.xml" not in seen.files["new"]
    assert f"sequences/{name}.xml.back" in seen.files["new"]


def test_a_new_file_whose_xml_ends_in_the_middle_is_moved_away(stories: Stories) -> None:
    seen = stories("refused")
    assert lines(seen.logs["new"], "DeferredParsingException", "Unexpected end of input")
    assert "api/NewCut.xml.back" in seen.files["new"]


def test_the_second_refusal_of_a_file_gets_a_number(stories: Stories) -> None:
    assert "api/NoName.xml.1.back" in stories("refused").files["updates"]


def test_a_new_proxy_that_is_refused_stays_with_a_warning_only(stories: Stories) -> None:
    seen = stories("refused")
    warning = "Proxy service hot deployment from file: "
    assert lines(seen.logs["new"], "WARN", warning, "P.xml failed - Continue in fail-safe mode")
    assert lines(seen.logs["new"], "backed up", "P.xml") == []
    assert "proxy-services/P.xml" in seen.files["new"]


# --- updates that are no XML --------------------------------------------------------------------


def test_an_update_bad_from_its_first_byte_is_replaced_by_the_old_version_in_other_bytes(
    stories: Stories,
) -> None:
    seen = stories("refused")
    log = seen.logs["updates"]
    assert lines(log, "ERROR", "Error parsing", "Burnt.xml")
    assert lines(log, "Restoring the existing artifact into the file : ", "Burnt.xml")
    assert lines(log, "API named 'Burnt' has been restored")
    assert seen.files["updates"]["api/Burnt.xml"] != seen.files["new"]["api/Burnt.xml"]
    assert b'name="Burnt"' in seen.files["updates"]["api/Burnt.xml"]
    assert seen.replies["restored"] == said("v1")


def test_the_bytes_of_that_update_are_kept_without_a_word_in_the_log(stories: Stories) -> None:
    seen = stories("refused")
    assert seen.files["updates"]["api/Burnt.xml.back"] == b"no XML at all"
    assert lines(seen.logs["updates"], "Burnt.xml.back") == []


def test_a_good_file_pushed_before_the_look_after_a_restore_is_swallowed(stories: Stories) -> None:
    seen = stories("refused")
    assert lines(seen.logs["good again"], "Burnt") == []
    assert seen.replies["good again: burnt"] == said("v1")
    assert b"v3" in seen.files["good again"]["api/Burnt.xml"]


def test_touching_a_swallowed_file_once_more_deploys_it(stories: Stories) -> None:
    seen = stories("refused")
    assert lines(seen.logs["touched again"], "API: Burnt has been updated from the file: ")
    assert seen.replies["touched again: burnt"] == said("v3")


def test_an_update_whose_xml_ends_in_the_middle_stays_and_the_old_version_serves(
    stories: Stories,
) -> None:
    seen = stories("refused")
    assert lines(seen.logs["updates"], "ERROR", "Error parsing", "Cut.xml", "Unexpected end")
    assert b"v2" in seen.files["updates"]["api/Cut.xml"]
    assert seen.replies["cut off"] == said("v1")


def test_after_that_even_a_good_update_is_refused_and_moved_away(stories: Stories) -> None:
    seen = stories("refused")
    log = seen.logs["good again"]
    assert lines(log, "ERROR", "Artifact representing the filename", "Cut.xml is not deployed")
    assert lines(log, "ERROR", "Duplicate resource definition by the name: Cut")
    assert "api/Cut.xml.back" in seen.files["good again"]
    assert "api/Cut.xml" not in seen.files["good again"]
    assert seen.replies["good again: cut"] == said("v1")


def test_only_a_restart_heals_it(stories: Stories) -> None:
    assert stories("refused").replies["restarted: cut"] == said("v3")


# --- updates that are XML, and refused ----------------------------------------------------------


@pytest.mark.parametrize("kind", [*KILLS, "processor"])
def test_a_refused_update_ends_hot_deployment_until_a_restart(stories: Stories, kind: str) -> None:
    seen = stories(f"refused-update-{kind}")
    assert seen.died["update"]
    assert lines(seen.logs["update"], "ERROR")
    assert "backed up" not in seen.logs["update"]
    assert seen.logs["later"].count("Deployer") == 0
    assert seen.replies["new"] == NO_API
    assert seen.replies["good"] == said("v1")


@pytest.mark.parametrize("kind", [kind for kind in [*KILLS, "processor"] if kind != "task"])
def test_a_restart_brings_hot_deployment_back(stories: Stories, kind: str) -> None:
    seen = stories(f"refused-update-{kind}")
    assert not seen.died["start"]
    assert seen.replies["restarted: new"] == said("v1")


def test_the_refused_api_serves_its_old_version_until_that_restart_and_is_gone_after_it(
    stories: Stories,
) -> None:
    seen = stories("refused-update-api")
    assert seen.replies["bad"] == said("v1")
    assert seen.replies["restarted: bad"] == NO_API
    line = "API configuration cannot be built - Continue in fail-safe mode"
    assert lines(seen.logs["restart"], "WARN", line)


def test_no_update_of_a_message_processor_is_taken_not_even_to_the_same(stories: Stories) -> None:
    seen = stories("refused-update-processor")
    assert lines(seen.logs["update"], "ERROR", "Duplicate Message Processor R")
    assert seen.died["update"]


def test_with_a_task_that_cannot_be_made_the_runtime_does_not_even_start_and_its_process_stays(
    stories: Stories,
) -> None:
    seen = stories("refused-update-task")
    assert seen.died["start"]
    assert not seen.died["process"]
    assert lines(seen.logs["restart"], "ERROR", "Cannot instantiate task")
    assert seen.replies["restarted: new"] == Reply(0, b"")


@pytest.mark.parametrize("kind", TOLERATED)
def test_a_refused_update_of_a_proxy_or_an_executor_is_moved_away_and_the_old_written_back(
    stories: Stories, kind: str
) -> None:
    seen = stories(f"refused-update-{kind}")
    log = seen.logs["update"]
    assert not seen.died["update"]
    assert lines(log, "ERROR", "Update of the Synapse Artifact from file : ", " : Failed!")
    assert lines(log, "The updated file has been backed up into : ", ".xml.back")
    assert lines(log, "Restoring the existing artifact into the file : ")
    assert seen.replies["new"] == said("v1")


# --- starts -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "line",
    [
        "Error while building API configuration from file : NoXml.xml - Continue in fail-safe mode",
        "API configuration cannot be built - Continue in fail-safe mode",
        "Sequence configuration: Unknown cannot be built - Continue in fail-safe mode",
    ],
)
def test_a_start_skips_a_broken_file_with_a_warning_that_may_not_name_it(
    stories: Stories, line: str
) -> None:
    seen = stories("startup")
    assert lines(seen.logs["start"], "[main]  WARN", line)
    assert seen.replies["good"] == said("v1") or "ASame" in seen.logs["start"]


def test_two_apis_of_one_context_are_taken_at_the_start_in_no_sure_order(stories: Stories) -> None:
    log = stories("startup").logs["start"]
    found = re.findall(r"URL context: /good is already registered with the API: (\w+)", log)
    assert set(found) in ({"Good"}, {"ASame"})


def test_a_start_takes_hidden_names_and_needs_the_dot_of_the_suffix(stories: Stories) -> None:
    replies = stories("startup").replies
    assert replies["dot"] == said("v1")
    assert replies["no-dot"] == NO_API


def test_a_folder_that_is_missing_at_the_start_is_not_fatal(stories: Stories) -> None:
    assert lines(stories("startup").logs["start"], "Apache Synapse started successfully")


def test_what_failed_at_the_start_is_not_tried_again_by_the_looks(stories: Stories) -> None:
    seen = stories("startup")
    assert lines(seen.logs["first look"], "ERROR") == []
    assert seen.files["first look"]["api/NoSlash.xml"] == NO_SLASH


def test_a_file_that_failed_at_the_start_deploys_once_it_is_mended(stories: Stories) -> None:
    seen = stories("startup")
    log = seen.logs["mended"]
    assert lines(log, "ERROR", "Artifact representing the filename", "NoSlash.xml is not deployed")
    assert lines(log, "API named 'Bad' has been deployed from file : ")
    assert seen.replies["mended"] == said("v1")


def test_a_root_file_takes_effect_at_the_next_start_only(stories: Stories) -> None:
    replies = stories("startup").replies
    assert replies["root file"] == NO_API
    assert replies["root file after a restart"] == said("v1")


def test_without_the_folder_of_all_artifacts_the_runtime_does_not_start(stories: Stories) -> None:
    log = stories("no-root").logs["start"]
    assert lines(log, "FATAL", "The synapse.xml location ", "/synapse-config doesn't exist")
    assert "Apache Synapse started" not in log


def test_the_log_names_the_canonical_path_of_a_file(stories: Stories) -> None:
    (line,) = lines(stories("startup").logs["mended"], "API named 'Bad' has been deployed")
    assert line.endswith("/elsewhere/api/NoSlash.xml")


def test_the_ready_line_comes_even_where_the_port_is_taken(stories: Stories) -> None:
    seen = stories("port-taken")
    log = seen.logs["start"] + seen.logs["end"]
    assert lines(log, "Server ready for processing...")
    assert lines(log, "Apache Synapse started successfully")
    assert lines(log, "BindException: Address already in use")
    assert not seen.died["process"]


def test_every_kind_is_among_those_that_were_deployed() -> None:
    assert len({name.partition("/")[0] for name in OF_EACH_KIND} | {"api"}) == 12
