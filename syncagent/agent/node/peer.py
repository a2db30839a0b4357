"""What a node knows of another one: how it is reached, where it stands, what it reported last."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from syncagent.core.exempt import NONE_WITHHELD

if TYPE_CHECKING:
    from collections.abc import Mapping

    from syncagent.core.artifact import NodeName
    from syncagent.core.desk import JSON
    from syncagent.core.digest import Digest
    from syncagent.core.revision import RevisionId
    from syncagent.core.wire.messages import Admitted, Surveyed

NO_ADDRESS = "the settings here have no address for it: it can lead this node, not follow it"
GIVEN_UP_S = 3.0
"""Who still can't be reached this long after the first attempt is not waited for (s)."""


class Phase(StrEnum):
    """How far one peer is with the newest revision, as the manager knows."""

    IDLE = "idle"
    OFFERED = "offered"
    PREPARED = "prepared"
    COMMITTING = "committing"
    DECLINED = "declined"
    DONE = "done"


@dataclass(slots=True)
class Peer:
    """Another node, as this one knows it. Instants are of this node's own clock.

    `link` is the connection that this node opened, to lead over; what the peer opened is known
    by `State.links` only.
    """

    name: NodeName
    dialable: bool = True
    """False without an address in the settings: it may only dial in, to lead this node."""
    share: bool = False
    """True for the share, which the keeper of whoever leads stands for: it is led, never leads."""
    link: int | None = None
    version: int = 0
    incarnation: str = ""
    dialling: bool = False
    failures: int = 0
    dial_at: float = 0.0
    missed_since: float | None = None
    given_up: bool = False
    down_reason: str = "not contacted yet"
    seen_at: float | None = None
    surveyed: bool = False
    admitted: bool = False
    standing: RevisionId | None = None
    projection: Digest | None = None
    withheld: Digest = NONE_WITHHELD
    """Names the paths that were withheld from it last."""
    trees: tuple[str, ...] = ()
    phase: Phase = Phase.IDLE
    offered: RevisionId | None = None
    offered_as: Digest = NONE_WITHHELD
    """Names the paths that are withheld with that offer."""
    phase_at: float = 0.0
    reason: str = ""
    report: Mapping[str, object] = field(default_factory=dict)
    reported_at: float | None = None
    """When it reported last over this connection; `report` may be of an earlier one."""
    former: tuple[Mapping[str, JSON], ...] = ()
    """What it held when its connection broke: see `lately`."""

    @property
    def role(self) -> str:
        """Return what it is called beside a manager."""
        return "share" if self.share else "worker"

    @property
    def why_down(self) -> str:
        """Say why there is no connection that this node opened."""
        return self.down_reason if self.dialable else NO_ADDRESS

    @property
    def unreachable(self) -> bool:
        """True if it can't be dialled, or could not be reached for long enough: see `missed`."""
        return self.link is None and (self.given_up or not self.dialable)

    def expect(self, now: float) -> None:
        """It may be there any moment: what was tried before counts no more."""
        self.dial_at, self.missed_since, self.given_up = now, None, False

    def missed(self, now: float) -> None:
        """An attempt came to nothing. Nodes that start together do not all listen at once."""
        since = now if self.missed_since is None else self.missed_since
        self.given_up = self.given_up or now - since >= GIVEN_UP_S

    def stands(self, answer: Surveyed | Admitted) -> None:
        """Take where it says that it stands."""
        self.standing, self.projection = answer.revision, answer.projection
        self.trees, self.withheld = answer.trees, answer.withheld

    def disconnected(self, reason: str) -> None:
        """Forget what was true of the connection only."""
        self.link = self.reported_at = None
        self.surveyed = self.admitted = False
        self.phase, self.offered = Phase.IDLE, None
        self.offered_as = NONE_WITHHELD
        self.down_reason = reason
