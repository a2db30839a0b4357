"""A database's URL: what is taken, what is shown of it."""

from __future__ import annotations

import pytest

from syncagent.core.storeurl import StoreUrl


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql://u:s3cret@db:5432/apim", "postgresql://u:***@db:5432/apim"),
        ("postgresql+psycopg://u:a@b/c@db/apim", "postgresql+psycopg://u:***@db/apim"),
        ("mysql://u@db/apim", "mysql://u@db/apim"),
        ("mysql://:s3cret@db/apim", "mysql://:***@db/apim"),
        (
            "postgresql://db/apim?user=u&password=s3cret&sslmode=require&SSLPASSWORD=x",
            "postgresql://db/apim?user=u&password=***&sslmode=require&SSLPASSWORD=***",
        ),
        ("sqlite:////var/lib/lease.db", "sqlite:////var/lib/lease.db"),
        ("sqlite:////var/a:b@c.db", "sqlite:////var/a:b@c.db"),
        ("postgresql://a?b:s3cret@db/apim", "postgresql://a?b:***@db/apim"),
        ("postgresql://a/b:s3cret@db/apim", "postgresql://a/b:***@db/apim"),
    ],
)
def test_a_password_is_never_shown(text: str, shown: str) -> None:
    url = StoreUrl(text)
    assert str(url) == shown
    assert repr(url) == f"StoreUrl({shown!r})"
    assert url.text == text


@pytest.mark.parametrize(
    ("text", "complete"),
    [
        ("postgresql://u:p@db/x", "postgresql+psycopg://u:p@db/x"),
        ("mariadb://db/x", "mariadb+pymysql://db/x"),
        ("mariadb://u:p%40@[::1]:3306/x", "mariadb+pymysql://u:p%40@[::1]:3306/x"),
        ("postgresql://u@/x?host=/run&port=1", "postgresql+psycopg://u@/x?host=/run&port=1"),
        ("mysql+pymysql://db/x?ssl_ca=/a", "mysql+pymysql://db/x?ssl_ca=/a"),
        ("sqlite:////a b/c.db", "sqlite+pysqlite:////a b/c.db"),
    ],
)
def test_the_driver_is_the_one_that_comes_with_the_extra(text: str, complete: str) -> None:
    url = StoreUrl(text)
    assert url.fault() == ""
    assert url.complete == complete


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "write postgresql://"),
        ("db.example.com", "write postgresql://"),
        ("s3cret-scheme://u:s3cret@db/x", "write postgresql://"),
        ("oracle://u:s3cret@db/x", "a lease can't be kept in 'oracle'"),
        ("postgresql+psycopg2://u:s3cret@db/x", "with the driver psycopg only"),
        ("sqlite://", "four slashes"),
        ("sqlite:///relative.db", "four slashes"),
        ("sqlite:////folder/", "four slashes"),
        ("sqlite:////a.db?mode=memory", "four slashes"),
        ("mysql://", "no host and no database"),
        ("mysql://u:p@db:s3cret/x", "USER:PASSWORD@HOST:PORT/DATABASE"),
        ("postgresql://u:p@ss:s3cret@db:5432/x", "write %40 for @"),
        ("postgresql://u:p@db:5432,s3cret:5432/x", "USER:PASSWORD@HOST:PORT/DATABASE"),
    ],
)
def test_what_no_lease_can_be_kept_in_is_told_without_a_secret(text: str, fault: str) -> None:
    assert fault in StoreUrl(text).fault()
    assert "s3cret" not in StoreUrl(text).fault()


def test_an_sqlite_url_names_its_file() -> None:
    assert StoreUrl("sqlite:////var/lib/lease.db").path == "/var/lib/lease.db"


def test_no_text_is_no_url() -> None:
    assert not StoreUrl()
    assert StoreUrl().kind == ""
    assert StoreUrl("mysql://db/x")
