"""Which trees a node has, and that no two places of the agent lie in each other.

Trees come from the gateway's home and from `[[tree]]`. One that is listed under a name found at
the home says more about it, or puts it elsewhere; any other is added.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from syncagent.core.artifact import TreeKind, TreeName
from syncagent.core.settings import Drift, TreeSettings, WatchMode
from syncagent.settings.shared import inside

if TYPE_CHECKING:
    from syncagent.settings.answers import Group, Groups
    from syncagent.settings.gateway import Gateway
    from syncagent.settings.sheet import Cell, Mistakes


def trees_of(
    groups: Groups, gateway: Gateway | None, mistakes: Mistakes
) -> tuple[TreeSettings, ...]:
    """Return the trees of this node, the gateway's first; adds what is wrong with them."""
    home = groups["gateway"][0]
    found = {tree.name: tree for tree in gateway.trees} if gateway else {}
    places = [(tree, home.cell("home")) for tree in found.values()]
    listed: dict[str, Cell] = {}
    for group in groups["tree"]:
        name = TreeName(group.text("name"))
        if not name:
            continue
        if name in listed:
            what = f"tree {name} is listed at {listed[name].where} already; give each its own name"
            mistakes.add(group.cell("name"), what)
            continue
        listed[name] = group.cell("name")
        tree = _tree(group, found.get(name), mistakes, gateway_unknown=not home.sound("home"))
        if tree is not None:
            places = [(other, cell) for other, cell in places if other.name != name]
            places.append((tree, group.cell("path") if group.text("path") else group.head))
    if not places and not groups["tree"] and home.sound("home") and not mistakes.found:
        what = "there is nothing to keep equal: name the gateway's home in [gateway], or list"
        mistakes.add(home.cell("home"), f"{what} folders in [[tree]]")
    _check_nesting(places, groups["node"][0], mistakes)
    return tuple(tree for tree, _ in places)


def _tree(
    group: Group, found: TreeSettings | None, mistakes: Mistakes, *, gateway_unknown: bool
) -> TreeSettings | None:
    """Return one listed tree, with kind and path from the gateway where it has none of its own."""
    name = group.text("name")
    kind = group.text("kind") or (found.kind if found else "")
    path = group.text("path") or (found.path if found else "")
    for key, value in (("kind", kind), ("path", path)):
        if not value and group.sound(key) and not gateway_unknown:
            what = f"tree {name} needs {key}: no tree of that name was found at a gateway's home"
            mistakes.add(group.head, what)
    if not kind or not path:
        return None
    return TreeSettings(
        name=TreeName(name),
        kind=TreeKind(kind),
        path=path,
        drift=Drift(group.text("drift")),
        ignore=group.texts("ignore"),
        watch=WatchMode(group.text("watch")),
    )


def _check_nesting(
    places: list[tuple[TreeSettings, Cell]], node: Group, mistakes: Mistakes
) -> None:
    """No tree inside another, and none inside the state folder or around it."""
    for index, (tree, cell) in enumerate(places):
        for other, _ in places[:index]:
            if inside(tree.path, other.path) or inside(other.path, tree.path):
                what = f"tree {tree.name} ({tree.path}) and tree {other.name} ({other.path})"
                mistakes.add(cell, f"{what} lie in each other; a file belongs to one tree")
        state_dir = node.text("state_dir")
        if not node.sound("state_dir"):
            continue
        if inside(state_dir, tree.path):
            what = f"node.state_dir lies in tree {tree.name} ({tree.path}); move it out"
            mistakes.add(node.cell("state_dir"), what)
        elif inside(tree.path, state_dir):
            what = f"tree {tree.name} lies in node.state_dir ({state_dir}); move one of them"
            mistakes.add(cell, what)
