#!/usr/bin/env python3
"""Measure one manager with many workers: part of `scripts/bench`, or alone: `scripts/bench_fleet.py [N...]`.

All are real agents on loopback with the same 200 artifacts; they share this machine's cores, so what
a change takes until the last worker has it is mostly the workers' own work. What the manager itself
needs is told by its CPU time and memory. The settle time is 0.

- joined: from the start of all workers until the manager calls each of them Synced
- one change: from before the write at the manager until the bytes are live on the last worker
"""

import os
import re
import statistics
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.e2e.artifacts import api, fill  # noqa: E402
from tests.e2e.cluster import Cluster, until  # noqa: E402

FLEETS = (1, 10, 100)
ARTIFACTS = 200
CHANGES = 20
PATIENCE_S = 600.0
IDLE_S = 20.0
POLL_S = 0.002


def cpu_of(pid):
    """CPU seconds of one process, to the nanosecond."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


def resident_mb(pid):
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024


def change(cluster, number):
    """Change one artifact; return seconds until it is live on the last worker."""
    path = f"api/Api{number % (ARTIFACTS // 2):03}.xml"
    content = api(Path(path).stem, note=f"change {number}")
    waiting = {worker.tree / path: (worker.tree / path).stat().st_ino for worker in cluster.workers}
    began = time.perf_counter()
    (cluster.manager.tree / path).write_bytes(content)
    while waiting:
        waiting = {live: inode for live, inode in waiting.items() if live.stat().st_ino == inode}
        time.sleep(POLL_S)
        if time.perf_counter() - began > PATIENCE_S:
            raise SystemExit(f"scripts/bench: {len(waiting)} workers did not get {path}")
    return time.perf_counter() - began


def fleet(report, folder, workers):
    """Measure a manager with so many workers."""
    fill(folder / "source", apis=ARTIFACTS // 2, sequences=ARTIFACTS // 2)
    names = [f"gw-{number}" for number in range(workers + 1)]
    nodes = dict.fromkeys(names) | {names[0]: folder / "source"}
    sections = {"limits": {"settle_written": "0s"}}
    with Cluster(folder / "nodes", nodes, sections) as cluster:
        cluster.start(names[0])
        pid = cluster.manager.process.pid
        before, began = cpu_of(pid), time.perf_counter()
        for worker in cluster.workers:
            worker.start()
        until(cluster.synced, "all are Synced", patience_s=PATIENCE_S)
        joined, cost = time.perf_counter() - began, cpu_of(pid) - before
        assert cluster.equal(), "Synced, and not equal"
        report.say(
            f"{workers} workers: joined", f"{joined:.1f} s", "", f"manager's CPU {cost:.2f} s"
        )
        before = cpu_of(pid)
        times = [1000 * change(cluster, number) for number in range(CHANGES)]
        cost = (cpu_of(pid) - before) / CHANGES
        report.say(
            f"{workers} workers: one change",
            f"{statistics.median(times):.0f} ms",
            "",
            f"on the last worker; manager's CPU {1000 * cost:.1f} ms; {CHANGES} times",
        )
        until(cluster.synced, "all are Synced again", patience_s=PATIENCE_S)
        time.sleep(5.0)
        before = cpu_of(pid)
        time.sleep(IDLE_S)
        share = 100 * (cpu_of(pid) - before) / IDLE_S
        report.say(
            f"{workers} workers: the manager",
            f"{resident_mb(pid):.0f} MB",
            "",
            f"idle CPU {share:.2f} %, {len(os.listdir(f'/proc/{pid}/task'))} threads",
        )


def measure(report, base):
    """Add all figures to the report of `scripts/bench`."""
    for workers in FLEETS:
        folder = Path(base) / f"fleet-{workers}"
        folder.mkdir()
        fleet(report, folder, workers)


class Lines:
    """A report that only prints."""

    def say(self, what, value, _goal, more):
        print(f"{what:28} {value:>10}   {more}", flush=True)


def main():
    for workers in map(int, sys.argv[1:] or FLEETS):
        with tempfile.TemporaryDirectory(prefix="syncagent-fleet-") as folder:
            fleet(Lines(), Path(folder), workers)


if __name__ == "__main__":
    main()
