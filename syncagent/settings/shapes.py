"""What the value of a key may look like: reading it, writing it, and its JSON schema.

One object per shape does all three, so that the loader, `config show` and `config schema` can't
disagree. `parse` gets what tomllib found and raises ValueError with why it is wrong and what to
write; the caller adds where.
"""

from __future__ import annotations

import ipaddress
import json
import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from syncagent.core import units
from syncagent.settings.keys import parse_key

if TYPE_CHECKING:
    from collections.abc import Mapping

Value = str | int | float | bool | tuple[str, ...]
"""A value as Settings holds it: durations in seconds, sizes in bytes, shares from 0 to 1."""
Json = str | int | float | bool | None | list["Json"] | dict[str, "Json"]

_HOST = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)(\.(?!-)[A-Za-z0-9_-]{1,63}(?<!-))*\.?")
_HOST_MAX = 253
_ACCOUNT = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}")
_PORT_MAX = 65_535
_SHOWN_MAX = 40


def toml_text(text: str) -> str:
    """Return `text` as a TOML basic string."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def shown(raw: object) -> str:
    """Return what the file says, short enough for a message."""
    text = json.dumps(raw, ensure_ascii=False, default=str)
    return text if len(text) <= _SHOWN_MAX else text[: _SHOWN_MAX - 3] + "..."


class WrongValueError(ValueError):
    """A value of the wrong form; the text says what to write."""


class Shape(ABC):
    """How one kind of value is read, written and described."""

    bare: ClassVar[bool] = True
    """Whether an environment variable holds the text itself, not a TOML value."""

    def parse(self, raw: object) -> Value:
        """Return the value; raises ValueError with why not and what to write."""
        return self._parse(raw)

    def show(self, value: Value) -> str:
        """Return TOML that `parse` takes back to the same value."""
        return self._show(value)

    def schema(self) -> dict[str, Json]:
        """Return the JSON schema of what `parse` takes."""
        return self._schema()

    def told(self, raw: object) -> str:
        """Return what the file says, for a message about it."""
        return shown(raw)

    @abstractmethod
    def _parse(self, raw: object) -> Value: ...

    @abstractmethod
    def _schema(self) -> dict[str, Json]: ...

    def _show(self, value: Value) -> str:
        return toml_text(str(value))


def _text(raw: object) -> str:
    if not isinstance(raw, str):
        raise WrongValueError("this has to be text in quotes")
    return raw


@dataclass(frozen=True)
class Text(Shape):
    """Text of a pattern. `what` says in words what fits."""

    pattern: str
    what: str

    def _parse(self, raw: object) -> Value:
        text = _text(raw)
        if re.fullmatch(self.pattern, text) is None:
            raise WrongValueError(f"this has to be {self.what}")
        return text

    def _schema(self) -> dict[str, Json]:
        return {"type": "string", "pattern": f"^(?:{self.pattern})$", "description": self.what}


@dataclass(frozen=True)
class Choice(Shape):
    """One of some words; `later` are those that another version of the program has."""

    words: tuple[str, ...]
    later: tuple[str, ...] = ()

    def _parse(self, raw: object) -> Value:
        text = _text(raw)
        if text in self.words:
            return text
        written = " or ".join(toml_text(word) for word in self.words)
        if text in self.later:
            raise WrongValueError(f"{toml_text(text)} is not in this version; write {written}")
        raise WrongValueError(f"this is none of the words known here; write {written}")

    def _schema(self) -> dict[str, Json]:
        return {"enum": list(self.words)}


@dataclass(frozen=True)
class Flag(Shape):
    """true or false."""

    bare: ClassVar[bool] = False

    def _parse(self, raw: object) -> Value:
        if not isinstance(raw, bool):
            raise WrongValueError("this has to be true or false, without quotes")
        return raw

    def _show(self, value: Value) -> str:
        return "true" if value else "false"

    def _schema(self) -> dict[str, Json]:
        return {"type": "boolean"}


@dataclass(frozen=True)
class Count(Shape):
    """A whole number from `least` to `most`."""

    least: int
    most: int

    bare: ClassVar[bool] = False

    def _parse(self, raw: object) -> Value:
        if isinstance(raw, bool) or not isinstance(raw, int):
            raise WrongValueError("this has to be a whole number, without quotes")
        if not self.least <= raw <= self.most:
            raise WrongValueError(f"this has to be from {self.least} to {self.most}")
        return raw

    def _show(self, value: Value) -> str:
        return str(value)

    def _schema(self) -> dict[str, Json]:
        return {"type": "integer", "minimum": self.least, "maximum": self.most}


@dataclass(frozen=True)
class Duration(Shape):
    """A length of time, from `least_s` to `most_s` seconds."""

    least_s: float
    most_s: float

    def _parse(self, raw: object) -> Value:
        if isinstance(raw, int | float) and not isinstance(raw, bool):
            raise WrongValueError(f'a length of time needs a unit; write "{raw}s"')
        seconds = units.parse_duration(_text(raw))
        if not self.least_s <= seconds <= self.most_s:
            least, most = units.format_duration(self.least_s), units.format_duration(self.most_s)
            raise WrongValueError(f"this has to be from {least} to {most}")
        return seconds

    def _show(self, value: Value) -> str:
        assert isinstance(value, float | int), "a duration is held in seconds"
        return f'"{units.format_duration(value)}"'

    def _schema(self) -> dict[str, Json]:
        return {"type": "string", "pattern": r"^[0-9]{1,9}(\.[0-9]{1,3})?(ms|s|m|h|d)$"}


@dataclass(frozen=True)
class Size(Shape):
    """A number of bytes, from `least` to `most`."""

    least: int
    most: int

    def _parse(self, raw: object) -> Value:
        if isinstance(raw, int) and not isinstance(raw, bool):
            raise WrongValueError(f'a size needs a unit; write "{raw}B", or KiB, MiB, GiB')
        size = units.parse_size(_text(raw))
        if not self.least <= size <= self.most:
            least, most = units.format_size(self.least), units.format_size(self.most)
            raise WrongValueError(f"this has to be from {least} to {most}")
        return size

    def _show(self, value: Value) -> str:
        assert isinstance(value, int), "a size is held in bytes"
        return f'"{units.format_size(value)}"'

    def _schema(self) -> dict[str, Json]:
        return {"type": "string", "pattern": "^[0-9]{1,15}(B|KiB|MiB|GiB|TiB)$"}


@dataclass(frozen=True)
class Share(Shape):
    """A per cent value."""

    def _parse(self, raw: object) -> Value:
        if isinstance(raw, int | float) and not isinstance(raw, bool):
            raise WrongValueError('a share needs a per cent sign and quotes; write "25%"')
        return units.parse_share(_text(raw))

    def _show(self, value: Value) -> str:
        assert isinstance(value, float | int), "a share is held as 0 to 1"
        return f'"{units.format_share(value)}"'

    def _schema(self) -> dict[str, Json]:
        return {"type": "string", "pattern": r"^[0-9]{1,3}(\.[0-9]{1,2})?%$"}


@dataclass(frozen=True)
class AbsolutePath(Shape):
    """A path from the root, without `..`; a trailing slash is dropped."""

    def _parse(self, raw: object) -> Value:
        text = _text(raw)
        if text.startswith("~"):
            raise WrongValueError("~ means nothing to a daemon; write the whole path")
        if not text.startswith("/"):
            raise WrongValueError("a daemon has no folder to start from; write the path from / on")
        parts = [part for part in text.split("/") if part not in {"", "."}]
        if ".." in parts:
            raise WrongValueError("'..' is not taken here; write the path without it")
        if "\0" in text or not parts:
            raise WrongValueError("this can't be a path; write one below /")
        return "/" + "/".join(parts)

    def _schema(self) -> dict[str, Json]:
        return {"type": "string", "pattern": "^/"}


@dataclass(frozen=True)
class Address(Shape):
    """`host:port`, IPv6 in brackets; `user@` before it where an account can be meant."""

    with_user: bool = False
    """For a peer behind OpenSSH's sshd: the account there, else this node's own name."""

    def _parse(self, raw: object) -> Value:
        text = _text(raw)
        user, at, place = text.rpartition("@") if self.with_user else ("", "", text)
        if at and _ACCOUNT.fullmatch(user) is None:
            raise WrongValueError(f'{user!r} can\'t be an account: write "USER@HOST:PORT"')
        host, colon, port = place.rpartition(":")
        if not colon or (":" in host and not host.startswith("[")):
            raise WrongValueError(
                'write "HOST:PORT", an IPv6 address in brackets: "[fd00::1]:7421"'
            )
        if not (port.isascii() and port.isdecimal() and 0 < int(port[:6]) <= _PORT_MAX):
            raise WrongValueError(f"the port has to be from 1 to {_PORT_MAX}")
        if not _is_host(host):
            raise WrongValueError(f"{host!r} is neither a host name nor an IP address")
        return text

    def _schema(self) -> dict[str, Json]:
        return {"type": "string", "pattern": "^.+:[0-9]{1,5}$"}


def _is_host(host: str) -> bool:
    if host.startswith("["):
        return host.endswith("]") and _is_ip(host[1:-1], ipaddress.IPv6Address)
    if re.fullmatch(r"[0-9.]+", host):
        return _is_ip(host, ipaddress.IPv4Address)
    return len(host) <= _HOST_MAX and _HOST.fullmatch(host) is not None


def _is_ip(text: str, of: type[ipaddress.IPv4Address | ipaddress.IPv6Address]) -> bool:
    try:
        of(text)
    except ValueError:
        return False
    return True


@dataclass(frozen=True)
class PublicKey(Shape):
    """One OpenSSH public key line, or a list of them; comments are dropped.

    Several are for a peer behind OpenSSH's sshd: that shows its host key when it is dialled, and
    the agent's own key when it dials. They are held as one text, a key to a line.
    """

    def _parse(self, raw: object) -> Value:
        lines = [line for text in _texts(raw) for line in text.splitlines() if line.strip()]
        if not lines:
            raise WrongValueError("no key is in it; leave it out, and trust the peer later")
        return "\n".join(dict.fromkeys(parse_key(line) for line in lines))

    def _show(self, value: Value) -> str:
        lines = [toml_text(line) for line in str(value).splitlines()]
        return lines[0] if len(lines) == 1 else f"[{', '.join(lines)}]"

    def _schema(self) -> dict[str, Json]:
        line: dict[str, Json] = {
            "type": "string",
            "pattern": "(ssh|ecdsa)-[a-z0-9-]+ [A-Za-z0-9+/=]+",
        }
        return {"anyOf": [line, {"type": "array", "items": line, "minItems": 1}]}


def _texts(raw: object) -> list[str]:
    return [_text(item) for item in raw] if isinstance(raw, list) else [_text(raw)]


@dataclass(frozen=True)
class TextList(Shape):
    """A list of texts, none of them blank."""

    bare: ClassVar[bool] = False

    def _parse(self, raw: object) -> Value:
        return tuple(self._items(raw))

    def _items(self, raw: object) -> list[str]:
        if not isinstance(raw, list):
            raise WrongValueError('this has to be a list of texts; write ["a", "b"]')
        for item in raw:
            if not isinstance(item, str) or not item.strip() or "\0" in item or "\n" in item:
                raise WrongValueError(f"{shown(item)} in the list is not a text of one line")
        return [str(item) for item in raw]

    def _show(self, value: Value) -> str:
        assert isinstance(value, tuple), "a list of texts is held as a tuple"
        return "[" + ", ".join(toml_text(item) for item in value) + "]"

    def _schema(self) -> dict[str, Json]:
        return {"type": "array", "items": {"type": "string", "minLength": 1}}


NAME: Mapping[str, str] = {
    "pattern": r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}",
    "what": "1 to 63 letters, digits, '.', '_' or '-', beginning with a letter or digit",
}
"""What the names of clusters, nodes and trees are made of: they become file and column names."""
