"""What validation says of one artifact's bytes, and what the bytes declare.

`Facts` feed the checks that need the whole tree (`core.crosscheck`): duplicates, references.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from syncagent.core.artifact import ArtifactPath, Kind


class Severity(StrEnum):
    """Whether a problem keeps an artifact out of a revision."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Problem:
    """Why one artifact can't be used or moved, or what is odd about it; the rest goes on.

    `line` is 1-based, 0 where no line applies. `code` is a short stable word for programs
    (`doctype`, `duplicate-name`, ...); `reason` is a sentence for people.
    """

    code: str
    reason: str
    line: int = 0
    severity: Severity = Severity.ERROR


@dataclass(frozen=True, slots=True)
class Reference:
    """A name that an artifact uses; `kind` None means any kind of the shared key space."""

    kind: Kind | None
    key: str


@dataclass(frozen=True, slots=True)
class Facts:
    """What an artifact's bytes declare: name (or key), API context and version, names it uses.

    `defines` are artifacts that a root file holds beside itself; they answer references.
    """

    name: str = ""
    context: str | None = None
    version: str | None = None
    references: tuple[Reference, ...] = ()
    defines: tuple[Reference, ...] = ()


@dataclass(frozen=True, slots=True)
class Examined:
    """Verdict and facts of one artifact. `problems` holds errors and warnings, errors first."""

    facts: Facts
    problems: tuple[Problem, ...] = ()

    @property
    def valid(self) -> bool:
        """True unless a problem is an error."""
        return not self.problems or self.problems[0].severity is not Severity.ERROR


@dataclass(frozen=True, slots=True)
class Refused:
    """An artifact that is kept out, and why: what `get refused` lists."""

    path: ArtifactPath
    problem: Problem
