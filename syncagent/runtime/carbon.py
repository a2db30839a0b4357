"""WSO2 products on Carbon (API Manager, EI, ESB) and the Micro Integrator: files and log, as for Synapse.

Their deployer looks every 15 s or as `carbon.xml` says (`Axis2Config/DeploymentUpdateInterval`), and
sleeps 2 s after each update. The log is `repository/logs/wso2carbon.log`.

A refused update is caught there (2.1 and 2.6: by the scheduler, which drops the rest of that scan
without naming it). So the deployer does not die; what was dropped stays unanswered and is touched again.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from syncagent.core.runtime import About
from syncagent.runtime.listening import LogRuntime, Means
from syncagent.runtime.patterns import dialect_for
from syncagent.runtime.presence import Traits
from syncagent.runtime.synapse import PAUSE_S, text_of

if TYPE_CHECKING:
    from syncagent.fsio import OsFS

KIND = "carbon"
SCAN_S = 15.0
LOG = "repository/logs/wso2carbon.log"

_MAINS = (
    "org.wso2.carbon.bootstrap.Bootstrap",
    "org.wso2.carbon.launcher.Main",
    "org.wso2.micro.integrator.bootstrap.Bootstrap",
)
_PID_FILES = ("wso2carbon.pid", "wso2micro-integrator.pid")
_CONF = ("repository/conf/carbon.xml", "conf/carbon.xml", "repository/conf/micro-integrator.xml")
_INTERVAL = re.compile(r"<DeploymentUpdateInterval>\s*(\d+)\s*</DeploymentUpdateInterval>")


def carbon(means: Means, home: str, product: str, version: str, log: str = "") -> LogRuntime:
    """Return the adapter of the WSO2 product in `home`; `log` overrides what the home says."""
    about = About(
        KIND,
        f"{product} {version}".strip(),
        answers=True,
        scan_s=scan_s(means.fs, home),
        pause_s=PAUSE_S,
        shy=True,
        log=log or f"{home}/{LOG}",
    )
    dialect = dialect_for(carbon=True, product=product, version=version)
    return LogRuntime(means, about, dialect, Traits(home, _MAINS, _PID_FILES, means.proc))


def scan_s(fs: OsFS, home: str) -> float:
    """Return the pause (s) between two looks of the deployer, as the home's carbon.xml says."""
    for name in _CONF:
        text = re.sub(r"<!--.*?-->", "", text_of(fs, f"{home}/{name}"), flags=re.DOTALL)
        found = _INTERVAL.search(text)
        if found and int(found[1]) > 0:
            return float(found[1])
    return SCAN_S
