"""What needs a real Synapse is skipped where none can be had, and says why."""

import pytest

from tests.e2e.synapse import MissingError, library


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("needs_synapse") is None:
        return
    try:
        library()
    except MissingError as error:
        pytest.skip(f"no Synapse: {error}")
