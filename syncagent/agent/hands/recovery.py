"""What is done before anything else: finishing a commit that a crash interrupted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from syncagent.core.artifact import NodeName
from syncagent.core.revision import Revision
from syncagent.core.wire.standing import decode_change

if TYPE_CHECKING:
    from syncagent.core.ledger import StandingChange
    from syncagent.ports import Disk, History


LAST_TXID = 2**62
"""No transaction has this number or a higher one."""


def abandon(disk: Disk, txid: int = LAST_TXID) -> None:
    """Leave an interrupted commit as it is: on a mount of all nodes somebody else may lead by now.

    What lies there is declared by whoever does, and what was displaced is in quarantine. Raises
    DiskError if what was staged can't be dropped.
    """
    disk.recover(txid)


def finish_interrupted(disk: Disk, history: History, at: float = 0.0) -> StandingChange | None:
    """Finish what a crash interrupted, before anything else is done; return what it led to.

    Only in the roots that the ledger knows: a folder that stands in a tree's place is not to be
    filled with half a revision. `at` is wall time, for the record of what was
    finished (0: not known). Raises StateError or
    DiskError: then this node must not start.
    """
    standing = history.load()
    for tree, identity in standing.identities.items():
        disk.trust(tree, identity)
    committed = disk.recover(standing.txid)
    if committed is None:
        return None
    change = decode_change(committed.intent.memo)
    if change.revision is not None and change.changes:
        # Without its record nothing would name the bytes that it displaced.
        follows = change.revision.number == standing.revision.number + 1
        if follows and change.revision.epoch >= standing.revision.epoch:
            record = Revision(
                change.revision, standing.revision, change.changes, NodeName(""), "recovered"
            )
            history.record(record, at)
    history.stand(change)
    return change
