"""What `doctor` finds: one line for each thing, how it is, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from syncagent.core.errors import SyncagentError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Found(StrEnum):
    """How something was found."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Check:
    """One finding: `what` was looked at, how it is, and what to do about it."""

    what: str
    found: Found
    text: str
    hint: str = ""


def looked(what: str, look: Callable[[], Iterator[Check]]) -> list[Check]:
    """Return what a look found; an error on the way is a finding too."""
    found: list[Check] = []
    try:
        found.extend(look())
    except SyncagentError as error:
        found.append(Check(what, Found.FAIL, str(error), error.hint))
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        found.append(Check(what, Found.FAIL, f"{where}{error.strerror}"))
    return found
