"""The parts of a node, for those of them that need many."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from syncagent.agent.node.advancing import Advancing
    from syncagent.agent.node.campaigning import Campaigning
    from syncagent.agent.node.connecting import Connecting
    from syncagent.agent.node.declaring import Declaring
    from syncagent.agent.node.deploying import Deploying
    from syncagent.agent.node.electing import Electing
    from syncagent.agent.node.exempting import Exempting
    from syncagent.agent.node.hinting import Hinting
    from syncagent.agent.node.leading import Leading
    from syncagent.agent.node.observing import Observing
    from syncagent.agent.node.pausing import Pausing
    from syncagent.agent.node.proposing import Proposing
    from syncagent.agent.node.reporting import Reporting
    from syncagent.agent.node.state import State
    from syncagent.agent.node.trying import Trying
    from syncagent.agent.node.working import Working


@dataclass(frozen=True, slots=True)
class Parts:
    """What a node is made of; `state` is what they share."""

    state: State
    observing: Observing
    advancing: Advancing
    declaring: Declaring
    electing: Electing
    connecting: Connecting
    leading: Leading
    working: Working
    proposing: Proposing
    reporting: Reporting
    exempting: Exempting
    trying: Trying
    deploying: Deploying
    campaigning: Campaigning
    pausing: Pausing
    hinting: Hinting
