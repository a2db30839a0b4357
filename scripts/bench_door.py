#!/usr/bin/env python3
"""Measure the HTTP door: part of `scripts/bench`, or alone: `scripts/bench_door.py`.

One real agent on loopback with 200 artifacts, its door under TLS. What the door costs is CPU time of
the whole agent, with it and without it; each check is a connection of its own, as a load balancer's
is, so nearly all of it is the handshake.

- idle: without the door; with it and nobody there; with `/manager` asked once a second
- /manager: from the connection's begin until the answer is read, and again while 500 connections
  that say nothing, or not all of a handshake, are held open by others
"""

import contextlib
import http.client
import socket
import statistics
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "scripts")]

from bench_fleet import Lines, cpu_of  # noqa: E402

from tests.e2e.artifacts import fill  # noqa: E402
from tests.e2e.cluster import Cluster, free_ports, until  # noqa: E402
from tests.servers.certificates import Authority  # noqa: E402

ARTIFACTS = 200
IDLE_S = 30.0
QUIET_S = 5.0
CHECKS = 300
SILENT = 500
HALF = b"\x16\x03\x01\x02\x00\x01\x00"  # how a ClientHello begins


def check(port, context):
    """Ask once, as a load balancer does; return the status."""
    link = http.client.HTTPSConnection("127.0.0.1", port, timeout=10, context=context)
    with contextlib.closing(link):
        link.request("GET", "/manager")
        response = link.getresponse()
        response.read()
        return response.status


def idle(pid, ask):
    """Return the agent's share of a core (%) over `IDLE_S`, with `ask` called once a second."""
    time.sleep(QUIET_S)
    before, began = cpu_of(pid), time.perf_counter()
    while time.perf_counter() - began < IDLE_S:
        ask()
        time.sleep(1.0)
    return 100 * (cpu_of(pid) - before) / (time.perf_counter() - began)


def latency(port, context):
    """Return the median and the worst time of a check (ms)."""
    times = []
    for _ in range(CHECKS):
        began = time.perf_counter()
        assert check(port, context) == 200, "it leads no more"
        times.append(1000 * (time.perf_counter() - began))
    return statistics.median(times), max(times)


def door(report, folder):
    """Measure one agent without its door, then with it."""
    fill(folder / "source", apis=ARTIFACTS // 2, sequences=ARTIFACTS // 2)
    authority = Authority(folder / "authority")
    certificate, key = authority.issue("door")
    port, context = free_ports(2)[1], authority.trusting()
    with Cluster(folder / "nodes", {"gw-1": folder / "source"}) as cluster:
        agent = cluster.manager
        cluster.start()
        cluster.wait_synced()
        report.say(
            "door: idle without it", f"{idle(agent.process.pid, bool):.2f} %", "", "of a core"
        )
        agent.end()
        listen = {"listen": f"127.0.0.1:{port}"}
        cluster.sections = {
            "http": {**listen, "certificate": str(certificate), "certificate_key": str(key)}
        }
        cluster.write_settings(agent, cluster.keys)
        cluster.start()
        until(lambda: check(port, context) == 200, "it leads")
        pid = agent.process.pid
        report.say("door: idle", f"{idle(pid, bool):.2f} %", "", "nobody asks")
        share = idle(pid, lambda: check(port, context))
        report.say("door: checked", f"{share:.2f} %", "", "/manager over TLS, once a second")
        middle, worst = latency(port, context)
        report.say("door: /manager", f"{middle:.1f} ms", "", f"worst of {CHECKS}: {worst:.0f} ms")
        with contextlib.ExitStack() as held:
            for number in range(SILENT):
                link = held.enter_context(socket.create_connection(("127.0.0.1", port)))
                if number % 2:
                    link.sendall(HALF)
            middle, worst = latency(port, context)
        report.say(
            "door: /manager, besieged",
            f"{middle:.1f} ms",
            "",
            f"worst of {CHECKS}: {worst:.0f} ms, beside {SILENT} silent connections",
        )


def measure(report, base):
    """Add all figures to the report of `scripts/bench`."""
    folder = Path(base) / "door"
    folder.mkdir()
    door(report, folder)


def main():
    with tempfile.TemporaryDirectory(prefix="syncagent-door-") as folder:
        door(Lines(), Path(folder))


if __name__ == "__main__":
    main()
