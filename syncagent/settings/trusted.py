"""Keys that `syncagent keys trust` accepted: `trusted_keys` in the state folder.

The settings file is the operator's and is never rewritten. A line is a public key with the
peer's name as its comment, so `ssh-keygen -l -f` reads the file too. Where the settings name a
key for the same peer they have the last word, and a difference is a mistake to be mended by a
person: two keys for one name is what an attack looks like.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from syncagent.core.artifact import NodeName
from syncagent.core.errors import RefusedError, SettingsError
from syncagent.core.settings import PeerSettings
from syncagent.settings.durable import write_file
from syncagent.settings.keys import parse_key
from syncagent.settings.shapes import NAME
from syncagent.settings.sheet import Cell

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from syncagent.fsio import OsFS
    from syncagent.settings.sheet import Mistakes

FILE_NAME = "trusted_keys"
_MODE = 0o600
_HEAD = "# Kept by `syncagent keys trust`: public keys of peers, each with the peer's name.\n"


def trust(fs: OsFS, state_dir: str, name: str, key: str) -> bool:
    """Accept `key` for the peer `name`, durably; False if it was trusted already.

    Takes the place of an earlier key of that name. Raises RefusedError if the name or key can't
    be one, or if the key is another peer's; SettingsError if the file is damaged; DiskError.
    """
    if re.fullmatch(NAME["pattern"], name) is None:
        raise RefusedError(f"{name!r} can't be a node's name: it has to be {NAME['what']}")
    try:
        key = parse_key(key)
    except ValueError as error:
        raise RefusedError(f"the key for {name} can't be used: {error}") from error
    keys = read_trusted(state_dir)
    owner = next((other for other, theirs in keys.items() if theirs == key), name)
    if owner != name:
        raise RefusedError(
            f"this key is {owner}'s: two nodes must not share one",
            hint=f"make a new key on {name}: a copied node has to give up the other's state",
        )
    if keys.get(name) == key:
        return False
    lines = [f"{theirs} {other}\n" for other, theirs in sorted({**keys, name: key}.items())]
    write_file(fs, f"{state_dir}/{FILE_NAME}", _HEAD + "".join(lines), _MODE, over=True)
    return True


def read_trusted(state_dir: str) -> Mapping[str, str]:
    """Return the trusted keys by peer; raises SettingsError with every damaged line."""
    found, faults = _read(state_dir)
    if faults:
        texts = tuple(f"{cell.where}: {what}" for cell, what in faults)
        raise SettingsError(
            "the trusted keys are damaged", mistakes=texts, hint="mend or delete these lines"
        )
    return {name: key for name, (key, _) in found.items()}


def merge(
    peers: Sequence[PeerSettings], node: str, state_dir: str, mistakes: Mistakes
) -> tuple[PeerSettings, ...]:
    """Return the peers with trusted keys where they have none, and trusted ones not listed.

    A peer that is only trusted has no address: it may dial in, and is never dialled.
    """
    found, faults = _read(state_dir)
    for cell, what in faults:
        mistakes.add(cell, what)
    merged = []
    for peer in peers:
        key, cell = found.get(peer.name, (peer.key, Cell(None, "")))
        if peer.key and key not in {peer.key, *peer.key.splitlines()}:
            what = f"this is not the key that the settings give for {peer.name}"
            mistakes.add(cell, f"{what}; delete this line, or the key in the settings")
        merged.append(replace(peer, key=peer.key or key))
    known = {peer.name for peer in peers} | {node}
    return (
        *merged,
        *(
            PeerSettings(NodeName(name), "", key)
            for name, (key, _) in sorted(found.items())
            if name not in known
        ),
    )


def _read(state_dir: str) -> tuple[dict[str, tuple[str, Cell]], list[tuple[Cell, str]]]:
    """Read all lines: name to key and place, and what is wrong."""
    path = Path(state_dir) / FILE_NAME
    found: dict[str, tuple[str, Cell]] = {}
    faults: list[tuple[Cell, str]] = []
    try:
        text = path.read_text("utf-8", "replace")
    except (FileNotFoundError, NotADirectoryError):
        return {}, []
    except OSError as error:
        what = f"it can't be read: {error.strerror}; run as the gateway's user"
        return {}, [(Cell(None, str(path)), what)]
    for number, line in enumerate(text.splitlines(), 1):
        cell = Cell(None, f"{path}:{number}")
        try:
            entry = _entry(line)
        except ValueError as error:
            faults.append((cell, str(error)))
            continue
        if entry is None:
            continue
        name, key = entry
        if name in found:
            faults.append((cell, f"{name} has a key at {found[name][1].where}; delete one of them"))
        else:
            found[name] = (key, cell)
    return found, faults


def _entry(line: str) -> tuple[str, str] | None:
    """Return name and key of one line, None if it has none; ValueError if it is damaged."""
    fields = line.split()
    if not fields or fields[0].startswith("#"):
        return None
    if len(fields) != len(("type", "base64", "name")):
        raise ValueError("a line here is TYPE BASE64 NAME; delete it and trust the peer again")
    if re.fullmatch(NAME["pattern"], fields[2]) is None:
        raise ValueError(f"{fields[2]!r} can't be a node's name; delete the line")
    return fields[2], parse_key(line)
