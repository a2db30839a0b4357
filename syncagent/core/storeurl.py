"""The URL of a database that keeps the lease: what it may be, and how it is shown.

It may hold a password, so nothing prints its text: `str` and `repr` show it with the password
blotted out. A driver that was not named is the one that this program brings.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

DRIVERS: Final = {
    "sqlite": "pysqlite",
    "postgresql": "psycopg",
    "mysql": "pymysql",
    "mariadb": "pymysql",
}
"""The databases that a lease can be kept in, and the driver for each."""

_FORM = re.compile(r"([A-Za-z0-9]+)(?:\+([A-Za-z0-9_]+))?://(.*)")
_PASSWORD = re.compile(r"(://(?!/)[^:@]*:).*@")
_SECRET_ARGUMENT = re.compile(r"([?&][^=&]*pass[^=&]*=)[^&]*", re.IGNORECASE)
_BLOT = r"\1***"
_PLACE = re.compile(
    r"(?:[^:/?@]*(?::[^@]*)?@)?"  # user and password
    r"(?:\[[^]/?@]*\]|[^]\[:/?@]*)(?::[0-9]{1,5})?"  # host and port
    r"(?:[/?].*)?"
)
_SQLITE_PATH = re.compile(r"/(/[^?]*[^/?])")


@dataclass(frozen=True, slots=True, repr=False)
class StoreUrl:
    """A database's URL as it was written; empty: none. `text` is a secret."""

    text: str = ""

    def __str__(self) -> str:
        """Return the URL without its password."""
        return _SECRET_ARGUMENT.sub(_BLOT, _PASSWORD.sub(rf"{_BLOT}@", self.text))

    def __repr__(self) -> str:
        return f"StoreUrl({str(self)!r})"

    def __bool__(self) -> bool:
        return bool(self.text)

    @property
    def kind(self) -> str:
        """Which database it is: a key of `DRIVERS`, if there is no `fault`."""
        match = _FORM.fullmatch(self.text)
        return match[1] if match else ""

    @property
    def complete(self) -> str:
        """The text with the driver named; a secret too."""
        return f"{self.kind}+{DRIVERS[self.kind]}://{self.text.partition('://')[2]}"

    @property
    def path(self) -> str:
        """The file of an SQLite database."""
        match = _SQLITE_PATH.fullmatch(self.text.partition("://")[2])
        assert match is not None, "asked of an SQLite URL without fault only"
        return match[1]

    def fault(self) -> str:
        """Say why no lease can be kept there, never showing the text; empty: one can."""
        match = _FORM.fullmatch(self.text)
        if match is None:
            return "write postgresql://USER:PASSWORD@HOST:PORT/DATABASE, mysql://... or sqlite:////PATH"
        kind, driver, rest = match.groups()
        if kind not in DRIVERS:
            return f"a lease can't be kept in {kind!r}; there are {', '.join(DRIVERS)}"
        if driver not in {None, DRIVERS[kind]}:
            return f"{kind} is reached with the driver {DRIVERS[kind]} only; leave '+{driver}' out"
        return _fault_of_file(rest) if kind == "sqlite" else _fault_of_place(rest)


def _fault_of_file(rest: str) -> str:
    if _SQLITE_PATH.fullmatch(rest):
        return ""
    return "an SQLite database is a file on this host: write sqlite:////PATH (four slashes)"


def _fault_of_place(rest: str) -> str:
    if not re.search(r"[^/?]", rest):
        return "no host and no database are named"
    if not _PLACE.fullmatch(rest):
        return "it has to be USER:PASSWORD@HOST:PORT/DATABASE; in a password write %40 for @"
    return ""
