"""The section [election]: its keys, their shapes and defaults."""

from __future__ import annotations

from dataclasses import dataclass

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

PRIORITY_MAX = 10
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


ELECTION = Section(
    "election",
    "Who is the manager.",
    (
        Key(
            "backend",
            Choice(("static", "sql"), ("etcd", "zookeeper")),
            "static: the manager is named here, and `syncagent promote` moves it. The others keep "
            "a lease there, and a manager that is lost is replaced by itself.",
            _DEFAULTS.backend,
        ),
        Key("manager", Text(**NAME), "With static: the first manager's node name."),
        Key("url", DatabaseUrl(), "With sql: the database that keeps the lease.", ""),
        Key("url_file", AbsolutePath(), "A file that holds this URL, password and all.", ""),
        Key("endpoints", TextList(), "With etcd: its members.", (), later=True),
        Key("hosts", TextList(), "With zookeeper: its members.", (), later=True),
        Key("authority", AbsolutePath(), "Certificates to know them by.", "", later=True),
        Key("certificate", AbsolutePath(), "This node's certificate for them.", "", later=True),
        Key("certificate_key", AbsolutePath(), "The key of that certificate.", "", later=True),
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
