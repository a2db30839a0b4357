"""Which adapter fits: by the settings, or by what the gateway's home holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from syncagent.core.errors import SettingsError
from syncagent.runtime import carbon as carbon_adapter
from syncagent.runtime import command as command_adapter
from syncagent.runtime import synapse as synapse_adapter
from syncagent.runtime.none import NoRuntime

if TYPE_CHECKING:
    from syncagent.core.settings import RuntimeSettings
    from syncagent.ports import Runtime
    from syncagent.runtime.listening import Means

NONE = "none"
AUTO = "auto"
KINDS = (
    AUTO,
    synapse_adapter.KIND,
    carbon_adapter.KIND,
    command_adapter.KIND,
    NONE,
)
"""What `[runtime] kind` may be."""


@dataclass(frozen=True, slots=True)
class Home:
    """A gateway's home and what is in it, in words; all empty where there is none."""

    path: str = ""
    product: str = ""
    version: str = ""
    carbon: bool = False


NO_HOME = Home()


def kind_of_home(home: Home) -> str:
    """Return the kind that `auto` stands for."""
    if not home.path:
        return NONE
    return carbon_adapter.KIND if home.carbon else synapse_adapter.KIND


def choose(means: Means, wanted: RuntimeSettings, home: Home) -> Runtime:
    """Return the adapter. Raises SettingsError if what it needs is not known.

    `synapse` and `carbon` without a home listen to the log alone: their process is not watched.
    """
    kind = kind_of_home(home) if wanted.kind == AUTO else wanted.kind
    if kind == NONE:
        return NoRuntime()
    if kind == command_adapter.KIND:
        if not wanted.command:
            raise SettingsError(
                "[runtime] kind is command, and no program is named",
                hint='add command = ["/path/to/program"] to [runtime]',
            )
        return command_adapter.CommandRuntime(means, wanted.command, wanted.timeout_s)
    if kind not in KINDS:
        raise SettingsError(f"[runtime] kind {kind} is none of {', '.join(KINDS)}")
    if not home.path and not wanted.log:
        raise SettingsError(
            f"[runtime] kind is {kind}, and where its log is isn't known",
            hint="name the [gateway] home, or the log in [runtime]",
        )
    if kind == synapse_adapter.KIND:
        return synapse_adapter.synapse(means, home.path, home.version, wanted.log)
    return carbon_adapter.carbon(means, home.path, home.product or "WSO2", home.version, wanted.log)
