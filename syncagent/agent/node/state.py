"""What the node knows, in one place, owned by the loop's thread. Decisions live in its siblings."""

from __future__ import annotations

import json
from collections import deque
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from syncagent.agent.effects import Note, Report
from syncagent.agent.node.peer import Peer
from syncagent.core import exempt
from syncagent.core.change import Change
from syncagent.core.election import Outlook
from syncagent.core.exempt import NONE_WITHHELD
from syncagent.core.ledger import StandingChange
from syncagent.core.manifest import EMPTY
from syncagent.core.rollout import AT_ONCE
from syncagent.core.runtime import NO_RUNTIME
from syncagent.core.safety import Rules
from syncagent.core.settings import SHARE

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Container, Iterable, Mapping

    from syncagent.agent.effects import Effect
    from syncagent.agent.node.candidacy import Candidacy
    from syncagent.core.artifact import ArtifactPath, NodeName
    from syncagent.core.digest import Digest
    from syncagent.core.entry import Entry
    from syncagent.core.exempt import Exemption, Exemptions
    from syncagent.core.guard import GuardState
    from syncagent.core.ledger import Standing
    from syncagent.core.manifest import Manifest
    from syncagent.core.outcome import Outcome
    from syncagent.core.revision import RevisionId, Token
    from syncagent.core.runtime import About
    from syncagent.core.safety import Hold
    from syncagent.core.settings import RolloutSettings, Settings
    from syncagent.core.verdict import Refused


MADE_MAX = 1_000
APPROVAL_S = 3600.0
"""An approval that was not used within this (wall) time is over: the same set can vanish again."""


class Role(StrEnum):
    """What this node is at the moment; only LEADING may declare and push."""

    WORKER = "worker"
    SURVEYING = "surveying"
    ADMITTING = "admitting"
    CATCHING_UP = "catching-up"
    LEADING = "leading"


@dataclass(slots=True)
class State:
    """Everything that decisions rest on. Mutable, and touched by the loop's thread alone."""

    settings: Settings
    incarnation: str
    standing: Standing
    guard: GuardState
    chance: random.Random
    has_blob: Callable[[Digest], bool]
    wall: Callable[[], float]
    """Wall time for people: when a hold began, never a deadline."""
    read_lately: Callable[[Digest], bytes | None] = lambda _digest: None
    """Bytes of new artifacts that are in memory still; None where they are not."""
    auto_failover: bool = False
    """True where the lease store elects by itself; False: a person promotes (`static`)."""
    believes: Callable[[Token], bool] = lambda _token: True
    """Whether the lease that goes with a token has not run out; does not block."""
    outlook: Callable[[], Outlook] = Outlook
    """What is known of the lease; does not block."""
    runtime_about: About = NO_RUNTIME
    outcomes: tuple[Outcome, ...] = ()
    """What the local runtime had done when this agent started, as it was last remembered."""
    recording: bool = False
    """True while a revision of this node's is on its way into the ledger, whoever leads by now."""
    role: Role = Role.WORKER
    token: Token | None = None
    candidacy: Candidacy | None = None
    unfit: str = ""
    """Why this node can't lead; empty if it can."""
    waits_for: str = ""
    """Why it does not stand for election at the moment; empty if it does."""
    unsent: bool = False
    """True while what differs here may be what this node, when it led, never sent."""
    alone: RevisionId | None = None
    """What this node has declared since its start, and surely nobody else has."""
    handing_over: str = ""
    """Why it declares nothing new before another node leads; empty if it does."""
    paused: str = ""
    """Since when, until when and by whom the cluster is paused; empty if it is not."""
    manager_link: int | None = None
    peers: dict[NodeName, Peer] = field(default_factory=dict)
    links: dict[int, NodeName] = field(default_factory=dict)
    versions: dict[int, int] = field(default_factory=dict)
    """The protocol's version on each of these connections."""
    holds: dict[str, Hold] = field(default_factory=dict)
    refused: dict[ArtifactPath, Refused] = field(default_factory=dict)
    alarms: dict[str, str] = field(default_factory=dict)
    raised: dict[str, int] = field(default_factory=dict)
    """How often each alarm was raised."""
    approvals: dict[Digest, float] = field(default_factory=dict)
    """Wall time until which each set that a person approved may be released."""
    view: Mapping[str, object] = field(default_factory=dict)
    view_at: float = 0.0
    changed: bool = True
    effects: list[Effect] = field(default_factory=list)
    noticed: dict[str, float] = field(default_factory=dict)
    """Wall time at which each hold or refused artifact was first listed, by its id."""
    made: deque[Change] = field(default_factory=lambda: deque(maxlen=MADE_MAX))
    """The last changes that this node declared or committed, oldest first."""
    made_count: int = 0
    next_number: int = 0
    rows: Manifest = EMPTY
    """This node's own rows of the revision on which it stands."""
    base: Manifest = EMPTY
    """Those rows with this node's exemptions laid over them: what its trees should hold."""
    exempt: Exemptions = field(default_factory=dict)
    """Exemptions of its own making: rejected by its runtime, or undeployed by a person."""
    _unnoted: bool = False
    """True while the ledger does not say that yet."""
    withheld: Exemptions = field(default_factory=dict)
    """Exemptions that end by the manager's next offer, or by this node's next portion."""
    withheld_as: Digest = NONE_WITHHELD
    """Names the paths that the manager withheld with the last offer, as it says them."""

    def __post_init__(self) -> None:
        for peer in self.settings.peers:
            self.peers.setdefault(peer.name, Peer(peer.name, dialable=bool(peer.address)))
        if self.settings.shadow:
            self.peers[SHARE] = Peer(SHARE, share=True)
        self.approvals = json.loads(self.standing.notes.get("approved", "{}"))
        self._lay()

    @property
    def exemptions(self) -> Mapping[ArtifactPath, Exemption]:
        """Everything in which this node's trees rightly differ from its revision."""
        return {**self.withheld, **self.exempt}

    @property
    def me(self) -> NodeName:
        """This node's name."""
        return self.settings.node

    @property
    def rules(self) -> Rules:
        """What the safety rules rest on here."""
        return Rules(self.me, self.settings.tree_kinds, self.settings.limits)

    @property
    def leads(self) -> bool:
        """True while this node may declare and push."""
        return self.role is Role.LEADING and self.token is not None

    @property
    def in_place(self) -> bool:
        """Whether this node's trees are a mount that all nodes have: see `sharing`."""
        return self.settings.in_place

    @property
    def keeps(self) -> bool:
        """Whether bytes that are to be kept are this node's to keep: one quarantine has one keeper."""
        return self.leads or not self.in_place

    @property
    def writes(self) -> bool:
        """Whether this node may write into its trees; on a mount of all nodes only who leads may."""
        return self.settings.apply and self.keeps

    @property
    def fence(self) -> Token | None:
        """What to write under where other nodes write the same trees; None elsewhere."""
        return self.token if self.in_place else None

    @property
    def rollout(self) -> RolloutSettings:
        """In which order nodes get a revision, and what follows from a runtime's refusal."""
        return AT_ONCE if self.in_place else self.settings.rollout

    @property
    def withholds(self) -> str:
        """Why nothing new is declared at the moment; empty if it is."""
        return f"the cluster is {self.paused}" if self.paused else self.handing_over

    def do(self, effect: Effect) -> None:
        """Have something done after this decision."""
        self.effects.append(effect)

    def number(self) -> int:
        """Return a number that was not used in this process (jobs, proposals, requests)."""
        self.next_number += 1
        return self.next_number

    def event(self, what: str, **fields: str | int) -> None:
        """Remember that something happened; `status` has changed with it."""
        self.changed = True
        self.do(Report(what, fields))

    @property
    def approved(self) -> frozenset[Digest]:
        """The sets that a person approved lately and that are not released yet."""
        now = self.wall()
        return frozenset(digest for digest, until in self.approvals.items() if now < until)

    def approve(self, digest: Digest) -> None:
        """Release a held set, durably: once, and within `APPROVAL_S`."""
        self.approvals[digest] = self.wall() + APPROVAL_S
        self._note_approved()

    def use_up(self, digests: tuple[Digest, ...]) -> None:
        """Forget approvals that have been used: one approval releases one set once."""
        if self.approvals.keys() & set(digests):
            for digest in digests:
                self.approvals.pop(digest, None)
            self._note_approved()

    def note(self, change: StandingChange) -> None:
        """Remember small facts: at once here, durably by a hand."""
        self.standing = self.standing.after(change)
        self.do(Note(change))

    def stand(self, change: StandingChange, settled: Container[ArtifactPath] = ()) -> None:
        """Stand on what a durable ledger record says; at `settled` it says what is exempt."""
        self.note_exempt()
        newer = {path: e for path, e in self.exempt.items() if path not in settled}
        self.standing = self.standing.after(change)
        self._lay()
        self.changed = True
        if exempt.NOTE in change.notes:
            # What was noted while the commit was under way is newer than what the commit says of it.
            self.exempt_as({**self.exempt, **newer})

    def can_revert(self, path: ArtifactPath) -> bool:
        """Tell whether there are bytes to put back: of what is exempt they may be nowhere."""
        exemption = self.exempt.get(path) or self.withheld.get(path)
        here = exemption.here if exemption is not None else None
        return here is None or self.has_blob(here.digest)

    def exempt_as(self, exemptions: Exemptions) -> None:
        """Have these exemptions of its own making: at once here, in the ledger with `note_exempt`.

        Where all nodes have the same files there are none: what is there is there for everybody.
        """
        if self.in_place:
            return
        own = exempt.lasting(exemptions.values(), self.rows)
        if own != self.exempt:
            self.exempt, self._unnoted, self.changed = own, True, True
            self.base = exempt.overlay(self.rows, self.exemptions)

    def exempt_at(self, path: ArtifactPath, exemption: Exemption | None) -> None:
        """Have one exemption of its own making, or none, there: the same at a thousandth of the price.

        It is about what the revision says now.
        """
        if self.in_place:
            return
        own = {each: known for each, known in self.exempt.items() if each != path}
        if exemption is not None:
            own[path] = exemption
        if own == self.exempt:
            return
        self.exempt, self._unnoted, self.changed = own, True, True
        left = exemption or self.withheld.get(path)
        before, after = self.base.get(path), left.here if left is not None else self.rows.get(path)
        if before != after:
            self.base = self.base.after([Change(path, before, after)])

    def note_exempt(self) -> None:
        """Write down what is exempt, if that has changed: once for all that one event brought."""
        if not self._unnoted:
            return
        self._unnoted = False
        text = exempt.to_note(self.exempt)
        if text != self.standing.notes.get(exempt.NOTE, ""):
            self.note(StandingChange(notes={exempt.NOTE: text}))

    def found_here(self, path: ArtifactPath, here: Entry | None) -> None:
        """Something else is at a withheld path now, by no job of this node's: durably so."""
        withheld = {**self.withheld, path: replace(self.withheld[path], here=here)}
        text = exempt.withheld_to_note(self.withheld_as, withheld)
        self.note(StandingChange(notes={exempt.WITHHELD_NOTE: text}))
        self._lay()
        self.changed = True

    def _lay(self) -> None:
        """Find what this node's trees should hold: its rows, with the exemptions that still last."""
        notes = self.standing.notes
        self.rows = self.standing.manifest.project(self.settings.tree_names)
        if self.in_place:
            # What was noted is of a time when this node had trees of its own.
            self.base = self.rows
            return
        own = exempt.from_note(notes.get(exempt.NOTE, ""))
        self.exempt = self._lasting(own)
        self.withheld_as, withheld = exempt.withheld_from_note(notes.get(exempt.WITHHELD_NOTE, ""))
        self.withheld = self._lasting(withheld)
        self.base = exempt.overlay(self.rows, self.exemptions)

    def _lasting(self, noted: Exemptions) -> Exemptions:
        """Return what still holds of what was noted: its tree may not be listed any more."""
        listed = set(self.settings.tree_names)
        here = [exemption for path, exemption in noted.items() if path.tree in listed]
        return exempt.lasting(here, self.rows)

    def _note_approved(self) -> None:
        self.approvals = {digest: self.approvals[digest] for digest in sorted(self.approved)}
        text = json.dumps(self.approvals) if self.approvals else ""
        self.note(StandingChange(notes={"approved": text}))

    def since(self, what: str) -> float:
        """Return the wall time at which `what` (an id on a list) was first asked for."""
        return self.noticed.setdefault(what, self.wall())

    def forget_noticed(self) -> None:
        """Forget when things were first listed that are on no list any more."""
        listed = {*self.holds, *(str(path) for path in (*self.refused, *self.exempt))}
        for what in self.noticed.keys() - listed:
            del self.noticed[what]

    def remember_made(self, changes: Iterable[Change]) -> None:
        """Remember what was done, for the answer of a reconcile."""
        for change in changes:
            self.made.append(change)
            self.made_count += 1

    def made_since(self, count: int) -> list[Change]:
        """Return the changes made since `made_count` was `count`, as far as they are remembered."""
        new = min(self.made_count - count, len(self.made))
        return list(self.made)[len(self.made) - new :]

    def peer_of(self, link: int) -> Peer | None:
        """Return the peer behind a connection, None if it is gone."""
        name = self.links.get(link)
        return self.peers.get(name) if name is not None else None

    def alarm(self, about: str, text: str | None) -> None:
        """Raise, change or (None) end an alarm."""
        if text is not None:
            self.raised[about] = self.raised.get(about, 0) + 1
        if text is None:
            if self.alarms.pop(about, None) is not None:
                self.changed = True
        elif self.alarms.get(about) != text:
            self.alarms[about] = text
            self.event("alarm", about=about, text=text)
