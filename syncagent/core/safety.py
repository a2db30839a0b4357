"""Safety rules: which changes wait for a person, and how one approval releases them everywhere.

Absence is not evidence (promise 5). A set of deletions that is large, or that empties a tree, or
that comes with a folder that vanished, is held; other changes of the same moment pass. What a
person approves is exactly the set that was shown: its digest, not "the next deletions".
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from syncagent.core.artifact import ArtifactPath, Kind, TreeName, kind_of
from syncagent.core.digest import Digest, digest_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from syncagent.core.artifact import NodeName, TreeKind
    from syncagent.core.change import Change
    from syncagent.core.manifest import Manifest
    from syncagent.core.settings import Limits


class HoldReason(StrEnum):
    """Why something waits for a person."""

    DELETIONS = "deletions"
    FOLDER_VANISHED = "folder-vanished"
    TREE_EMPTIED = "tree-emptied"
    UPDATES = "updates"
    FIRST_CONTACT = "first-contact"
    ROOT_REPLACED = "root-replaced"
    ROOT_MISSING = "root-missing"
    NACKED = "nacked"
    """a runtime refused what a revision brought (see `core.trials`)"""
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class Hold:
    """Changes that wait. `id` is derived from what is held: the same set has the same id.

    `set_digest` names the set; approving releases it and nothing else. `text` says what, why
    and what to do. `approvable` is False where only the world can end it (a missing root). `cause` is
    what the runtime of `refused_by` said, or died of, where one did.
    """

    id: str
    node: NodeName
    tree: TreeName
    reason: HoldReason
    set_digest: Digest
    paths: tuple[ArtifactPath, ...]
    text: str
    approvable: bool = True
    cause: str = ""
    refused_by: str = ""


def set_digest(changes: Iterable[Change]) -> Digest:
    """Return the digest that names a set of changes, whatever their order."""
    rows = sorted(
        f"{change.path.tree}\0{change.path.path}\0"
        f"{change.before.digest if change.before else ''}\0"
        f"{change.after.digest if change.after else ''}"
        for change in changes
    )
    return digest_of("\n".join(rows).encode("utf-8", "surrogatepass"))


def hold_id(reason: HoldReason, digest: Digest) -> str:
    """Return the short name by which people approve a hold.

    >>> hold_id(HoldReason.DELETIONS, digest_of(b"x"))
    'd-5c7401c0'
    """
    return f"{reason[0]}-{digest.removeprefix('xxh3:')[:8]}"


@dataclass(frozen=True, slots=True)
class Judgement:
    """Which changes pass now, which wait, and the digests of released deletion sets."""

    passed: tuple[Change, ...]
    holds: tuple[Hold, ...]
    released: tuple[Digest, ...]


@dataclass(frozen=True, slots=True)
class Rules:
    """What the safety rules of one node rest on.

    Any deletion in a `suspect` tree is held: more of it was held before, and a tree that comes back
    file by file is not a smaller set of deletions at each step.
    """

    node: NodeName
    kinds: Mapping[TreeName, TreeKind]
    limits: Limits
    suspect: frozenset[TreeName] = frozenset()
    shared: frozenset[TreeName] = frozenset()
    """Trees on a share, looked at from here: a folder that is empty at once may be one whose own
    mount is gone on the server, which this machine sees as an ordinary folder."""


FOLDER_FLOOR = 5
"""A folder of a share that had so many artifacts does not lose all of them at once unasked."""


def judge_changes(
    changes: Sequence[Change],
    before: Manifest,
    rules: Rules,
    *,
    vanished: Collection[ArtifactPath],
    approved: Collection[Digest],
) -> Judgement:
    """Sort `changes` against `before` into what passes and what is held.

    `vanished` holds folders (as paths) that had artifacts and are gone. `approved` holds digests
    of sets that a person released, here or, for a worker on the revision's parent, anywhere.
    Deletions are judged per tree, so that the digest of a set is the same on every node that
    lists the tree.
    """
    passed: list[Change] = [change for change in changes if change.after is not None]
    holds: list[Hold] = []
    released: list[Digest] = []
    deletions: dict[TreeName, list[Change]] = {}
    for change in changes:
        if change.after is None:
            deletions.setdefault(change.path.tree, []).append(change)
    for tree, gone in sorted(deletions.items()):
        reason = _why_hold(gone, before.tree(tree), rules, vanished)
        digest = set_digest(gone)
        if reason is None:
            passed.extend(gone)
        elif digest in approved:
            passed.extend(gone)
            released.append(digest)
        else:
            holds.append(_hold(reason, digest, gone, len(before.tree(tree)), rules.node))
    updates = [change for change in passed if change.before is not None and change.after]
    if len(updates) > rules.limits.updates:
        digest = set_digest(updates)
        if digest not in approved:
            holds.append(_updates_hold(digest, updates, rules.node))
            passed = [change for change in passed if change.before is None or not change.after]
        else:
            released.append(digest)
    return Judgement(
        tuple(sorted(passed, key=lambda change: change.path)), tuple(holds), tuple(released)
    )


def _why_hold(
    gone: Sequence[Change],
    before: Collection[str],
    rules: Rules,
    vanished: Collection[ArtifactPath],
) -> HoldReason | None:
    """Return the first rule that holds these deletions of one tree, None if none does."""
    tree = gone[0].path.tree
    count, total = len(gone), len(before)
    if count >= total:
        return HoldReason.TREE_EMPTIED
    folders = {folder.path for folder in vanished if folder.tree == tree}
    if tree in rules.shared:
        folders |= _emptied(gone, before)
    if folders and any(_below(change.path.path, folders) for change in gone):
        return HoldReason.FOLDER_VANISHED
    apis = sum(kind_of(rules.kinds[tree], change.path.path) is Kind.API for change in gone)
    limits = rules.limits
    share = count > limits.delete_share_floor and count > limits.delete_share * total
    large = apis > limits.delete_apis or count > limits.delete_files or share
    if large or tree in rules.suspect:
        return HoldReason.DELETIONS
    return None


def _emptied(gone: Sequence[Change], before: Collection[str]) -> set[str]:
    """Return the folders that lose all of their many artifacts."""
    had = Counter(path.rpartition("/")[0] for path in before)
    lost = Counter(change.path.path.rpartition("/")[0] for change in gone)
    return {folder for folder, count in lost.items() if count == had[folder] >= FOLDER_FLOOR}


def _below(path: str, folders: Collection[str]) -> bool:
    folder = path.rpartition("/")[0]
    while folder:
        if folder in folders:
            return True
        folder = folder.rpartition("/")[0]
    return False


def _hold(
    reason: HoldReason, digest: Digest, gone: Sequence[Change], total: int, node: NodeName
) -> Hold:
    tree = gone[0].path.tree
    name = hold_id(reason, digest)
    why = {
        HoldReason.TREE_EMPTIED: "that is the whole tree: is it mounted?",
        HoldReason.FOLDER_VANISHED: "a folder vanished or is empty with them: is it mounted?",
    }.get(reason, "more than the limits allow at once, or the rest of a set that was held.")
    text = (
        f"{len(gone)} of {total} artifacts of {tree} are gone on {node}; {why} "
        f"Nothing was deleted. See: syncagent diff. Allow: syncagent approve {name}"
    )
    return Hold(name, node, tree, reason, digest, tuple(c.path for c in gone), text)


def _updates_hold(digest: Digest, updates: Sequence[Change], node: NodeName) -> Hold:
    name = hold_id(HoldReason.UPDATES, digest)
    text = (
        f"{len(updates)} artifacts would be updated at once: the runtime needs about 2 s for each. "
        f"See: syncagent diff. Allow: syncagent approve {name}"
    )
    return Hold(
        name,
        node,
        updates[0].path.tree,
        HoldReason.UPDATES,
        digest,
        tuple(change.path for change in updates),
        text,
    )


def tree_hold(
    reason: HoldReason, tree: TreeName, node: NodeName, text: str, *, approvable: bool
) -> Hold:
    """Return the hold of a tree that can't be believed; the word ID in `text` becomes its id."""
    digest = digest_of(f"{reason}\0{tree}\0{text}".encode("utf-8", "surrogatepass"))
    name = hold_id(reason, digest)
    return Hold(name, node, tree, reason, digest, (), text.replace("ID", name), approvable)


def first_contact_hold(node: NodeName, changes: Sequence[Change]) -> Hold:
    """Return the hold of a filled node that meets the cluster for the first time."""
    digest = set_digest(changes)
    name = hold_id(HoldReason.FIRST_CONTACT, digest)
    words = {
        word: sum(change.word == word for change in changes) for word in ("add", "update", "delete")
    }
    text = (
        f"{node} holds other artifacts than the cluster and meets it for the first time: joining "
        f"would add {words['add']}, update {words['update']}, delete {words['delete']}. "
        f"See: syncagent diff {node}. Allow: syncagent approve {name}"
    )
    return Hold(
        name,
        node,
        changes[0].path.tree,
        HoldReason.FIRST_CONTACT,
        digest,
        tuple(change.path for change in changes),
        text,
    )
