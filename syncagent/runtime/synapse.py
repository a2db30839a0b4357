"""Apache Synapse 3.x: the committed file is the trigger, the log is the answer.

Its deployer looks every 10 s (`DeploymentIterator` of Axis2 1.7, not configurable) and sleeps 2 s after
each update. The log is where `log4j.properties` says, relative to the home, which is the folder that
the scripts of the distribution start it in.

What is seen of a dead deployer (on 3.0.1): a refused update prints the error alone, such as
`ERROR API API context must begin with '/' character`, on the deployer's thread `Timer-0`; the stack trace
goes to standard error. An exception that is not logged before it is thrown leaves nothing in the log at
all; where standard error is no file either, the node finds it, when a touch stays unanswered.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from typing import TYPE_CHECKING

from syncagent.core.runtime import About
from syncagent.runtime.listening import LogRuntime, Means
from syncagent.runtime.patterns import dialect_for
from syncagent.runtime.presence import Traits

if TYPE_CHECKING:
    from syncagent.fsio import OsFS

KIND = "synapse"
SCAN_S = 10.0
PAUSE_S = 2.0
DEFAULT_LOG = "logs/synapse.log"

_MAINS = ("org.apache.synapse.SynapseServer",)
_PID_FILES = ("synapse.pid", "bin/synapse.pid")
_PROPERTIES = ("lib/log4j.properties", "repository/conf/log4j.properties")
_APPENDER = re.compile(
    r"^\s*log4j\.appender\.(?P<name>\w+)(?:\.(?P<key>\w+))?\s*[=:]\s*(?P<value>.*?)\s*$"
)
_ROOT = re.compile(r"^\s*log4j\.root(?:Category|Logger)\s*[=:]\s*(?P<value>.*?)\s*$")
_BYTES_MAX = 1024 * 1024


def synapse(means: Means, home: str, version: str, log: str = "") -> LogRuntime:
    """Return the adapter of the Apache Synapse in `home`; `log` overrides what the home says."""
    about = About(
        KIND,
        f"Apache Synapse {version}".strip(),
        answers=True,
        scan_s=SCAN_S,
        pause_s=PAUSE_S,
        shy=True,
        log=log or log_of(means.fs, home),
    )
    dialect = dialect_for(carbon=False, product="Apache Synapse", version=version)
    return LogRuntime(means, about, dialect, Traits(home, _MAINS, _PID_FILES, means.proc))


def log_of(fs: OsFS, home: str) -> str:
    """Return where a home's log is: the root logger's file, or where the distribution puts it."""
    for name in _PROPERTIES:
        file = _root_file(text_of(fs, f"{home}/{name}"))
        if file:
            return os.path.join(home, file)  # noqa: PTH118 - a string, no access
    return f"{home}/{DEFAULT_LOG}"


def _root_file(properties: str) -> str:
    """Return the file of the first appender of the root logger that has one."""
    appenders: list[str] = []
    files: dict[str, str] = {}
    for line in properties.splitlines():
        root, appender = _ROOT.match(line), _APPENDER.match(line)
        if root:
            appenders = [part.strip() for part in root["value"].split(",")[1:]]
        elif appender and (appender["key"] or "").lower() == "file":
            files[appender["name"]] = appender["value"]
    found = next((files[name] for name in appenders if name in files), "")
    return "" if "${" in found else found


def text_of(fs: OsFS, path: str) -> str:
    """Return a small file's text, empty if it can't be read: then defaults hold."""
    with suppress(OSError):
        fd = fs.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            return fs.read_all(fd, _BYTES_MAX).decode("utf-8", "replace")
        finally:
            fs.close(fd)
    return ""
