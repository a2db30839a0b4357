"""The hand that writes down what the runtime did.

Sayings that were heard are not heard again once the mark has moved past them. So what could not be
written is kept and goes with the next wish: the mark never moves without what lies before it.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from syncagent.core.errors import DiskError

if TYPE_CHECKING:
    from syncagent.agent.effects import Remember
    from syncagent.core.artifact import ArtifactPath
    from syncagent.core.outcome import Outcome
    from syncagent.ports import History

LOG = logging.getLogger("syncagent")


class Remembering:
    """Carries out Remember, in the order in which it is asked to."""

    def __init__(self, history: History) -> None:
        self._history = history
        self._late: dict[ArtifactPath, Outcome | None] = {}
        """What is still to be written; None: to be forgotten."""
        self._mark: str | None = None

    def do(self, effect: Remember) -> None:
        """Write down what is wished, with what could not be written before."""
        for path in effect.gone:
            self._late[path] = None
        for outcome in effect.outcomes:
            self._late[outcome.path] = outcome
        self._mark = self._mark if effect.mark is None else effect.mark
        outcomes = [outcome for outcome in self._late.values() if outcome is not None]
        gone = [path for path, outcome in self._late.items() if outcome is None]
        try:
            self._history.remember(outcomes, gone, self._mark)
        except DiskError as error:
            LOG.warning("what the runtime did is remembered later: %s", error)
            return
        self._late.clear()
        self._mark = None
