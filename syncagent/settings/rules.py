"""What must hold between settings, and the frozen values that are built from them.

Each rule adds its mistakes where a person has to change something; a value that has a mistake
already takes part in no rule.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from syncagent.core.artifact import NodeName
from syncagent.core.errors import SettingsError
from syncagent.core.settings import (
    HttpSettings,
    Limits,
    PeerSettings,
    RolloutSettings,
    RuntimeSettings,
    Settings,
)
from syncagent.settings.answers import DEFAULT
from syncagent.settings.election_rules import Names, build_election
from syncagent.settings.gateway import SETTLE_CARBON_S, Gateway
from syncagent.settings.homes import discover_or_recall
from syncagent.settings.places import trees_of
from syncagent.settings.shared_rules import (
    Mode,
    build_shared,
    check_lease,
    check_names,
    rollout_of,
    with_shares,
    writers_of,
)
from syncagent.settings.trusted import merge

if TYPE_CHECKING:
    from collections.abc import Mapping

    from syncagent.core.settings import TreeSettings
    from syncagent.settings.answers import Group, Groups
    from syncagent.settings.sheet import Mistakes


@dataclass(frozen=True, slots=True)
class Built:
    """Settings, where each value came from, and the gateway that was found."""

    settings: Settings
    origins: Mapping[str, str]
    gateway: Gateway | None


def build(groups: Groups, mistakes: Mistakes) -> Built:
    """Check the settings against each other and build them; mistakes make the result worthless."""
    node = groups["node"][0]
    gateway = _gateway(groups["gateway"][0], node, mistakes)
    origins = _origins(groups)
    mode = _mode(groups, mistakes)
    check_names(groups, mode, mistakes)
    trees = with_shares(trees_of(groups, gateway, mistakes), groups, mode, mistakes)
    for tree in gateway.trees if gateway else ():
        origins.setdefault(f"tree.{tree.name}.path", "gateway")
    _origins_by_mode(origins, trees, mode)
    peers = _peers(groups["peer"], node, mistakes)
    if node.sound("state_dir"):
        listed = {peer.name: peer.key for peer in peers}
        peers = merge(peers, node.text("name"), node.text("state_dir"), mistakes)
        for peer in peers:
            if peer.key and not listed.get(peer.name):
                origins[f"peer.{peer.name}.key"] = "trusted keys"
    names = Names(node, tuple(peer.name for peer in peers))
    election = build_election(groups["election"][0], names, mistakes, applies=node.flag("apply"))
    check_lease(election, trees, groups["election"][0], mistakes)
    settings = Settings(
        cluster=groups["cluster"][0].text("name"),
        node=NodeName(node.text("name")),
        state_dir=node.text("state_dir"),
        trees=trees,
        mode=mode.mode,
        writers=writers_of(groups["cluster"][0], mode, mistakes),
        listen=node.text("listen"),
        apply=node.flag("apply"),
        gateway_home=groups["gateway"][0].text("home"),
        peers=peers,
        election=election,
        runtime=_runtime(groups, gateway, mistakes),
        rollout=rollout_of(_rollout(groups["rollout"][0]), groups["rollout"][0], mode, mistakes),
        limits=_limits(groups["limits"][0], gateway, origins, mistakes),
        http=_http(groups["http"][0], node, mistakes),
        shared=mode.shared,
    )
    return Built(settings, origins, gateway)


def _origins(groups: Groups) -> dict[str, str]:
    """Map `section.key` and `section.NAME.key` to where the value was written."""
    origins: dict[str, str] = {}
    for name, members in groups.items():
        for group in members:
            many = name in {"tree", "peer"}
            prefix = f"{name}.{group.text('name')}" if many else name
            for key, answer in group.answers.items():
                if not many or answer.given:
                    origins[f"{prefix}.{key}"] = answer.cell.where
    return origins


def _mode(groups: Groups, mistakes: Mistakes) -> Mode:
    cluster = groups["cluster"][0]
    return Mode(cluster.text("mode"), build_shared(groups, mistakes), cluster.cell("mode"))


def _origins_by_mode(origins: dict[str, str], trees: tuple[TreeSettings, ...], mode: Mode) -> None:
    """Name what the mode decided where nobody wrote it."""
    implied = [f"tree.{tree.name}.share" for tree in trees if tree.share]
    implied += ["cluster.writers"] if mode.mode == "shared" else []
    implied += ["rollout.canary", "rollout.max_unavailable"] if mode.in_place else []
    for key in implied:
        if origins.get(key, DEFAULT) == DEFAULT:
            origins[key] = "shared mode"


def _gateway(group: Group, node: Group, mistakes: Mistakes) -> Gateway | None:
    home = group.text("home")
    if not home or not group.sound("home"):
        return None
    try:
        return discover_or_recall(home, node.text("state_dir") if node.sound("state_dir") else "")
    except SettingsError as error:
        mistakes.add(group.cell("home"), f"gateway.home: {error}; {error.hint}")
        return None


def _peers(members: list[Group], node: Group, mistakes: Mistakes) -> tuple[PeerSettings, ...]:
    """Return the other nodes; one name, address or key twice is a mistake."""
    peers: list[PeerSettings] = []
    seen: dict[tuple[str, str], int] = {}
    for index, group in enumerate(members):
        name = group.text("name")
        for key in ("name", "address", "key"):
            if not group.sound(key):
                continue
            for value in group.text(key).splitlines():
                first = seen.setdefault((key, value), index)
                if first != index:
                    where = members[first].cell(key).where
                    what = f"peer.{key} is that of the peer at {where} too; each node has its own"
                    mistakes.add(group.cell(key), what)
        if name and name != node.text("name"):
            peers.append(PeerSettings(NodeName(name), group.text("address"), group.text("key")))
    return tuple(peers)


def _rollout(group: Group) -> RolloutSettings:
    return RolloutSettings(
        canary=group.text("canary"),
        max_unavailable=group.number("max_unavailable"),
        on_reject=group.text("on_reject"),
        ordered=group.flag("ordered"),
    )


def _http(group: Group, node: Group, mistakes: Mistakes) -> HttpSettings:
    """Build the TCP door's settings."""
    keys = ("token_file", "certificate", "certificate_key")
    listen = group.text("listen")
    if not listen:
        for key in keys if group.sound("listen") else ():
            if group.answers[key].given:
                what = f"http.{key} needs http.listen: without it there is no door"
                mistakes.add(group.cell(key), what)
    if group.text("certificate_key") and not group.text("certificate"):
        what = "http.certificate_key needs http.certificate"
        mistakes.add(group.cell("certificate_key"), what)
    if listen and node.text("listen") == listen:
        mistakes.add(group.cell("listen"), "http.listen is node.listen too; take another port")
    return HttpSettings(listen, *(group.text(key) for key in keys))


def _runtime(groups: Groups, gateway: Gateway | None, mistakes: Mistakes) -> RuntimeSettings:
    group = groups["runtime"][0]
    runtime = RuntimeSettings(
        kind=group.text("kind"),
        log=group.text("log"),
        command=group.texts("command"),
        timeout_s=group.number("timeout"),
    )
    home_is_wrong = gateway is None and groups["gateway"][0].text("home")
    if group.sound("kind", "command") and not home_is_wrong:
        _check_runtime(runtime, group, gateway, mistakes)
    return runtime


def _check_runtime(
    runtime: RuntimeSettings, group: Group, gateway: Gateway | None, mistakes: Mistakes
) -> None:
    """Say what a kind needs and has not, and what was written that it has no use for."""
    kind, command = runtime.kind, runtime.command
    if kind == "command":
        if not command:
            mistakes.add(group.cell("kind"), 'runtime.kind = "command" needs runtime.command')
        if command and not command[0].startswith("/"):
            what = f"{command[0]!r} is no path from / on, and a daemon has no other"
            mistakes.add(group.cell("command"), f"runtime.command: {what}")
    elif command:
        what = 'runtime.command needs runtime.kind = "command"; write that, or take it out'
        mistakes.add(group.cell("command"), what)
    if kind in {"command", "none"}:
        if runtime.log:
            what = f'runtime.log is not read by runtime.kind = "{kind}"; take it out'
            mistakes.add(group.cell("log"), what)
    elif group.sound("log"):
        _check_log(runtime, group, gateway, mistakes)


def _check_log(
    runtime: RuntimeSettings, group: Group, gateway: Gateway | None, mistakes: Mistakes
) -> None:
    """Say where no log is known, or not whose it is."""
    kind = runtime.kind
    if gateway is not None and kind != "auto":
        fits = "carbon" if gateway.is_carbon else "synapse"
        if kind != fits:
            what = f'{gateway.home} is {gateway.label}; write "auto", or "{fits}"'
            mistakes.add(group.cell("kind"), f'runtime.kind = "{kind}": {what}')
    elif gateway is None and kind != "auto" and not runtime.log:
        what = f'runtime.kind = "{kind}" needs gateway.home, or runtime.log'
        mistakes.add(group.cell("kind"), what)
    elif gateway is None and kind == "auto" and runtime.log:
        what = 'runtime.log: whose log it is needs gateway.home, or runtime.kind = "synapse" or "carbon"'
        mistakes.add(group.cell("log"), what)


def _limits(
    group: Group, gateway: Gateway | None, origins: dict[str, str], mistakes: Mistakes
) -> Limits:
    """Build the limits; beside Carbon the quiet times are longer unless somebody wrote them."""
    settle = {key: group.number(key) for key in ("settle_written", "settle_created")}
    for key in settle:
        if gateway is not None and gateway.is_carbon and origins[f"limits.{key}"] == DEFAULT:
            settle[key] = SETTLE_CARBON_S
            origins[f"limits.{key}"] = "gateway"
    for key, most in (
        ("settle_written", "settle_cap"),
        ("settle_created", "settle_cap"),
        ("reconnect_first", "reconnect_max"),
    ):
        if group.sound(key, most) and settle.get(key, group.number(key)) > group.number(most):
            given = key if group.answers[key].given else most
            what = f"limits.{key} is longer than limits.{most}; make {most} at least as long"
            mistakes.add(group.cell(given), what)
    return Limits(
        delete_apis=group.count("delete_apis"),
        delete_files=group.count("delete_files"),
        delete_share=group.number("delete_share"),
        delete_share_floor=group.count("delete_share_floor"),
        updates=group.count("updates"),
        file_bytes=group.count("file_size"),
        tree_files=group.count("tree_files"),
        quarantine_s=group.number("quarantine_age"),
        quarantine_bytes=group.count("quarantine_size"),
        history_revisions=group.count("history_revisions"),
        history_s=group.number("history_age"),
        settle_written_s=settle["settle_written"],
        settle_created_s=settle["settle_created"],
        settle_cap_s=group.number("settle_cap"),
        safety_scan_s=group.number("safety_scan"),
        poll_s=group.number("poll"),
        reconcile_s=group.number("reconcile"),
        reference_wait_s=group.number("reference_wait"),
        reconnect_first_s=group.number("reconnect_first"),
        reconnect_max_s=group.number("reconnect_max"),
    )
