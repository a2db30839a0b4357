"""The hold that a tree shows while it can't be believed: what it is, and what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from syncagent.core.safety import HoldReason, tree_hold
from syncagent.core.snapshot import Condition

if TYPE_CHECKING:
    from syncagent.agent.node.state import State
    from syncagent.agent.node.treeview import TreeView

REASONS = {
    Condition.MISSING: HoldReason.ROOT_MISSING,
    Condition.REPLACED: HoldReason.ROOT_REPLACED,
    Condition.UNREADABLE: HoldReason.UNREADABLE,
    Condition.STALLED: HoldReason.UNREADABLE,
}


def hold_tree(state: State, view: TreeView) -> None:
    """Show a hold while the tree can't be believed; end it when it can."""
    for name in [
        name
        for name, hold in state.holds.items()
        if hold.tree == view.name and hold.reason in REASONS.values() and hold.node == state.me
    ]:
        del state.holds[name]
    if view.condition is None or (view.ready and not view.blind):
        state.alarm(f"tree {view.name}", None)
        return
    why = view.reason or view.condition
    reason = REASONS.get(view.condition, HoldReason.UNREADABLE)
    if view.ready:
        folders = ", ".join(sorted(view.blind)[:3])
        why = f"{folders} can't be listed (no permission, or something is mounted there)"
    approvable = view.condition is Condition.REPLACED
    shared = any(tree.mark for tree in state.settings.trees if tree.name == view.name)
    text = f"{view.name}: {why}. Nothing was deleted. {_advice(view.condition, shared=shared)}"
    hold = tree_hold(reason, view.name, state.me, text, approvable=approvable)
    state.holds[hold.id] = hold
    state.alarm(f"tree {view.name}", hold.text)


def _advice(condition: Condition, *, shared: bool) -> str:
    """Return what to do; the word ID stands for the hold's id."""
    if condition is Condition.STALLED:
        return "Look at its mount and the server behind it: it resumes when they answer."
    if condition is Condition.MISSING and shared:
        return (
            "Mount the share: it resumes by itself. If this folder is right and new, or lost its "
            "file: syncagent init --share."
        )
    if condition is not Condition.REPLACED:
        return "It resumes by itself when the folder is back."
    if shared:
        return "Mount the right share: it resumes by itself. If this one is: syncagent approve ID."
    return "If this folder is right: syncagent approve ID."
