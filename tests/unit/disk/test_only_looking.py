"""A node that only looks believes the roots that its ledger knows, if they are of the mode it is in."""

from pathlib import Path

import pytest

from syncagent.core.artifact import NodeName, TreeKind, TreeName
from syncagent.core.settings import Settings, TreeSettings
from syncagent.core.snapshot import Condition
from syncagent.disk.only_looking import OnlyLooking
from syncagent.fsio import OsFS
from tests.fakes.examiner import KeepingExaminer, StillClock

T = TreeName("synapse")


@pytest.mark.parametrize(
    ("known", "condition"),
    [
        ({}, Condition.GOOD),
        ({T: "0:1"}, Condition.REPLACED),
        ({T: "share:0a1b"}, Condition.GOOD),
    ],
)
def test_the_identity_of_a_mode_that_was_left_is_not_asked_for(
    tmp_path: Path, known: dict[TreeName, str], condition: Condition
) -> None:
    trees = (TreeSettings(T, TreeKind.SYNAPSE, str(tmp_path)),)
    settings = Settings("c", NodeName("n"), "/nowhere", trees)
    looking = OnlyLooking(OsFS(), settings, StillClock(), known)
    assert looking.scan(T, KeepingExaminer()).condition is condition
