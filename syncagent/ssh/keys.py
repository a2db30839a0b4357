"""Keys: this node's own, in one file that only its user can read, and those pinned for peers.

A node has one ed25519 key pair. It proves the node's name to every peer, as a client and as a
server, so a peer's settings hold one line of it and nothing else has to be trusted: there is no
authority, no certificate, no "first use". The file is in OpenSSH's format, so that `ssh-keygen`
reads it and so that OpenSSH's own server can be put in front.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import errno
import hashlib
import io
import os
import secrets
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

import paramiko
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from syncagent.core.errors import DiskError, SettingsError, StateError
from syncagent.fsio import O_CONTENT, O_NEW
from syncagent.ssh.transport import why

if TYPE_CHECKING:
    from syncagent.core.artifact import NodeName
    from syncagent.fsio import OsFS

KEY_FILE = "node.key"
"""Name of the key's file in the state folder."""

PINNED_TYPES = frozenset(
    {
        "ssh-ed25519",
        "ecdsa-sha2-nistp256",
        "ecdsa-sha2-nistp384",
        "ecdsa-sha2-nistp521",
        "ssh-rsa",
    }
)
"""Key types that may be pinned: ours, and what an OpenSSH server in front may show."""

_KEY_FILE_BYTES_MAX = 64 * 1024
_LINE_BYTES_MAX = 16 * 1024
_LINE_PARTS = 2


@dataclass(frozen=True)
class NodeKey:
    """This node's key pair."""

    private: paramiko.Ed25519Key

    @property
    def blob(self) -> bytes:
        """The public key as SSH sends it."""
        return self.private.asbytes()


def public_line(key: NodeKey, name: NodeName) -> str:
    """Return the one line that peers pin: `ssh-ed25519 AAAA... NAME`."""
    return line_of(key.private, name)


def line_of(key: paramiko.PKey, name: str) -> str:
    """Return the OpenSSH public key line of any key; the name is left out if it is empty."""
    return f"{key.get_name()} {key.get_base64()} {name}".rstrip()


def fingerprint(blob: bytes) -> str:
    """Return a public key's fingerprint as `ssh-keygen -l` shows it: `SHA256:...`."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")


def parse_pinned(text: str) -> tuple[paramiko.PKey, ...]:
    """Return the keys of `[[peer]] key`: one OpenSSH public key line, or several lines.

    Several are for a peer that is reached through OpenSSH's server but dials with its node key.
    Raises SettingsError with what is wrong.
    """
    keys = tuple(_parse_line(line.strip()) for line in text.splitlines() if line.strip())
    if not keys:
        raise SettingsError("the key is empty", hint="copy the line of `syncagent keys show` there")
    return keys


def _parse_line(line: str) -> paramiko.PKey:
    parts = line.split()
    hint = "copy the whole line that `syncagent keys show` prints on that node"
    if len(line) > _LINE_BYTES_MAX or len(parts) < _LINE_PARTS:
        raise SettingsError(f"not an OpenSSH public key line: {line[:40]!r}", hint=hint)
    if parts[0] not in PINNED_TYPES:
        allowed = ", ".join(sorted(PINNED_TYPES))
        raise SettingsError(f"key type {parts[0][:40]!r} is not one of {allowed}", hint=hint)
    try:
        blob = base64.b64decode(parts[1], validate=True)
        key = paramiko.PKey.from_type_string(parts[0], blob)
    except (binascii.Error, ValueError, IndexError, paramiko.SSHException) as error:
        raise SettingsError(f"the key is damaged: {error}", hint=hint) from error
    if key.asbytes() != blob:
        raise SettingsError("the key is damaged: it holds more than a public key", hint=hint)
    return key


def load_key(fs: OsFS, path: str) -> NodeKey | None:
    """Return this node's key, None if there is none.

    Raises StateError if it is damaged, can't be read, or others may read it.
    """
    try:
        mode, text = _read_key(fs, path)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StateError(f"the node's key {path} can't be read: {error.strerror}") from error
    if mode & 0o077:
        raise StateError(
            f"the node's key {path} has mode {mode:04o}: others than its owner may use it",
            hint=f"chmod 600 {path}; if others could read it, delete it and pin the new one",
        )
    try:
        return NodeKey(paramiko.Ed25519Key.from_private_key(io.StringIO(text.decode())))
    except (paramiko.SSHException, ValueError, IndexError) as error:
        raise StateError(
            f"the node's key {path} is damaged: {why(error)}",
            hint="restore it, or delete it and pin the new one at every peer",
        ) from error


def _read_key(fs: OsFS, path: str) -> tuple[int, bytes]:
    fd = fs.open(path, O_CONTENT)
    try:
        return stat.S_IMODE(fs.fstat(fd).st_mode), fs.read_all(fd, _KEY_FILE_BYTES_MAX)
    finally:
        fs.close(fd)


def make_key(fs: OsFS, path: str) -> NodeKey:
    """Make this node's key, durably, and return it; return the present one if there is one.

    Raises DiskError, or StateError as `load_key` does.
    """
    key = Ed25519PrivateKey.generate()
    text = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    part = f"{path}.{secrets.token_hex(4)}.part"
    try:
        try:
            _write_new(fs, part, text)
            # A link, not a rename: of two processes that make a key at once one must lose.
            with contextlib.suppress(FileExistsError):
                fs.link(part, path)
        finally:
            with contextlib.suppress(FileNotFoundError):
                fs.unlink(part)
        fs.fsync_dir(os.path.dirname(path) or ".")  # noqa: PTH120 -- paths here are text for fs
    except OSError as error:
        raise DiskError(
            f"the node's key {path} can't be written: {error.strerror}",
            errno_name=errno.errorcode.get(error.errno or 0, ""),
        ) from error
    made = load_key(fs, path)
    if made is None:
        raise StateError(f"the node's key {path} vanished as soon as it was made")
    return made


def _write_new(fs: OsFS, path: str, content: bytes) -> None:
    fd = fs.open(path, O_NEW, 0o600)
    try:
        fs.write_all(fd, content)
        fs.fsync(fd)
    finally:
        fs.close(fd)
