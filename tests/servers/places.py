"""Where a lease is kept, as plain values that another process can be told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from syncagent.core.storeurl import StoreUrl

if TYPE_CHECKING:
    from syncagent.core.lease import Timing
    from syncagent.ports import LeaseStore


@dataclass(frozen=True)
class Place:
    """A backend's name as in the settings, and its URL, endpoint or host."""

    backend: str
    at: str

    def connect(self, cluster: str, timing: Timing) -> LeaseStore:
        """Return a new connection to it, as a candidate has one."""
        if self.backend == "sql":
            from syncagent.leases.sql import SqlStore  # noqa: PLC0415 - each loads its own only

            return SqlStore(StoreUrl(self.at), cluster, timing)
        if self.backend == "etcd":
            from syncagent.leases.etcd import EtcdStore  # noqa: PLC0415 - as above
            from syncagent.leases.etcd_gateway import EtcdPlace  # noqa: PLC0415 - as above

            return EtcdStore(EtcdPlace((self.at,)), cluster, timing)
        if self.backend == "zookeeper":
            from syncagent.leases.zookeeper import ZooKeeperStore  # noqa: PLC0415 - as above
            from syncagent.leases.zookeeper_session import ZooKeeperPlace  # noqa: PLC0415
            from tests.servers.zookeeper import TICK_S  # noqa: PLC0415 - as above

            return ZooKeeperStore(ZooKeeperPlace((self.at,), tick_s=TICK_S), cluster, timing)
        raise AssertionError(f"no backend is called {self.backend}")
