"""`syncagent init`: a first settings file, a state folder and a key, and what to do next.

A help, not a need. What is written is checked by the loader before anything touches the disk, so
that a generated file never has mistakes, and nothing that exists is written over unasked. All that
is wrong with what was asked for is said at once: what can't be read as an option, what is missing,
and what the loader says of the rest.
"""

from __future__ import annotations

import stat
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from syncagent.core.artifact import NodeName, TreeKind, TreeName
from syncagent.core.errors import BusyError, DiskError, SettingsError
from syncagent.core.settings import PeerSettings, TreeSettings
from syncagent.settings.durable import disk_error, write_file
from syncagent.settings.gateway import Gateway, discover, refuse_synchronizer
from syncagent.settings.load import interpret
from syncagent.settings.shapes import toml_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from syncagent.fsio import OsFS
    from syncagent.settings.load import Loaded

_FILE_MODE = 0o640
_STATE_MODE = 0o700
_FOLDER_MODE = 0o755
_PAIR = 2
_BY_A_STORE = (
    'in [election] of all nodes write backend = "sql" and its url in the place of manager, then run '
    "`syncagent init --lease-table` once (or use etcd or zookeeper where a site has them)."
)


@dataclass(frozen=True, slots=True)
class Wish:
    """What `init` was asked for: `home`, `trees` or both; `peers` without this node.

    `mistakes` are options that could not be read (see `parse_peers` and `parse_trees`).
    """

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
    mistakes: tuple[str, ...] = ()


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


def parse_peers(options: Sequence[str]) -> tuple[tuple[PeerSettings, ...], tuple[str, ...]]:
    """Read `NAME=HOST:PORT` options; return the peers, and what is wrong with the others."""
    peers, mistakes = [], []
    for option in options:
        name, _, address = option.partition("=")
        if name and address:
            peers.append(PeerSettings(NodeName(name), address, ""))
        else:
            mistakes.append(f"--peer {option!r} is not NAME=HOST:PORT")
    return tuple(peers), tuple(mistakes)


def parse_trees(options: Sequence[str]) -> tuple[tuple[TreeSettings, ...], tuple[str, ...]]:
    """Read `NAME=KIND:PATH` options; return the trees, and what is wrong with the others."""
    trees, mistakes = [], []
    for option in options:
        name, _, rest = option.partition("=")
        kind, _, path = rest.partition(":")
        if not (name and kind and path):
            mistakes.append(f"--tree {option!r} is not NAME=KIND:PATH")
        elif kind not in set(TreeKind):
            mistakes.append(f"--tree {option!r}: {kind!r} is none of {', '.join(TreeKind)}")
        else:
            trees.append(TreeSettings(TreeName(name), TreeKind(kind), path))
    return tuple(trees), tuple(mistakes)


def init(fs: OsFS, wish: Wish, make_key: Callable[[str], str]) -> InitReport:
    """Make the state folder, the key and the settings file; safe to run again.

    `make_key` gets the state folder and returns this node's public key line. Raises SettingsError
    with every mistake in what was asked for, or if the gateway's own synchronizer is on (nothing
    is made then), BusyError if the settings file exists and `force` is not set, DiskError.
    """
    gateway = _gateway(wish.home)
    text = "".join(f"{line}\n" for line in _lines(wish, gateway))
    loaded = _checked(wish, gateway, text)
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
        notes=(*_missing_trees(fs, loaded.settings.trees), *_notes(wish)),
        steps=tuple(_steps(wish, public_key)),
    )


def _gateway(home: str) -> Gateway | None:
    """Return what is at `home`; None if there is nothing: the loader says why."""
    try:
        return discover(home) if home else None
    except SettingsError:
        return None


def _checked(wish: Wish, gateway: Gateway | None, text: str) -> Loaded:
    """Return what the loader makes of `text`. Raises SettingsError with all mistakes."""
    mistakes = list(wish.mistakes)
    if not wish.cluster:
        mistakes.append("--cluster is missing: one name for all nodes")
    if not (wish.home or wish.trees):
        mistakes.append("nothing to keep equal: --home FOLDER or --tree NAME=KIND:PATH is missing")
    loaded = None
    try:
        loaded = interpret(text if not mistakes else _stand_in(wish, gateway), wish.path, {})
    except SettingsError as error:
        # The lines are those of a file that will not be written.
        mistakes += [
            each.removeprefix(f"{wish.path}:").lstrip("0123456789: ") for each in error.mistakes
        ]
    try:
        if gateway is not None:
            refuse_synchronizer(gateway)
    except SettingsError as error:
        if not mistakes:
            raise
        mistakes.append(f"{error}; {error.hint}")
    if mistakes or loaded is None:
        count = "1 mistake" if len(mistakes) == 1 else f"{len(mistakes)} mistakes"
        raise SettingsError(
            f"nothing was made: {count} in what was asked for",
            mistakes=tuple(mistakes),
            hint="syncagent init --help",
        )
    return loaded


def _stand_in(wish: Wish, gateway: Gateway | None) -> str:
    """Return the file with something in each place that is said to be missing already."""
    trees = wish.trees
    if not (wish.home or trees):
        trees = (TreeSettings(TreeName("tree"), TreeKind.GENERIC, "/nonexistent"),)
    whole = replace(wish, cluster=wish.cluster or "cluster", trees=trees)
    return "".join(f"{line}\n" for line in _lines(whole, gateway))


def _missing_trees(fs: OsFS, trees: Sequence[TreeSettings]) -> Iterator[str]:
    """Yield a note for each tree whose folder is not there, or can't be looked at."""
    for tree in trees:
        try:
            there = _exists(fs, tree.path)
        except DiskError as error:
            yield f"Tree {tree.name}: {error}."
            continue
        if not there:
            yield (
                f"Tree {tree.name}: there is no folder {tree.path} yet. The agent waits for it "
                "(Held, root-missing) and deletes nothing meanwhile."
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
            "`syncagent promote` on the survivor; it says when --force is needed. A database that "
            f"both reach anyway can be the third party: {_BY_A_STORE}"
        )
    elif nodes > _PAIR:
        yield (
            "With the backend static the manager does not change by itself: `syncagent promote` on "
            "another node moves it there, and replaces one that is lost. To have it replaced by "
            f"itself: {_BY_A_STORE}"
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
    yield ""
    yield "[runtime]"
    if gateway is not None:
        yield f'kind = "auto"  # the answers of {gateway.label} are read from its log'
    else:
        yield 'kind = "none"  # no runtime was found: nobody is asked what became of the files'
    yield ""
    yield "# [http]  # for load balancers and monitors: they follow the manager by it"
    yield '# listen = "10.0.0.11:7480"'


def _manager(wish: Wish) -> str:
    """Return who leads first; unasked the first name, so that `init` says the same on all nodes."""
    return wish.manager or min([wish.node, *(peer.name for peer in wish.peers)])


def _place_lines(wish: Wish, gateway: Gateway | None) -> Iterator[str]:
    if wish.home:
        yield ""
        yield "[gateway]"
        label = f"  # {gateway.label}" if gateway else ""
        yield f"home = {toml_text(gateway.home if gateway else wish.home)}{label}"
        for tree in gateway.trees if gateway else ():
            yield f"# found now: {tree.name} = {tree.path}"
    for tree in wish.trees:
        yield ""
        yield "[[tree]]"
        yield f"name = {toml_text(tree.name)}"
        yield f"kind = {toml_text(tree.kind)}"
        yield f"path = {toml_text(tree.path)}"
        yield f"drift = {toml_text(tree.drift)}"
