"""Real runtimes on one share, each through a FUSE mount of its own, as hosts of a cluster are.

    share = MountedShare(folder, stack, shadow=True)
    gateways = make_gateways(folder, "gw-1", "gw-2", "gw-3", share=share)
    share.goes()

`behind` is what the share holds. It goes away in three ways at once: for the first node it is unmounted,
so that an empty folder is there; for the second its server dies, so that every call fails; for the third
it hangs.
"""

import http.client
import shutil
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.e2e.cluster import Sections
from tests.e2e.gateways import Gateways
from tests.e2e.shadowed import mark_root
from tests.e2e.synapse import SynapseHome
from tests.servers.mounts import Mount, bindfs

ASKS_EVERY_S = 0.2


class MountedShare:
    """One folder, mounted for each runtime: at its own tree, or elsewhere (`shadow`)."""

    def __init__(self, folder: Path, stack: ExitStack, *, shadow: bool) -> None:
        self.behind = folder / "share"
        self.shadow = shadow
        self.mounts: list[Mount] = []
        self._folder = folder
        self._stack = stack

    @property
    def sections(self) -> Sections:
        form = "shadow" if self.shadow else "in-place"
        return {"cluster": {"mode": "shared"}, "shared": {"form": form}, "limits": {"poll": "1s"}}

    def join(self, home: SynapseHome) -> Mapping[str, str]:
        name = home.folder.name
        if not self.behind.exists():
            shutil.copytree(home.config, self.behind)
            mark_root(self.behind, "loopback", "synapse")
        if self.shadow:
            point = self._folder / "mnt" / name
        else:
            point = home.config
            shutil.rmtree(point)
        point.mkdir(parents=True)
        place = self._folder / "mounts" / name
        uncached = ("attr_timeout=0", "entry_timeout=0")
        mount = self._stack.enter_context(bindfs(place, self.behind, point, *uncached))
        self.mounts.append(mount)
        return {"share": str(point)} if self.shadow else {}

    def goes(self) -> None:
        """Take it away from all."""
        first, second, third = self.mounts
        first.unmount(lazy=True)
        second.kill()
        third.hang()

    def comes_back(self) -> None:
        """Mount it anew; what hung goes on."""
        first, second, third = self.mounts
        first.process.kill()
        second.unmount()
        for mount in (first, second):
            mount.serve()
        third.wake()


@dataclass
class Caller:
    """Asks every gateway for some APIs again and again, and keeps what was not answered well."""

    gateways: Gateways
    paths: tuple[str, ...]
    failures: list[tuple[str, str, object]] = field(default_factory=list)
    calls: int = 0

    @contextmanager
    def calling(self) -> Iterator[None]:
        stopped = threading.Event()
        thread = threading.Thread(target=self._call, args=(stopped,))
        thread.start()
        try:
            yield
        finally:
            stopped.set()
            thread.join()

    def _call(self, stopped: threading.Event) -> None:
        while not stopped.wait(ASKS_EVERY_S):
            for name, home in self.gateways.homes.items():
                for path in self.paths:
                    reply = home.get(path)
                    self.calls += 1
                    if reply.status != http.client.OK:
                        self.failures.append((name, path, reply))
