"""What `config show` and `config schema` print agrees with what the loader takes."""

import tomllib
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syncagent.core.errors import SettingsError
from syncagent.settings.load import interpret
from syncagent.settings.show import schema, show
from syncagent.settings.table import SECTIONS, section

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAHJ/sGrRAJE0e/Qnzv6fB+QCVFhtguKYV7MLVC5mraT"
FULL = f"""\
[cluster]
name = "c"
writers = "any"
[node]
name = "gw-1"
state_dir = "/nowhere/state"
listen = "0.0.0.0:7421"
apply = false
[[tree]]
name = "synapse"
kind = "synapse"
path = "/nowhere/a \\"b\\" ü"
ignore = ["*.bak"]
drift = "report"
[[peer]]
name = "gw-2"
address = "gw-2:7421"
key = "{KEY}"
[election]
manager = "gw-2"
[runtime]
kind = "command"
command = ["/bin/deploy", "--node", "x y"]
timeout = "90s"
[rollout]
on_reject = "rollback"
ordered = true
[limits]
delete_share = "12.5%"
file_size = "3MiB"
settle_written = "150ms"
"""
MINIMAL = FULL[: FULL.index("writers")] + (
    '[node]\nname = "n"\n[[tree]]\nname = "t"\nkind = "generic"\npath = "/nowhere"\n'
)


@pytest.mark.parametrize("text", [FULL, MINIMAL])
def test_what_show_prints_loads_to_the_same_settings(text: str) -> None:
    loaded = interpret(text, "s.toml", {})
    assert interpret(show(loaded), "shown.toml", {}).settings == loaded.settings


def test_show_names_the_origin_of_each_value() -> None:
    shown = show(interpret(FULL, "s.toml", {"SYNCAGENT_LIMITS__POLL": "3s"})).splitlines()
    assert 'name = "c"  # s.toml:2' in shown
    assert 'poll = "3s"  # SYNCAGENT_LIMITS__POLL' in shown
    assert 'reconcile = "5m"  # default' in shown
    assert "# home is not set" in shown
    assert 'address = "gw-2:7421"  # s.toml:17' in shown


def test_show_names_every_key_of_the_table() -> None:
    shown = show(interpret(FULL, "s.toml", {}))
    missing = [
        f"{each.name}.{key.name}"
        for each in SECTIONS
        for key in each.keys
        if f"\n{key.name} = " not in shown and f"# {key.name} is" not in shown
    ]
    assert missing == []


def test_a_peer_known_only_by_its_trusted_key_is_shown_as_such(tmp_path: Path) -> None:
    (tmp_path / "trusted_keys").write_text(f"{KEY} gw-7\n")
    text = FULL.replace("/nowhere/state", str(tmp_path)).replace(f'key = "{KEY}"\n', "")
    assert "gw-7: only known by its key" in show(interpret(text, "s.toml", {}))


def test_the_schema_takes_what_the_loader_takes() -> None:
    described = schema()
    jsonschema.Draft202012Validator.check_schema(described)
    for text in (FULL, MINIMAL, show(interpret(FULL, "s.toml", {}))):
        jsonschema.validate(tomllib.loads(text), described)


@pytest.mark.parametrize(
    "wrong",
    [
        FULL.replace("[cluster]", "[clutser]"),
        FULL.replace("writers", "writer"),
        FULL.replace('"any"', '"all"'),
        FULL.replace("apply = false", "apply = 0"),
        FULL.replace('"12.5%"', "0.125"),
        FULL.replace('"3MiB"', '"3MB"'),
        FULL.replace('"150ms"', "150"),
        FULL.replace('address = "gw-2:7421"\n', ""),
        FULL.replace('["*.bak"]', '"*.bak"'),
        FULL + '[shared]\nform = "aside"\n',
    ],
)
def test_schema_and_loader_refuse_the_same(wrong: str) -> None:
    with pytest.raises(SettingsError):
        interpret(wrong, "s.toml", {})
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(tomllib.loads(wrong), schema())


def test_every_default_of_the_schema_is_taken_back_as_the_default() -> None:
    plain = interpret(MINIMAL, "s.toml", {}).settings
    text = MINIMAL
    for name in ("rollout", "limits"):
        known = section(name)
        assert known is not None
        text += f"[{name}]\n"
        for key in known.keys:
            assert key.default is not None, key.name
            text += f"{key.name} = {key.shape.show(key.default)}\n"
    assert interpret(text, "s.toml", {}).settings == plain


words = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), max_size=20)


@settings(deadline=None, max_examples=100)
@given(ignore=st.lists(words.filter(str.strip), max_size=3), part=words)
def test_any_text_survives_show_and_load(ignore: list[str], part: str) -> None:
    tree = section("tree")
    assert tree is not None
    path = "/nowhere/x" + part.replace("/", "x")
    for name, value in (("ignore", tuple(ignore)), ("path", path)):
        key = tree.key(name)
        assert key is not None
        assert key.shape.parse(tomllib.loads(f"x = {key.shape.show(value)}")["x"]) == value
