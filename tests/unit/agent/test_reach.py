"""Which trees answer before the agent begins."""

import os
import threading
from pathlib import Path

from syncagent.agent.wiring.reach import silent_trees
from syncagent.core.artifact import TreeKind, TreeName
from syncagent.core.settings import TreeSettings
from syncagent.fsio import OsFS
from tests.fakes.examiner import StillClock


class HangingFS(OsFS):
    """Real, but for one folder that does not answer until it is told to."""

    def __init__(self, hung: str) -> None:
        super().__init__()
        answer = self.answer = threading.Event()
        stat = self.stat

        def hanging(path: str) -> os.stat_result:
            if path == hung:
                answer.wait()
            return stat(path)

        self.stat = hanging  # type: ignore[assignment]


def test_a_tree_that_does_not_answer_is_named_and_one_that_is_not_there_is_not(
    tmp_path: Path,
) -> None:
    trees = [
        TreeSettings(TreeName(name), TreeKind.GENERIC, str(tmp_path / name))
        for name in ("well", "hung", "missing")
    ]
    for name in ("well", "hung"):
        (tmp_path / name).mkdir()
    fs = HangingFS(str(tmp_path / "hung"))
    try:
        silent = silent_trees(fs, trees, StillClock(), within_s=0.2)
    finally:
        fs.answer.set()
    assert silent.keys() == {"hung"}
    assert f"{tmp_path}/hung does not answer since" in silent[TreeName("hung")]
    assert silent_trees(fs, trees, StillClock()) == {}
