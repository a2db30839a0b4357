"""Enrolling a node again: asking the peers what they admitted, and what to take over from it.

A node whose guard is lost no longer knows whom it may obey. Its peers do: a token is admitted at
every reachable node before it is used, so the highest among their answers is the best that can be
known. It is not always enough. Where this node's own ledger names a later epoch than any answer,
the peers that know that epoch are among the silent, and an earlier manager could be let in again:
that takes a person's word.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from syncagent.core.errors import StateError, UnreachableError
from syncagent.core.events import DialFailed, LinkDown, LinkUp, Received
from syncagent.core.guard import EPOCH_JUMP_MAX
from syncagent.core.wire.messages import Survey, Surveyed
from syncagent.ports import LinkId

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from syncagent.core.artifact import NodeName
    from syncagent.core.guard import GuardState
    from syncagent.core.revision import Token
    from syncagent.core.settings import PeerSettings
    from syncagent.ports import Links

FORCE = "if they are gone for good: syncagent init --re-enrol --force"


class Inquiry:
    """Asks each peer once what it admitted. Feed it what the links post, until `over`."""

    def __init__(self, peers: Iterable[PeerSettings], links: Links) -> None:
        self._links = links
        self._names: dict[int, NodeName] = {}
        self.waiting: set[NodeName] = set()
        self.answers: dict[NodeName, Surveyed] = {}
        self.silent: dict[NodeName, str] = {}
        for peer in peers:
            if peer.address:
                self.waiting.add(peer.name)
            else:
                self.silent[peer.name] = "it has no address in the settings"

    @property
    def over(self) -> bool:
        """True when every peer has answered or failed to."""
        return not self.waiting

    def start(self) -> None:
        """Dial everybody."""
        for name in sorted(self.waiting):
            self._links.dial(name)

    def take(self, event: object) -> None:
        """Take what the links post; what is not for this inquiry is ignored."""
        match event:
            case LinkUp(link=link, peer=peer, dialled=True):
                self._names[link] = peer
                self._links.send(LinkId(link), Survey())
            case DialFailed(peer=peer, reason=reason):
                self._fail(peer, reason)
            case LinkDown(link=link, peer=peer, reason=reason) if link in self._names:
                self._fail(peer, reason)
            case Received(link=link, message=Surveyed() as answer) if link in self._names:
                name = self._names[link]
                self.waiting.discard(name)
                self.answers[name] = answer
                self._links.close(LinkId(link), "that was all")
            case _:
                pass

    def give_up(self) -> None:
        """Wait for nobody any more."""
        for name in sorted(self.waiting):
            self._fail(name, "it did not answer in time")

    def _fail(self, name: NodeName, reason: str) -> None:
        if name in self.waiting:
            self.waiting.discard(name)
            self.silent[name] = reason


@dataclass(frozen=True, slots=True)
class Known:
    """What this node knows by itself: its guard if that is readable, and its ledger's epoch."""

    guard: GuardState | None
    ledger_epoch: int


def token_to_take(inquiry: Inquiry, known: Known, *, forced: bool) -> Token | None:
    """Return the highest token that the peers admitted; None if they admitted none.

    Raises UnreachableError if nobody answered, StateError if the answers can't be believed; not
    if `forced`: then what is wrong is in `warnings`.
    """
    tokens = [a.highest for a in inquiry.answers.values() if a.highest is not None]
    highest = max(tokens, key=lambda token: (token.epoch, token.holder), default=None)
    if forced:
        return highest
    if not inquiry.answers:
        reasons = "; ".join(f"{name}: {why}" for name, why in sorted(inquiry.silent.items()))
        raise UnreachableError(
            f"no peer answered, so nobody knows the highest epoch ({reasons or 'there are none'})",
            hint=f"start the agents of the peers and try again; {FORCE}",
        )
    for fault in _faults(highest, known):
        raise StateError(fault, hint=f"start the agents of the silent peers and try again; {FORCE}")
    return highest


def warnings(inquiry: Inquiry, known: Known, taken: Token | None) -> list[str]:
    """Say what a person should know of an enrolment that was forced."""
    found = list(_faults(taken, known))
    if not inquiry.answers and known.guard is None:
        found.append(
            "no peer answered: this node begins at epoch 0 and would obey any manager, also one "
            "that was replaced; see that no other node believes to lead before it runs"
        )
    elif not inquiry.answers:
        found.append("no peer answered: what the guard held is kept")
    return found


def _faults(highest: Token | None, known: Known) -> Iterator[str]:
    """Yield why the highest token of the answers is not to be believed."""
    epoch = highest.epoch if highest else 0
    own = max(known.ledger_epoch, known.guard.epoch if known.guard else 0)
    if known.guard is None and epoch < known.ledger_epoch:
        yield (
            f"the peers that answered admitted epoch {epoch} at most, but this node's ledger has a "
            f"revision of epoch {known.ledger_epoch}: the peers that know better are silent"
        )
    if epoch - own > EPOCH_JUMP_MAX:
        yield (
            f"epoch {epoch} is more than {EPOCH_JUMP_MAX} above this node's {own}: a peer is "
            "damaged or hostile"
        )
