"""Nothing is skipped where everything is required."""

import os
import signal
from collections.abc import Generator

import pytest


def pytest_configure() -> None:
    # A shell has what it starts in the background ignore SIGINT, and a child inherits that: what
    # tests start is to end when it is interrupted.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.skipped and os.environ.get("SYNCAGENT_REQUIRE_ALL") == "1":
        report.outcome = "failed"
        report.longrepr = f"skipped, but SYNCAGENT_REQUIRE_ALL=1: {report.longrepr}"
    return report
