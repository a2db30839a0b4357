"""Many commits one after the other on one node, with crashes, edits by hand and late ledgers."""

from __future__ import annotations

import random
from contextlib import suppress

from hypothesis import given, settings
from hypothesis import strategies as st

from syncagent.core.digest import digest_of
from syncagent.core.intent import Keep
from tests.fakes.crashfs import MODES, Crash, CrashFS
from tests.fakes.node_bench import ChangeSet, Files, NodeBench, put_file, step

COMMITS = 8
NAMES = (
    *(f"synapse/api/{n}.xml" for n in range(6)),
    *(f"synapse/sequences/deep/{n}.xml" for n in range(6)),
    *("plans/p.siddhiql", "plans/q.siddhiql"),
)


class Node:
    """What should be on the disk, beside the disk."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.fs = CrashFS(swaps=rng.random() < 0.7)
        NodeBench(self.fs).build({})
        self.fs.freeze()
        self.live: Files = {}
        self.kept: set[tuple[str, bytes]] = set()
        self.in_ledger = 0
        self.disk = NodeBench(self.fs).disk()
        self.disk.recover(0)

    def edit_by_hand(self) -> None:
        name = self.rng.choice(NAMES)
        self.live[name] = b"by hand %d" % self.rng.randint(0, 10**6)
        put_file(self.fs, f"/node/gateway/{name}", self.live[name])
        fd = self.fs.open("/node", 0)
        self.fs.syncfs(fd)
        self.fs.close(fd)

    def change(self, txid: int) -> ChangeSet:
        steps = []
        for name in self.rng.sample(NAMES, self.rng.randint(1, len(NAMES))):
            live = self.live.get(name)
            expected = live if self.rng.random() < 0.7 else b"another"
            after = self.rng.choice((None, b"new %d" % self.rng.randint(0, 10**6), b"same"))
            if expected is None and after is None:
                continue
            keep = self.rng.choice((None, Keep.DRIFT, Keep.DELETED))
            steps.append((step(name, expected, after, keep), after))
        return ChangeSet(dict(self.live), tuple(steps), txid)

    def displaced(self, change: ChangeSet) -> set[tuple[str, bytes]]:
        found = set()
        for one, after in change.steps:
            name = f"{one.path.tree}/{one.path.path}"
            old = change.old.get(name, after)
            if old is None or old == after:
                continue
            if one.keep is not None or digest_of(old) != one.expected:
                found.add((name, old))
        return found

    def commit(self, change: ChangeSet, *, crash_after: int | None) -> None:
        self.fs.calls = 0
        self.fs.crash_at = crash_after or -1
        acked = False
        with suppress(Crash):
            change.carry_out(self.disk)
            acked = True
            self.fs.crash_at = -1
        if acked and self.rng.random() < 0.6:
            self.take(change)
        else:
            self.recover(change, acked=acked)

    def take(self, change: ChangeSet) -> None:
        self.live = change.new
        self.kept |= self.displaced(change)
        self.in_ledger = change.txid

    def recover(self, change: ChangeSet, *, acked: bool) -> None:
        if self.rng.random() < 0.8:
            self.fs = self.fs.image(self.rng, self.rng.choice(MODES))
        for _ in range(self.rng.randint(0, 2)):
            self.fs.reborn()
            self.fs.crash_at = self.rng.randint(1, 60)
            with suppress(Crash):
                acked = NodeBench(self.fs).disk().recover(self.in_ledger) is not None or acked
            self.fs = self.fs.image(self.rng, self.rng.choice(MODES))
        self.fs.reborn()
        self.disk = NodeBench(self.fs).disk()
        done = self.disk.recover(self.in_ledger)
        assert done is not None or not acked, "a durable commit is lost"
        if done is not None:
            assert done.intent == change.intent
            self.take(change)

    def check(self) -> None:
        bench = NodeBench(self.fs)
        assert bench.live() == self.live
        assert bench.staged() == []
        kept = {
            (f"{one.path.tree}/{one.path.path}", self.disk.kept_bytes(one.id))
            for one in self.disk.kept()
        }
        assert kept == self.kept


@given(st.integers(min_value=0, max_value=2**32))
@settings(deadline=None, max_examples=60)
def test_any_sequence_of_commits_and_crashes_leaves_what_the_ledger_says(seed: int) -> None:
    rng = random.Random(seed)
    node = Node(rng)
    for txid in range(1, COMMITS + 1):
        if rng.random() < 0.4:
            node.edit_by_hand()
        change = node.change(txid)
        if not change.steps:
            continue
        node.commit(change, crash_after=rng.randint(1, 150) if rng.random() < 0.7 else None)
        node.check()
