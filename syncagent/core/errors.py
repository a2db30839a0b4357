"""Every failure that syncagent raises on purpose, and the exit code of each.

    SyncagentError            1   says what, why, and what to do next
    ├─ SettingsError          2   the settings file or the command's words are wrong; lists every mistake
    ├─ HeldError              5   a person has to approve first
    ├─ RefusedError           6   an artifact or a peer's message was refused
    │  └─ ProtocolError       6   the other end broke the protocol, or this end would have
    ├─ BusyError              7   another agent runs, this node is not the manager, no quorum
    │  └─ FencedError         7   a higher epoch was admitted
    ├─ DeadlineError          8   nothing happened before the deadline
    └─ UnreachableError       9   a daemon or a peer does not answer
       └─ NoAgentError        9   no agent runs on this node: its files may know the answer
    StateError                1   the agent's own state is damaged or belongs to another node: fail closed
    DiskError                 1   the disk refused (EIO, ENOSPC, EROFS, ...); the tree is as it was

"No" is an answer, not an error: outcomes of decisions are values (see `core.plan`, `core.guard`).
"""

from __future__ import annotations

from enum import IntEnum
from typing import ClassVar


class ExitCode(IntEnum):
    """Exit codes of the command line; a contract (README, "Exit codes")."""

    DONE = 0
    ERROR = 1
    USAGE = 2
    DIFFERENT = 3
    PARTLY = 4
    HELD = 5
    REJECTED = 6
    BUSY = 7
    TIMEOUT = 8
    UNREACHABLE = 9


class SyncagentError(Exception):
    """A failure with a reason for people and the next thing to try.

    `str(error)` is what went wrong and why; `hint` is what to do, empty where nothing helps.
    """

    exit_code: ClassVar[ExitCode] = ExitCode.ERROR

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class SettingsError(SyncagentError):
    """The settings are wrong; `mistakes` holds every one, each with its line where it has one."""

    exit_code = ExitCode.USAGE

    def __init__(self, message: str, *, mistakes: tuple[str, ...] = (), hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.mistakes = mistakes


class HeldError(SyncagentError):
    """A person has to approve before this goes on."""

    exit_code = ExitCode.HELD


class RefusedError(SyncagentError):
    """Something that came in is not acceptable: an artifact, a path, a peer."""

    exit_code = ExitCode.REJECTED


class ProtocolError(RefusedError):
    """A frame or message breaks the protocol; the connection it came on must be closed."""


class BusyError(SyncagentError):
    """Another holds what is needed: a running agent, the managership, a lock."""

    exit_code = ExitCode.BUSY


class FencedError(BusyError):
    """The token is lower than the highest this node admitted, or ties with another holder."""


class DeadlineError(SyncagentError):
    """The deadline passed before the thing happened."""

    exit_code = ExitCode.TIMEOUT


class UnreachableError(SyncagentError):
    """A peer or the local daemon does not answer."""

    exit_code = ExitCode.UNREACHABLE


class NoAgentError(UnreachableError):
    """No agent listens on this node."""


class StateError(SyncagentError):
    """The agent's own state is missing, damaged, or of another node: nothing is done until mended."""


class DiskError(SyncagentError):
    """A file system call failed; what was live stays live. `errno_name` is e.g. `ENOSPC`."""

    def __init__(self, message: str, *, errno_name: str = "", hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.errno_name = errno_name
