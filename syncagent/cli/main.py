"""Running one command line: from arguments to an exit code, with errors in three parts.

Commands return an ExitCode; failures come up as SyncagentError and are said here once: what and
why on the first line, then each mistake, then what to do next. All of it goes to stderr.
"""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING

import click

from syncagent.cli.root import root
from syncagent.cli.words import RED, harmless, wants_colour
from syncagent.core.errors import ExitCode, SettingsError, SyncagentError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from syncagent.cli.session import Session

INTERRUPTED = 130


def run(arguments: Sequence[str] | None = None, session: Session | None = None) -> int:
    """Run a command line (default: the process's own) and return its exit code."""
    _speak_utf8()
    try:
        answer = root.main(
            args=None if arguments is None else list(arguments),
            prog_name="syncagent",
            standalone_mode=False,
            obj=session,
        )
        sys.stdout.flush()
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except SyncagentError as error:
        _tell(error)
        return int(error.exit_code)
    return answer if isinstance(answer, int) else int(ExitCode.DONE)


def _speak_utf8() -> None:
    """Make stdout take any name that a file can have, whatever the locale.

    JSON is UTF-8, and a name's bytes that are no UTF-8 come out as the escape that JSON knows.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace")


def _tell(error: SyncagentError) -> None:
    """Say what went wrong, why, and what to do next."""
    word = click.style("error:", fg=RED) if wants_colour(sys.stderr) else "error:"
    lines = [f"{word} {harmless(error)}"]
    if isinstance(error, SettingsError):
        lines += [f"  - {harmless(mistake)}" for mistake in error.mistakes]
    if error.hint:
        lines.append(f"  next: {harmless(error.hint)}")
    click.echo("\n".join(lines), err=True, color=wants_colour(sys.stderr))
