"""Every key of the settings file: its shape, its default and what it is for.

The loader, `config show`, `config schema` and the tests of `config/syncagent.toml` all read this
table, so they can't differ. Defaults are those of `core.settings`.
"""

from __future__ import annotations

from syncagent.core.settings import Limits, RolloutSettings, RuntimeSettings
from syncagent.settings.election import ELECTION
from syncagent.settings.section import Key, Section
from syncagent.settings.shapes import (
    NAME,
    AbsolutePath,
    Address,
    Choice,
    Count,
    Duration,
    Flag,
    PublicKey,
    Share,
    Size,
    Text,
    TextList,
)
from syncagent.settings.shared import SHARED

_MINUTE_S = 60.0
_HOUR_S = 3_600.0
_DAY_S = 86_400.0
_YEAR_S = 365 * _DAY_S
_MIB = 1024**2
_TIB = 1024**4
_MANY = 10_000_000


_NAME = Text(**NAME)
_RUNTIME = RuntimeSettings()
_ROLLOUT = RolloutSettings()
_LIMITS = Limits()

_CLUSTER = Section(
    "cluster",
    "What all nodes have in common.",
    (
        Key("name", _NAME, "Name of the cluster, the same on all nodes.", required=True),
        Key("mode", Choice(("push", "shared"), ("store",)), "How a revision travels.", "push"),
        Key(
            "writers",
            Choice(("manager", "any")),
            "Whose valid changes become revisions: the manager's only, or any node's.",
            "manager",
        ),
    ),
)
_NODE = Section(
    "node",
    "This node.",
    (
        Key("name", _NAME, "Name of this node, unique in the cluster.", required=True),
        Key(
            "state_dir",
            AbsolutePath(),
            "Where the agent keeps its own state; outside every tree.",
            "/var/lib/syncagent",
        ),
        Key("listen", Address(), "Where the embedded SSH server listens; off when absent.", ""),
        Key("apply", Flag(), "false: show what would be done and write nothing.", default=True),
    ),
)
_GATEWAY = Section(
    "gateway",
    "The gateway beside the agent.",
    (Key("home", AbsolutePath(), "Its home folder; product and trees are found from it.", ""),),
)
_TREE = Section(
    "tree",
    "A folder to keep equal; needed without [gateway] home, or to say more about one found there.",
    (
        Key("name", _NAME, "Name of the tree, the same on all nodes.", required=True),
        Key("kind", Choice(("synapse", "siddhi", "generic")), "What is in it."),
        Key("path", AbsolutePath(), "Where it is on this node."),
        Key(
            "drift",
            Choice(("revert", "report")),
            "What a worker does with a change that no revision asked for.",
            "revert",
        ),
        Key("ignore", TextList(), "Files left out: patterns as in .gitignore.", ()),
        Key(
            "watch",
            Choice(("auto", "inotify", "poll")),
            "How changes are noticed; auto polls network mounts.",
            "auto",
        ),
        Key("share", AbsolutePath(), "Of form shadow: its folder on the shared mount.", ""),
    ),
    many=True,
)
_PEER = Section(
    "peer",
    "Another node; this node's own entry is ignored, so one list fits all nodes.",
    (
        Key("name", _NAME, "Its node.name.", required=True),
        Key("address", Address(with_user=True), "Where its SSH server is reached.", required=True),
        Key(
            "key",
            PublicKey(),
            "Its public key; without it the peer is refused until `syncagent keys trust`.",
            "",
        ),
    ),
    many=True,
)
_RUNTIME_SECTION = Section(
    "runtime",
    "How the gateway's own answer is read.",
    (
        Key(
            "kind",
            Choice(("auto", "synapse", "carbon", "command", "none")),
            "auto: as the product at the gateway's home asks; none: files only.",
            _RUNTIME.kind,
        ),
        Key("log", AbsolutePath(), "The gateway's log, if not where its home says.", ""),
        Key(
            "command",
            TextList(),
            "Of kind command: a program and its arguments; it gets each change as JSON.",
            _RUNTIME.command,
        ),
        Key(
            "timeout",
            Duration(1.0, _HOUR_S),
            "How long one run of that program may take.",
            _RUNTIME.timeout_s,
        ),
    ),
)
_ROLLOUT_SECTION = Section(
    "rollout",
    "In which order nodes get a revision.",
    (
        Key(
            "canary",
            Choice(("manager", "worker", "none")),
            "Whose runtime tries a change first; the others get it once that one has answered.",
            _ROLLOUT.canary,
        ),
        Key(
            "max_unavailable",
            Share(),
            "Share of the workers that may be changing at a time; at least one may.",
            _ROLLOUT.max_unavailable,
        ),
        Key(
            "on_reject",
            Choice(("hold", "rollback", "continue")),
            "What happens when a runtime rejects a change: the others don't get it, all get the "
            "last good version back, or all go on.",
            _ROLLOUT.on_reject,
        ),
        Key(
            "ordered",
            Flag(),
            "Dependencies are confirmed by the runtimes before what depends on them.",
            _ROLLOUT.ordered,
        ),
    ),
)
_LIMITS_SECTION = Section(
    "limits",
    "Thresholds of the safety rules, and limits on what grows.",
    (
        Key(
            "delete_apis",
            Count(0, _MANY),
            "A revision that deletes more APIs waits for approval.",
            _LIMITS.delete_apis,
        ),
        Key(
            "delete_files",
            Count(0, _MANY),
            "A revision that deletes more files waits for approval.",
            _LIMITS.delete_files,
        ),
        Key(
            "delete_share",
            Share(),
            "A revision that deletes more of a tree than this waits, above delete_share_floor.",
            _LIMITS.delete_share,
        ),
        Key(
            "delete_share_floor",
            Count(0, _MANY),
            "Up to so many deleted files delete_share does not count.",
            _LIMITS.delete_share_floor,
        ),
        Key(
            "updates",
            Count(1, _MANY),
            "A revision that updates more artifacts waits: each costs the runtime two seconds.",
            _LIMITS.updates,
        ),
        Key(
            "file_size",
            Size(1024, 1024 * _MIB),
            "Larger files are refused.",
            _LIMITS.file_bytes,
        ),
        Key("tree_files", Count(1, _MANY), "More files in a tree are refused.", _LIMITS.tree_files),
        Key(
            "quarantine_age",
            Duration(_HOUR_S, 10 * _YEAR_S),
            "How long displaced bytes are kept.",
            _LIMITS.quarantine_s,
        ),
        Key(
            "quarantine_size",
            Size(_MIB, _TIB),
            "How much is kept; the oldest goes first.",
            _LIMITS.quarantine_bytes,
        ),
        Key(
            "history_revisions",
            Count(2, 1_000_000),
            "How many revisions are kept for rollback.",
            _LIMITS.history_revisions,
        ),
        Key(
            "history_age",
            Duration(_HOUR_S, 10 * _YEAR_S),
            "How long they are kept.",
            _LIMITS.history_s,
        ),
        Key(
            "settle_written",
            Duration(0.0, _MINUTE_S),
            "Quiet time after a file was closed or moved in (2s beside Carbon).",
            _LIMITS.settle_written_s,
        ),
        Key(
            "settle_created",
            Duration(0.0, _MINUTE_S),
            "Quiet time after a file appeared (2s beside Carbon).",
            _LIMITS.settle_created_s,
        ),
        Key(
            "settle_cap",
            Duration(0.1, 10 * _MINUTE_S),
            "The longest wait for quiet.",
            _LIMITS.settle_cap_s,
        ),
        Key(
            "safety_scan",
            Duration(1.0, _DAY_S),
            "How often a watched tree is scanned although nothing was heard.",
            _LIMITS.safety_scan_s,
        ),
        Key(
            "poll",
            Duration(0.1, _DAY_S),
            "How often a network mount is looked at, at least.",
            _LIMITS.poll_s,
        ),
        Key(
            "reconcile",
            Duration(5.0, _DAY_S),
            "How often everything is compared; by chance up to a fifth more or less.",
            _LIMITS.reconcile_s,
        ),
        Key(
            "reference_wait",
            Duration(0.0, 10 * _MINUTE_S),
            "How long a new artifact waits for what it refers to.",
            _LIMITS.reference_wait_s,
        ),
        Key(
            "reconnect_first",
            Duration(0.1, _HOUR_S),
            "Pause before the first new attempt to reach a peer; doubles.",
            _LIMITS.reconnect_first_s,
        ),
        Key(
            "reconnect_max",
            Duration(0.1, _HOUR_S),
            "The longest such pause.",
            _LIMITS.reconnect_max_s,
        ),
    ),
)

_HTTP_SECTION = Section(
    "http",
    "The HTTP door over TCP: for load balancers, monitors, and who has the token.",
    (
        Key("listen", Address(), "Where it listens; off when absent.", ""),
        Key(
            "token_file",
            AbsolutePath(),
            "File of the bearer token, which opens everything but state; nobody else may read it.",
            "",
        ),
        Key("certificate", AbsolutePath(), "PEM file of the certificate and its chain: TLS.", ""),
        Key(
            "certificate_key",
            AbsolutePath(),
            "PEM file of its key, if that is not in the same file; nobody else may read it.",
            "",
        ),
    ),
)

SECTIONS: tuple[Section, ...] = (
    _CLUSTER,
    _NODE,
    _GATEWAY,
    _TREE,
    _PEER,
    ELECTION,
    _RUNTIME_SECTION,
    _ROLLOUT_SECTION,
    _LIMITS_SECTION,
    SHARED,
    _HTTP_SECTION,
)


def section(name: str) -> Section | None:
    """Return the section of that name."""
    return next((each for each in SECTIONS if each.name == name), None)
