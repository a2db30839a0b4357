"""Command lines against a fake desk behind a real control socket."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from syncagent.web.server import ControlServer
from tests.fakes.desk import FakeDesk
from tests.fakes.terminal import STATUS, CommandLine

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def call(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> CommandLine:
    """A node without an agent."""
    for variable in ("COLUMNS", "NO_COLOR", "CLICOLOR_FORCE", "SYNCAGENT_CONFIG"):
        monkeypatch.delenv(variable, raising=False)
    return CommandLine(tmp_path, capsys)


@pytest.fixture
def desk(call: CommandLine) -> Iterator[FakeDesk]:
    """An agent on that node."""
    desk = FakeDesk({"status": STATUS})
    server = ControlServer(call.socket, desk)
    server.start()
    yield desk
    server.stop()
