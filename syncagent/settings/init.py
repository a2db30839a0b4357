"""`syncagent init`: a first settings file, a state folder and a key, and what to do next.

A help, not a need. What is written is checked by the loader before anything touches the disk, so
that a generated file never has mistakes, and nothing that exists is written over unasked.
"""

from __future__ import annotations

import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

from syncagent.core.errors import BusyError, SettingsError
from syncagent.settings.durable import disk_error, write_file
from syncagent.settings.gateway import Gateway, discover, refuse_synchronizer
from syncagent.settings.load import interpret
from syncagent.settings.shapes import toml_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from syncagent.core.settings import PeerSettings, TreeSettings
    from syncagent.fsio import OsFS

_FILE_MODE = 0o640
_STATE_MODE = 0o700
_FOLDER_MODE = 0o755
_PAIR = 2


@dataclass(frozen=True, slots=True)
class Wish:
    """What `init` was asked for. Either `home` or `trees`; `peers` without this node."""

    cluster: str
    node: str
    state_dir: str
    path: str
    home: str = ""
    trees: tuple[TreeSettings, ...] = ()
    listen: str = ""
    peers: tuple[PeerSettings, ...] = ()
    manager: str = ""
    force: bool = False


@dataclass(frozen=True, slots=True)
class InitReport:
    """What was made. `notes` are things to know, `steps` the commands to go on with."""

    path: str
    state_dir: str
    public_key: str
    gateway: str
    trees: tuple[str, ...]
    notes: tuple[str, ...]
    steps: tuple[str, ...]


def init(fs: OsFS, wish: Wish, make_key: Callable[[str], str]) -> InitReport:
    """Make the state folder, the key and the settings file; safe to run again.

    `make_key` gets the state folder and returns this node's public key line. Raises SettingsError
    if what was asked for has mistakes or the gateway's own synchronizer is on (nothing is made
    then), BusyError if the settings file exists and `force` is not set, DiskError.
    """
    gateway = discover(wish.home) if wish.home else None
    if gateway is not None:
        refuse_synchronizer(gateway)
    text = "".join(f"{line}\n" for line in _lines(wish, gateway))
    loaded = interpret(text, wish.path, {})
    if not wish.force and _exists(fs, wish.path):
        raise _taken(wish.path)
    _make_folder(fs, wish.state_dir, _STATE_MODE)
    public_key = make_key(wish.state_dir)
    _make_folder(fs, wish.path.rpartition("/")[0] or "/", _FOLDER_MODE)
    if not write_file(fs, wish.path, text, _FILE_MODE, over=wish.force):
        raise _taken(wish.path)
    return InitReport(
        path=wish.path,
        state_dir=wish.state_dir,
        public_key=public_key,
        gateway=gateway.label if gateway else "",
        trees=tuple(f"{tree.name}: {tree.path}" for tree in loaded.settings.trees),
        notes=tuple(_notes(wish)),
        steps=tuple(_steps(wish, public_key)),
    )


def _taken(path: str) -> BusyError:
    return BusyError(
        f"{path} exists already and was not touched",
        hint="edit it, or name another with --config; --force writes it anew",
    )


def _exists(fs: OsFS, path: str) -> bool:
    try:
        fs.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise disk_error(f"{path} can't be looked at", error) from error
    return True


def _make_folder(fs: OsFS, path: str, mode: int) -> None:
    """Make a folder and those above it; one that is there must not be open to others if ours."""
    try:
        for end in [at for at, mark in enumerate(path + "/") if mark == "/" and at]:
            if not _exists(fs, path[:end]):
                fs.mkdir(path[:end], mode if path[:end] == path else _FOLDER_MODE)
        seen = fs.stat(path)
        if not stat.S_ISDIR(seen.st_mode):
            raise SettingsError(f"{path} is no folder", hint="name another")
        if mode == _STATE_MODE and stat.S_IMODE(seen.st_mode) != mode:
            fs.chmod(path, mode)
    except OSError as error:
        raise disk_error(f"the folder {path} can't be made", error) from error


def _notes(wish: Wish) -> Iterator[str]:
    nodes = len(wish.peers) + 1
    if not wish.manager and wish.peers:
        yield (
            f"{_manager(wish)} is the first manager, by its name; election.manager has to be the "
            "same in the settings of all nodes."
        )
    if nodes == _PAIR:
        yield (
            "Two nodes never fail over by themselves: without a third party neither can tell a "
            "dead peer from a cut wire. If the manager is lost for good, run "
            "`syncagent promote` on the survivor; it says when --force is needed."
        )
    elif nodes > _PAIR:
        yield (
            "The manager does not change by itself in this version: `syncagent switchover NODE` "
            "moves it, `syncagent promote` replaces one that is lost."
        )
    if not wish.listen:
        yield (
            "No listen address: other nodes reach this one only through OpenSSH's sshd with "
            "`syncagent serve --stdio` as forced command, or when it dials them."
        )
    yield (
        "The agent has to run as the user that owns the gateway's files: that user must be able "
        f"to read {wish.path} and own {wish.state_dir}."
    )


def _steps(wish: Wish, public_key: str) -> Iterator[str]:
    config = f"--config {wish.path}"
    yield f"on every other node, add to its settings: [[peer]] name = {toml_text(wish.node)}, {_own(wish, public_key)}"
    missing = [peer.name for peer in wish.peers if not peer.key]
    if missing:
        yield f"put the key of {', '.join(missing)} (`syncagent keys show` there) into {wish.path}"
    yield f"syncagent config check {config}"
    yield f"syncagent run {config}"


def _own(wish: Wish, public_key: str) -> str:
    address = toml_text(wish.listen or "HOST:PORT")
    return f"address = {address}, key = {toml_text(' '.join(public_key.split()[:2]))}"


def _lines(wish: Wish, gateway: Gateway | None) -> Iterator[str]:
    """Yield the settings file."""
    yield "# Settings of syncagent; `syncagent config schema` knows every key,"
    yield "# `syncagent config show` prints what is in force, `config check` finds mistakes."
    yield ""
    yield "[cluster]"
    yield f"name = {toml_text(wish.cluster)}  # the same on all nodes"
    yield ""
    yield "[node]"
    yield f"name = {toml_text(wish.node)}  # unique in the cluster"
    yield f"state_dir = {toml_text(wish.state_dir)}"
    if wish.listen:
        yield f"listen = {toml_text(wish.listen)}  # the embedded SSH server"
    else:
        yield '# listen = "10.0.0.11:7421"  # the embedded SSH server'
    yield "# apply = false  # only show what would be done: a trial beside rsync"
    yield from _place_lines(wish, gateway)
    for peer in wish.peers:
        yield ""
        yield "[[peer]]"
        yield f"name = {toml_text(peer.name)}"
        yield f"address = {toml_text(peer.address)}"
        if peer.key:
            yield f"key = {toml_text(peer.key)}"
        else:
            yield '# key = "ssh-ed25519 AAAA..."  # what `syncagent keys show` prints there'
    yield ""
    yield "[election]"
    yield f"manager = {toml_text(_manager(wish))}  # leads until `promote` or `switchover`"


def _manager(wish: Wish) -> str:
    """Return who leads first; unasked the first name, so that `init` says the same on all nodes."""
    return wish.manager or min([wish.node, *(peer.name for peer in wish.peers)])


def _place_lines(wish: Wish, gateway: Gateway | None) -> Iterator[str]:
    if gateway is not None:
        yield ""
        yield "[gateway]"
        yield f"home = {toml_text(gateway.home)}  # {gateway.label}"
        for tree in gateway.trees:
            yield f"# found now: {tree.name} = {tree.path}"
    for tree in wish.trees:
        yield ""
        yield "[[tree]]"
        yield f"name = {toml_text(tree.name)}"
        yield f"kind = {toml_text(tree.kind)}"
        yield f"path = {toml_text(tree.path)}"
        yield f"drift = {toml_text(tree.drift)}"
