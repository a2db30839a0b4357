"""Settings as frozen values. The file, its checks and overrides are the `settings` shell's.

Names and defaults are a contract (README, "Settings"). Durations are seconds, sizes are bytes.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from syncagent.core.artifact import NodeName
from syncagent.core.lease import PRIORITY_MAX
from syncagent.core.storeurl import StoreUrl

if TYPE_CHECKING:
    from collections.abc import Mapping

    from syncagent.core.artifact import TreeKind, TreeName


SHARE: Final = NodeName("share")
"""The peer that a share is in the form `shadow`; there no node can have this name."""


SHARE_PREFIX: Final = "share:"
"""How the identity of a root begins that is known by the mark in it, not by its file system."""


class Writers(StrEnum):
    """Whose valid local changes become revisions."""

    MANAGER = "manager"
    ANY = "any"


class Drift(StrEnum):
    """What a worker does with a local change that no revision asked for."""

    REVERT = "revert"
    REPORT = "report"


class WatchMode(StrEnum):
    """How a tree is watched; `auto` looks at the file system's type."""

    AUTO = "auto"
    INOTIFY = "inotify"
    POLL = "poll"


class SharedForm(StrEnum):
    """What the shared mount is to a node in `shared` mode."""

    SHADOW = "shadow"
    """Only the source: the runtime deploys from a tree of the node's own, which the agent keeps."""
    IN_PLACE = "in-place"
    """The runtime's own trees: what anybody writes to the mount is live on every node at once."""


@dataclass(frozen=True, slots=True)
class TreeSettings:
    """One watched folder. `path` is absolute; `ignore` holds gitignore patterns.

    `share` is the tree's folder on the shared mount, in the form `shadow`; empty elsewhere. `mark`
    names the cluster whose mark (`.syncagent-root`) the root must carry, because it lies on a share;
    empty for a local folder, which is known by its file system and inode. `common`: agents of other
    nodes work on the same folder, which is so in the form `in-place`.
    """

    name: TreeName
    kind: TreeKind
    path: str
    drift: Drift = Drift.REVERT
    ignore: tuple[str, ...] = ()
    watch: WatchMode = WatchMode.AUTO
    share: str = ""
    mark: str = ""
    common: bool = False

    def knows(self, identity: str) -> bool:
        """Tell whether `identity` is of the kind that this tree's root is known by."""
        return identity.startswith(SHARE_PREFIX) is bool(self.mark)


@dataclass(frozen=True, slots=True)
class PeerSettings:
    """Another agent: `address` is host:port, `key` one OpenSSH public key line."""

    name: NodeName
    address: str
    key: str


@dataclass(frozen=True, slots=True)
class ElectionSettings:
    """Who may lead and how that is decided. Durations in seconds.

    `manager` is for `static`. `url` or `url_file` say where `sql` keeps the lease, `endpoints` where
    etcd and `hosts` where ZooKeeper is; the TLS files, `user` and the file with its password are for
    these two. `eligible` names the nodes that may be elected; `nofailover` takes this one out. A
    lower `priority` only waits longer.
    """

    backend: str = "static"
    manager: str = ""
    url: StoreUrl = field(default_factory=StoreUrl)
    url_file: str = ""
    endpoints: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    authority: str = ""
    certificate: str = ""
    certificate_key: str = ""
    user: str = ""
    password_file: str = ""
    eligible: tuple[str, ...] = ()
    nofailover: bool = False
    priority: int = PRIORITY_MAX
    lease_s: float = 15.0
    renew_s: float = 5.0
    operation_s: float = 3.0
    margin_s: float = 3.0


@dataclass(frozen=True, slots=True)
class RuntimeSettings:
    """How the local runtime is told and asked.

    `command` and `timeout_s` are for the kind `command`: the program with its arguments, and how long
    it may take.
    """

    kind: str = "auto"
    log: str = ""
    command: tuple[str, ...] = ()
    timeout_s: float = 60.0


@dataclass(frozen=True, slots=True)
class RolloutSettings:
    """In which order nodes get a revision. `max_unavailable` is a share of the workers (0 to 1)."""

    canary: str = "manager"
    max_unavailable: float = 0.25
    on_reject: str = "hold"
    ordered: bool = False


@dataclass(frozen=True, slots=True)
class Limits:
    """Thresholds of the safety rules, and limits on everything that grows."""

    delete_apis: int = 10
    delete_files: int = 50
    delete_share: float = 0.20
    delete_share_floor: int = 20
    updates: int = 500
    file_bytes: int = 5 * 1024 * 1024
    tree_files: int = 100_000
    quarantine_s: float = 30 * 86_400.0
    quarantine_bytes: int = 1024**3
    history_revisions: int = 50
    history_s: float = 30 * 86_400.0
    settle_written_s: float = 0.100
    settle_created_s: float = 0.500
    settle_cap_s: float = 10.0
    safety_scan_s: float = 60.0
    poll_s: float = 2.0
    reconcile_s: float = 300.0
    reference_wait_s: float = 15.0
    reconnect_first_s: float = 1.0
    reconnect_max_s: float = 60.0


@dataclass(frozen=True, slots=True)
class HttpSettings:
    """The TCP door; without `listen` there is none."""

    listen: str = ""
    token_file: str = ""
    certificate: str = ""
    certificate_key: str = ""


@dataclass(frozen=True, slots=True)
class SharedSettings:
    """What `shared` mode needs to know.

    `server` and `tenants` are for trees that are found at a gateway's home, in the form `shadow`: the
    share's folders that stand for its `repository/deployment/server` and `repository/tenants`.
    """

    form: SharedForm = SharedForm.SHADOW
    server: str = ""
    tenants: str = ""


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything one agent was told."""

    cluster: str
    node: NodeName
    state_dir: str
    trees: tuple[TreeSettings, ...]
    mode: str = "push"
    writers: Writers = Writers.MANAGER
    listen: str = ""
    apply: bool = True
    gateway_home: str = ""
    peers: tuple[PeerSettings, ...] = ()
    election: ElectionSettings = field(default_factory=ElectionSettings)
    runtime: RuntimeSettings = field(default_factory=RuntimeSettings)
    rollout: RolloutSettings = field(default_factory=RolloutSettings)
    limits: Limits = field(default_factory=Limits)
    http: HttpSettings = field(default_factory=HttpSettings)
    shared: SharedSettings = field(default_factory=SharedSettings)

    def __post_init__(self) -> None:
        """Mark the trees that are common to all nodes."""
        trees = tuple(replace(tree, common=self.in_place) for tree in self.trees)
        object.__setattr__(self, "trees", trees)

    @property
    def shadow(self) -> bool:
        """Whether a share is the source, and the trees are the node's own."""
        return self.mode == "shared" and self.shared.form is SharedForm.SHADOW

    @property
    def in_place(self) -> bool:
        """Whether the trees are themselves the shared mount, the same files on every node."""
        return self.mode == "shared" and self.shared.form is SharedForm.IN_PLACE

    @property
    def share_trees(self) -> tuple[TreeSettings, ...]:
        """The folders on the share: in place the trees themselves, else one beside each tree."""
        if not self.shadow:
            return self.trees if self.in_place else ()
        return tuple(
            replace(tree, path=tree.share, share="", mark=self.cluster)
            for tree in self.trees
            if tree.share
        )

    @property
    def stands(self) -> bool:
        """Whether this node may be elected. One that only observes would declare nothing."""
        election = self.election
        return self.apply and not election.nofailover and self.node in election.eligible

    @property
    def tree_names(self) -> tuple[TreeName, ...]:
        """Names of the trees this node lists."""
        return tuple(tree.name for tree in self.trees)

    @property
    def tree_kinds(self) -> Mapping[TreeName, TreeKind]:
        """Kind of each tree."""
        return {tree.name: tree.kind for tree in self.trees}
