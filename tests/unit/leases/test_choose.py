"""Which store a node gets, and what is said where it can't have it."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from syncagent.core.artifact import NodeName
from syncagent.core.errors import SettingsError
from syncagent.core.lease import Candidate, LeadershipLost, LeaseView, StoreUnavailable
from syncagent.core.revision import Token
from syncagent.core.settings import ElectionSettings, Settings
from syncagent.core.storeurl import StoreUrl
from syncagent.leases.abstaining import AbstainingStore
from syncagent.leases.choose import install_lease_table, make_store, needs, read_url
from syncagent.leases.etcd import EtcdStore
from syncagent.leases.sql import SqlStore
from syncagent.leases.static import StaticStore
from syncagent.leases.zookeeper import ZooKeeperStore
from tests.fakes.history import FakeGuard

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def settings(election: ElectionSettings) -> Settings:
    return Settings("c", NodeName("gw-1"), "/nonexistent", (), election=election)


def sql(path: Path, *, eligible: tuple[str, ...] = ("gw-1",)) -> Settings:
    url = StoreUrl(f"sqlite:///{path}/lease.db")
    return settings(ElectionSettings("sql", url=url, eligible=eligible))


def etcd(**more: str) -> Settings:
    at = ("https://127.0.0.1:1",)
    return settings(ElectionSettings("etcd", endpoints=at, eligible=("gw-1",), **more))


def zookeeper(**more: str) -> Settings:
    at = ("127.0.0.1:1",)
    return settings(ElectionSettings("zookeeper", hosts=at, eligible=("gw-1",), **more))


def test_each_backend_has_its_store(tmp_path: Path) -> None:
    guard = FakeGuard("c")
    assert isinstance(make_store(settings(ElectionSettings(manager="gw-1")), guard), StaticStore)
    assert isinstance(make_store(sql(tmp_path), guard), SqlStore)
    assert isinstance(make_store(etcd(), guard), EtcdStore)
    assert isinstance(make_store(zookeeper(), guard), ZooKeeperStore)


def test_who_may_not_be_elected_touches_no_store(tmp_path: Path) -> None:
    store = make_store(sql(tmp_path, eligible=("gw-2",)), FakeGuard("c"))
    assert isinstance(store, AbstainingStore)
    with pytest.raises(StoreUnavailable, match="may not be elected"):
        store.observe()
    free = LeaseView(None, "0", 0, 15.0)
    assert store.try_acquire(Candidate("c", NodeName("gw-1"), "1"), free, 7) is None
    with pytest.raises(LeadershipLost):
        store.renew(Token("c", 1, NodeName("gw-1"), "1"))
    store.resign(Token("c", 1, NodeName("gw-1"), "1"))
    store.close()
    assert list(tmp_path.iterdir()) == []


def test_the_url_may_be_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "url"
    path.touch(mode=0o600)
    path.write_text("mysql://u:s3cret@db/x\n")
    assert read_url(ElectionSettings("sql", url_file=str(path))).text == "mysql://u:s3cret@db/x"


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "No such file"), (b"\xff", "not UTF-8"), (b"oracle://u:s3cret@db/x", "'oracle'")],
)
def test_a_file_without_a_url_is_a_mistake(
    tmp_path: Path, content: bytes | None, said: str
) -> None:
    path = tmp_path / "url"
    if content is not None:
        path.touch(mode=0o600)
        path.write_bytes(content)
    with pytest.raises(SettingsError, match=said) as caught:
        read_url(ElectionSettings("sql", url_file=str(path)))
    assert str(path) in str(caught.value)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("wanted", [etcd, zookeeper])
def test_a_store_whose_files_are_not_there_is_a_mistake(
    tmp_path: Path, wanted: Callable[..., Settings]
) -> None:
    with pytest.raises(SettingsError, match="password_file"):
        make_store(wanted(user="a", password_file=str(tmp_path / "none")), FakeGuard("c"))
    with pytest.raises(SettingsError, match="certificates can't be used") as caught:
        make_store(wanted(authority=str(tmp_path / "none")), FakeGuard("c"))
    assert "election.authority, .certificate and .certificate_key" in str(caught.value.hint)


@pytest.mark.parametrize("mode", [0o644, 0o602, 0o660])
def test_a_secret_that_others_can_read_or_change_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "secret"
    path.write_text("s3cret")
    path.chmod(mode)
    password = {"user": "a", "password_file": str(path)}
    key = {"certificate": "/dev/null", "certificate_key": str(path)}
    for make in (
        lambda: read_url(ElectionSettings("sql", url_file=str(path))),
        lambda: make_store(etcd(**password), FakeGuard("c")),
        lambda: make_store(zookeeper(**password), FakeGuard("c")),
        lambda: make_store(etcd(**key), FakeGuard("c")),
        lambda: make_store(zookeeper(**key), FakeGuard("c")),
    ):
        with pytest.raises(SettingsError, match="others can read or change it") as caught:
            make()
        assert f"chmod 600 {path}" in caught.value.hint
        assert "s3cret" not in str(caught.value)


def test_a_secret_that_the_agent_s_group_can_read_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.touch(mode=0o640)
    path.write_text("s3cret")
    made = make_store(etcd(user="a", password_file=str(path)), FakeGuard("c"))
    assert isinstance(made, EtcdStore)


def test_a_secret_is_in_a_file(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="is not a file"):
        read_url(ElectionSettings("sql", url_file=str(tmp_path)))


def test_a_missing_package_is_named_with_its_extra() -> None:
    with pytest.raises(SettingsError, match="sqlalchemy_is_not_here") as caught, needs("sql"):
        import sqlalchemy_is_not_here  # type: ignore[import-not-found]  # noqa: F401, PLC0415
    assert "pip install 'syncagent[sql]'" in str(caught.value.hint)


def test_no_library_of_a_store_is_imported_before_it_is_chosen() -> None:
    program = (
        "import sys, syncagent.agent.wiring.assembly; "
        "sys.exit(any(name in sys.modules for name in ('sqlalchemy', 'psycopg', 'pymysql', 'urllib3', 'kazoo')))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_the_table_is_made_once_and_then_found(tmp_path: Path) -> None:
    wanted = sql(tmp_path)
    first, second = install_lease_table(wanted), install_lease_table(wanted)
    assert (first.made, second.made) == (True, False)
    assert first.table == "syncagent_lease"
    assert first.database == f"sqlite:///{tmp_path}/lease.db"


def test_no_table_is_made_where_none_is_needed() -> None:
    with pytest.raises(SettingsError, match="no table to make"):
        install_lease_table(settings(ElectionSettings(manager="gw-1")))


def test_a_table_that_cannot_be_made_says_what_is_needed(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match="can't be made") as caught:
        install_lease_table(sql(tmp_path / "not" / "there"))
    assert "may create tables" in str(caught.value.hint)


def test_an_agent_makes_no_table_and_no_file(tmp_path: Path) -> None:
    store = make_store(sql(tmp_path), FakeGuard("c"))
    with pytest.raises(StoreUnavailable, match="no table syncagent_lease") as caught:
        store.observe()
    assert "syncagent init --lease-table" in str(caught.value.hint)
    store.close()
    assert list(tmp_path.iterdir()) == []
