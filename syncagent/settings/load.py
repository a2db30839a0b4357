"""From a TOML file and the environment to `core.settings.Settings`, or to all mistakes at once.

Three steps, each collecting mistakes into one list: `sheet` knows where everything was written,
`answers` checks each value alone, `rules` checks them against each other and builds the frozen
values. Nothing here needs more than the standard library's tomllib, so that every command starts
fast. What the gateway's home holds is looked at, because trees come from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from syncagent.settings.answers import answer_all
from syncagent.settings.rules import build
from syncagent.settings.sheet import Mistakes, fill, override, parse, read_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from syncagent.core.settings import Settings
    from syncagent.settings.gateway import Gateway


@dataclass(frozen=True, slots=True)
class Loaded:
    """Settings and where each value came from.

    `origins` maps `section.key` (`peer.gw-2.address` in arrays) to `FILE:LINE`, the name of a
    variable, `gateway`, `trusted keys` or `default`. `gateway` is what was found at its home.
    """

    settings: Settings
    origins: Mapping[str, str]
    gateway: Gateway | None
    source: str


def read(path: str, environ: Mapping[str, str]) -> Loaded:
    """Load the settings; raises SettingsError that lists every mistake with its line."""
    return interpret(read_text(Path(path)), path, environ)


def interpret(text: str, source: str, environ: Mapping[str, str]) -> Loaded:
    """Load settings from a text that `source` names; raises SettingsError like `read`."""
    document, lines = parse(text, source)
    mistakes = Mistakes(source)
    sheet = fill(document, lines, mistakes)
    override(sheet, environ, mistakes)
    groups = answer_all(sheet, mistakes)
    built = build(groups, mistakes)
    mistakes.raise_any()
    return Loaded(built.settings, built.origins, built.gateway, source)


def load(path: str, environ: Mapping[str, str]) -> Settings:
    """Load the settings; raises SettingsError that lists every mistake with its line."""
    return read(path, environ).settings
