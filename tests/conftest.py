"""Nothing is skipped where everything is required."""

import os
import signal
from collections.abc import Generator

import pytest
from hypothesis import settings

# Where everything is required a run judges a change, not luck: it tries the same examples each time.
# Elsewhere they are new ones in every run, so that the search goes on.
settings.register_profile("required", derandomize=True)
if os.environ.get("SYNCAGENT_REQUIRE_ALL") == "1":
    settings.load_profile("required")


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
