"""The section [election]: its keys, their shapes and defaults."""

from __future__ import annotations

from dataclasses import dataclass

from syncagent.core.lease import PRIORITY_MAX
from syncagent.core.settings import ElectionSettings
from syncagent.core.storeurl import StoreUrl
from syncagent.settings.section import Key, Section
from syncagent.settings.shapes import (
    NAME,
    AbsolutePath,
    Address,
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
    """A list of `host:port`, each behind one of `schemes` if there are any."""

    schemes: tuple[str, ...] = ()

    def _parse(self, raw: object) -> Value:
        items = self._items(raw)
        for item in items:
            self._check(item)
        return tuple(items)

    def _check(self, item: str) -> None:
        scheme, mark, place = item.rpartition("://") if self.schemes else ("", "", item)
        if self.schemes and scheme not in self.schemes:
            raise WrongValueError(
                f'{shown(item)} in the list: write "{self.schemes[0]}://HOST:PORT"'
            )
        try:
            Address().parse(place.removesuffix("/") if mark else place)
        except ValueError as error:
            raise WrongValueError(f"{shown(item)} in the list: {error}") from error

    def _schema(self) -> dict[str, Json]:
        scheme = f"({'|'.join(self.schemes)})://" if self.schemes else ""
        pattern = f"^{scheme}.+:[0-9]{{1,5}}/?$"
        return {"type": "array", "items": {"type": "string", "pattern": pattern}}


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
        Key("endpoints", Addresses(("https", "http")), "With etcd: its members.", ()),
        Key("hosts", Addresses(), "With zookeeper: its servers.", ()),
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
