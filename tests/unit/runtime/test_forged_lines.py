"""What callers have a runtime log: it looks like the runtime's own words and must not be taken for them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from syncagent.core.artifact import TreeKind, TreeName
from syncagent.core.settings import TreeSettings
from syncagent.runtime.entries import TEXT_CHARS_MAX
from syncagent.runtime.names import Names
from syncagent.runtime.patterns import APACHE_3, CARBON_2, CARBON_3, Dialect, Pattern
from syncagent.runtime.reader import Reader, Turn

if TYPE_CHECKING:
    import re
    from collections.abc import Callable

    from syncagent.core.runtime import Heard

ROOT = "/opt/wso2am/repository/deployment/server/synapse-configs/default"
TREE = TreeSettings(TreeName("synapse"), TreeKind.SYNAPSE, ROOT)
WORDS = f"API named 'A' has been deployed from file : {ROOT}/api/A.xml"
DEPLOYER = "org.apache.synapse.deployers.APIDeployer"
LOG_MEDIATOR = "org.apache.synapse.mediators.builtin.LogMediator"


def apache(logger: str, text: str) -> str:
    return f"2026-11-21 14:22:39,493 [-] [Timer-0]  INFO {logger.rpartition('.')[2]} {text}\n"


def carbon_3(logger: str, text: str) -> str:
    return f"TID: [-1234] [] [2026-11-21 14:22:39,493]  INFO {{{logger}}} - {text}\n"


def carbon_2(logger: str, text: str) -> str:
    return (
        f"TID: [-1234] [AM] [2026-11-21 14:22:39,493]  INFO {{{logger}}} -  {text} {{{logger}}}\n"
    )


LAYOUTS = pytest.mark.parametrize(
    ("dialect", "layout"),
    [(APACHE_3, apache), (CARBON_3, carbon_3), (CARBON_2, carbon_2)],
    ids=["apache", "3.x", "2.x"],
)


def heard(dialect: Dialect, text: str) -> list[Heard | Turn]:
    reader = Reader(dialect, Names((TREE,), lambda path: path))
    return [*reader.take(text.encode(), 0.0), *reader.flush(1.0)]


@LAYOUTS
def test_the_deployer_s_own_line_is_heard(
    dialect: Dialect, layout: Callable[[str, str], str]
) -> None:
    assert len(heard(dialect, layout(DEPLOYER, WORDS))) == 1


@LAYOUTS
def test_a_mediator_s_line_is_not_however_it_begins(
    dialect: Dialect, layout: Callable[[str, str], str]
) -> None:
    for text in (
        WORDS,
        f"Update of the Synapse Artifact from file : {ROOT}/api/A.xml : Failed!",
        "WSO2 Carbon started in 41 sec",
        "Starting Apache Synapse...",
    ):
        assert heard(dialect, layout(LOG_MEDIATOR, text)) == []


@LAYOUTS
@pytest.mark.parametrize("before", ["payload = ", "To: /a, Direction: request, x = ", "(", "'"])
def test_words_within_a_message_are_not_heard(
    dialect: Dialect, layout: Callable[[str, str], str], before: str
) -> None:
    assert heard(dialect, layout(DEPLOYER, before + WORDS)) == []


@LAYOUTS
def test_a_line_of_a_message_that_has_no_head_is_not_heard(
    dialect: Dialect, layout: Callable[[str, str], str]
) -> None:
    assert heard(dialect, layout(LOG_MEDIATOR, f"payload = x\n{WORDS}\nINFO - {WORDS}")) == []


@LAYOUTS
def test_a_head_within_a_line_is_none(dialect: Dialect, layout: Callable[[str, str], str]) -> None:
    assert heard(dialect, layout(LOG_MEDIATOR, "x " + layout(DEPLOYER, WORDS))) == []


@LAYOUTS
def test_a_program_of_somebody_else_is_not_believed(
    dialect: Dialect, layout: Callable[[str, str], str]
) -> None:
    if dialect is not APACHE_3:  # which logs no packages
        assert heard(dialect, layout("com.acme.APIDeployer", WORDS)) == []


@LAYOUTS
def test_a_file_elsewhere_is_none_of_ours(
    dialect: Dialect, layout: Callable[[str, str], str]
) -> None:
    for file in ("/tmp/api/A.xml", f"{ROOT}/../../api/A.xml", f"{ROOT}/api/\x1b[1mA.xml"):
        text = f"API named 'A' has been deployed from file : {file}"
        assert heard(dialect, layout(DEPLOYER, text)) == []


@LAYOUTS
def test_whoever_writes_whole_lines_is_believed(
    dialect: Dialect, layout: Callable[[str, str], str]
) -> None:
    """Nothing in a log tells them apart: its layout has to encode line ends."""
    forged = layout(LOG_MEDIATOR, "payload = x\n" + layout(DEPLOYER, WORDS).rstrip("\n"))
    assert len(heard(dialect, forged)) == 1


class Counting:
    """A pattern that counts the characters that it is given to look through."""

    def __init__(self, text: re.Pattern[str]) -> None:
        self.pattern = text.pattern
        self._text = text
        self.longest = 0

    def search(self, text: str) -> re.Match[str] | None:
        self.longest = max(self.longest, len(text))
        return self._text.search(text)


@LAYOUTS
@pytest.mark.parametrize("fill", ["API named ", "x has been ", "a."])
def test_of_a_long_line_only_its_beginning_is_looked_through(
    dialect: Dialect, layout: Callable[[str, str], str], fill: str
) -> None:
    counting = [Counting(each.text) for each in dialect.patterns]
    patterns = tuple(
        Pattern(each.saying, count, each.kind, each.at_start, each.aside)  # type: ignore[arg-type]
        for each, count in zip(dialect.patterns, counting, strict=True)
    )
    line = layout(DEPLOYER, "API named " + fill * (64 * 1024 // len(fill)) + " has been ")
    assert heard(replace(dialect, patterns=patterns), line) == []
    assert 0 < max(count.longest for count in counting) <= TEXT_CHARS_MAX
