"""What SIGHUP can take up at once, and what only a restart does.

Peers, limits, the rollout and what a worker does about drift are read anew by the running agent.
Everything else is held by open sockets, watches, folders or the guard; two limits are among that:
how large a file may be is part of every verdict that was given, and the pace of polling belongs to
watches that run. Trees that come and go at the gateway's home are no change of the settings: a
running agent looks for them by itself.
"""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TYPE_CHECKING

from syncagent.settings.gateway import lies_at_home

if TYPE_CHECKING:
    from collections.abc import Iterator

    from syncagent.core.settings import Limits, Settings, TreeSettings

_LIVE = frozenset({"peers", "limits", "rollout"})
_HELD_LIMITS = {"file_bytes": "file_size", "poll_s": "poll"}
"""Limits that only a restart takes up, and their names in the file."""
_NAMES = {
    "cluster": "cluster.name",
    "mode": "cluster.mode",
    "writers": "cluster.writers",
    "node": "node.name",
    "state_dir": "node.state_dir",
    "listen": "node.listen",
    "apply": "node.apply",
    "gateway_home": "gateway.home",
}


def changes_that_need_restart(old: Settings, new: Settings) -> list[str]:
    """Return a line for each change that a running agent can't take up; empty: reload does."""
    return list(_changes(old, new))


def reloaded(old: Settings, new: Settings) -> Settings:
    """Return `old` with what can be taken up from `new` without a restart."""
    drift = {tree.name: tree.drift for tree in new.trees}
    trees = tuple(replace(tree, drift=drift.get(tree.name, tree.drift)) for tree in old.trees)
    limits = _live_limits(old.limits, new.limits)
    return replace(old, trees=trees, peers=new.peers, limits=limits, rollout=new.rollout)


def _live_limits(old: Limits, new: Limits) -> Limits:
    return replace(new, file_bytes=old.file_bytes, poll_s=old.poll_s)


def _changes(old: Settings, new: Settings) -> Iterator[str]:
    for each in fields(old):
        if each.name in _LIVE or each.name == "trees":
            continue
        before, after = getattr(old, each.name), getattr(new, each.name)
        if before != after:
            yield from _difference(_NAMES.get(each.name, each.name), before, after)
    for key, name in _HELD_LIMITS.items():
        if getattr(old.limits, key) != getattr(new.limits, key):
            yield f"limits.{name}: {getattr(old.limits, key)} -> {getattr(new.limits, key)}"
    home = old.gateway_home if old.gateway_home == new.gateway_home else ""
    yield from _tree_changes(old.trees, new.trees, home)


def _difference(name: str, before: object, after: object) -> Iterator[str]:
    """Yield the changed keys of a section, or the one change of a plain value."""
    if hasattr(before, "__dataclass_fields__") and hasattr(after, "__dataclass_fields__"):
        for key in before.__dataclass_fields__:
            was, is_now = getattr(before, key), getattr(after, key)
            if was != is_now:
                yield f"{name}.{key.removesuffix('_s')}: {_text(was)} -> {_text(is_now)}"
    else:
        yield f"{name}: {_text(before)} -> {_text(after)}"


def _tree_changes(
    old: tuple[TreeSettings, ...], new: tuple[TreeSettings, ...], home: str
) -> Iterator[str]:
    """Yield what differs, but for trees that come and go at `home`."""
    before = {tree.name: tree for tree in old}
    after = {tree.name: tree for tree in new}
    for name in sorted({*before, *after}):
        if name not in after or name not in before:
            tree = before.get(name) or after[name]
            if not lies_at_home(tree, home):
                yield f"tree {name}: {'added' if name in after else 'taken out'}"
        elif replace(before[name], drift=after[name].drift) != after[name]:
            yield f"tree {name}: changed"


def _text(value: object) -> str:
    if isinstance(value, tuple):
        value = " ".join(str(each) for each in value)
    return "nothing" if value in {"", None} else str(value)
