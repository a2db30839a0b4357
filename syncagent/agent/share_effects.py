"""What the node wants of the share in the form `shadow`. Values only; see `effects`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from syncagent.core.artifact import ArtifactPath
    from syncagent.core.entry import Entry


@dataclass(frozen=True, slots=True)
class ReadShare:
    """Look on the share for bytes that a job lacks. Result: ShareRead, soon, whatever it does."""

    txid: int
    wanted: tuple[tuple[ArtifactPath, Entry], ...]


ShareEffect = ReadShare
