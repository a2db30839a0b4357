#!/usr/bin/env python3
"""Measure the ear at a runtime's log: part of `scripts/bench`, or alone: `scripts/bench_log.py [FOLDER]`.

- old log: bytes per second through follower and reader over 512 MB of traffic in which an artifact is
  deployed every 2,000 lines and an error with a stack trace stands every 500; per second of processor
  time, and per second that passed
- 1,000 lines/s: processor share of a whole adapter (log and process watched) while they arrive for 10 s
- 1,000 rotations: what a live adapter hears of a log that is rotated 40 times a second, keeping ten
- idle: processor share of an adapter while nothing happens
"""

import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from syncagent.core.artifact import TreeKind, TreeName  # noqa: E402
from syncagent.core.settings import RuntimeSettings, TreeSettings  # noqa: E402
from syncagent.fsio import OsFS  # noqa: E402
from syncagent.runtime.choose import Home, choose  # noqa: E402
from syncagent.runtime.follow import Follower  # noqa: E402
from syncagent.runtime.listening import Means  # noqa: E402
from syncagent.runtime.names import Names  # noqa: E402
from syncagent.runtime.patterns import APACHE_3  # noqa: E402
from syncagent.runtime.reader import Reader  # noqa: E402

OLD_BYTES = 512_000_000
DEPLOY_EVERY = 2_000
ERROR_EVERY = 500
RATE = 1_000
ARRIVE_S = 10.0
ROTATIONS = 1_000
ROTATE_S = 0.03
KEEP = 10
PATIENCE_S = 60.0
TICK = os.sysconf("SC_CLK_TCK")


class SystemClock:
    def now(self):
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def wall(self):
        return time.time()


def stamp(number):
    return f"2026-11-21 {number // 3_600_000 % 24:02}:{number // 60_000 % 60:02}:{number // 1000 % 60:02},{number % 1000:03}"


def traffic(number, chance):
    return (
        f"{stamp(number)} [-] [PassThroughMessageProcessor-{number % 200}]  INFO LogMediator "
        f"To: /orders/v1/items/{number % 5000}, MessageID: urn:uuid:{chance.getrandbits(128):032x}, "
        "Direction: request\n"
    )


def deployed(number, root):
    return f"{stamp(number)} [-] [Timer-0]  INFO APIDeployer API named 'N{number}' has been deployed from file : {root}/api/N{number}.xml\n"


def failed(number):
    return (
        f"{stamp(number)} [-] [PassThroughMessageProcessor-{number % 200}] ERROR TargetHandler I/O error\n"
        "java.net.SocketTimeoutException: Read timed out\n"
        + "\tat org.apache.synapse.transport.passthru.TargetHandler.inputReady(TargetHandler.java:1)\n"
        * 12
    )


def write_old(path, root):
    """Write the old log; returns how many artifacts it tells of."""
    chance, number, told = random.Random(1), 0, 0
    with path.open("w") as log:
        while log.tell() < OLD_BYTES:
            lines = []
            for _ in range(10_000):
                number += 1
                lines.append(traffic(number, chance))
                if number % DEPLOY_EVERY == 0:
                    told += 1
                    lines.append(deployed(number, root))
                if number % ERROR_EVERY == 0:
                    lines.append(failed(number))
            log.write("".join(lines))
    return told


def tree_of(home):
    return TreeSettings(
        TreeName("synapse"), TreeKind.SYNAPSE, f"{home}/repository/conf/synapse-config"
    )


def read_old(path, home):
    """Return MB per second, by the clock and by processor time, and what was heard."""
    follower = Follower(OsFS(), str(path))
    reader = Reader(APACHE_3, Names([tree_of(home)], lambda each: each))
    wall, cpu, heard, size = time.perf_counter(), time.process_time(), 0, 0
    while (chunk := follower.read()) is not None:
        heard += len(reader.take(chunk.data, 0.0))
        size += len(chunk.data)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    follower.close()
    return size / 1e6 / wall, size / 1e6 / cpu, heard


def ear_of(home, post):
    means = Means(OsFS(), SystemClock(), post, (tree_of(home),))
    return choose(means, RuntimeSettings(), Home(str(home), "Apache Synapse", "3.0.1"))


def ear(home):
    """Be an adapter in a process of its own, until standard input ends; prints how many were heard."""
    heard = []
    runtime = ear_of(home, lambda event: heard.extend(getattr(event, "heard", ())))
    runtime.start(None)
    print("ready", flush=True)
    sys.stdin.read()
    runtime.stop()
    print(len(heard), flush=True)


class Ear:
    """`ear` as a process."""

    def __init__(self, home):
        self.process = subprocess.Popen(
            [sys.executable, __file__, "--ear", str(home)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout.readline() == "ready\n"

    def cpu_s(self):
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICK

    def share(self, seconds, act):
        """Return the processor share in percent over so many seconds of `act(passed_s)`."""
        before, began = self.cpu_s(), time.perf_counter()
        while (passed := time.perf_counter() - began) < seconds:
            act(passed)
            time.sleep(0.02)
        return 100 * (self.cpu_s() - before) / (time.perf_counter() - began)

    def end(self):
        return int(self.process.communicate()[0])


def arrive(home):
    """Return the processor share while lines arrive and while none do."""
    log, chance, written = home / "logs/synapse.log", random.Random(2), 0
    running = Ear(home)

    def act(passed):
        nonlocal written
        due = int(passed * RATE) - written
        with log.open("a") as file:
            file.write("".join(traffic(written + n, chance) for n in range(due)))
        written += due

    time.sleep(1.0)
    busy = running.share(ARRIVE_S, act)
    idle = running.share(ARRIVE_S, lambda _passed: None)
    running.end()
    return busy, idle, written


def rotate(home):
    """Return how many artifacts were told and heard over the rotations, with a live adapter."""
    log = home / "logs/synapse.log"
    names, came = [], threading.Event()
    root = tree_of(home).path

    def post(event):
        names.extend(each.path.path for each in getattr(event, "heard", ()))
        came.set()

    log.write_text("")
    runtime = ear_of(home, post)
    runtime.start(None)
    came.wait(1.0)
    told = 0
    for _ in range(ROTATIONS):
        with log.open("a") as file:
            for _ in range(5):
                told += 1
                file.write(deployed(told, root))
        for number in range(KEEP, 0, -1):
            old = log.with_name(f"{log.name}.{number}")
            if old.exists():
                old.unlink() if number == KEEP else old.rename(
                    log.with_name(f"{log.name}.{number + 1}")
                )
        log.rename(log.with_name(f"{log.name}.1"))
        log.touch()
        time.sleep(ROTATE_S)
    log.write_text(deployed(told + 1, root))
    told += 1
    until = time.monotonic() + PATIENCE_S
    while len(names) < told and time.monotonic() < until:
        came.wait(0.1)
        came.clear()
    runtime.stop()
    wanted = [f"api/N{number}.xml" for number in range(1, told + 1)]
    return told, len(set(names) & set(wanted)), len(names) - len(set(names))


def measure(report, base):
    """Add all figures to the report of `scripts/bench`."""
    home = Path(base) / "ear"
    (home / "logs").mkdir(parents=True)
    (home / "repository/conf/synapse-config").mkdir(parents=True)
    old = home / "old.log"
    told = write_old(old, tree_of(home).path)
    rates = [read_old(old, home) for _ in range(3)]
    old.unlink()
    walls, cpus, heard = zip(*rates, strict=True)
    assert set(heard) == {told}, f"{told} were deployed in the old log, heard were {heard}"
    report.say(
        "log: old log",
        f"{sorted(walls)[1]:.0f} MB/s",
        ">= 200 MB/s",
        f"{sorted(cpus)[1]:.0f} MB per second of processor time; {OLD_BYTES / 1e6:.0f} MB, {told} deployed",
    )
    busy, idle, written = arrive(home)
    report.say(
        "log: 1,000 lines/s", f"{busy:.2f} %", "<= 1 %", f"{written} lines in {ARRIVE_S:.0f} s"
    )
    report.say("log: idle", f"{idle:.2f} %", "<= 0.3 %", "of the whole agent's")
    (home / "logs/synapse.log").unlink()
    told, heard_of, twice = rotate(home)
    report.say(
        "log: 1,000 rotations",
        f"{told - heard_of} missed",
        "0",
        f"{told} told, {twice} heard twice, {1 / ROTATE_S:.0f} rotations a second",
    )


class Lines:
    """A report that only prints."""

    def say(self, what, value, goal, more=""):
        print(f"{what:24} {value:>12}   goal {goal:12} {more}", flush=True)


def main():
    if sys.argv[1:2] == ["--ear"]:
        ear(Path(sys.argv[2]))
        return
    with tempfile.TemporaryDirectory(dir=sys.argv[1] if sys.argv[1:] else None) as base:
        measure(Lines(), base)


if __name__ == "__main__":
    main()
