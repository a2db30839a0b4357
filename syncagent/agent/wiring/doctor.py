"""`doctor`: what this node needs is looked at, piece by piece, and nothing is changed.

Each check is a function that says how it found one thing. What one of them raises becomes its
finding, so that one fault hides no other. Only the settings end it: without them nothing else is
known. No rename is tried in a tree and no key is made: the agent does that when it starts.
"""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import stat
from contextlib import closing, suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from syncagent.agent.wiring.clock import SystemClock
from syncagent.agent.wiring.doctor_share import examine_share
from syncagent.agent.wiring.findings import Check, Found, looked
from syncagent.agent.wiring.place import control_path
from syncagent.agent.wiring.reach import silent_trees
from syncagent.agent.wiring.runtime import make_runtime
from syncagent.core.errors import BusyError, DiskError, NoAgentError, SyncagentError
from syncagent.core.secrecy import is_loopback
from syncagent.core.units import format_size
from syncagent.disk.places import OWN_FOLDER
from syncagent.fsio import OsFS
from syncagent.history.guard import FileGuard
from syncagent.history.home import inspect_home
from syncagent.history.ledger import peek
from syncagent.leases.choose import make_store
from syncagent.mountpoints import mount_of
from syncagent.runtime.entries import layout_fault
from syncagent.runtime.listening import Means
from syncagent.runtime.patterns import LAYOUTS
from syncagent.runtime.reader import HEADS_BYTES
from syncagent.settings.gateway import discover, refuse_synchronizer, with_new_trees
from syncagent.settings.load import load
from syncagent.ssh.keys import KEY_FILE, fingerprint, load_key
from syncagent.watch.choose import choose
from syncagent.web.client import ask
from syncagent.web.secrets import make_context, read_token
from syncagent.web.tcp import listen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from syncagent.core.desk import JSON
    from syncagent.core.settings import Settings, TreeSettings

ANSWER_S = 10.0
"""How long the agent may take to say how it is."""
FREE_BYTES_MIN = 256 * 1024 * 1024
"""Less free space than this is worth a word: a revision is staged whole before it goes live."""
BACK_S = 60.0
"""A clock that is further behind what was written before has been set back."""
_TIME_ERROR = 5  # adjtimex(2): the clock is not synchronized
_TIMEX_BYTES = 512  # more than struct timex has anywhere (208 on x86-64)


def examine(path: Path) -> Mapping[str, JSON]:
    """Look at everything that the settings at `path` name; return what was found, worst last.

    Raises SettingsError if they have mistakes.
    """
    settings = with_new_trees(load(str(path), os.environ))
    fs = OsFS()
    checks = [Check("settings", Found.OK, _settings_text(path, settings))]
    parts: tuple[tuple[str, Callable[[], Iterator[Check]]], ...] = (
        ("state", partial(_state, fs, settings)),
        ("key", partial(_keys, fs, settings)),
        ("gateway", partial(_gateway, settings)),
        ("runtime", partial(_runtime, fs, settings)),
        ("trees", partial(_trees, fs, settings)),
        ("share", partial(examine_share, fs, settings)),
        ("clock", partial(_clock, fs, settings)),
        ("election", partial(_election, fs, settings)),
        ("http", partial(_door, fs, settings)),
        ("agent", partial(_agent, settings)),
    )
    for what, look in parts:
        checks += looked(what, look)
    worst = max((check.found for check in checks), key=list(Found).index)
    return {
        "node": settings.node,
        "cluster": settings.cluster,
        "found": worst,
        "checks": [
            {"check": c.what, "found": c.found, "text": c.text, "next": c.hint} for c in checks
        ],
    }


def _settings_text(path: Path, settings: Settings) -> str:
    return (
        f"{path}: node {settings.node} of cluster {settings.cluster}, "
        f"{len(settings.trees)} trees, {len(settings.peers)} peers"
    )


# --- what lies in the state folder ----------------------------------------------------------------


def _state(fs: OsFS, settings: Settings) -> Iterator[Check]:
    folder = settings.state_dir
    try:
        identity = inspect_home(folder, settings.cluster, settings.node, fs)
    except DiskError as error:
        if error.errno_name != errno.errorcode[errno.ENOENT]:
            raise
        yield Check(
            "state", Found.WARN, f"{folder} is not there yet", f"install -d -m 700 {folder}"
        )
        return
    standing = peek(fs, f"{folder}/ledger") if identity is not None else None
    if standing is None:
        yield Check("state", Found.OK, f"{folder} is new: the first start enrols this node")
    else:
        epoch = FileGuard(fs, folder, settings.cluster).state().epoch
        text = f"{folder}: revision {standing.revision.number}, epoch {epoch}"
        yield Check("state", Found.OK, text)
    mount = mount_of(fs, folder, fs.mount_table())
    if mount is not None:
        text = f"{folder} lies on {mount.fs_type} at {mount.point}: it can be taken away, or hang"
        yield Check("state", Found.WARN, text, "move node.state_dir to a disk of this machine")
    free = fs.disk_free(folder)
    if free < FREE_BYTES_MIN:
        text = f"{format_size(free)} are free where {folder} lies"
        yield Check("state", Found.WARN, text, "make room: revisions and quarantine need some")


def _keys(fs: OsFS, settings: Settings) -> Iterator[Check]:
    key = load_key(fs, f"{settings.state_dir}/{KEY_FILE}")
    if key is None:
        yield Check("key", Found.WARN, "this node has no key yet", "syncagent keys show")
    else:
        yield Check("key", Found.OK, fingerprint(key.blob))
    for peer in settings.peers:
        if peer.name != settings.node and not peer.key:
            hint = f"syncagent keys trust {peer.name}, once it has come; compare the fingerprint"
            yield Check("key", Found.WARN, f"no key is known of {peer.name}", hint)


# --- the gateway ----------------------------------------------------------------------------------


def _gateway(settings: Settings) -> Iterator[Check]:
    if not settings.gateway_home:
        yield Check("gateway", Found.OK, "no home in the settings: the trees are listed by hand")
        return
    gateway = discover(settings.gateway_home)
    refuse_synchronizer(gateway)
    yield Check("gateway", Found.OK, f"{gateway.label} at {gateway.home}")


def _runtime(fs: OsFS, settings: Settings) -> Iterator[Check]:
    about = make_runtime(settings, Means(fs, SystemClock(), lambda _event: None)).about
    if not about.answers:
        text = "no runtime is asked here: every artifact stays Unknown"
        wanted = settings.runtime.kind == "none"
        hint = "" if wanted else "name [gateway] home, or [runtime] kind and log"
        yield Check("runtime", Found.OK if wanted else Found.WARN, text, hint)
        return
    label = about.label or about.kind
    if settings.runtime.kind == "command":
        yield _program(settings.runtime.command[0], label)
        return
    try:
        fault = _layout_fault(fs, about.log)
    except FileNotFoundError:
        hint = "start the gateway once, or name its log: [runtime] log"
        yield Check("runtime", Found.WARN, f"{label}; {about.log} is not there yet", hint)
    except PermissionError:
        hint = "run the agent as the gateway's user, or let it read the log"
        yield Check("runtime", Found.FAIL, f"{label}; {about.log} can't be read", hint)
    else:
        if fault:
            hint = "give its log the layout with which the product was delivered"
            yield Check("runtime", Found.WARN, f"{label}; {about.log}: {fault}", hint)
            return
        yield Check("runtime", Found.OK, f"{label}, heard through {about.log}")


def _layout_fault(fs: OsFS, log: str) -> str:
    """Say why a log can't be read as it is meant to be, by its end; "" if it can. Raises OSError."""
    fd = fs.open(log, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        fs.lseek(fd, max(0, fs.fstat(fd).st_size - HEADS_BYTES), os.SEEK_SET)
        return layout_fault(fs.read(fd, HEADS_BYTES), LAYOUTS) or ""
    finally:
        fs.close(fd)


def _program(program: str, label: str) -> Check:
    """Say whether the program that stands for the runtime can be started."""
    found = shutil.which(program)
    if found is None:
        text = f"{label}; {program} is not there, or can't be started by this user"
        return Check("runtime", Found.FAIL, text, "correct [runtime] command")
    return Check("runtime", Found.OK, f"{label}: {found}")


# --- the trees ------------------------------------------------------------------------------------


def _trees(fs: OsFS, settings: Settings) -> Iterator[Check]:
    silent = silent_trees(fs, settings.trees, SystemClock())
    for tree in settings.trees:
        what = f"tree {tree.name}"
        if tree.name in silent:
            yield Check(what, Found.FAIL, silent[tree.name], "look at its mount and its server")
            continue
        for check in looked(what, partial(_tree, fs, tree)):
            yield replace(check, what=what)


def _tree(fs: OsFS, tree: TreeSettings) -> Iterator[Check]:
    try:
        status = fs.stat(tree.path)
    except FileNotFoundError:
        text, hint = (
            f"{tree.path} is not there",
            "mount or restore it; nothing is deleted meanwhile",
        )
        yield Check("", Found.FAIL, text, hint)
        return
    if not stat.S_ISDIR(status.st_mode):
        yield Check("", Found.FAIL, f"{tree.path} is no folder")
        return
    names = len(fs.listdir(tree.path))
    watch = choose(fs, tree.path, tree.watch)
    how = "inotify" if watch.inotify else f"polled: {watch.reason}"
    yield Check("", Found.OK, f"{tree.path}: {names} entries, {how}")
    yield from _staging(fs, tree, status)


def _staging(fs: OsFS, tree: TreeSettings, root: os.stat_result) -> Iterator[Check]:
    """Say whether bytes can wait on the tree's own mount, as far as looking tells."""
    if not os.access(tree.path, os.W_OK | os.X_OK):
        hint = "run the agent as the gateway's user; see ReadWritePaths in its unit"
        yield Check("", Found.FAIL, f"{tree.path} can't be written by this user", hint)
        return
    beside = os.path.realpath(tree.path).rpartition("/")[0] or "/"
    own = f"{beside}/{OWN_FOLDER}"
    try:
        nearest = own if stat.S_ISDIR(fs.stat(own).st_mode) else beside
    except FileNotFoundError:
        nearest = beside
    elsewhere = fs.stat(beside).st_dev != root.st_dev
    if elsewhere or not os.access(nearest, os.W_OK | os.X_OK):
        why = "another mount" if elsewhere else "not writable by this user"
        text = f"{beside} is {why}: what is staged and kept has to lie inside the tree"
        yield Check("", Found.WARN, text, "mount, or allow, the folder above the tree if you can")
    else:
        yield Check("", Found.OK, f"staging and quarantine in {own}")


# --- the clock ------------------------------------------------------------------------------------


def _clock(fs: OsFS, settings: Settings) -> Iterator[Check]:
    now = SystemClock().wall()
    behind = 0.0
    with suppress(OSError):
        behind = fs.stat(f"{settings.state_dir}/ledger").st_mtime - now
    if behind > BACK_S:
        text = f"the clock is {behind:.0f} s behind what was written here before"
        yield Check("clock", Found.FAIL, text, "set it; runtimes look at the times of files")
    elif _unsynchronized():
        text = "the kernel says that nothing keeps the clock right"
        hint = "run an NTP client (chrony, systemd-timesyncd): times in lists are this clock's"
        yield Check("clock", Found.WARN, text, hint)
    else:
        yield Check("clock", Found.OK, "it is kept right")


def _unsynchronized() -> bool:
    """Ask the kernel (adjtimex, changing nothing) whether the clock is known to be off."""
    adjtimex = getattr(ctypes.CDLL(None), "adjtimex", None)
    return (
        adjtimex is not None and adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES)) == _TIME_ERROR
    )


# --- the HTTP door --------------------------------------------------------------------------------


def _election(fs: OsFS, settings: Settings) -> Iterator[Check]:
    """Ask the lease store, if this node would; what it can't say is a finding of its own."""
    backend = settings.election.backend
    if backend == "static":
        yield Check("election", Found.OK, "static: the manager moves by `promote` only")
        return
    if not settings.stands:
        yield Check(
            "election", Found.OK, f"{backend}: this node may not be elected and asks nobody"
        )
        return
    with closing(
        make_store(settings, FileGuard(fs, settings.state_dir, settings.cluster))
    ) as store:
        view = store.observe()
    held = f"{view.token.holder} holds the lease" if view.token else "the lease is free"
    yield Check("election", Found.OK, f"{backend}: {held}, epoch {view.last_epoch}")


def _door(fs: OsFS, settings: Settings) -> Iterator[Check]:
    """Say whether the door could open, or is; nothing is said where none is wanted."""
    http = settings.http
    if not http.listen:
        return
    encrypted = make_context(fs, http) is not None
    token = read_token(fs, http, os.environ)
    how = (
        f"{'HTTPS' if encrypted else 'HTTP without TLS'}, {'with' if token else 'without'} a token"
    )
    try:
        listen(http.listen).close()
    except BusyError:
        if not _runs(settings):
            raise
        text = f"the agent runs, and somebody listens at {http.listen}"
        yield Check("http", Found.OK, f"{text}: {how}")
    else:
        if _runs(settings):
            text = f"the agent runs and does not answer at {http.listen}"
            hint = "systemctl restart syncagent: [http] was changed since it started"
            yield Check("http", Found.FAIL, text, hint)
        else:
            yield Check("http", Found.OK, f"{http.listen} is free: {how}")
    if token is not None and not encrypted and not is_loopback(http.listen):
        text = "the token crosses the network in the clear, and opens everything"
        yield Check("http", Found.WARN, text, "set [http] certificate, or listen on 127.0.0.1")


def _runs(settings: Settings) -> bool:
    try:
        ask(control_path(settings), "status", {}, ANSWER_S)
    except SyncagentError as error:
        return not isinstance(error, NoAgentError)
    return True


# --- the agent, and what it sees ------------------------------------------------------------------


def _agent(settings: Settings) -> Iterator[Check]:
    try:
        status = ask(control_path(settings), "status", {}, ANSWER_S)
    except NoAgentError as error:
        text = "no agent runs here, so it is not known who can be reached"
        yield Check("agent", Found.WARN, text, error.hint)
        return
    found = status if isinstance(status, dict) else {}
    rows = found.get("nodes")
    nodes = {str(row.get("name")): row for row in rows or () if isinstance(row, dict)}
    own = nodes.pop(settings.node, {})
    state, reason = str(own.get("state") or "Unknown"), str(own.get("reason") or "")
    text = f"it runs: {own.get('role')}, {state}{f': {reason}' if reason else ''}"
    good = state in {"Synced", "Syncing"}
    yield Check("agent", Found.OK if good else Found.WARN, text, "" if good else "syncagent status")
    if own.get("watch"):
        yield Check("watch", Found.OK, str(own["watch"]))
    if found.get("manager") is None:
        yield Check("manager", Found.WARN, "no manager is known", "syncagent status says why")
    for name, row in nodes.items():
        away = row.get("state") == "Offline"
        reason = str(row.get("reason") or row.get("state"))
        hint = f"on {name}: systemctl status syncagent" if away else ""
        yield Check(f"peer {name}", Found.WARN if away else Found.OK, reason, hint)
