"""The local runtime, chosen by the settings, and what this node remembers of it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from syncagent.core.errors import DiskError
from syncagent.runtime.none import NoRuntime

if TYPE_CHECKING:
    from collections.abc import Callable

    from syncagent.core.events import ShellEvent
    from syncagent.core.outcome import Outcome
    from syncagent.core.settings import Settings
    from syncagent.ports import History, Runtime

LOG = logging.getLogger("syncagent")


def make_runtime(settings: Settings, post: Callable[[ShellEvent], None]) -> Runtime:
    """Return how the runtime beside this agent is told and heard."""
    del settings, post
    return NoRuntime()


def remembered(history: History) -> tuple[tuple[Outcome, ...], str | None]:
    """Return what the runtime did, as it was last remembered, and up to where it was heard.

    Nothing if that can't be read: it is only a record, and the runtime's log is read again.
    """
    try:
        return tuple(history.outcomes()), history.runtime_mark()
    except DiskError as error:
        LOG.warning("what the runtime did is not known, its log is read anew: %s", error)
        return (), None
