"""[election] with a store that elects: what a candidate needs, who is one, what is never shown."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from syncagent.core.errors import SettingsError
from syncagent.core.storeurl import StoreUrl
from syncagent.settings.load import interpret
from syncagent.settings.reload import changes_that_need_restart
from syncagent.settings.show import show

if TYPE_CHECKING:
    from syncagent.core.settings import Settings

URL = "postgresql://syncagent:s3cret@db.example.com/apim"
HEAD = """\
[cluster]
name = "c"
[node]
name = "gw-1"
state_dir = "/nonexistent/state"
[[tree]]
name = "t"
kind = "generic"
path = "/nonexistent/tree"
"""
ETCD = '[election]\nbackend = "etcd"\nendpoints = ["https://a:2379", "https://[::1]:2379"]\n'
ZOOKEEPER = '[election]\nbackend = "zookeeper"\nhosts = ["a:2181", "b:2181"]\n'
SQL = f'[election]\nbackend = "sql"\nurl = "{URL}"\n'


def peers(*names: str) -> str:
    return "".join(
        f'[[peer]]\nname = "{name}"\naddress = "10.0.0.1:{number}"\n'
        for number, name in enumerate(names, 7000)
    )


def loaded(election: str, *others: str) -> Settings:
    return interpret(HEAD + peers(*others) + election, "s.toml", {}).settings


def mistakes(election: str, *others: str, head: str = HEAD) -> tuple[str, ...]:
    with pytest.raises(SettingsError) as caught:
        interpret(head + peers(*others) + election, "s.toml", {})
    return caught.value.mistakes


def test_a_lease_in_a_database_needs_no_manager_by_name() -> None:
    settings = loaded(SQL, "gw-2")
    assert settings.election.url == StoreUrl(URL)
    assert settings.election.manager == ""
    assert settings.election.eligible == ("gw-1", "gw-2")
    assert settings.stands


def test_the_first_five_by_name_may_be_elected_where_nobody_was_named() -> None:
    others = [f"gw-{number}" for number in range(2, 8)]
    assert loaded(SQL, *others).election.eligible == ("gw-1", "gw-2", "gw-3", "gw-4", "gw-5")


@pytest.mark.parametrize(
    "more",
    ['eligible = ["gw-2"]', "nofailover = true"],
)
def test_who_may_not_be_elected_needs_no_store(more: str) -> None:
    assert not loaded(f'[election]\nbackend = "sql"\n{more}\n', "gw-2").stands


def test_the_members_of_a_store_are_kept_in_their_order() -> None:
    assert loaded(ETCD, "gw-2").election.endpoints == ("https://a:2379", "https://[::1]:2379")
    assert loaded(ZOOKEEPER, "gw-2").election.hosts == ("a:2181", "b:2181")


def test_who_only_observes_is_not_elected() -> None:
    settings = loaded(SQL, "gw-2")
    assert not replace(settings, apply=False).stands


@pytest.mark.parametrize(
    ("election", "expected"),
    [
        ('backend = "sql"', 's.toml:14: election.backend = "sql" needs url, or url_file'),
        (f'backend = "sql"\nurl = "{URL}"\nurl_file = "/x"', "s.toml:16: election.url_file and url"),
        (f'manager = "gw-1"\nurl = "{URL}"', 's.toml:15: election.url needs backend = "sql"; this is "static"'),
        ('backend = "sql"\nurl = "oracle://u:s3cret@db/x"', "a lease can't be kept in 'oracle'"),
        ('backend = "sql"\nurl = 7', "s.toml:15: election.url = 7: this has to be text in quotes"),
        (f'backend = "sql"\nurl = "{URL}"\neligible = ["gw-1", "gw-9"]', "s.toml:16: election.eligible: gw-9 is no node; the nodes are gw-1, gw-2"),
        (f'backend = "sql"\nurl = "{URL}"\nmanager = "gw-9"', "election.manager = 'gw-9' is no node"),
        (f'backend = "sql"\nurl = "{URL}"\npriority = 11', "this has to be from 0 to 10"),
        ('backend = "etcd"', 's.toml:14: election.backend = "etcd" needs endpoints, or nofailover = true'),
        ('backend = "etcd"\nendpoints = ["a:2379"]', 's.toml:15: election.endpoints = ["a:2379"]: "a:2379" in the list: write "https://HOST:PORT"'),
        ('backend = "etcd"\nendpoints = "https://a:1"', "this has to be a list of texts"),
        ('backend = "etcd"\nendpoints = ["http://a:1"]\nauthority = "/a"', "s.toml:16: election.authority is of no use at http://a:1; write https://"),
        ('backend = "etcd"\nendpoints = ["http://127.0.0.1:1", "http://a:1"]\nuser = "u"\npassword_file = "/p"', "s.toml:16: election.user: its password would be sent in clear to http://a:1; write https://"),
        ('backend = "etcd"\nendpoints = ["https://a:1"]\ncertificate = "/a"', "certificate and certificate_key belong together"),
        ('backend = "etcd"\nendpoints = ["https://a:1"]\nuser = "a"', "s.toml:16: election.user and password_file belong together"),
        ('backend = "etcd"\nendpoints = ["https://a:1"]\nuser = "a:b"\npassword_file = "/p"', "a name without blanks and colons"),
        ('backend = "zookeeper"', 's.toml:14: election.backend = "zookeeper" needs hosts'),
        ('backend = "zookeeper"\nhosts = ["a"]', 's.toml:15: election.hosts = ["a"]: "a" in the list: write "HOST:PORT"'),
        ('backend = "zookeeper"\nhosts = ["a:2181,b:2181"]', "in the list: write"),
        ('backend = "etcd"\nendpoints = ["https://a:66000"]', "the port has to be from 1 to 65535"),
        ('backend = "etcd"\nendpoints = ["https://u@a:1"]', "neither a host name nor an IP address"),
        ('backend = "etcd"\nendpoints = ["ftp://a:1"]', 'write "https://HOST:PORT"'),
        (f'backend = "sql"\nurl = "{URL}"\nlease = "12s"\nrenew = "4s"', "election.lease = 12s is too short"),
    ],
)  # fmt: skip
def test_each_mistake_is_named_where_it_stands(election: str, expected: str) -> None:
    found = mistakes(f"[election]\n{election}\n", "gw-2")
    assert len(found) == 1, found
    assert expected in found[0]


def test_more_than_five_candidates_are_refused() -> None:
    others = [f"gw-{number}" for number in range(2, 8)]
    named = ", ".join(f'"{name}"' for name in others)
    assert "names 6 nodes; name 5 at most" in mistakes(f"{SQL}eligible = [{named}]\n", *others)[0]


def test_a_node_without_a_name_is_one_mistake() -> None:
    head = HEAD.replace('name = "gw-1"\n', "")
    election = '[election]\nbackend = "sql"\nnofailover = true\neligible = ["gw-2"]\n'
    assert len(mistakes(election, "gw-2", head=head)) == 1


def test_the_password_is_in_no_mistake() -> None:
    found = mistakes('[election]\nbackend = "sql"\nurl = "oracle://u:s3cret@db/x"\n')
    assert "oracle://u:***@db/x" in found[0]
    assert "s3cret" not in "".join(found)


def test_the_password_is_not_shown() -> None:
    text = show(interpret(HEAD + SQL, "s.toml", {}))
    assert 'url = "postgresql://syncagent:***@db.example.com/apim"  # s.toml:12' in text
    assert "s3cret" not in text
    assert "s3cret" not in repr(loaded(SQL))


def test_a_changed_password_is_not_logged() -> None:
    old = loaded(SQL)
    new = loaded(SQL.replace("s3cret", "n3w"))
    said = "".join(changes_that_need_restart(old, new))
    assert "election.url: postgresql://syncagent:***@" in said
    assert "s3cret" not in said
    assert "n3w" not in said


@pytest.mark.parametrize(
    "where", ["https://a:1", "http://127.0.0.1:1", "http://[::1]:1/", "http://localhost:1"]
)
def test_a_password_may_go_encrypted_or_on_this_machine(where: str) -> None:
    section = (
        f'[election]\nbackend = "etcd"\nendpoints = ["{where}"]\nuser = "u"\npassword_file = "/p"'
    )
    assert loaded(section).election.user == "u"
