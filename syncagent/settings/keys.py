"""Public keys as OpenSSH writes them, checked without a cryptography library.

The settings must load fast and say in words what is wrong with a pasted key; whether a signature
fits is the `ssh` shell's. The wire form is RFC 4253 section 6.6: length-prefixed strings, the
first of which repeats the type.
"""

from __future__ import annotations

import base64
import binascii
import hashlib

_CURVES = {
    "ecdsa-sha2-nistp256": ("nistp256", 65),
    "ecdsa-sha2-nistp384": ("nistp384", 97),
    "ecdsa-sha2-nistp521": ("nistp521", 133),
}
"""Key type to curve name and length of the uncompressed point (RFC 5656)."""
_ED25519_BYTES = 32
_RSA_BITS_MIN = 2048
_LENGTH_BYTES = 4
_KNOWN = ("ssh-ed25519", *_CURVES, "ssh-rsa")


def parse_key(line: str) -> str:
    """Return `TYPE BASE64` of one OpenSSH public key line, without its comment.

    Raises ValueError with what is wrong and what to do.
    """
    if "PRIVATE KEY" in line:
        raise ValueError(
            "this is a private key: it must not leave its node; "
            "put the line that `syncagent keys show` prints on the peer, and make a new key there"
        )
    fields = line.split()
    if len(fields) < len(("type", "base64")) or fields[0] not in _KNOWN:
        raise ValueError(_not_a_key(fields))
    try:
        blob = base64.b64decode(fields[1], validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError(
            "the key's text is cut or altered (not base64); copy the whole line that "
            "`syncagent keys show` prints on the peer"
        ) from error
    fault = _blob_fault(fields[0], blob)
    if fault:
        raise ValueError(fault)
    return f"{fields[0]} {fields[1]}"


def fingerprint(key: str) -> str:
    """Return the SHA-256 fingerprint of a parsed key, as `ssh-keygen -l` prints it."""
    blob = base64.b64decode(key.split()[1])
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")


def _not_a_key(fields: list[str]) -> str:
    known = ", ".join(_KNOWN)
    if any(field in _KNOWN for field in fields[1:]):
        return "options before the key type are not for here; start the text with the key type"
    if fields and fields[0].startswith(("sk-", "ssh-dss")):
        return f"keys of type {fields[0]} can't be used by a daemon; use one of {known}"
    return (
        f"this is no OpenSSH public key ({known}); copy the line that "
        "`syncagent keys show` prints on the peer"
    )


def _blob_fault(kind: str, blob: bytes) -> str:
    """Tell what is wrong with a key's bytes; empty if nothing is."""
    parts = _strings(blob)
    if parts is None or not parts or parts[0] != kind.encode():
        return "the key's text is cut or altered; copy the whole line again"
    if kind == "ssh-rsa":
        bits = int.from_bytes(parts[-1]).bit_length()
        if len(parts) == len(("type", "e", "n")) and bits >= _RSA_BITS_MIN:
            return ""
        return f"an RSA key of {bits} bits is too weak; use ssh-ed25519, or at least 2048 bits"
    if kind in _CURVES:
        curve, size = _CURVES[kind]
        whole = parts[1:2] == [curve.encode()] and [len(part) for part in parts[2:]] == [size]
    else:
        whole = [len(part) for part in parts[1:]] == [_ED25519_BYTES]
    return "" if whole else "the key's text is cut or altered; copy the whole line again"


def _strings(blob: bytes) -> list[bytes] | None:
    """Split length-prefixed strings; None if the lengths don't come out even."""
    parts: list[bytes] = []
    while blob:
        size = int.from_bytes(blob[:_LENGTH_BYTES])
        part = blob[_LENGTH_BYTES : _LENGTH_BYTES + size]
        if len(blob) < _LENGTH_BYTES or len(part) < size:
            return None
        parts.append(part)
        blob = blob[_LENGTH_BYTES + size :]
    return parts
