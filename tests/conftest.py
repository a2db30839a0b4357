"""Nothing is skipped where everything is required."""

import os
from collections.abc import Generator

import pytest


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.skipped and os.environ.get("SYNCAGENT_REQUIRE_ALL") == "1":
        report.outcome = "failed"
        report.longrepr = f"skipped, but SYNCAGENT_REQUIRE_ALL=1: {report.longrepr}"
    return report
