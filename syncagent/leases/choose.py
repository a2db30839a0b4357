"""Which lease store the settings ask for: the only place that knows all of them.

A store's library is imported when it is chosen, so that a node pays for none that it doesn't use
and needs no package that it wasn't asked for.
"""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from syncagent.core.artifact import NodeName
from syncagent.core.errors import SettingsError
from syncagent.core.lease import Timing
from syncagent.core.secrecy import check_private
from syncagent.core.storeurl import StoreUrl
from syncagent.leases.abstaining import AbstainingStore
from syncagent.leases.static import StaticStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from syncagent.core.settings import ElectionSettings, Settings
    from syncagent.leases.lease_table import LeaseTable
    from syncagent.ports import Guard, LeaseStore


def make_store(settings: Settings, guard: Guard) -> LeaseStore:
    """Return the store that `settings.election` names; nothing is connected yet.

    A node that may not be elected gets one that touches nothing. Raises SettingsError if what the
    store needs is not there: a package, or a file that the settings name.
    """
    election = settings.election
    if election.backend == "static":
        return StaticStore(NodeName(election.manager), guard)
    if not settings.stands:
        return AbstainingStore()
    return MAKERS[election.backend](settings)


def _sql(settings: Settings) -> LeaseStore:
    url = read_url(settings.election)
    with needs("sql"):
        from syncagent.leases.sql import SqlStore  # noqa: PLC0415 - SQLAlchemy is optional

        return SqlStore(url, settings.cluster, timing_of(settings.election))


class _Access(TypedDict):
    """How the servers prove themselves and how we do, by the names that both places have for it."""

    authority: str
    certificate: str
    key: str
    user: str
    password: str


def _access(election: ElectionSettings) -> _Access:
    path = election.password_file
    return _Access(
        authority=election.authority,
        certificate=election.certificate,
        key=election.certificate_key,
        user=election.user,
        password=_read_secret(path, "password_file", "the password") if path else "",
    )


def _etcd(settings: Settings) -> LeaseStore:
    election, access = settings.election, _access(settings.election)
    with needs("etcd"):
        from syncagent.leases.etcd import EtcdStore  # noqa: PLC0415 - urllib3 is optional
        from syncagent.leases.etcd_gateway import EtcdPlace  # noqa: PLC0415 - as above

        place = EtcdPlace(election.endpoints, **access)
        return EtcdStore(place, settings.cluster, timing_of(election))


def _zookeeper(settings: Settings) -> LeaseStore:
    election, access = settings.election, _access(settings.election)
    with needs("zookeeper"):
        from syncagent.leases.zookeeper import ZooKeeperStore  # noqa: PLC0415 - kazoo is optional
        from syncagent.leases.zookeeper_session import ZooKeeperPlace  # noqa: PLC0415 - as above

        place = ZooKeeperPlace(election.hosts, **access)
        return ZooKeeperStore(place, settings.cluster, timing_of(election))


def install_lease_table(settings: Settings) -> LeaseTable:
    """Make the table that backend `sql` needs, if it is not there.

    Raises SettingsError if there is no such backend in the settings, or what it needs is missing;
    StoreUnavailable if the table can't be made.
    """
    election = settings.election
    if election.backend != "sql" or not (election.url or election.url_file):
        raise SettingsError(
            "there is no table to make: [election] has no url of a database",
            hint='set backend = "sql", and url or url_file',
        )
    url = read_url(election)
    with needs("sql"):
        from syncagent.leases.lease_table import make_lease_table  # noqa: PLC0415 - as above

        return make_lease_table(url)


@contextmanager
def needs(extra: str) -> Iterator[None]:
    """Import or make here what the packages of an extra are needed for. Raises SettingsError."""
    try:
        yield
    except ImportError as error:
        raise SettingsError(
            f'election.backend = "{extra}" needs a package that is not installed: {error}',
            hint=f"install it where syncagent is: pip install 'syncagent[{extra}]'",
        ) from error


def timing_of(election: ElectionSettings) -> Timing:
    """Return the lengths of a lease as the settings have them."""
    return Timing(election.lease_s, election.renew_s, election.operation_s, election.margin_s)


def read_url(election: ElectionSettings) -> StoreUrl:
    """Return the database's URL, from its file if it is in one. Raises SettingsError."""
    if not election.url_file:
        return election.url
    path = election.url_file
    url = StoreUrl(_read_secret(path, "url_file", "the URL"))
    if fault := url.fault():
        raise SettingsError(f"election.url_file: {path}: {fault}", hint=_hint_of("the URL"))
    return url


def _read_secret(path: str, key: str, what: str) -> str:
    """Return the text of a file that the settings name. Raises SettingsError."""
    file = Path(path)
    try:
        check_private(path, file.stat().st_mode)
        return file.read_text(encoding="utf-8").strip()
    except OSError as error:
        told = f"election.{key}: {path} can't be read: {error.strerror}"
        raise SettingsError(told, hint=_hint_of(what)) from error
    except UnicodeDecodeError as error:
        raise SettingsError(f"election.{key}: {path} is not UTF-8", hint=_hint_of(what)) from error


def _hint_of(what: str) -> str:
    return f"write {what} into it, on one line, readable for the agent's user only"


MAKERS: Mapping[str, Callable[[Settings], LeaseStore]] = {
    "sql": _sql,
    "etcd": _etcd,
    "zookeeper": _zookeeper,
}
"""Makes a candidate's store, by the name of the backend."""
