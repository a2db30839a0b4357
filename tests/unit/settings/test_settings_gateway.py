"""Gateway homes of every product, built as their distributions lay them out."""

from pathlib import Path

import pytest

from syncagent.core.artifact import TreeKind
from syncagent.core.errors import SettingsError
from syncagent.settings.gateway import (
    Gateway,
    Product,
    discover,
    refuse_synchronizer,
    with_new_trees,
)
from syncagent.settings.load import interpret, read

SYNC = '[apim.sync_runtime_artifacts.gateway]\ngateway_labels = ["Production and Sandbox"]\n'
CARBON_XML = """\
<?xml version="1.0" encoding="ISO-8859-1"?>
<!-- <Name>not this</Name> <Version>9.9.9</Version> -->
<Server xmlns="http://wso2.org/projects/carbon/carbon.xml">
  <Name>WSO2 {name}</Name>
  <ServerKey>{key}</ServerKey>
  <Version>{version}</Version>
</Server>
"""


def carbon_home(root: Path, version_txt: str = "", deployment: str = "", conf: str = "") -> Path:
    """A Carbon server's home with both of the super tenant's trees."""
    server = root / "repository/deployment/server"
    for folder in ("synapse-configs/default/api", "executionplans"):
        (server / folder).mkdir(parents=True)
    (root / "bin").mkdir()
    (root / "repository/conf").mkdir()
    if version_txt:
        (root / "bin/version.txt").write_text(version_txt)
    if deployment:
        (root / "repository/conf/deployment.toml").write_text(deployment)
    if conf:
        (root / "repository/conf/carbon.xml").write_text(conf)
    return root


def apim(root: Path, version: str, deployment: str = "") -> Gateway:
    return discover(str(carbon_home(root / "am", f"WSO2 API Manager {version}\n", deployment)))


@pytest.mark.parametrize("version", ["2.1.0", "2.6.0", "3.1.0", "3.2.0"])
def test_an_api_manager_up_to_3_2_without_synchronizer_is_taken(
    tmp_path: Path, version: str
) -> None:
    gateway = apim(tmp_path, version, '[server]\nhostname = "localhost"\n')
    assert (gateway.product, gateway.version) == (Product.API_MANAGER, version)
    assert gateway.label == f"API Manager {version}"
    assert gateway.is_carbon
    assert gateway.synchronizer == ""
    refuse_synchronizer(gateway)
    server = tmp_path / "am/repository/deployment/server"
    assert [(tree.name, tree.kind, tree.path) for tree in gateway.trees] == [
        ("synapse", TreeKind.SYNAPSE, str(server / "synapse-configs/default")),
        ("siddhi", TreeKind.SIDDHI, str(server / "executionplans")),
    ]


@pytest.mark.parametrize(
    ("version", "deployment", "on"),
    [
        ("3.1.0", SYNC, False),
        ("3.2.0", SYNC, True),
        ("3.2.0", SYNC + "enable = true\n", True),
        ("3.2.0", SYNC + "enable = false\n", False),
        ("3.2.0", SYNC + 'enable = "false"\n', False),
        ("3.2.0", SYNC + "broken = $env{X}\n", True),
        ("3.2.0", SYNC + "broken = $env{X}\nenable = false\n", False),
        ("3.2.0", "broken = $env{X}\n" + SYNC + "[other]\nenable = false\n", True),
        ("3.2.0", "broken = $env{X}\n[other]\nx = 1\n", False),
        ("3.2.0", "# " + SYNC.replace("\n", "\n# "), False),
        ("3.2.0", "[apim]\nsync_runtime_artifacts = 1\n", False),
        ("3.2.1", SYNC, True),
        ("4.0.0", "", True),
        ("4.2.0", "", True),
        ("4.2.0", SYNC + "enable = false\n", True),
    ],
)
def test_a_home_whose_synchronizer_is_on_is_refused(
    tmp_path: Path, version: str, deployment: str, on: bool
) -> None:
    gateway = apim(tmp_path, version, deployment)
    assert bool(gateway.synchronizer) is on
    if on:
        with pytest.raises(SettingsError, match="brings its artifacts itself") as caught:
            refuse_synchronizer(gateway)
        expected = "own synchronizer" if version[0] == "4" else "out of deployment.toml"
        assert expected in caught.value.hint


def test_rendered_properties_that_switch_files_off_count_for_every_version(tmp_path: Path) -> None:
    home = carbon_home(tmp_path / "am", "WSO2 API Manager 3.1.0")
    properties = home / "repository/conf/synapse.properties"
    properties.write_text("a=b\nsynapse.artifacts.file.storage.enabled=false\n")
    assert str(properties) in discover(str(home)).synchronizer


@pytest.mark.parametrize(
    ("name", "version_txt", "xml", "expected"),
    [
        ("x", "WSO2 API Manager v2.1.0", "", (Product.API_MANAGER, "2.1.0")),
        ("x", "", CARBON_XML.format(name="API Manager", key="AM", version="2.6.0"), (Product.API_MANAGER, "2.6.0")),
        ("x", "WSO2 API Manager-3.1.0", CARBON_XML.format(name="Carbon", key="C", version="4.6.0"), (Product.API_MANAGER, "3.1.0")),
        ("wso2am-3.2.0", "", CARBON_XML.format(name="${product.name}", key="AM", version="${product.version}"), (Product.API_MANAGER, "3.2.0")),
        ("x", "WSO2 Enterprise Integrator 6.6.0", "", (Product.INTEGRATOR, "6.6.0")),
        ("wso2ei-6.5.0", "", "", (Product.INTEGRATOR, "6.5.0")),
        ("wso2esb-4.9.0", "", "", (Product.INTEGRATOR, "4.9.0")),
        ("x", "WSO2 Micro Integrator 1.2.0", "", (Product.MICRO_INTEGRATOR, "1.2.0")),
        ("wso2mi-4.1.0", "", "", (Product.MICRO_INTEGRATOR, "4.1.0")),
        ("gateway", "", "", (Product.CARBON, "")),
    ],
)  # fmt: skip
def test_product_and_version_come_from_what_the_distribution_says(
    tmp_path: Path, name: str, version_txt: str, xml: str, expected: tuple[Product, str]
) -> None:
    gateway = discover(str(carbon_home(tmp_path / name, version_txt, conf=xml)))
    assert (gateway.product, gateway.version) == expected


def test_an_enterprise_integrator_keeps_its_settings_in_conf(tmp_path: Path) -> None:
    home = carbon_home(tmp_path / "ei")
    (home / "conf").mkdir()
    xml = CARBON_XML.format(name="Enterprise Integrator", key="EI", version="6.4.0")
    (home / "conf/carbon.xml").write_text(xml)
    assert discover(str(home)).label == "Enterprise Integrator 6.4.0"


def test_a_micro_integrator_of_version_4_has_no_synchronizer(tmp_path: Path) -> None:
    assert discover(str(carbon_home(tmp_path / "wso2mi-4.1.0"))).synchronizer == ""


def test_apache_synapse_is_known_by_its_jar(tmp_path: Path) -> None:
    tree = tmp_path / "repository/conf/synapse-config"
    tree.mkdir(parents=True)
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib/synapse-core-3.0.1.jar").touch()
    (tmp_path / "lib/synapse-nhttp-transport-9.9.9.jar").touch()
    gateway = discover(str(tmp_path))
    assert gateway.label == "Apache Synapse 3.0.1"
    assert not gateway.is_carbon
    assert [(each.name, each.path) for each in gateway.trees] == [("synapse", str(tree))]


def test_tenants_have_trees_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    home = carbon_home(tmp_path / "am", "WSO2 API Manager 3.1.0")
    tenants = home / "repository/tenants"
    (tenants / "10/synapse-configs/default").mkdir(parents=True)
    (tenants / "2/synapse-configs/default").mkdir(parents=True)
    (tenants / "2/executionplans").mkdir()
    (tenants / "3").mkdir()
    (tenants / "old.2").mkdir()
    (tenants / "4").write_text("a file")
    names = [tree.name for tree in discover(str(home)).trees]
    assert names == ["synapse", "siddhi", "tenant-2", "tenant-2-siddhi", "tenant-10"]


def test_a_tenant_that_appears_later_is_found_later(tmp_path: Path) -> None:
    home = carbon_home(tmp_path / "am", "WSO2 API Manager 3.1.0")
    text = f'[cluster]\nname="c"\n[node]\nname="n"\nstate_dir="{tmp_path}/s"\n'
    settings = interpret(text + f'[gateway]\nhome="{home}"\n', "s.toml", {}).settings
    assert with_new_trees(settings) is settings
    (home / "repository/tenants/1/synapse-configs/default").mkdir(parents=True)
    (home / "repository/deployment/server/executionplans").rmdir()
    assert [tree.name for tree in with_new_trees(settings).trees] == [
        "synapse",
        "siddhi",
        "tenant-1",
    ], "a known tree whose folder is gone stays: absence is not evidence"


def test_a_synapse_tree_whose_mount_is_late_still_counts(tmp_path: Path) -> None:
    home = carbon_home(tmp_path / "am", "WSO2 API Manager 3.1.0")
    default = home / "repository/deployment/server/synapse-configs/default"
    (default / "api").rmdir()
    default.rmdir()
    assert [tree.name for tree in discover(str(home)).trees] == ["synapse", "siddhi"]


def test_a_traffic_manager_without_synapse_lists_plans_only(tmp_path: Path) -> None:
    (tmp_path / "repository/deployment/server/executionplans").mkdir(parents=True)
    assert [tree.name for tree in discover(str(tmp_path)).trees] == ["siddhi"]


def test_a_folder_that_is_no_gateway_says_so(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="is no gateway's home") as caught:
        discover(str(tmp_path))
    assert "[[tree]]" in caught.value.hint
    with pytest.raises(SettingsError, match="there is no folder"):
        discover(str(tmp_path / "none"))
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError, match="there is no folder"):
        discover(str(tmp_path / "file"))
    with pytest.raises(SettingsError, match="can't be read"):
        discover(str(tmp_path / ("x" * 300)))


def settings_file(tmp_path: Path, home: Path, more: str = "") -> str:
    path = tmp_path / "s.toml"
    path.write_text(
        f'[cluster]\nname="c"\n[node]\nname="n"\nstate_dir="{tmp_path}/state"\n'
        f'[gateway]\nhome = "{home}"\n{more}'
    )
    return str(path)


def test_listed_trees_win_over_found_ones_and_others_are_added(tmp_path: Path) -> None:
    home = carbon_home(tmp_path / "am", "WSO2 API Manager 3.1.0")
    more = (
        '[[tree]]\nname="synapse"\ndrift="report"\n'
        f'[[tree]]\nname="siddhi"\npath="{tmp_path}/plans"\n'
        f'[[tree]]\nname="more"\nkind="generic"\npath="{tmp_path}/more"\n'
    )
    loaded = read(settings_file(tmp_path, home, more), {})
    server = home / "repository/deployment/server"
    assert [(tree.name, tree.kind, tree.path, tree.drift) for tree in loaded.settings.trees] == [
        ("synapse", "synapse", str(server / "synapse-configs/default"), "report"),
        ("siddhi", "siddhi", f"{tmp_path}/plans", "revert"),
        ("more", "generic", f"{tmp_path}/more", "revert"),
    ]
    assert loaded.gateway is not None
    assert loaded.gateway.label == "API Manager 3.1.0"


@pytest.mark.parametrize(
    ("more", "expected"),
    [("", (2.0, 2.0)), ('[limits]\nsettle_written="300ms"\n', (0.3, 2.0))],
)
def test_beside_carbon_quiet_times_are_longer_unless_written(
    tmp_path: Path, more: str, expected: tuple[float, float]
) -> None:
    home = carbon_home(tmp_path / "am")
    limits = read(settings_file(tmp_path, home, more), {}).settings.limits
    assert (limits.settle_written_s, limits.settle_created_s) == expected


def test_a_state_folder_inside_a_found_tree_is_a_mistake(tmp_path: Path) -> None:
    home = carbon_home(tmp_path / "am")
    environ = {"SYNCAGENT_NODE__STATE_DIR": f"{home}/repository/deployment/server/executionplans/s"}
    with pytest.raises(SettingsError) as caught:
        read(settings_file(tmp_path, home), environ)
    assert "node.state_dir lies in tree siddhi" in caught.value.mistakes[0]
