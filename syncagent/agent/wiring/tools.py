"""What the command line may ask of the shells, each imported only when it is asked.

`syncagent version` must not pay for lxml, nor `status` for paramiko: every function here imports
what it needs when it is called, and nothing heavier than that.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, cast

from syncagent.agent.wiring.place import control_path

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from syncagent.core.artifact import NodeName
    from syncagent.core.desk import JSON
    from syncagent.core.dialect import Dialect
    from syncagent.core.settings import Settings
    from syncagent.core.verdict import Problem


ERRAND_S = 120.0
"""How long a command's work on network mounts may take: to read a large tree, or to find that it hangs."""


def load_settings(path: Path) -> Settings:
    """Read and check the settings. Raises SettingsError with every mistake."""
    from syncagent.settings.load import load  # noqa: PLC0415

    return load(str(path), os.environ)


def ask(settings: Settings, verb: str, arguments: Mapping[str, JSON], timeout_s: float) -> JSON:
    """Ask the running agent; raises what it raised, NoAgentError if there is none."""
    from syncagent.web.client import ask as ask_at  # noqa: PLC0415

    return ask_at(control_path(settings), verb, arguments, timeout_s)


def offline_status(settings: Settings) -> Mapping[str, JSON]:
    """Return `status` from this node's files alone, with `as_of`: when they last changed."""
    from syncagent.agent.wiring.daemon import offline_status as from_files  # noqa: PLC0415

    return from_files(settings)


def ask_files(settings: Settings, verb: str, arguments: Mapping[str, JSON]) -> JSON:
    """Answer from this node's files, changing none, what can be known without an agent.

    Raises UnreachableError where it can't, StateError, DiskError, and what the agent would raise.
    """
    where = "syncagent.agent.wiring.files:ask_files"
    return cast("JSON", _do(settings, where, (settings, verb, arguments)))


def reconcile_once(settings: Settings, *, dry_run: bool, timeout_s: float) -> Mapping[str, JSON]:
    """Do one round without a running agent and return what `reconcile` answers.

    `role` tells what this node is: `manager` did a full round, `worker` repaired its own trees.
    Raises BusyError if an agent runs after all.
    """
    from syncagent.agent.wiring.daemon import reconcile_once as round_once  # noqa: PLC0415

    return round_once(settings, dry_run=dry_run, timeout_s=timeout_s)


def examine(path: Path) -> Mapping[str, JSON]:
    """Look at all that the settings at `path` name, changing nothing; see `wiring.doctor`.

    Raises SettingsError if they have mistakes.
    """
    where = "syncagent.agent.wiring.doctor:examine"
    return cast("Mapping[str, JSON]", _do(load_settings(path), where, (path,)))


def run(settings_path: Path) -> int:
    """Run the agent until a signal ends it; returns the exit code. Raises SyncagentError."""
    from syncagent.agent.wiring.daemon import run as run_agent  # noqa: PLC0415

    return run_agent(settings_path)


def validate(paths: Sequence[str], dialect: Dialect) -> Iterator[tuple[str, tuple[Problem, ...]]]:
    """Yield every artifact at or below `paths` with what is wrong with it for that runtime."""
    from syncagent.fsio import OsFS  # noqa: PLC0415
    from syncagent.validation.tool import validate_paths  # noqa: PLC0415

    return validate_paths(paths, OsFS(), dialect=dialect)


def dialect_of(settings: Settings) -> Dialect:
    """Return whose Synapse reads the artifacts of this node."""
    from syncagent.agent.wiring.runtime import dialect_of as tell  # noqa: PLC0415

    return tell(settings)


def settings_as_toml(path: Path) -> str:
    """Return the effective settings with where each value came from. Raises SettingsError."""
    from syncagent.settings.load import read  # noqa: PLC0415
    from syncagent.settings.show import show  # noqa: PLC0415

    return show(read(str(path), os.environ))


def settings_schema() -> Mapping[str, JSON]:
    """Return the JSON schema of the settings file."""
    from syncagent.settings.show import schema  # noqa: PLC0415

    return schema()


def public_key(settings: Settings) -> str:
    """Return this node's public key as one OpenSSH line; makes the key if there is none.

    Raises StateError if the key is damaged, DiskError if it can't be made.
    """
    return _public_key(settings.state_dir, settings.node)


def _public_key(state_dir: str, node: NodeName) -> str:
    from syncagent.core.errors import DiskError  # noqa: PLC0415
    from syncagent.fsio import OsFS  # noqa: PLC0415
    from syncagent.ssh.keys import KEY_FILE, load_key, make_key, public_line  # noqa: PLC0415

    fs = OsFS()
    path = f"{state_dir}/{KEY_FILE}"
    key = load_key(fs, path)
    if key is None:
        try:
            Path(state_dir).mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise DiskError(
                f"the state folder {state_dir} can't be made: {error.strerror}",
                hint="run this as the user that the agent runs as, or make the folder for it",
            ) from error
        key = make_key(fs, path)
    return public_line(key, node)


def trust_key(settings: Settings, name: str, key: str) -> str:
    """Accept a peer's key while no agent runs; returns its fingerprint. Raises RefusedError."""
    from syncagent.fsio import OsFS  # noqa: PLC0415
    from syncagent.settings.trusted import trust  # noqa: PLC0415
    from syncagent.ssh.keys import fingerprint, parse_pinned  # noqa: PLC0415

    trust(OsFS(), settings.state_dir, name, key)
    return fingerprint(parse_pinned(key)[0].asbytes())


def renew_identity(settings: Settings) -> str:
    """Make a copied state folder a new node's; returns its new public key line.

    What the other node remembered is moved to `former-N`. Raises BusyError if an agent runs,
    StateError, DiskError.
    """
    from syncagent.fsio import OsFS  # noqa: PLC0415
    from syncagent.history.home import StateHome  # noqa: PLC0415

    StateHome.renew(settings.state_dir, settings.cluster, settings.node, OsFS()).close()
    return public_key(settings)


def re_enrol(settings: Settings, *, force: bool) -> Mapping[str, JSON]:
    """Take over the highest token that the peers admitted; return `epoch` and who answered.

    Raises BusyError if an agent runs; UnreachableError if no peer answers and StateError if their
    answers can't be believed, unless `force`.
    """
    from syncagent.agent.wiring.enrolment import re_enrol as enrol_again  # noqa: PLC0415

    return enrol_again(settings, force=force)


def initialize(
    wish: Mapping[str, str | bool], peers: Sequence[str], trees: Sequence[str], path: Path
) -> Mapping[str, JSON]:
    """Make settings, state folder and key as `init` was asked; returns what was made.

    `wish` holds `cluster`, `node`, `state_dir`, `home`, `listen`, `manager` and `force`; `peers`
    are NAME=HOST:PORT, `trees` NAME=KIND:PATH. Raises SettingsError with every mistake, BusyError
    if `path` exists and `force` is not set, DiskError.
    """
    from dataclasses import asdict  # noqa: PLC0415

    from syncagent.core.artifact import NodeName  # noqa: PLC0415
    from syncagent.fsio import OsFS  # noqa: PLC0415
    from syncagent.settings.init import Wish, init, parse_peers, parse_trees  # noqa: PLC0415

    node = NodeName(str(wish["node"]))
    others, odd_peers = parse_peers(peers)
    folders, odd_trees = parse_trees(trees)
    asked = Wish(
        cluster=str(wish["cluster"]),
        node=node,
        state_dir=str(wish["state_dir"]),
        path=str(path),
        home=str(wish["home"]),
        trees=folders,
        listen=str(wish["listen"]),
        peers=others,
        manager=str(wish["manager"]),
        force=bool(wish["force"]),
        mistakes=(*odd_peers, *odd_trees),
    )
    return asdict(init(OsFS(), asked, lambda state_dir: _public_key(state_dir, node)))


def install_lease_table(settings: Settings) -> Mapping[str, JSON]:
    """Make the table that the lease store `sql` needs; return its name, where, and if it was made.

    Raises SettingsError, StoreUnavailable.
    """
    from dataclasses import asdict  # noqa: PLC0415

    from syncagent.leases.choose import install_lease_table as install  # noqa: PLC0415

    return asdict(install(settings))


def init_share(settings: Settings, *, side: str | None, force: bool) -> Mapping[str, JSON]:
    """Put the mark into each folder of the share that has none; see `wiring.sharing`.

    Raises SettingsError with all that is wrong, BusyError, StateError, DiskError.
    """
    where = "syncagent.agent.wiring.tools:init_share_here"
    return cast("Mapping[str, JSON]", _do(settings, where, (settings, (side, force))))


def init_share_here(settings: Settings, wish: tuple[str | None, bool]) -> Mapping[str, JSON]:
    """Do the work of `init_share` in this process; `wish` is its `side` and `force`."""
    from syncagent.agent.wiring.sharing import init_share as prepare  # noqa: PLC0415
    from syncagent.agent.wiring.sides import Side  # noqa: PLC0415

    side, force = wish
    return prepare(settings, side=Side(side) if side else None, force=force)


def serve_stdio(settings: Settings, peer: str) -> None:
    """Carry a peer's bytes between stdin, stdout and the running agent, until either ends.

    Raises UnreachableError if no agent runs.
    """
    from syncagent.core.artifact import NodeName  # noqa: PLC0415
    from syncagent.fsio import OsFS  # noqa: PLC0415
    from syncagent.ssh.stdio import serve_stdio as serve  # noqa: PLC0415

    serve(OsFS(), settings.state_dir, NodeName(peer))


def _do(settings: Settings, where: str, arguments: tuple[object, ...]) -> object:
    """Call a function ("module:name"), in a process of its own where trees may hang."""
    from importlib import import_module  # noqa: PLC0415

    from syncagent.agent.wiring.errand import may_hang, send  # noqa: PLC0415

    if may_hang(settings):
        return send(where, arguments, ERRAND_S)
    module, _, name = where.partition(":")
    return getattr(import_module(module), name)(*arguments)
