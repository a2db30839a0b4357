#!/usr/bin/env python3
"""Measure a change's way past runtimes: part of `scripts/bench`, or alone: `scripts/bench_rollout.py [FOLDER]`.

Three agents, each beside the double of a Carbon product (`tests/e2e/carbon_double.py`: a look at the
files every half second, its answer in its log). The settle time is 600 ms (beside Carbon it is 2 s by
default; below half a second a fresh file waits for the line that may explain it) and is taken off.
What is timed, each time for an update of one API:

- save to live: from before the write at the manager until the bytes are live, for the runtime's next
  look, on the last worker; no canary, all workers at once
- canary to worker, worker to worker: the rollout as it is by default. From the runtime's line in the
  log of the one until the bytes are live on the next
- ack in status: from that line on the last worker until the manager's `status` counts it as deployed

A `status` that calls it deployed before the runtime's line is no figure but a lie: it ends the run.
"""

import contextlib
import os
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.e2e.carbon_double import CarbonHome  # noqa: E402
from tests.e2e.cluster import Cluster, until  # noqa: E402

NAMES = ("gw-1", "gw-2", "gw-3")
APIS = 20
SAMPLES = 30
PATIENCE_S = 60.0
POLL_S = 0.001
STATUS_S = 0.01
SETTLE_S = 0.6
LIMITS = {"settle_written": "600ms"}
AT_ONCE = {"limits": LIMITS, "rollout": {"canary": "none", "max_unavailable": "100%"}}
BY_DEFAULT = {"limits": LIMITS}


def api(name, text):
    return (
        f'<api xmlns="http://ws.apache.org/ns/synapse" name="{name}" context="/{name.lower()}">\n'
        f'  <resource methods="GET"><inSequence><log><property name="note" value="{text}"/></log>'
        "<respond/></inSequence></resource>\n</api>\n"
    ).encode()


class Watch:
    """Notes when a file is live and when a runtime's log speaks of it; one look each millisecond."""

    def __init__(self, homes, path, name, wanted):
        self.files = {node: home.config / path for node, home in homes.items() if node != NAMES[0]}
        self.logs = {node: home.log for node, home in homes.items()}
        self.marks = {node: log.stat().st_size for node, log in self.logs.items()}
        self.inodes = {node: file.stat().st_ino for node, file in self.files.items()}
        self.line = f"API: {name} has been updated"
        self.wanted = wanted
        self.live, self.said = {}, {}

    def look(self):
        for node, file in self.files.items():
            if node not in self.live and file.stat().st_ino != self.inodes[node]:
                self.live[node] = time.perf_counter()
                assert file.read_bytes() == self.wanted, f"{file} has other bytes"
        for node, log in self.logs.items():
            if node not in self.said and log.stat().st_size > self.marks[node]:
                with log.open() as text:
                    text.seek(self.marks[node])
                    if self.line in text.read():
                        self.said[node] = time.perf_counter()

    def until(self, fact, what):
        end = time.monotonic() + PATIENCE_S
        while not fact():
            self.look()
            time.sleep(POLL_S)
            if time.monotonic() > end:
                raise SystemExit(f"scripts/bench: not within {PATIENCE_S:.0f} s: {what}")


class Asker(threading.Thread):
    """Asks the manager for its status again and again; notes when it calls a worker deployed."""

    def __init__(self, manager, worker, revision):
        super().__init__(daemon=True)
        self.manager, self.worker, self.revision = manager, worker, revision
        self.shown = None

    def run(self):
        while self.shown is None:
            row = row_of(self.manager, self.worker)
            if row["revision"] >= self.revision and all_deployed(row):
                self.shown = time.perf_counter()
            time.sleep(STATUS_S)


def row_of(manager, name):
    status = manager.answer("status")
    return next(row for row in status["nodes"] if row["name"] == name)


def all_deployed(row):
    return bool(row["artifacts"]) and row["deployed"] == row["artifacts"]


class Gateways:
    """Three agents beside three doubles, all of it deployed."""

    def __init__(self, folder, stack):
        self.homes = {}
        for name in NAMES:
            home = self.homes[name] = CarbonHome(folder / "gateways" / name)
            stack.callback(home.kill)
            for number in range(APIS):
                file = home.config / f"api/Api{number}.xml"
                file.write_bytes(api(f"Api{number}", "first"))
                os.utime(file, (time.time() - 60, time.time() - 60))
            home.start()
        own = {
            name: {
                "tree": {"path": str(home.config)},
                "gateway": {"home": str(home.folder)},
                "runtime": {"kind": "auto"},
            }
            for name, home in self.homes.items()
        }
        self.cluster = Cluster(folder, dict.fromkeys(NAMES), own=own)
        stack.callback(self.cluster.close)

    def start(self, sections):
        """Start the agents anew with these settings."""
        self.cluster.close()
        self.cluster.sections = sections
        for agent in self.cluster:
            self.cluster.write_settings(agent, self.cluster.keys)
        self.cluster.start()
        self.settle()

    def settle(self):
        manager = self.cluster.manager
        until(self.cluster.synced, "every node is Synced")
        until(lambda: all(all_deployed(row_of(manager, name)) for name in NAMES), "all is deployed")

    def change(self, number):
        """Change one API; return the times of everything, in seconds since the write."""
        manager = self.cluster.manager
        name = f"Api{number % APIS}"
        content = api(name, f"edit {number}")
        watch = Watch(self.homes, f"api/{name}.xml", name, content)
        revision = row_of(manager, NAMES[0])["revision"] + 1
        began = time.perf_counter()
        (self.homes[NAMES[0]].config / f"api/{name}.xml").write_bytes(content)
        watch.until(lambda: len(watch.live) == 2, "it is live on both workers")
        last = max(watch.live, key=watch.live.get)
        asker = Asker(manager, last, revision)
        asker.start()
        watch.until(lambda: len(watch.said) == 3, "every runtime took it")
        asker.join(PATIENCE_S)
        if asker.shown is None or asker.shown < watch.said[last]:
            raise SystemExit(f"scripts/bench: {last} was called deployed before its runtime was")
        self.settle()
        first = min(watch.live, key=watch.live.get)
        # A runtime that looked before the settle time was over waits for us no less.
        tried = max(watch.said[NAMES[0]], began + SETTLE_S)
        return {
            "live": watch.live[last] - began,
            "to_first": watch.live[first] - tried,
            "to_last": watch.live[last] - watch.said[first],
            "ack": asker.shown - watch.said[last],
        }


def measure(report, base):
    """Add all figures to the report of `scripts/bench`."""
    folder = Path(base) / "rollout"
    folder.mkdir()
    with contextlib.ExitStack() as stack:
        gateways = Gateways(folder, stack)
        gateways.start(AT_ONCE)
        times = [gateways.change(number) for number in range(SAMPLES)]
        over = [1000 * each["live"] - 1000 * SETTLE_S for each in times]
        more = f"beyond the settle time of {1000 * SETTLE_S:.0f} ms; no canary; {SAMPLES} times"
        report.add("rollout: save to live on the last of 3", [], over, times="<= 50 ms", more=more)
        acks = [1000 * each["ack"] for each in times]
        gateways.start(BY_DEFAULT)
        times = [gateways.change(SAMPLES + number) for number in range(SAMPLES)]
        for what, key, more in (
            ("canary to worker", "to_first", "from the line in the canary's log to live there"),
            (
                "worker to worker",
                "to_last",
                "from the line in the first worker's log to live there",
            ),
        ):
            waits = [1000 * each[key] for each in times]
            report.add(f"rollout: {what}", [], waits, more=more)
        acks += [1000 * each["ack"] for each in times]
        more = f"from the runtime's line to the manager's status; {len(acks)} times"
        report.add("rollout: ack in status", [], acks, times="<= 1000 ms", more=more)


class Lines:
    """A report that only prints."""

    def add(self, what, _theirs, ms, *, times="", more=""):
        ordered = sorted(ms)
        p95 = ordered[min(len(ms) - 1, round(0.95 * len(ms)))]
        print(
            f"{what:42} median {statistics.median(ms):6.1f} ms  p95 {p95:6.1f} ms"
            f"   goal {times:12} {more}",
            flush=True,
        )


def main():
    with tempfile.TemporaryDirectory(dir=sys.argv[1] if sys.argv[1:] else None) as base:
        measure(Lines(), base)


if __name__ == "__main__":
    main()
