"""Mode shared: each tree's folder on the share, what contradicts itself, and what is implied."""

from dataclasses import replace
from pathlib import Path

import pytest

from syncagent.core.errors import SettingsError
from syncagent.core.settings import (
    RolloutSettings,
    Settings,
    SharedForm,
    SharedSettings,
    Writers,
)
from syncagent.settings.gateway import with_known_trees, with_new_trees, without_share
from syncagent.settings.load import interpret
from syncagent.settings.reload import changes_that_need_restart, reloaded
from syncagent.settings.show import show

CLUSTER = '[cluster]\nname = "c"\nmode = "shared"\n'
NODE = '[node]\nname = "n"\nstate_dir = "/nowhere/state"\n'
TREE = '[[tree]]\nname = "t"\nkind = "generic"\npath = "/nowhere/tree"\n'
SHARE = 'share = "/mnt/share/t"\n'
IN_PLACE = '[shared]\nform = "in-place"\n'


def loaded(text: str) -> Settings:
    return interpret(text, "s.toml", {}).settings


def mistakes_of(text: str) -> tuple[str, ...]:
    with pytest.raises(SettingsError) as caught:
        interpret(text, "s.toml", {})
    return caught.value.mistakes


def carbon(root: Path, *tenants: int) -> Path:
    server = root / "repository/deployment/server"
    (server / "synapse-configs/default").mkdir(parents=True)
    (server / "executionplans").mkdir()
    for number in tenants:
        add_tenant(root, number)
    return root


def add_tenant(root: Path, number: int) -> None:
    base = root / f"repository/tenants/{number}"
    (base / "synapse-configs/default").mkdir(parents=True)
    (base / "executionplans").mkdir()


def at_home(home: Path, shared: str = "", more: str = "") -> str:
    section = f"[shared]\n{shared}" if shared else ""
    return f'{CLUSTER}{NODE}[gateway]\nhome = "{home}"\n{section}{more}'


def test_the_form_is_shadow_unless_written_and_makes_everybody_a_writer() -> None:
    settings = loaded(CLUSTER + NODE + TREE + SHARE)
    assert settings.shadow
    assert not settings.in_place
    assert settings.writers is Writers.ANY
    assert [tree.share for tree in settings.trees] == ["/mnt/share/t"]
    assert settings.rollout == RolloutSettings()


def test_in_place_every_runtime_gets_a_change_at_once() -> None:
    settings = loaded(CLUSTER + NODE + TREE + IN_PLACE)
    assert settings.in_place
    assert settings.shared == SharedSettings(SharedForm.IN_PLACE)
    assert settings.writers is Writers.ANY
    assert settings.rollout == RolloutSettings(canary="none", max_unavailable=1.0)


@pytest.mark.parametrize(
    "text",
    [
        CLUSTER + NODE + TREE + SHARE,
        CLUSTER + 'writers = "any"\n' + NODE + TREE + SHARE,
        CLUSTER + NODE + TREE + IN_PLACE,
        CLUSTER + NODE + TREE + IN_PLACE + '[rollout]\ncanary = "none"\nmax_unavailable = "100%"\n',
    ],
)
def test_what_show_prints_in_shared_mode_loads_to_the_same(text: str) -> None:
    found = interpret(text, "s.toml", {})
    shown = show(found)
    assert loaded(shown) == found.settings
    assert 'writers = "any"' in shown


def test_in_push_mode_show_says_what_the_section_is_for() -> None:
    text = '[cluster]\nname = "c"\n' + NODE + TREE
    assert "# form is for mode shared" in show(interpret(text, "s.toml", {}))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (CLUSTER + NODE + TREE, "s.toml:7: tree t (/nowhere/tree) has no folder on the share; write share in its [[tree]]"),
        (CLUSTER + NODE + TREE + 'share = "mnt"\n', "s.toml:11: tree.share = \"mnt\": a daemon has no folder to start from"),
        (CLUSTER + NODE + TREE + 'share = "/nowhere/tree/share"\n', "s.toml:11: the share of tree t (/nowhere/tree/share) and it (/nowhere/tree) lie in each other"),
        (CLUSTER + NODE + TREE + 'share = "/nowhere/tree"\n', "s.toml:11: the share of tree t (/nowhere/tree) and it (/nowhere/tree) lie in each other"),
        (CLUSTER + NODE + TREE.replace("/nowhere/tree", "/mnt/x/t") + 'share = "/mnt/x"\n', "s.toml:11: the share of tree t (/mnt/x) and it (/mnt/x/t) lie in each other"),
        (CLUSTER + NODE + TREE + SHARE + TREE.replace('"t"', '"u"').replace("tree\"", "two\"") + 'share = "/mnt/share"\n', "s.toml:16: the share of tree u (/mnt/share) and that of tree t (/mnt/share/t) lie in each other"),
        (CLUSTER + NODE + TREE + 'share = "/nowhere/state/share"\n', "s.toml:11: the share of tree t (/nowhere/state/share) and node.state_dir (/nowhere/state) lie in each other"),
        (CLUSTER + NODE + TREE + 'share = "/nowhere/two"\n' + TREE.replace('"t"', '"u"').replace("tree\"", "two\"") + SHARE, "s.toml:11: the share of tree t (/nowhere/two) and tree u (/nowhere/two) lie in each other"),
        (CLUSTER + 'writers = "manager"\n' + NODE + TREE + SHARE, 's.toml:4: cluster.writers = "manager": with mode = "shared" whoever may write to the share is a writer'),
        (CLUSTER + 'writers = "manager"\n' + NODE + TREE + IN_PLACE, 's.toml:4: cluster.writers = "manager"'),
        (CLUSTER + NODE + TREE + IN_PLACE + 'server = "/mnt/s"\n', 's.toml:13: shared.server is for form = "shadow"'),
        (CLUSTER + NODE + TREE + SHARE + '[shared]\ntenants = "/mnt/s"\n', "s.toml:13: shared.tenants is for trees that are found at gateway.home; write share"),
        (CLUSTER + NODE + TREE + SHARE + IN_PLACE, 's.toml:11: tree.share is for form = "shadow"; in place tree.path lies on the mount itself'),
        (CLUSTER + NODE + TREE + IN_PLACE + '[rollout]\ncanary = "worker"\n', 's.toml:14: rollout.canary needs trees of each node\'s own'),
        (CLUSTER + NODE + TREE + IN_PLACE + '[rollout]\nmax_unavailable = "50%"\n', "s.toml:14: rollout.max_unavailable needs trees of each node's own"),
        (CLUSTER + NODE + TREE + IN_PLACE + "[rollout]\nordered = true\n", "s.toml:14: rollout.ordered needs trees of each node's own"),
        (CLUSTER + NODE + TREE + IN_PLACE + '[rollout]\non_reject = "rollback"\n', 's.toml:14: rollout.on_reject = "rollback" needs trees of each node\'s own'),
        (CLUSTER.replace("shared", "push") + NODE + TREE + '[shared]\nform = "shadow"\n', 's.toml:12: shared.form needs cluster.mode = "shared"; this is "push"'),
        (CLUSTER.replace("shared", "push") + NODE + TREE + SHARE, 's.toml:11: tree.share needs cluster.mode = "shared"; this is "push"'),
        (CLUSTER + NODE + TREE + SHARE + '[shared]\nform = "mirror"\n', 's.toml:13: shared.form = "mirror": this is none of the words known here; write "shadow" or "in-place"'),
    ],
)  # fmt: skip
def test_a_contradiction_is_named_with_its_line(text: str, expected: str) -> None:
    mistakes = mistakes_of(text)
    assert len(mistakes) == 1
    assert expected in mistakes[0]


def test_the_lease_is_no_file_on_the_share() -> None:
    lease = '[election]\nbackend = "sql"\nurl = "sqlite:////mnt/share/lease.db"\n'
    text = CLUSTER + NODE + TREE + SHARE + lease
    (told,) = mistakes_of(text)
    assert told.startswith("s.toml:14: election.url names a file beside tree t on the share")
    in_place = CLUSTER + NODE + TREE + IN_PLACE
    assert len(mistakes_of(in_place + lease.replace("/mnt/share", "/nowhere/tree"))) == 1
    assert loaded(text.replace("/mnt/share/lease.db", "/var/lib/lease.db")).election.url
    assert loaded(in_place + lease).election.url


def test_no_node_is_called_as_the_share_is() -> None:
    node = NODE.replace('"n"', '"share"')
    (told,) = mistakes_of(CLUSTER + node + TREE + SHARE)
    assert told.startswith('s.toml:5: node.name = "share": so the share itself is called')
    peer = '[[peer]]\nname = "share"\naddress = "h:1"\n'
    assert "peer.name" in mistakes_of(CLUSTER + NODE + TREE + SHARE + peer)[0]
    assert loaded(CLUSTER + node + TREE + IN_PLACE).node == "share"


def test_what_is_broken_already_is_not_told_twice() -> None:
    text = CLUSTER.replace('"shared"', '"push "') + NODE + TREE + IN_PLACE
    assert len(mistakes_of(text)) == 1


def test_trees_at_a_home_have_their_places_below_server_and_tenants(tmp_path: Path) -> None:
    home = carbon(tmp_path / "am", 7)
    settings = loaded(at_home(home, 'server = "/mnt/a/server"\ntenants = "/mnt/b"\n'))
    assert {tree.name: tree.share for tree in settings.trees} == {
        "synapse": "/mnt/a/server/synapse-configs/default",
        "siddhi": "/mnt/a/server/executionplans",
        "tenant-7": "/mnt/b/7/synapse-configs/default",
        "tenant-7-siddhi": "/mnt/b/7/executionplans",
    }
    shown = show(interpret(at_home(home, 'server = "/m/s"\ntenants = "/m/t"\n'), "s.toml", {}))
    assert 'share = "/m/s/executionplans"  # shared mode' in shown


def test_two_mounts_of_their_own_are_written_with_the_trees(tmp_path: Path) -> None:
    more = (
        '[[tree]]\nname = "synapse"\nshare = "/mnt/synapse-configs/default"\n'
        '[[tree]]\nname = "siddhi"\nshare = "/mnt/plans"\n'
    )
    settings = loaded(at_home(carbon(tmp_path / "am"), more=more))
    assert {tree.name: tree.share for tree in settings.trees} == {
        "synapse": "/mnt/synapse-configs/default",
        "siddhi": "/mnt/plans",
    }


def test_a_tree_at_a_home_without_a_place_on_the_share_says_which_key_is_missing(
    tmp_path: Path,
) -> None:
    home = carbon(tmp_path / "am", 7)
    told = mistakes_of(at_home(home, 'server = "/mnt/s"\n'))
    assert len(told) == 2
    for mistake in told:
        assert mistake.startswith("s.toml:3: tree tenant-7")
        assert "has no folder on the share; write shared.tenants, or share in its" in mistake
    assert "write shared.server" in mistakes_of(at_home(home, 'tenants = "/mnt/s"\n'))[0]


def test_a_listed_tree_of_the_home_that_stands_elsewhere_needs_a_share(tmp_path: Path) -> None:
    home = carbon(tmp_path / "am")
    moved = f'[[tree]]\nname = "siddhi"\npath = "{tmp_path}/plans"\n'
    told = mistakes_of(at_home(home, 'server = "/mnt/s"\n', moved))
    assert told[0].endswith("has no folder on the share; write share in its [[tree]]")


def test_a_share_that_contradicts_a_found_tree_points_at_the_section(tmp_path: Path) -> None:
    home = carbon(tmp_path / "am")
    told = mistakes_of(at_home(home, f'server = "{home}/repository/deployment/server"\n'))
    assert all(mistake.startswith("s.toml:9: the share of tree ") for mistake in told)
    assert len(told) == 2


def test_a_tenant_that_appears_later_has_its_place_on_the_share(tmp_path: Path) -> None:
    home = carbon(tmp_path / "am")
    with_place = loaded(at_home(home, 'server = "/mnt/s"\ntenants = "/mnt/t"\n'))
    without = loaded(at_home(home, 'server = "/mnt/s"\n'))
    assert without_share(with_place) == without_share(without) == ()
    add_tenant(home, 3)
    found = with_new_trees(with_place)
    assert [tree.share for tree in found.trees[2:]] == [
        "/mnt/t/3/synapse-configs/default",
        "/mnt/t/3/executionplans",
    ]
    assert without_share(with_place) == ()
    assert with_new_trees(without) is without, "left out: it has no place on the share"
    assert [tree.name for tree in without_share(without)] == ["tenant-3", "tenant-3-siddhi"]
    again = loaded(at_home(home, 'server = "/mnt/s"\ntenants = "/mnt/t"\n'))
    assert with_known_trees(with_place, again).trees == again.trees


def test_in_place_a_tenant_that_appears_later_needs_no_share(tmp_path: Path) -> None:
    home = carbon(tmp_path / "am")
    settings = loaded(at_home(home, 'form = "in-place"\n'))
    add_tenant(home, 3)
    assert without_share(settings) == ()
    assert [tree.share for tree in with_new_trees(settings).trees] == [""] * 4
    assert without_share(replace(settings, gateway_home="")) == ()


def test_a_server_folder_with_nothing_in_it_is_a_mount_that_is_late(tmp_path: Path) -> None:
    (tmp_path / "am/repository/deployment/server").mkdir(parents=True)
    settings = loaded(at_home(tmp_path / "am", 'form = "in-place"\n'))
    assert [tree.name for tree in settings.trees] == ["synapse"]


def test_mode_and_form_need_a_restart() -> None:
    shadow = loaded(CLUSTER + NODE + TREE + SHARE)
    in_place = loaded(CLUSTER + NODE + TREE + IN_PLACE)
    push = loaded('[cluster]\nname = "c"\n' + NODE + TREE)
    moved = loaded(CLUSTER + NODE + TREE + 'share = "/mnt/other"\n')
    assert "shared.form: shadow -> in-place" in changes_that_need_restart(shadow, in_place)
    assert "cluster.mode: push -> shared" in changes_that_need_restart(push, shadow)
    assert changes_that_need_restart(shadow, moved) == ["tree t: changed"]
    for new in (in_place, push, moved):
        taken = reloaded(shadow, new)
        assert replace(taken, rollout=shadow.rollout) == shadow
