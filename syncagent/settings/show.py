"""The settings as they are in force, and the JSON schema of the file.

Both are made from the table that the loader uses. What `show` prints is TOML that loads to the
same settings, but for a password, which is never printed; the origin of each value stands behind
it as a comment.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from syncagent.settings.answers import DEFAULT
from syncagent.settings.shared import SHARED
from syncagent.settings.table import SECTIONS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from syncagent.core.settings import Settings
    from syncagent.settings.load import Loaded
    from syncagent.settings.section import Key, Section
    from syncagent.settings.shapes import Json, Value

_NAMED_APART = {
    "limits.file_size": "file_bytes",
    "limits.quarantine_size": "quarantine_bytes",
    "limits.quarantine_age": "quarantine_s",
    "limits.history_age": "history_s",
}
"""Keys whose field in `core.settings` is neither their own name nor that with `_s`."""
_TOP = {"cluster.name": "cluster", "node.name": "node", "gateway.home": "gateway_home"}
_SCHEMA = "https://json-schema.org/draft/2020-12/schema"


def show(loaded: Loaded) -> str:
    """Return the effective settings as TOML, each value with its origin as a comment."""
    return "\n".join(_lines(loaded)) + "\n"


def schema() -> dict[str, Json]:
    """Return the JSON schema (2020-12) of the settings file."""
    sections: dict[str, Json] = {}
    for section in SECTIONS:
        table = _table_schema(section)
        sections[section.name] = {"type": "array", "items": table} if section.many else table
    return {
        "$schema": _SCHEMA,
        "title": "syncagent settings",
        "type": "object",
        "properties": sections,
        "required": ["cluster", "node"],
        "additionalProperties": False,
    }


def _table_schema(section: Section) -> dict[str, Json]:
    keys: dict[str, Json] = {}
    for key in section.keys:
        described = {**key.shape.schema(), "description": key.about}
        if key.default not in {None, "", ()}:
            described["default"] = _default(key)
        keys[key.name] = described
    table: dict[str, Json] = {
        "type": "object",
        "description": section.about,
        "properties": keys,
        "additionalProperties": False,
    }
    required: list[Json] = [key.name for key in section.keys if key.required]
    return {**table, "required": required} if required else table


def _default(key: Key) -> Json:
    """Return a default as the file would write it."""
    assert key.default is not None, "there is a default"
    if isinstance(key.default, bool | str):
        return key.default
    if isinstance(key.default, tuple):
        return list(key.default)
    text = key.shape.show(key.default)
    return text.strip('"') if text.startswith('"') else int(text)


def _lines(loaded: Loaded) -> Iterator[str]:
    yield f"# {loaded.source}, with the environment's overrides and the defaults"
    if loaded.gateway is not None:
        yield f"# gateway: {loaded.gateway.label}"
    for section in SECTIONS:
        if not section.many:
            yield ""
            yield f"[{section.name}]"
            if section is SHARED and loaded.settings.mode != "shared":
                yield from (f"# {key.name} is for mode shared" for key in section.keys)
                continue
            holder = _holder(loaded.settings, section.name)
            yield from _pairs(section, section.name, holder, loaded.origins)
            continue
        members = loaded.settings.trees if section.name == "tree" else loaded.settings.peers
        for member in members:
            if not getattr(member, "address", "tree"):
                yield f"\n# [[peer]] {member.name}: only known by its key, from `keys trust`"
                continue
            yield ""
            yield f"[[{section.name}]]"
            yield from _pairs(section, f"{section.name}.{member.name}", member, loaded.origins)


def _holder(settings: Settings, section: str) -> object:
    """Return the frozen value that holds a section's keys."""
    nested = {"election", "runtime", "rollout", "limits", "http", "shared"}
    return getattr(settings, section) if section in nested else settings


def _pairs(
    section: Section, prefix: str, holder: object, origins: Mapping[str, str]
) -> Iterator[str]:
    for key in section.keys:
        value = _value(section.name, key.name, holder)
        origin = origins.get(f"{prefix}.{key.name}", DEFAULT)
        if not (value or isinstance(value, int | float)):
            yield f"# {key.name} is not set"
        else:
            yield f"{key.name} = {key.shape.show(value)}  # {origin}"


def _value(section: str, key: str, holder: object) -> Value:
    """Return the value of a key from the frozen settings."""
    full = f"{section}.{key}"
    for name in (_TOP.get(full) or _NAMED_APART.get(full) or key, f"{key}_s"):
        if hasattr(holder, name):
            return cast("Value", getattr(holder, name))
    raise AssertionError(f"{full} has no field in core.settings")
