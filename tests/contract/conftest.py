"""The lease's backends, each started once for all tests that ask for it."""

from __future__ import annotations

import uuid
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from tests.servers.backends import MAKERS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.servers.backend import Backend


@pytest.fixture(scope="session")
def backend_named() -> Iterator[Callable[[str], Backend]]:
    """Return a backend by its name; it runs until the end of the session."""
    running: dict[str, Backend] = {}
    with ExitStack() as stack:

        def named(name: str) -> Backend:
            if name not in running:
                running[name] = stack.enter_context(MAKERS[name]())
            running[name].start()
            return running[name]

        yield named


@pytest.fixture
def cluster() -> str:
    """A cluster of the test's own: backends are shared."""
    return f"apim-{uuid.uuid4().hex[:12]}"
