"""What one file does to the others of its scan, on a real Apache Synapse 3.0.1.

Axis2 takes back all that is gone or changed before it deploys anything, and stops doing so at the first
file that it never deployed: what comes after is not known as an update, and fails as its own duplicate.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.cluster import until
from tests.e2e.synapse import SCAN_S, SynapseHome, answering, put, said, synapse_home

pytestmark = [pytest.mark.e2e, pytest.mark.needs_synapse]

NAMES = ("A", "B", "C")
FOLDERS = ("endpoints", "templates", "sequences", "api")
"""Which of them is scanned first depends on a hash of their paths."""


@pytest.fixture
def home(tmp_path: Path) -> Iterator[SynapseHome]:
    with synapse_home(tmp_path / "home") as made:
        for name in NAMES:
            put(made.config / f"api/{name}.xml", answering(name, f"/{name}", "v1"))
        yield made


def backed_up(home: SynapseHome) -> set[str]:
    return {path.name for path in home.config.rglob("*.back")}


def test_mending_what_never_deployed_takes_the_updates_of_that_scan_with_it(
    home: SynapseHome,
) -> None:
    for folder in FOLDERS:
        put(home.config / folder / "Never.xml", b"this is no XML")
    home.start()
    for name in NAMES:
        put(home.config / f"api/{name}.xml", answering(name, f"/{name}", "v2"))
    for folder in FOLDERS:
        put(home.config / folder / "Never.xml", b"nor is this")
    put(home.config / "api/New.xml", answering("New", "/new", "v1"))
    until(lambda: home.says("/new", "v1"), "a new file is deployed all the same", 4 * SCAN_S)
    until(lambda: backed_up(home) == {f"{n}.xml.back" for n in NAMES}, "updates are moved away")
    assert home.log_text().count("is not deployed on Synapse") == 1
    for name in NAMES:
        assert home.get(f"/{name}") == said("v1"), "the old version serves, and no file leads to it"


def test_the_same_updates_alone_are_taken(home: SynapseHome) -> None:
    """What the test before would show if it showed nothing."""
    for folder in FOLDERS:
        put(home.config / folder / "Never.xml", b"this is no XML")
    home.start()
    for name in NAMES:
        put(home.config / f"api/{name}.xml", answering(name, f"/{name}", "v2"))
    until(lambda: all(home.says(f"/{n}", "v2") for n in NAMES), "all are updated", 4 * SCAN_S)
    assert not backed_up(home)
