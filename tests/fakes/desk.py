"""A desk with a fixed answer for each verb; what was asked is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from syncagent.core.errors import DeadlineError, RefusedError, SyncagentError

if TYPE_CHECKING:
    import threading
    from collections.abc import Mapping

    from syncagent.core.desk import JSON


class FakeDesk:
    """Answers from `answers`; an error there is raised. A verb without an answer is refused."""

    def __init__(self, answers: Mapping[str, JSON | SyncagentError] | None = None) -> None:
        self.answers = dict(answers or {})
        self.asked: list[tuple[str, dict[str, JSON], float]] = []
        self.gates: dict[str, threading.Event] = {}
        """A verb with a gate is answered when the gate opens."""

    def ask(self, verb: str, arguments: Mapping[str, JSON], timeout_s: float) -> JSON:
        """Return the verb's answer, as `core.desk.Desk` says."""
        self.asked.append((verb, dict(arguments), timeout_s))
        gate = self.gates.get(verb)
        if gate is not None and not gate.wait(timeout_s):
            raise DeadlineError(f"{verb} was not done within {timeout_s:g} s")
        answer = self.answers.get(verb, RefusedError(f"the fake has no answer to {verb}"))
        if isinstance(answer, SyncagentError):
            raise answer
        return answer
