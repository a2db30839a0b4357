"""What must hold in `shared` mode between [shared], the trees' shares, and the rest.

In the form `shadow` every tree has a folder on the shared mount: the one that is written in its
`[[tree]]`, else the place that corresponds to it below `shared.server` or `shared.tenants`, which
stand for a gateway's `repository/deployment/server` and `repository/tenants`. Tree and share never
lie in each other, whichever way the vendor's folders are mounted: a share inside its tree would be
copied into itself. In the form `in-place` the trees are the mount, and there is nothing to name.

Whoever may write to the mount is a writer, so both forms imply `writers = "any"`. In place every
runtime sees a file at once: there is no order in which nodes could get a revision.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from syncagent.core.settings import SHARE, RolloutSettings, SharedForm, SharedSettings, Writers
from syncagent.settings.shared import SERVER, TENANTS, inside, share_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from syncagent.core.settings import ElectionSettings, TreeSettings
    from syncagent.settings.answers import Group, Groups
    from syncagent.settings.sheet import Cell, Mistakes


def build_shared(groups: Groups, mistakes: Mistakes) -> SharedSettings:
    """Check the section by itself and against the mode, and build its value."""
    group, cluster = groups["shared"][0], groups["cluster"][0]
    shared = SharedSettings(
        SharedForm(group.text("form")), group.text("server"), group.text("tenants")
    )
    if not cluster.sound("mode") or not group.sound("form"):
        return shared
    given = [key for key in ("form", "server", "tenants") if group.answers[key].given]
    for key in given:
        if cluster.text("mode") != "shared":
            what = f'shared.{key} needs cluster.mode = "shared"; this is "{cluster.text("mode")}"'
            mistakes.add(group.cell(key), what)
        elif key != "form" and shared.form is SharedForm.IN_PLACE:
            what = 'is for form = "shadow"; in place the trees are the mount'
            mistakes.add(group.cell(key), f"shared.{key} {what}")
        elif key != "form" and not groups["gateway"][0].answers["home"].given:
            what = "is for trees that are found at gateway.home; write share in each [[tree]]"
            mistakes.add(group.cell(key), f"shared.{key} {what}")
    return shared


def check_names(groups: Groups, mode: Mode, mistakes: Mistakes) -> None:
    """No node may have the name under which the share itself takes part."""
    for group in (groups["node"][0], *groups["peer"]) if mode.shadow else ():
        if group.text("name") == SHARE:
            what = f'{group.section}.name = "{SHARE}": so the share itself is called in mode shared'
            mistakes.add(group.cell("name"), f"{what}; give the node another name")


def check_lease(
    election: ElectionSettings, trees: Sequence[TreeSettings], group: Group, mistakes: Mistakes
) -> None:
    """No lease in a file on the mount: its locks may not hold, and it goes away with the mount."""
    if not election.url or not group.sound("url") or election.url.kind != "sqlite":
        return
    for tree in trees:
        folder = tree.share or (tree.path if tree.mark else "")
        if folder and inside(election.url.path, folder.rpartition("/")[0] or folder):
            what = f"election.url names a file beside tree {tree.name} on the share ({folder})"
            mistakes.add(group.cell("url"), f"{what}; keep the lease in a database server")
            return


@dataclass(frozen=True, slots=True)
class Mode:
    """Mode and form, for the rules that depend on them; `cell` is where to point."""

    mode: str
    shared: SharedSettings
    cell: Cell

    @property
    def shadow(self) -> bool:
        """Whether a share is the source, and the trees are the node's own."""
        return self.mode == "shared" and self.shared.form is SharedForm.SHADOW

    @property
    def in_place(self) -> bool:
        """Whether the trees are the mount."""
        return self.mode == "shared" and self.shared.form is SharedForm.IN_PLACE


def writers_of(cluster: Group, mode: Mode, mistakes: Mistakes) -> Writers:
    """Return whose changes count: on a share those of everybody who may write there."""
    if mode.mode != "shared":
        return Writers(cluster.text("writers"))
    if cluster.answers["writers"].given and cluster.text("writers") == "manager":
        what = 'with mode = "shared" whoever may write to the share is a writer, on every node'
        mistakes.add(
            cluster.cell("writers"),
            f'cluster.writers = "manager": {what}; take it out, or write "any"',
        )
    return Writers.ANY


def rollout_of(
    rollout: RolloutSettings, group: Group, mode: Mode, mistakes: Mistakes
) -> RolloutSettings:
    """Return the order of a rollout: in place there is none, for every runtime sees a file at once."""
    if not mode.in_place:
        return rollout
    at_once = replace(RolloutSettings(), canary="none", max_unavailable=1.0)
    for key, fits in (("canary", "none"), ("max_unavailable", 1.0), ("ordered", False)):
        if group.answers[key].given and group.sound(key) and getattr(rollout, key) != fits:
            what = f'rollout.{key} needs trees of each node\'s own: with form = "in-place" every'
            mistakes.add(group.cell(key), f"{what} runtime sees a file at once; take it out")
    if rollout.on_reject == "rollback":
        what = 'rollout.on_reject = "rollback" needs trees of each node\'s own; with form ='
        mistakes.add(group.cell("on_reject"), f'{what} "in-place" write "hold" or "continue"')
    return replace(at_once, on_reject=rollout.on_reject)


def with_shares(
    trees: tuple[TreeSettings, ...], groups: Groups, mode: Mode, mistakes: Mistakes
) -> tuple[TreeSettings, ...]:
    """Return the trees, each with its share or mark where the mode has them; adds what is wrong."""
    listed = {group.text("name"): group for group in groups["tree"]}
    home = groups["gateway"][0]
    done = []
    for tree in trees:
        group = listed.get(tree.name)
        if not mode.shadow:
            _refuse_share(group, mode, mistakes)
            mark = groups["cluster"][0].text("name") if mode.in_place else ""
            done.append(replace(tree, mark=mark))
            continue
        written = group.text("share") if group else ""
        share = written or share_of(tree.path, home.text("home"), mode.shared)
        cell = group.cell("share") if group else home.cell("home")
        if not share and (group is None or group.sound("share")):
            _no_share(tree, home, mode.cell if group is None else cell, mistakes)
        done.append(replace(tree, share=share))
    if mode.shadow:
        _check_places(tuple(done), groups, mistakes)
    return tuple(done)


def _refuse_share(group: Group | None, mode: Mode, mistakes: Mistakes) -> None:
    """Say that a written share means nothing in this mode."""
    if group is None or not group.answers["share"].given or not group.sound("share"):
        return
    if mode.in_place:
        what = 'is for form = "shadow"; in place tree.path lies on the mount itself'
    else:
        what = f'needs cluster.mode = "shared"; this is "{mode.mode}"'
    mistakes.add(group.cell("share"), f"tree.share {what}")


def _no_share(tree: TreeSettings, home: Group, cell: Cell, mistakes: Mistakes) -> None:
    """Say how this tree would get its share."""
    root = home.text("home")
    key = next(
        (
            key
            for key, folder in (("server", SERVER), ("tenants", TENANTS))
            if root and inside(tree.path, f"{root}/{folder}")
        ),
        "",
    )
    how = f"write shared.{key}, or share in its [[tree]]" if key else "write share in its [[tree]]"
    mistakes.add(cell, f"tree {tree.name} ({tree.path}) has no folder on the share; {how}")


def _check_places(trees: tuple[TreeSettings, ...], groups: Groups, mistakes: Mistakes) -> None:
    """No share in a tree, in another share or in the state folder, or around one of them."""
    node = groups["node"][0]
    listed = {group.text("name"): group for group in groups["tree"]}
    shares = [tree for tree in trees if tree.share]
    for index, tree in enumerate(shares):
        group = listed.get(tree.name)
        cell = group.cell("share") if group else groups["shared"][0].head
        named = f"the share of tree {tree.name} ({tree.share})"
        for other in trees:
            if _nested(tree.share, other.path):
                which = "it" if other.name == tree.name else f"tree {other.name}"
                what = f"{named} and {which} ({other.path}) lie in each other"
                mistakes.add(cell, f"{what}; the trees stay local, beside the mount")
        for other in shares[:index]:
            if _nested(tree.share, other.share):
                what = f"{named} and that of tree {other.name} ({other.share}) lie in each other"
                mistakes.add(cell, f"{what}; a file belongs to one tree")
        state_dir = node.text("state_dir")
        if node.sound("state_dir") and _nested(tree.share, state_dir):
            what = f"{named} and node.state_dir ({state_dir}) lie in each other"
            mistakes.add(cell, f"{what}; the agent's state is this node's own")


def _nested(one: str, other: str) -> bool:
    return inside(one, other) or inside(other, one)
