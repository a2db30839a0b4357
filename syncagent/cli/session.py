"""What every command shares: where the settings are, how to print, whom to ask.

Options of the same name mean the same in every command; they are declared here once.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from syncagent.agent.wiring import tools
from syncagent.cli.reading import Row, as_row, text
from syncagent.cli.table import Style, terminal_width
from syncagent.cli.words import wants_colour
from syncagent.core.desk import API_VERSION
from syncagent.core.errors import ExitCode, NoAgentError, StateError, UnreachableError
from syncagent.core.units import parse_duration

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from syncagent.core.desk import JSON
    from syncagent.core.settings import Settings

PROMPT_S = 30.0
"""How long an answer that needs no waiting may take."""

SETTINGS_PATH = "/etc/syncagent/syncagent.toml"
SETTINGS_VARIABLE = "SYNCAGENT_CONFIG"

_F = TypeVar("_F", bound="Callable[..., object]")
_T = TypeVar("_T")


@dataclass
class Session:
    """One command's surroundings; filled by the options below.

    `offline_status`, `ask_files`, `reconcile_once` and `examine` are what answers where no agent
    runs.
    """

    config: Path = field(default_factory=lambda: Path(SETTINGS_PATH))
    output: str = "table"
    timeout_s: float = PROMPT_S
    verbose: bool = False
    offline_status: Callable[[Settings], Mapping[str, JSON]] = tools.offline_status
    ask_files: Callable[[Settings, str, Mapping[str, JSON]], JSON] = tools.ask_files
    reconcile_once: Callable[..., Mapping[str, JSON]] = tools.reconcile_once
    examine: Callable[[Path], Mapping[str, JSON]] = tools.examine
    _settings: Settings | None = None

    @property
    def settings(self) -> Settings:
        """Return the settings, read once. Raises SettingsError."""
        if self._settings is None:
            self._settings = tools.load_settings(self.config)
        return self._settings

    def ask(
        self, verb: str, arguments: Mapping[str, JSON] | None = None, *, timeout_s: float = PROMPT_S
    ) -> JSON:
        """Ask the running agent. Raises SyncagentError; UnreachableError if there is none."""
        return tools.ask(self.settings, verb, arguments or {}, timeout_s)

    def answer(
        self, verb: str, arguments: Mapping[str, JSON] | None = None
    ) -> tuple[JSON, ExitCode]:
        """Ask the running agent, or where none runs this node's files: the code says which.

        Raises SyncagentError; UnreachableError for what no file tells.
        """
        try:
            return self.ask(verb, arguments), ExitCode.DONE
        except NoAgentError:
            found = self._from_files(lambda: self.ask_files(self.settings, verb, arguments or {}))
        self._say_as_of(text(self.from_files(), "as_of"))
        return found, ExitCode.UNREACHABLE

    def status(self) -> tuple[Row, ExitCode]:
        """Return `status`, as `answer` does."""
        try:
            return as_row(self.ask("status")), ExitCode.DONE
        except UnreachableError:
            found = self.from_files()
        self._say_as_of(text(found, "as_of"))
        return found, ExitCode.UNREACHABLE

    def from_files(self) -> Mapping[str, JSON]:
        """Return `status` from this node's files. Raises UnreachableError if they say nothing."""
        return self._from_files(lambda: self.offline_status(self.settings))

    @staticmethod
    def _from_files(question: Callable[[], _T]) -> _T:
        try:
            return question()
        except StateError as error:
            raise UnreachableError(
                f"no agent runs here, and its files say nothing: {error}", hint=error.hint
            ) from error

    @staticmethod
    def _say_as_of(as_of: str) -> None:
        talk(f"daemon not running, showing state of {as_of or 'its files'}")
        talk("  next: syncagent run")

    @property
    def for_people(self) -> bool:
        """Whether stdout is read by people."""
        return self.output in {"table", "wide"}

    @property
    def style(self) -> Style:
        """How to print tables on stdout."""
        return Style(terminal_width(sys.stdout), wants_colour(sys.stdout))

    def emit(self, result: JSON, as_text: Callable[[Style], str]) -> None:
        """Write one answer to stdout in the asked form; objects get their `apiVersion`."""
        if self.for_people:
            style = self.style
            click.echo(as_text(style), nl=False, color=style.colour)
            return
        if isinstance(result, dict):
            result = {"apiVersion": API_VERSION, **result}
        if self.output == "json":
            click.echo(json.dumps(result, indent=2, ensure_ascii=False))
            return
        import yaml  # noqa: PLC0415 - slow to load, seldom asked for

        click.echo(yaml.safe_dump(result, sort_keys=False, allow_unicode=True), nl=False)


pass_session = click.make_pass_decorator(Session, ensure=True)


def talk(message: str) -> None:
    """Say something to people: on stderr, which is never data."""
    click.echo(message, err=True)


def _store(ctx: click.Context, param: click.Parameter, value: object) -> None:
    if value is not None and param.name is not None:
        setattr(ctx.ensure_object(Session), param.name, value)


def _store_length(ctx: click.Context, param: click.Parameter, value: str) -> None:
    try:
        _store(ctx, param, parse_duration(value))
    except ValueError as error:
        raise click.BadParameter(str(error), ctx, param) from error


def config_option(command: _F) -> _F:
    """Give a command `--config FILE`."""
    return click.option(
        "--config",
        metavar="FILE",
        type=click.Path(path_type=Path),
        envvar=SETTINGS_VARIABLE,
        expose_value=False,
        callback=_store,
        help=f"Settings file. Default: ${SETTINGS_VARIABLE}, then {SETTINGS_PATH}.",
    )(command)


def output_option(*forms: str) -> Callable[[_F], _F]:
    """Give a command `-o FORM`; the first form is the default."""
    return click.option(
        "-o",
        "--output",
        type=click.Choice(forms),
        expose_value=False,
        callback=_store,
        help=f"Form of what goes to stdout. Default: {forms[0]}.",
    )


def timeout_option(default: str, what: str) -> Callable[[_F], _F]:
    """Give a command `--timeout DURATION`."""
    return click.option(
        "--timeout",
        "timeout_s",
        metavar="DURATION",
        default=default,
        expose_value=False,
        callback=_store_length,
        help=f"{what} Default: {default}.",
    )


def verbose_option(command: _F) -> _F:
    """Give a command `-v`."""
    return click.option(
        "-v",
        "--verbose",
        is_flag=True,
        expose_value=False,
        callback=_store,
        help="Say on stderr what goes on.",
    )(command)
