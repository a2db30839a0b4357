"""A share's state taken over while the power fails: the next keeper stands where the last one did."""

from __future__ import annotations

import random

from syncagent.core.artifact import ArtifactPath, NodeName, TreeName
from syncagent.core.change import Change
from syncagent.core.digest import digest_of
from syncagent.core.ledger import Standing, StandingChange
from syncagent.core.manifest import Entry
from syncagent.core.revision import RevisionId, Token
from syncagent.history.node_history import NodeHistory
from syncagent.history.portable import take_over
from tests.fakes.appendfs import AppendCrashFS
from tests.fakes.crashfs import MODES, Crash

KEEPER = "/share/keeper"
CONTENTS = (b"<api name='a'/>" * 10, b"<api name='b'/>" * 10)
IMAGES = 4
"""Disks that are looked at per crash and mode."""


def token(epoch: int) -> Token:
    return Token("apim", epoch, NodeName(f"gw-{epoch}"), "start")


def opened(fs: AppendCrashFS, epoch: int) -> NodeHistory:
    history = NodeHistory(fs, take_over(fs, KEEPER, token(epoch)), wall=lambda: 0.0)
    history.load()
    return history


def stand(history: NodeHistory, content: bytes) -> None:
    before = history.standing()
    entry = Entry(digest_of(content), len(content))
    path = ArtifactPath(TreeName("synapse"), f"api/{before.revision.number}.xml")
    change = Change(path, None, entry)
    digest = before.manifest.after([change]).digest
    revision = RevisionId(1, before.revision.number + 1, digest)
    history.stand(StandingChange(revision, (change,), txid=revision.number), [(entry, content)])


def share() -> tuple[AppendCrashFS, Standing]:
    """Return a share on which two keepers have worked, and where the second one stands."""
    fs = AppendCrashFS()
    fs.mkdir("/share")
    for epoch, content in enumerate(CONTENTS, 1):
        history = opened(fs, epoch)
        stand(history, content)
        standing = history.standing()
        history.close()
    fs.freeze()
    return fs, standing


def check(fs: AppendCrashFS, standing: Standing, epoch: int) -> None:
    history = opened(fs, epoch)
    assert history.standing() == standing
    for content in CONTENTS:
        assert history.blob(digest_of(content)) == content
    history.close()


def test_a_takeover_that_a_power_cut_ends_anywhere_is_done_by_the_next() -> None:
    rng = random.Random(3)
    whole, standing = share()
    take_over(whole, KEEPER, token(3))
    looked = 0
    for call in range(1, whole.calls + 1):
        fs, standing = share()
        fs.crash_at = call
        try:
            take_over(fs, KEEPER, token(3))
        except Crash:
            for mode in MODES:
                for _ in range(IMAGES):
                    image = fs.image(rng, mode)
                    assert isinstance(image, AppendCrashFS)
                    # The same node comes back under its token, or another one under the next.
                    check(image, standing, rng.choice((3, 4)))
                    check(image, standing, 5)
                    looked += 1
    assert looked > 100
