"""The parts of a node, for those of them that need many."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from syncagent.agent.advancing import Advancing
    from syncagent.agent.connecting import Connecting
    from syncagent.agent.declaring import Declaring
    from syncagent.agent.electing import Electing
    from syncagent.agent.leading import Leading
    from syncagent.agent.observing import Observing
    from syncagent.agent.proposing import Proposing
    from syncagent.agent.reporting import Reporting
    from syncagent.agent.state import State
    from syncagent.agent.working import Working


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
