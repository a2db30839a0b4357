"""Which runtime an agent listens to follows from its settings and what is at the gateway's home."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from syncagent.agent.wiring.clock import SystemClock
from syncagent.agent.wiring.runtime import dialect_of, home_of, make_runtime
from syncagent.core.dialect import Dialect
from syncagent.fsio import OsFS
from syncagent.runtime.listening import Means
from syncagent.settings.load import interpret

if TYPE_CHECKING:
    from pathlib import Path

    from syncagent.core.runtime import About
    from syncagent.core.settings import Settings

HEAD = '[cluster]\nname = "c"\n[node]\nname = "n"\nstate_dir = "/nowhere/state"\n'
APACHE, CARBON = (
    "repository/conf/synapse-config",
    "repository/deployment/server/synapse-configs/default",
)


def settings_of(text: str) -> Settings:
    return interpret(HEAD + text, "s.toml", {}).settings


def about(settings: Settings) -> About:
    return make_runtime(settings, Means(OsFS(), SystemClock(), lambda _event: None)).about


@pytest.mark.parametrize(
    ("folder", "kind", "log"),
    [(APACHE, "synapse", "logs/synapse.log"), (CARBON, "carbon", "repository/logs/wso2carbon.log")],
)
def test_auto_is_what_is_at_the_home(tmp_path: Path, folder: str, kind: str, log: str) -> None:
    (tmp_path / folder).mkdir(parents=True)
    found = about(settings_of(f'[gateway]\nhome = "{tmp_path}"\n'))
    assert (found.kind, found.answers, found.log) == (kind, True, f"{tmp_path}/{log}")


def test_without_a_home_nobody_is_asked() -> None:
    tree = '[[tree]]\nname = "t"\nkind = "synapse"\npath = "/nowhere/tree"\n'
    assert not about(settings_of(tree)).answers
    found = about(settings_of(f'{tree}[runtime]\nkind = "carbon"\nlog = "/var/log/x.log"\n'))
    assert (found.kind, found.log) == ("carbon", "/var/log/x.log")


def test_none_asks_nobody_even_beside_a_gateway(tmp_path: Path) -> None:
    (tmp_path / APACHE).mkdir(parents=True)
    assert not about(
        settings_of(f'[gateway]\nhome = "{tmp_path}"\n[runtime]\nkind = "none"\n')
    ).answers


@pytest.mark.parametrize(("folder", "carbon"), [(APACHE, False), (CARBON, True)])
def test_a_home_that_is_away_is_told_by_its_trees(
    tmp_path: Path, folder: str, carbon: bool
) -> None:
    home = tmp_path / "home"
    (home / folder).mkdir(parents=True)
    settings = settings_of(f'[gateway]\nhome = "{home}"\n')
    shutil.rmtree(home)
    found = home_of(settings)
    assert (found.path, found.carbon) == (str(home), carbon)


@pytest.mark.parametrize(("folder", "dialect"), [(APACHE, Dialect.APACHE), (CARBON, Dialect.WSO2)])
@pytest.mark.parametrize("kind", ["auto", "none"])
def test_whose_synapse_reads_the_artifacts_follows_from_the_home_also_if_nobody_is_asked(
    tmp_path: Path, folder: str, dialect: Dialect, kind: str
) -> None:
    (tmp_path / folder).mkdir(parents=True)
    settings = settings_of(f'[gateway]\nhome = "{tmp_path}"\n[runtime]\nkind = "{kind}"\n')
    assert dialect_of(settings) is dialect


def test_a_kind_that_is_named_tells_it_and_without_one_and_a_home_it_is_wso2_s() -> None:
    tree = '[[tree]]\nname = "t"\nkind = "synapse"\npath = "/nowhere/tree"\n'
    assert dialect_of(settings_of(tree)) is Dialect.WSO2
    named = f'{tree}[runtime]\nlog = "/var/log/x.log"\nkind = '
    assert dialect_of(settings_of(f'{named}"synapse"\n')) is Dialect.APACHE
    assert dialect_of(settings_of(f'{named}"carbon"\n')) is Dialect.WSO2
