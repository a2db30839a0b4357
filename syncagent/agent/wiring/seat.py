"""Where the agent of this process sits: signals and questions find it here, also between two starts.

An agent starts again within its process when the gateway has new trees. Who asks meanwhile waits
for the next one, and a question that changes nothing, or only what it would change anyway, is
asked again if its agent went.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

from syncagent.agent.hands.desk import STOPPING
from syncagent.agent.wiring.assembly import LOG
from syncagent.agent.wiring.clock import SystemClock
from syncagent.core.desk import DECISIONS
from syncagent.core.errors import DeadlineError, SettingsError, UnreachableError
from syncagent.settings.gateway import with_known_trees, with_new_trees
from syncagent.settings.load import load
from syncagent.settings.reload import changes_that_need_restart, reloaded

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from syncagent.agent.wiring.assembly import Assembly
    from syncagent.core.desk import JSON
    from syncagent.core.health import Pulse
    from syncagent.core.lease import Leadership
    from syncagent.core.settings import Settings
    from syncagent.web.tcp import TcpDoor


class Seat:
    """Holds the agent; any thread may call any method."""

    def __init__(self, settings_path: Path) -> None:
        self._path = str(settings_path)
        self._changed = threading.Condition()
        self._agent: Assembly | None = None
        self._answers = False
        self._stopping = False
        self.door: TcpDoor | None = None
        """Reads its secrets again with the settings."""

    # --- the agent comes and goes -----------------------------------------------------------

    def take(self, agent: Assembly) -> None:
        """Let this agent be the one that signals are for."""
        with self._changed:
            self._agent = agent
            if self._stopping:
                agent.request_stop()

    def open(self) -> None:
        """The agent answers questions from now on."""
        with self._changed:
            self._answers = True
            self._changed.notify_all()

    def shut(self, *, again: bool) -> None:
        """The agent goes: who waits for its answer is told, who comes later waits for the next."""
        with self._changed:
            self._answers = False
            self._stopping = self._stopping or not again
            agent = self._agent
            self._changed.notify_all()
        if agent is not None:
            agent.desk.close()

    def leave(self) -> None:
        """There will be no other agent: nobody waits for one."""
        self.shut(again=False)

    # --- questions --------------------------------------------------------------------------

    def ask(self, verb: str, arguments: Mapping[str, JSON], timeout_s: float) -> JSON:
        """Return the agent's answer; see `core.desk.Desk`."""
        while True:
            with self._changed:
                came = self._changed.wait_for(lambda: self._answers or self._stopping, timeout_s)
                agent = self._agent
                if not came:
                    raise DeadlineError(f"{verb}: the agent did not start within {timeout_s:.0f} s")
                if not self._answers or agent is None:
                    raise UnreachableError(STOPPING)
            try:
                return agent.desk.ask(verb, arguments, timeout_s)
            except UnreachableError:
                with self._changed:
                    gone = self._agent is not agent or not self._answers
                if not gone or verb in DECISIONS:
                    raise

    # --- what is published ------------------------------------------------------------------

    def now(self) -> float:
        """Return the instant, by the clock of pulses and leases."""
        return SystemClock().now()

    def pulse(self) -> Pulse | None:
        """Return the newest pulse; None while no agent answers."""
        agent = self._answering
        return agent.bulletin.pulse if agent is not None else None

    def belief(self) -> Leadership | None:
        """Return what the elector believes right now."""
        agent = self._answering
        return agent.bulletin.belief() if agent is not None else None

    def status(self) -> tuple[JSON, float] | None:
        """Return what `status` would answer, and of which instant that is."""
        agent = self._answering
        return agent.bulletin.status() if agent is not None else None

    @property
    def _answering(self) -> Assembly | None:
        with self._changed:
            return self._agent if self._answers else None

    # --- signals ----------------------------------------------------------------------------

    def stop(self) -> None:
        """End the agent, or the next one if it is just being made."""
        with self._changed:
            self._stopping = True
            if self._agent is not None:
                self._agent.request_stop()

    def reload(self) -> None:
        """Take up the settings file as it is now: all that can be; what needs a restart is named."""
        with self._changed:
            agent = self._agent
        if agent is None:
            return
        try:
            new = load(self._path, os.environ)
            needed = changes_that_need_restart(agent.settings, new)
            if self.door is not None:
                self.door.take_up()
            agent.take_up(lambda settings: reloaded(settings, new))
        except SettingsError as error:
            for line in error.mistakes or (str(error),):
                LOG.error("settings not taken up: %s", line)
            return
        for line in needed:
            LOG.warning("needs a restart: %s", line)
        LOG.info("settings read again")
        agent.discover()

    def settings_now(self, before: Settings) -> Settings:
        """Return the settings for a new start in this process: with the trees that are there now.

        What would need a new process stays as it was, and so does everything if the file has
        mistakes.
        """
        try:
            new = load(self._path, os.environ)
            if not changes_that_need_restart(before, new):
                return with_known_trees(new, before)
            return with_new_trees(before)
        except SettingsError as error:
            LOG.warning("starting again with the settings as they were: %s", error)
            return before
