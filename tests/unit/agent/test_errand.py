"""Work that may hang in a mount is done by another process, and given up."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from syncagent.agent.wiring.errand import may_hang, send
from syncagent.core.artifact import NodeName, TreeKind, TreeName
from syncagent.core.errors import DiskError, RefusedError
from syncagent.core.settings import Settings, TreeSettings

if TYPE_CHECKING:
    from pathlib import Path

HERE = "tests.unit.agent.test_errand"
PATIENCE_S = 30.0


def double(number: int) -> int:
    """Return twice the number."""
    return 2 * number


def refuse(why: str) -> None:
    """Say no."""
    raise RefusedError(f"refused: {why}", hint="ask otherwise")


def hang() -> None:
    """Never come back."""
    signal.pause()


def fail() -> None:
    """End without a word."""
    raise ValueError


def test_what_is_returned_there_is_returned_here() -> None:
    assert send(f"{HERE}:double", (21,), PATIENCE_S) == 42


def test_what_is_raised_there_is_raised_here() -> None:
    with pytest.raises(RefusedError, match="refused: so") as raised:
        send(f"{HERE}:refuse", ("so",), PATIENCE_S)
    assert raised.value.hint == "ask otherwise"


def test_what_hangs_is_given_up() -> None:
    with pytest.raises(DiskError, match="does not answer") as raised:
        send(f"{HERE}:hang", (), 0.5)
    assert raised.value.errno_name == "ETIMEDOUT"


def test_what_fails_is_said() -> None:
    with pytest.raises(DiskError, match="has failed"):
        send(f"{HERE}:fail", (), PATIENCE_S)


def test_local_trees_do_not_hang(tmp_path: Path) -> None:
    tree = TreeSettings(TreeName("synapse"), TreeKind.SYNAPSE, str(tmp_path))
    assert not may_hang(Settings("prod", NodeName("gw-1"), str(tmp_path), (tree,)))
