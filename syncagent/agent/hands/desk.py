"""The desk: how a door's thread asks the loop and waits for its answer."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NoAnswer
from itertools import count
from typing import TYPE_CHECKING, cast

from syncagent.agent.results import Asked
from syncagent.core.errors import DeadlineError, UnreachableError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from syncagent.agent.effects import Reply
    from syncagent.core.desk import JSON

GRACE_S = 2.0
"""The loop ends a request at its deadline; the door waits a little longer for that answer."""

STOPPING = "the agent is stopping"


class AgentDesk:
    """Takes questions to the loop. Any thread may ask; the loop replies."""

    def __init__(self, post: Callable[[object], None]) -> None:
        self._post = post
        self._numbers = count(1)
        self._lock = threading.Lock()
        self._waiting: dict[int, Future[JSON]] = {}
        self._closed = False

    def ask(self, verb: str, arguments: Mapping[str, JSON], timeout_s: float) -> JSON:
        """Return the answer; raises what the loop answered with, or DeadlineError.

        UnreachableError if the desk is closed, or is while the question waits.
        """
        number = next(self._numbers)
        future: Future[JSON] = Future()
        with self._lock:
            if self._closed:
                raise UnreachableError(STOPPING)
            self._waiting[number] = future
        self._post(Asked(number, verb, arguments, timeout_s))
        try:
            return future.result(timeout_s + GRACE_S)
        except NoAnswer:
            raise DeadlineError(f"{verb}: no answer within {timeout_s:.0f} s") from None
        finally:
            with self._lock:
                self._waiting.pop(number, None)

    def reply(self, reply: Reply) -> None:
        """Hand an answer to who waits for it; nobody may wait any more."""
        with self._lock:
            future = self._waiting.pop(reply.request, None)
        if future is None:
            return
        if reply.error is not None:
            future.set_exception(reply.error)
        else:
            future.set_result(cast("JSON", reply.result))

    def close(self) -> None:
        """Tell everybody who waits, and who comes later, that the agent is going."""
        with self._lock:
            self._closed = True
            waiting, self._waiting = self._waiting, {}
        for future in waiting.values():
            future.set_exception(UnreachableError(STOPPING))
