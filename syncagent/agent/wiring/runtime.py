"""The local runtime, chosen by the settings, and what this node remembers of it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from syncagent.core.dialect import Dialect
from syncagent.core.errors import DiskError, SettingsError
from syncagent.runtime.choose import NO_HOME, Home, choose, kind_of_home
from syncagent.settings.gateway import discover, lies_at_apache

if TYPE_CHECKING:
    from syncagent.core.outcome import Outcome
    from syncagent.core.settings import Settings
    from syncagent.ports import History, Runtime
    from syncagent.runtime.listening import Means

LOG = logging.getLogger("syncagent")


def make_runtime(settings: Settings, means: Means) -> Runtime:
    """Return how the runtime beside this agent is told and heard. Raises SettingsError."""
    return choose(means, settings.runtime, home_of(settings))


def home_of(settings: Settings) -> Home:
    """Return what is at the gateway's home; what its trees tell, if it can't be looked at now."""
    if not settings.gateway_home:
        return NO_HOME
    try:
        found = discover(settings.gateway_home)
    except SettingsError as error:
        LOG.warning("what is at the gateway's home can't be seen now: %s", error)
        apache = any(lies_at_apache(tree, settings.gateway_home) for tree in settings.trees)
        return Home(settings.gateway_home, carbon=not apache)
    return Home(found.home, str(found.product), found.version, found.is_carbon)


def dialect_of(settings: Settings) -> Dialect:
    """Return whose Synapse reads this node's artifacts, as far as settings and home tell.

    Nobody need listen to it: with `[runtime] kind` none or command the home alone tells.
    """
    wanted = settings.runtime.kind
    kind = wanted if wanted in set(Dialect) else kind_of_home(home_of(settings))
    return Dialect.APACHE if kind == Dialect.APACHE else Dialect.WSO2


def remembered(history: History) -> tuple[tuple[Outcome, ...], str | None]:
    """Return what the runtime did, as it was last remembered, and up to where it was heard.

    Nothing if that can't be read: it is only a record, and the runtime's log is read again.
    """
    try:
        return tuple(history.outcomes()), history.runtime_mark()
    except DiskError as error:
        LOG.warning("what the runtime did is not known, its log is read anew: %s", error)
        return (), None
