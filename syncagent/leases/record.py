"""How a lease reads where a store keeps text: in etcd's keys and ZooKeeper's nodes.

    {"cluster": "apim", "epoch": 7, "holder": "gw-1", "incarnation": "...", "lease_s": 15}

People may look at it; whatever can't be read as one is no lease of anybody. The epoch beside it is
a decimal number, and one that can't be read is another matter: without it no epoch is sure to be new.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Final

from syncagent.core.artifact import NodeName
from syncagent.core.lease import StoreUnavailable
from syncagent.core.revision import Token

_EPOCH_DIGITS_MAX: Final = 18
"""As many as fit into 64 bits."""


@dataclass(frozen=True, slots=True)
class Record:
    """A lease as it is kept: whose it is, and how long one of the holder's lasts, in seconds."""

    token: Token
    lease_s: float

    def encode(self) -> bytes:
        """Return the text that is kept."""
        token = self.token
        fields: dict[str, str | int | float] = {
            "cluster": token.cluster,
            "epoch": token.epoch,
            "holder": token.holder,
            "incarnation": token.incarnation,
            "lease_s": self.lease_s,
        }
        return json.dumps(fields, sort_keys=True).encode()


def decode(content: bytes, cluster: str) -> Record | None:
    """Read a lease of `cluster`; None if it is none."""
    try:
        fields = json.loads(content)
    except (ValueError, RecursionError):
        return None
    if not isinstance(fields, dict) or any(isinstance(each, bool) for each in fields.values()):
        return None
    match fields:
        case {
            "cluster": str(named),
            "epoch": int(epoch),
            "holder": str(holder),
            "incarnation": str(incarnation),
            "lease_s": int() | float() as lease_s,
        } if named == cluster and epoch >= 1 and 0 < lease_s < math.inf:
            return Record(Token(cluster, epoch, NodeName(holder), incarnation), float(lease_s))
        case _:
            return None


def decode_epoch(content: bytes, where: str) -> int:
    """Read the epoch that is kept at `where`. Raises StoreUnavailable if it is no number."""
    if content.isdigit() and len(content) <= _EPOCH_DIGITS_MAX:
        return int(content)
    raise StoreUnavailable(
        f"{where} does not hold an epoch, so no epoch is sure to be new",
        hint=f"write the highest epoch that any node's `syncagent status` shows to {where}",
    )
