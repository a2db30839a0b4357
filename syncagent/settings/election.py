"""The section [election]: its keys, their shapes and defaults."""

from __future__ import annotations

import re
from dataclasses import dataclass

from syncagent.core.lease import PRIORITY_MAX
from syncagent.core.settings import ElectionSettings
from syncagent.core.storeurl import StoreUrl
from syncagent.settings.section import Key, Section
from syncagent.settings.shapes import (
    NAME,
    AbsolutePath,
    Choice,
    Count,
    Duration,
    Flag,
    Json,
    Shape,
    Text,
    TextList,
    Value,
    WrongValueError,
    shown,
)

_HOUR_S = 3_600.0
_DEFAULTS = ElectionSettings()


@dataclass(frozen=True)
class DatabaseUrl(Shape):
    """The URL of a database. Its password is never shown, not in a mistake either."""

    def told(self, raw: object) -> str:
        """Return it without its password."""
        return shown(str(StoreUrl(raw)) if isinstance(raw, str) else raw)

    def _parse(self, raw: object) -> Value:
        if not isinstance(raw, str):
            raise WrongValueError("this has to be text in quotes")
        if fault := StoreUrl(raw).fault():
            raise WrongValueError(fault)
        return raw

    def _schema(self) -> dict[str, Json]:
        return {"type": "string", "pattern": "^(sqlite|postgresql|mysql|mariadb)([+][a-z]+)?://"}


@dataclass(frozen=True)
class Addresses(TextList):
    """A list of addresses of a pattern. `what` says in words what fits, by an example."""

    pattern: str
    what: str

    def _parse(self, raw: object) -> Value:
        items = self._items(raw)
        for item in items:
            if re.fullmatch(self.pattern, item) is None:
                raise WrongValueError(f"{shown(item)} in the list is no address; write {self.what}")
        return tuple(items)

    def _schema(self) -> dict[str, Json]:
        return {"type": "array", "items": {"type": "string", "pattern": f"^(?:{self.pattern})$"}}


_ENDPOINTS = Addresses(r"https?://[^\s/?#@]+/?", "https://HOST:2379")
_HOSTS = Addresses(r"[^\s/,@]+", "HOST:2181")

ELECTION = Section(
    "election",
    "Who is the manager.",
    (
        Key(
            "backend",
            Choice(("static", "sql", "etcd", "zookeeper")),
            "static: the manager is named here, and `syncagent promote` moves it. The others keep "
            "a lease there, and a manager that is lost is replaced by itself.",
            _DEFAULTS.backend,
        ),
        Key("manager", Text(**NAME), "With static: the first manager's node name."),
        Key("url", DatabaseUrl(), "With sql: the database that keeps the lease.", ""),
        Key("url_file", AbsolutePath(), "A file that holds this URL, password and all.", ""),
        Key("endpoints", _ENDPOINTS, "With etcd: its members.", ()),
        Key("hosts", _HOSTS, "With zookeeper: its servers.", ()),
        Key(
            "authority",
            AbsolutePath(),
            "With etcd or zookeeper: certificates (PEM) of who vouches for its servers.",
            "",
        ),
        Key("certificate", AbsolutePath(), "This node's certificate (PEM) for them.", ""),
        Key("certificate_key", AbsolutePath(), "The key of that certificate (PEM).", ""),
        Key(
            "user",
            Text(r"[^\s:]+", "a name without blanks and colons"),
            "Its user, if it has users.",
            "",
        ),
        Key("password_file", AbsolutePath(), "A file that holds the user's password.", ""),
        Key(
            "eligible",
            TextList(),
            "The nodes that may be elected, five at most; only they touch the store. Default: the "
            "first five by name.",
            (),
        ),
        Key("nofailover", Flag(), "true: this node is never elected.", default=False),
        Key(
            "priority",
            Count(0, PRIORITY_MAX),
            "A node of a lower one waits half a renewal longer for each step before it takes a "
            "lease that is free.",
            _DEFAULTS.priority,
        ),
        Key(
            "lease",
            Duration(3.0, _HOUR_S),
            "How long a manager counts unseen.",
            _DEFAULTS.lease_s,
        ),
        Key("renew", Duration(0.1, _HOUR_S), "How often it renews.", _DEFAULTS.renew_s),
        Key(
            "operation",
            Duration(0.1, _HOUR_S),
            "How long one request to the lease store may take.",
            _DEFAULTS.operation_s,
        ),
        Key(
            "margin",
            Duration(0.1, _HOUR_S),
            "How long before its end the lease is given up.",
            _DEFAULTS.margin_s,
        ),
    ),
)
