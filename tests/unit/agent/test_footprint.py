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


GROWN = """
from syncagent.agent.wiring import heap

heap.tame()
heap.trim()
before = heap.grown()
blocks = [bytes(1000) for _ in range(2 * heap.GROWN_BYTES // 1000)]
after = heap.grown()
heap.trim()
print(int(before), int(after), int(heap.grown()))
"""


def test_giving_back_pays_when_much_has_come_since_it_was_done_last() -> None:
    assert run(GROWN) == ["0", "1", "0"]


ASIDE = """
import gc, weakref
from syncagent.agent.wiring import heap

class Knot:
    def __init__(self):
        self.itself = self

heap.tame()
knot = Knot()
told = weakref.ref(knot)
kept = [object() for _ in range(1000)]
heap.set_aside()
searched = len(gc.get_objects())
del knot
gc.collect()
after_a_search = told() is not None
heap.trim()
after_a_trim = told() is not None
new = [[] for _ in range(heap.NEW_MAX)]
heap.trim()
print(searched, int(after_a_search), int(after_a_trim), int(told() is not None), len(gc.get_objects()))
"""


def test_what_was_there_at_the_start_is_only_searched_once_as_much_has_come() -> None:
    searched, after_a_search, after_a_trim, after_much_came, left = map(int, run(ASIDE))
    assert searched < 1000
    assert (after_a_search, after_a_trim, after_much_came) == (1, 1, 0)
    assert left < 1000, "what came is set aside too"
