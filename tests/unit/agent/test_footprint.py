"""What keeps an agent small: what it does not load, and what it gives back."""

import subprocess
import sys

from syncagent.agent.wiring import heap

LOADED = "import sys, syncagent.agent.wiring.daemon; print(*sys.modules)"
RESIDENT = """
import sys
from syncagent.agent.wiring import heap

def resident_kb():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("RssAnon"))

heap.tame()
blocks = [bytes(1000) for _ in range(60_000)]
large = [bytearray(b"x") * 500_000 for _ in range(40)]
full = resident_kb()
del large
without_large = resident_kb()
del blocks[:-1]
heap.trim()
print(full - without_large, full - resident_kb())
"""


def run(code: str) -> list[str]:
    """Run code in a process of its own; return the words it printed."""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return done.stdout.split()


def test_the_daemon_loads_no_task_runner_and_nothing_for_people() -> None:
    loaded = set(run(LOADED))
    assert {"paramiko", "lxml.etree"} <= loaded
    assert not loaded & {"invoke", "rich", "unittest.mock", "asyncio"}


def test_what_is_freed_goes_back_to_the_kernel() -> None:
    large_kb, all_kb = map(int, run(RESIDENT))
    assert large_kb > 15_000, "large blocks go back at once"
    assert all_kb > 60_000, "small ones when asked for"


def test_giving_back_may_be_asked_for_at_any_time() -> None:
    heap.trim()
    heap.trim()
