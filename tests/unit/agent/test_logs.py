"""The agent's log: its forms, its levels, and that nothing in a line can break out of it."""

from __future__ import annotations

import io
import json
import logging
import os
import pty
from typing import TYPE_CHECKING

import pytest

from syncagent.agent.wiring.logs import start_logging
from syncagent.core.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LOG = logging.getLogger("syncagent")


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def said(environ: dict[str, str]) -> list[str]:
    stream = io.StringIO()
    start_logging(environ, stream)
    LOG.debug("not by default")
    event = {"what": "committed", "fields": {"revision": 4, "path": "api/\x1b[2J\n.xml"}}
    LOG.info("%s %s", "committed", 'revision=4 path="api/\\u001b[2J"', extra=event)
    LOG.warning("peer says: %s", "hello\nlevel=error forged\x1b[31m")
    return stream.getvalue().splitlines()


def test_away_from_a_terminal_each_line_is_one_json_object() -> None:
    first, second = map(json.loads, said({}))
    assert first.pop("at").endswith("Z")
    assert first["level"] == "info"
    assert (first["what"], first["fields"]["revision"]) == ("committed", 4)
    assert first["fields"]["path"] == "api/\x1b[2J\n.xml"
    assert second["level"] == "warning"
    assert second["message"] == "peer says: hello\nlevel=error forged\x1b[31m"


def test_text_is_one_line_each_that_cant_steer_a_terminal() -> None:
    first, second = said({"SYNCAGENT_LOG_FORMAT": "text"})
    assert first.split(" ", 1)[1].startswith("info    committed revision=4 ")
    assert second.endswith("warning peer says: hello\\nlevel=error forged\\x1b[31m")


def test_a_terminal_gets_text_unless_json_is_asked_for() -> None:
    master, slave = pty.openpty()
    with os.fdopen(slave, "w") as terminal:
        start_logging({}, terminal)
        LOG.info("hello")
        assert os.read(master, 4096).decode().rstrip().endswith("info    hello")
        start_logging({"SYNCAGENT_LOG_FORMAT": "json"}, terminal)
        LOG.info("hello")
        assert json.loads(os.read(master, 4096))["message"] == "hello"
    os.close(master)


@pytest.mark.parametrize(("level", "count"), [("debug", 3), ("INFO", 2), ("error", 0)])
def test_the_level_is_what_the_environment_says(level: str, count: int) -> None:
    assert len(said({"SYNCAGENT_LOG": level})) == count


def test_a_crash_is_one_record_with_its_trace() -> None:
    stream = io.StringIO()
    start_logging({}, stream)
    try:
        int("no\nway")
    except ValueError:
        LOG.exception("it failed")
    (line,) = map(json.loads, stream.getvalue().splitlines())
    assert line["message"] == "it failed"
    assert "ValueError" in line["trace"]


def test_every_mistake_in_the_environment_is_named() -> None:
    with pytest.raises(SettingsError) as caught:
        start_logging({"SYNCAGENT_LOG": "loud", "SYNCAGENT_LOG_FORMAT": "xml"})
    assert len(caught.value.mistakes) == 2


@pytest.mark.parametrize("form", ["json", "text"])
def test_in_the_journal_a_line_begins_with_its_priority(tmp_path: Path, form: str) -> None:
    path = tmp_path / "log"
    with path.open("w") as stream:
        seen = os.fstat(stream.fileno())
        environ = {
            "JOURNAL_STREAM": f"{seen.st_dev}:{seen.st_ino}",
            "SYNCAGENT_LOG_FORMAT": form,
        }
        start_logging(environ, stream)
        LOG.warning("careful")
        LOG.info("fine")
        start_logging({**environ, "JOURNAL_STREAM": "1:1"}, stream)
        LOG.info("a file that a journal was once")
    lines = path.read_text().splitlines()
    assert [line[:3] for line in lines[:2]] == ["<4>", "<6>"]
    assert not lines[2].startswith("<")
