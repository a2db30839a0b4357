"""Servers that make one store: all of them, or each alone, are started, hung, killed."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

from tests.servers.ends import Ends

if TYPE_CHECKING:
    from pathlib import Path

    from tests.servers.certificates import Authority
    from tests.servers.process import Server


class Ensemble(Ends):
    """`members` in `folder`; with an `authority` they speak TLS."""

    def __init__(self, folder: Path, ports: list[int], authority: Authority | None) -> None:
        self.folder = folder
        self.ports = ports
        self.authority = authority
        self.members: list[Server] = []

    @property
    @abstractmethod
    def places(self) -> tuple[str, ...]:
        """Where the members are, as the settings have it."""

    @abstractmethod
    def answers(self, member: int) -> bool:
        """Tell whether a member answers, with a quorum behind it."""

    def start(self, *members: int) -> None:
        """Start these that do not run, or all, and wait until they serve."""
        starting = members or range(len(self.members))
        for number in starting:
            if not self.members[number].running:
                self.members[number].start()
        for number in starting:
            self.members[number].wait_ready(lambda number=number: self.answers(number))

    def stop(self) -> None:
        for member in self.members:
            member.stop()

    def kill(self) -> None:
        for member in self.members:
            member.kill()

    def hang(self) -> None:
        for member in self.members:
            member.hang()

    def wake(self) -> None:
        for member in self.members:
            if member.running:
                member.wake()

    def end(self) -> None:
        self.kill()
