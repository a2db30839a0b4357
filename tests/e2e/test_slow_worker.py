"""A worker that does not move delays nobody, and has everything once it moves again."""

from pathlib import Path

import pytest

from tests.e2e.artifacts import api, fill
from tests.e2e.cluster import Cluster, files_of, until

pytestmark = pytest.mark.e2e


def test_a_stopped_worker_delays_nobody_and_catches_up_when_it_goes_on(tmp_path: Path) -> None:
    fill(tmp_path / "source", apis=5, sequences=5)
    with Cluster(tmp_path, {"gw-1": tmp_path / "source", "gw-2": None, "gw-3": None}) as cluster:
        cluster.start()
        cluster.wait_synced()
        manager, stopped, other = cluster.manager, cluster["gw-2"], cluster["gw-3"]
        before = files_of(stopped.tree)
        stopped.pause()
        try:
            # More than one: what waits for the stopped one must not fill up anything either.
            for number in range(3):
                edit = api("Api000", note=f"edit {number}")
                (manager.tree / "api/Api000.xml").write_bytes(edit)
                until(
                    lambda edit=edit: files_of(other.tree)["api/Api000.xml"] == edit,  # type: ignore[misc]
                    f"gw-3 has edit {number}, whatever gw-2 does",
                )
            (manager.tree / "api/Later.xml").write_bytes(api("Later"))
            until(lambda: "api/Later.xml" in files_of(other.tree), "and a new artifact")
            until(lambda: other.own_row()["state"] == "Synced", "and it is whole there")
            rows = {row["name"]: row for row in manager.answer("status")["nodes"]}  # type: ignore[index,call-overload]
            assert rows["gw-2"]["state"] != "Synced", "nobody says that the stopped one has it"
            assert files_of(stopped.tree) == before
        finally:
            stopped.resume()
        cluster.wait_synced()
        assert files_of(stopped.tree) == files_of(manager.tree)
