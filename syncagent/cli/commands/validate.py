"""`syncagent validate`: judge files as the agent would, without an agent; for CI."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from syncagent.agent.wiring import tools
from syncagent.cli.help import ExampleCommand
from syncagent.cli.session import (
    SETTINGS_PATH,
    Session,
    config_option,
    output_option,
    pass_session,
    talk,
)
from syncagent.cli.words import harmless, plural
from syncagent.core.dialect import Dialect
from syncagent.core.errors import ExitCode, SettingsError
from syncagent.core.verdict import Problem, Severity

if TYPE_CHECKING:
    from collections.abc import Sequence

    from syncagent.core.desk import JSON

_Found = tuple[str, tuple[Problem, ...]]


@click.command(
    cls=ExampleCommand,
    examples=[
        ("syncagent validate", "the trees in the settings"),
        ("syncagent validate synapse-configs/default", "a folder, with what refers to what"),
        ("syncagent validate api/Pizza.xml -o json", "one file, for programs"),
        ("syncagent validate api --runtime synapse", "what Apache Synapse would refuse, too"),
    ],
    exits={0: "everything is valid", 6: "something is invalid"},
)
@click.argument("paths", metavar="[PATH]...", nargs=-1, type=click.Path(exists=True))
@click.option(
    "--runtime",
    type=click.Choice([dialect.value for dialect in Dialect]),
    help=(
        "Whose Synapse is to read them: carbon is WSO2's, synapse Apache's. Default: the settings'"
        " [runtime] and home; without settings carbon."
    ),
)
@output_option("table", "json", "yaml")
@config_option
@pass_session
def validate(session: Session, paths: tuple[str, ...], runtime: str | None) -> ExitCode:
    """Check artifacts as the agent would before it lets them pass."""
    wanted = paths or tuple(tree.path for tree in session.settings.trees)
    dialect = Dialect(runtime) if runtime else _dialect(session)
    found = list(tools.validate(wanted, dialect))
    session.emit([_described(item) for item in found], lambda _: _lines(found))
    invalid = sum(_is_invalid(problems) for _, problems in found)
    talk(f"{plural(len(found), 'artifact')}, {invalid} invalid")
    return ExitCode.REJECTED if invalid else ExitCode.DONE


def _dialect(session: Session) -> Dialect:
    """Return what the settings say, and WSO2's where there are none: in CI, say.

    Files can be judged without settings, so only those that somebody named must be good.
    """
    named = session.config != Path(SETTINGS_PATH)
    try:
        if not named and not session.config.exists():
            return Dialect.WSO2
        return tools.dialect_of(session.settings)
    except (SettingsError, OSError) as error:
        if named:
            raise
        talk(f"the runtime is not known, so WSO2's is meant (--runtime): {error}")
        return Dialect.WSO2


def _is_invalid(problems: Sequence[Problem]) -> bool:
    return any(problem.severity is Severity.ERROR for problem in problems)


def _described(item: _Found) -> JSON:
    path, problems = item
    return {
        "path": path,
        "valid": not _is_invalid(problems),
        "problems": [
            {
                "code": problem.code,
                "reason": problem.reason,
                "line": problem.line,
                "severity": problem.severity.value,
            }
            for problem in problems
        ],
    }


def _lines(found: Sequence[_Found]) -> str:
    """Return one line for each problem, in the form that editors jump to."""
    return "".join(
        harmless(
            f"{path}:{problem.line or 1}: {problem.severity}: {problem.reason} [{problem.code}]"
        )
        + "\n"
        for path, problems in found
        for problem in problems
    )
