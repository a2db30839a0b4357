"""The words between the agent and the local runtime. Values only; adapters are `runtime`'s.

A runtime is told by the committed file itself (or by a program), and answers by its log (or that
program's answer). An adapter turns whatever the answer is into `Heard`; what it does not
understand it leaves out, and an artifact of which nothing is heard stays `Unknown`, never
`Deployed`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from syncagent.core.artifact import ArtifactPath, Kind, TreeName
    from syncagent.core.digest import Digest


class Saying(StrEnum):
    """What a runtime says of one artifact."""

    DEPLOYED = "deployed"
    UPDATED = "updated"
    UNDEPLOYED = "undeployed"
    REJECTED = "rejected"
    """it did not take the file as it is; `reason` says why, as far as it does"""
    RESTORED = "restored"
    """it wrote its own old version over the file"""
    BACKED_UP = "backed-up"
    """it moved the file away, to a name that ends in `.back`"""
    LOST_TRACK = "lost-track"
    """it serves an old version that no file leads to any more: only a restart heals it"""
    SAVED = "saved"
    """it holds a version that did not come from a file, and is about to write it into one"""
    DROPPED = "dropped"
    """it holds it no more, and is about to take its file away, if that is there"""


class Phase(StrEnum):
    """What the local runtime is doing."""

    UNKNOWN = "unknown"
    """nothing says: there is no log yet, or the log of before the last start is gone"""
    DOWN = "down"
    STARTING = "starting"
    """between its start and ready: what is written now may be swallowed"""
    READY = "ready"
    STUCK = "stuck"
    """it serves, but its deployer is dead: nothing is deployed until it is restarted"""


@dataclass(frozen=True, slots=True)
class Heard:
    """One saying about one artifact.

    `path` where the saying names the file; else `kind` and `name` of the artifact, and its `tree`
    where the saying tells. `excerpt` is the log's text, verbatim, at most `EXCERPT_MAX` characters.
    `at` is wall time (s), the log's own.
    """

    saying: Saying
    path: ArtifactPath | None
    kind: Kind | None = None
    name: str = ""
    reason: str = ""
    excerpt: str = ""
    at: float = 0.0
    tree: TreeName | None = None


EXCERPT_MAX = 2_000
REASON_MAX = 300


@dataclass(frozen=True, slots=True)
class RuntimeState:
    """What is known of the runtime's process.

    `incarnation` is different for each start of it, and the same for an agent that starts anew
    beside it; empty where no start is known. `started_at`, `ready_at` are wall times (s), 0.0 where
    they are not known. `detail` is for people: "pid 4711", "its deployer died: ...".
    """

    phase: Phase
    incarnation: str = ""
    started_at: float = 0.0
    ready_at: float = 0.0
    detail: str = ""


@dataclass(frozen=True, slots=True)
class About:
    """What kind of runtime it is, fixed while the agent runs.

    `answers`: it can say what became of an artifact. `scan_s` is the pause between two looks of its
    deployer, `pause_s` what each updated artifact costs on top; both 0 where nothing polls.
    `shy`: what is written between its start and ready may be swallowed, so that commits wait.
    `asks`: it can be asked about an artifact of which nothing was heard (`Runtime.verify`).
    `label` is for `status`: "Apache Synapse 3.0.1", "WSO2 API Manager 3.1.0", "command".
    """

    kind: str
    label: str
    answers: bool
    scan_s: float = 0.0
    pause_s: float = 0.0
    shy: bool = False
    log: str = ""
    asks: bool = False


NO_RUNTIME = About("none", "", answers=False)
"""A node on which nobody deploys, or nobody is asked."""


@dataclass(frozen=True, slots=True)
class OrderItem:
    """One artifact that a commit changed; `digest` None: it was taken away."""

    path: ArtifactPath
    kind: Kind
    name: str
    digest: Digest | None
    updated: bool = False
    """True where another version of it was here before"""


@dataclass(frozen=True, slots=True)
class Order:
    """What a commit made live and the runtime shall take up; `again`: it was told before."""

    revision: int
    items: tuple[OrderItem, ...]
    again: bool = False
