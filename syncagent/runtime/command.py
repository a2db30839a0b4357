"""Any other runtime: a program that is given each commit and says what became of it.

The program is started once per order, one at a time, with one JSON object on its standard input:

    {"apiVersion": "syncagent/v1", "what": "deploy", "revision": 7, "items": [
      {"tree": "synapse", "path": "api/Pizza.xml", "kind": "api", "name": "Pizza",
       "digest": "xxh3:...", "updated": true}]}

`what` is `deploy`, `again` (it was told before, and nothing was heard) or `verify` (only ask). `digest`
null means that the artifact was taken away. Its exit code is the answer for all items that its output
does not name:

- 0: taken (deployed, updated or undeployed)
- 1: refused; the reason is the last line of its standard error
- anything else, a signal, or no end within the time limit: it could not find out. Nothing is heard of
  these items, and they end as `Unknown`.

Its standard output may be one JSON object that says more, item by item; the states are `deployed`,
`undeployed`, `rejected` and `unknown`:

    {"items": [{"tree": "synapse", "path": "api/Pizza.xml", "state": "rejected", "reason": "no such host"}]}

Output that does not begin with `{` is taken for talk, and kept as the excerpt.
"""

from __future__ import annotations

import json
import threading
from collections import deque
from typing import TYPE_CHECKING

from syncagent.core.artifact import ArtifactPath, TreeName
from syncagent.core.events import RuntimeHeard, RuntimeTurned
from syncagent.core.runtime import (
    EXCERPT_MAX,
    REASON_MAX,
    About,
    Heard,
    Order,
    OrderItem,
    Phase,
    RuntimeState,
    Saying,
)
from syncagent.runtime.program import Ended, run_program

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from syncagent.runtime.listening import Means

KIND = "command"
API_VERSION = "syncagent/v1"
ORDERS_MAX = 256
"""Orders that may wait; the oldest is dropped beyond that, and its items end as `Unknown`."""
STOP_S = 5.0
REFUSED = 1

_SAYINGS = {
    "deployed": Saying.DEPLOYED,
    "undeployed": Saying.UNDEPLOYED,
    "rejected": Saying.REJECTED,
    "unknown": None,
}


class CommandRuntime:
    """The `Runtime` port over a program."""

    def __init__(self, means: Means, argv: Sequence[str], timeout_s: float) -> None:
        assert argv, "the settings demand a program"
        self._means = means
        self._argv = tuple(argv)
        self._timeout_s = timeout_s
        self._orders: deque[tuple[str, Order]] = deque(maxlen=ORDERS_MAX)
        self._came = threading.Condition()
        self._over = False
        self._thread: threading.Thread | None = None
        self._state: RuntimeState | None = None

    @property
    def about(self) -> About:
        """What kind of runtime it is; its answer may take as long as the program may run."""
        return About(KIND, KIND, answers=True, scan_s=self._timeout_s, asks=True)

    def start(self, mark: str | None) -> None:  # noqa: ARG002 - a program remembers by itself
        """Begin to run the program for what is told."""
        assert self._thread is None, "it is started once"
        self._turn(f"program {self._argv[0]}")
        self._thread = threading.Thread(target=self._run, name="runtime-command", daemon=True)
        self._thread.start()

    def tell(self, order: Order) -> None:
        """Queue an order for the program."""
        self._queue("again" if order.again else "deploy", order)

    def verify(self, order: Order) -> None:
        """Queue a question for the program."""
        self._queue("verify", order)

    def stop(self) -> None:
        """Stop: a program that runs is killed, with all that it started."""
        with self._came:
            self._over = True
            self._came.notify_all()
        if self._thread is not None:
            self._thread.join(STOP_S)

    def _queue(self, what: str, order: Order) -> None:
        if not order.items:
            return
        with self._came:
            self._orders.append((what, order))
            self._came.notify_all()

    def _run(self) -> None:
        while True:
            with self._came:
                self._came.wait_for(lambda: self._over or self._orders)
                if self._over:
                    return
                what, order = self._orders.popleft()
            self._carry_out(what, order)

    def _carry_out(self, what: str, order: Order) -> None:
        text = json.dumps(_order_json(what, order)).encode()
        try:
            ended = run_program(
                self._means.fs, self._argv, text, self._timeout_s, lambda: self._over
            )
        except OSError as error:
            self._turn(f"program {self._argv[0]} can't be started: {error.strerror or error}")
            return
        heard, fault = answer(order, ended, self._means.clock.wall())
        if self._over:
            return
        if heard:
            self._means.post(RuntimeHeard(tuple(heard), ""))
        self._turn(f"program {self._argv[0]}" + (f" {fault}" if fault else ""))

    def _turn(self, detail: str) -> None:
        """Tell that it is ready, and how it goes; a program has no incarnations."""
        state = RuntimeState(Phase.READY, detail=detail)
        if state != self._state and not self._over:
            self._state = state
            self._means.post(RuntimeTurned(state))


def answer(order: Order, ended: Ended, at: float) -> tuple[list[Heard], str]:
    """Return what a program's end says of each item, and what is wrong with it ("": nothing)."""
    if ended.code is None:
        return [], "did not end in time and was killed"
    said, fault = _said(ended.out)
    if fault:
        return [], fault
    by_path = {(item.path.tree, item.path.path): item for item in order.items}
    heard = []
    excerpt = (ended.out + ended.err).decode("utf-8", "replace").strip()[:EXCERPT_MAX]
    for key, item in by_path.items():
        saying, reason = said.get(key, (_of_code(ended, item), ""))
        if saying is not None:
            reason = reason or (_last_line(ended.err) if saying is Saying.REJECTED else "")
            heard.append(
                Heard(saying, item.path, item.kind, item.name, reason[:REASON_MAX], excerpt, at)
            )
    strange = ended.code not in {0, REFUSED}
    return heard, f"ended with code {ended.code}: {_last_line(ended.err)}" if strange else ""


def _of_code(ended: Ended, item: OrderItem) -> Saying | None:
    """Return what the exit code says of an item that the output does not name."""
    if ended.code == REFUSED:
        return Saying.REJECTED
    if ended.code != 0:
        return None
    if item.digest is None:
        return Saying.UNDEPLOYED
    return Saying.UPDATED if item.updated else Saying.DEPLOYED


def _said(out: bytes) -> tuple[Mapping[tuple[str, str], tuple[Saying | None, str]], str]:
    """Return state and reason of each path that the output names, and what is wrong with it."""
    if not out.lstrip().startswith(b"{"):
        return {}, ""
    try:
        raw: object = json.loads(out)
    except (ValueError, RecursionError) as error:
        return {}, f"printed JSON that can't be read: {error}"
    match raw:
        case {"items": [*items]}:
            return dict(_items(items)), ""
        case _:
            return {}, 'printed JSON without a list "items"'


def _items(raw: Sequence[object]) -> Iterator[tuple[tuple[str, str], tuple[Saying | None, str]]]:
    for each in raw:
        match each:
            case {"tree": str(tree), "path": str(path), "state": str(state), **more}:
                # A state that is not known here says nothing: the artifact stays Unknown.
                reason = more.get("reason")
                path_key = ArtifactPath(TreeName(tree), path)
                yield path_key, (_SAYINGS.get(state), _line(reason))
            case _:
                continue


def _line(reason: object) -> str:
    """Return a reason on one line that can be written down; JSON can say half characters."""
    if not isinstance(reason, str):
        return ""
    return " ".join(reason.encode("utf-8", "replace").decode().split())


def _last_line(text: bytes) -> str:
    lines = text.decode("utf-8", "replace").strip().splitlines()
    return lines[-1].strip() if lines else ""


def _order_json(what: str, order: Order) -> Mapping[str, object]:
    return {
        "apiVersion": API_VERSION,
        "what": what,
        "revision": order.revision,
        "items": [
            {
                "tree": item.path.tree,
                "path": item.path.path,
                "kind": str(item.kind),
                "name": item.name,
                "digest": str(item.digest) if item.digest is not None else None,
                "updated": item.updated,
            }
            for item in order.items
        ],
    }
