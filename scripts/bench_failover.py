#!/usr/bin/env python3
"""Measure elections: part of `scripts/bench`, or alone: `scripts/bench_failover.py [BACKEND...]`.

Three real agents on loopback with 200 artifacts, all settings of [election] as they are by default, and
one real server of each kind that keeps the lease. They share this machine's cores.

- killed: from SIGKILL of the manager until another node manages: it has the lease, has been admitted
  by every node that answers, and has caught up
- stopped: the same from SIGTERM
- idle: a core's share of the manager and of one that would follow it, the HTTP door shut
"""

import signal
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "scripts")]

import pytest  # noqa: E402
from bench_fleet import Lines, cpu_of, resident_mb  # noqa: E402

from tests.e2e.artifacts import fill  # noqa: E402
from tests.e2e.cluster import until  # noqa: E402
from tests.e2e.electing import Electorate  # noqa: E402
from tests.servers.backends import MAKERS  # noqa: E402

ARTIFACTS = 200
TIMES = 3
IDLE_S = 30.0
QUIET_S = 5.0
PATIENCE_S = 120.0
POLL_S = 0.02
KEYS = {"sql": "url", "etcd": "endpoints", "zookeeper": "hosts"}
KILLED_S_MAX = 20.0
STOPPED_S_MAX = 1.0


def section(place):
    """[election] for a store, with nothing but where it is."""
    key = KEYS[place.backend]
    return {"backend": place.backend, key: place.at if key == "url" else [place.at]}


def replaced(cluster, number):
    """Send the manager a signal; return seconds until another one manages. All run in the end."""
    old = cluster.manager
    others = [agent for agent in cluster if agent is not old]
    began = time.perf_counter()
    old.process.send_signal(number)
    while not any(agent.own_row()["role"] == "manager" for agent in others):
        assert time.perf_counter() - began < PATIENCE_S, "nobody follows"
        time.sleep(POLL_S)
    took = time.perf_counter() - began
    old.ended()
    cluster.start()
    cluster.wait_led()
    until(cluster.synced, "all are Synced", patience_s=PATIENCE_S)
    return took


def idle(pids):
    """Return each process's share of a core (%) over `IDLE_S`."""
    time.sleep(QUIET_S)
    before, began = [cpu_of(pid) for pid in pids], time.perf_counter()
    time.sleep(IDLE_S)
    spent = time.perf_counter() - began
    return [100 * (cpu_of(pid) - first) / spent for pid, first in zip(pids, before, strict=True)]


def backend(report, folder, name):
    """Measure elections with one backend."""
    fill(folder / "source", apis=ARTIFACTS // 2, sequences=ARTIFACTS // 2)
    nodes = {"gw-1": folder / "source", "gw-2": None, "gw-3": None}
    with ExitStack() as stack:
        store = stack.enter_context(MAKERS[name]())
        sections = {"election": section(store.place())}
        cluster = stack.enter_context(Electorate(folder / "nodes", nodes, sections))
        cluster.start()
        cluster.wait_led()
        until(cluster.synced, "all are Synced", patience_s=PATIENCE_S)
        manager = cluster.manager
        follower = next(agent for agent in cluster if agent is not manager)
        pids = [manager.process.pid, follower.process.pid]
        manages, follows = idle(pids)
        sizes = " and ".join(f"{resident_mb(pid):.0f} MB" for pid in pids)
        report.say(
            f"{name}: idle", f"{manages:.2f} %", "", f"{follows:.2f} % of one that follows; {sizes}"
        )
        for what, number, most in (
            ("killed", signal.SIGKILL, KILLED_S_MAX),
            ("stopped", signal.SIGTERM, STOPPED_S_MAX),
        ):
            times = [replaced(cluster, number) for _ in range(TIMES)]
            report.say(
                f"{name}: {what}",
                f"{statistics.median(times):.2f} s",
                f"<= {most:g} s",
                f"until another one manages; worst of {TIMES}: {max(times):.2f} s",
            )


def measure(report, base):
    """Add all figures to the report of `scripts/bench`."""
    for name in MAKERS:
        folder = Path(base) / f"failover-{name}"
        folder.mkdir()
        try:
            backend(report, folder, name)
        except pytest.skip.Exception as missing:
            report.say(f"{name}: failover", "-", "", str(missing))


def main():
    for name in sys.argv[1:] or MAKERS:
        with tempfile.TemporaryDirectory(prefix="syncagent-failover-") as folder:
            backend(Lines(), Path(folder), name)


if __name__ == "__main__":
    main()
