"""The lease's backends, each started once for all tests that ask for it."""

from __future__ import annotations

import uuid
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from tests.servers.backends import MAKERS
from tests.servers.receiver import Receiver
from tests.servers.scene import Scene

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

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


@pytest.fixture(params=MAKERS)
def backend(
    request: pytest.FixtureRequest, backend_named: Callable[[str], Backend]
) -> Iterator[Backend]:
    chosen = backend_named(request.param)
    yield chosen
    chosen.start()


@pytest.fixture(params=[name for name in MAKERS if name != "sqlite"])
def server(
    request: pytest.FixtureRequest, backend_named: Callable[[str], Backend]
) -> Iterator[Backend]:
    """A backend with a network in between."""
    chosen = backend_named(request.param)
    yield chosen
    chosen.start()


@pytest.fixture
def on(cluster: str, tmp_path: Path) -> Iterator[Callable[[Backend], Scene]]:
    """Make the scene of a test; at its end nothing older was ever committed."""
    with ExitStack() as stack:
        receiver = stack.enter_context(Receiver(tmp_path / "receiver", cluster))
        yield lambda backend: Scene(backend, cluster, receiver, stack)
        epochs = [push.epoch for push in receiver.pushes("committed")]
        assert epochs == sorted(epochs), "a push of an older epoch was committed after a newer one"
