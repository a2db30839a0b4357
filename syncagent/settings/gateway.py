"""What a gateway's home holds: product, version, trees, and whether its own synchronizer is on.

Product and version are read from `bin/version.txt`, then `carbon.xml`, then the folder's name;
Apache Synapse is known by its jar. Trees are the folders that the deployers watch and that exist
now; tenants come later, so `discover` is made to be called again (see `with_new_trees`).

Switched on, the inbuilt artifact synchronizer makes the server ignore or wipe the same folders:
opt-in on API Manager 3.2 (`[apim.sync_runtime_artifacts.gateway]` in deployment.toml), always on
from 4.0; either way the rendered synapse.properties then says that files are not kept.
"""

from __future__ import annotations

import re
import stat
import tomllib
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, cast

from syncagent.core.artifact import TreeKind, TreeName
from syncagent.core.errors import SettingsError
from syncagent.core.settings import TreeSettings
from syncagent.settings.afar import SilentHomeError, ask_afar, lies_afar
from syncagent.settings.shared import SERVER as _SERVER
from syncagent.settings.shared import TENANTS as _TENANTS
from syncagent.settings.shared import share_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from syncagent.core.settings import Settings

SETTLE_CARBON_S = 2.0
"""Carbon's persistence thread writes one API's files over seconds (MediationPersistenceManager)."""

_TEXT_BYTES_MAX = 1024 * 1024
_SYNAPSE = "synapse-configs/default"
_PLANS = "executionplans"
_APACHE = "repository/conf/synapse-config"
_CONF = ("repository/conf", "conf")
_SYNCHRONIZER = re.compile(r"\[\s*apim\s*\.\s*sync_runtime_artifacts\s*\.\s*gateway\s*\]")
_OPT_IN = (3, 2)
_ALWAYS = (4, 0)


class Product(StrEnum):
    """Which family of gateway it is."""

    API_MANAGER = "API Manager"
    INTEGRATOR = "Enterprise Integrator"
    MICRO_INTEGRATOR = "Micro Integrator"
    CARBON = "Carbon"
    SYNAPSE = "Apache Synapse"


@dataclass(frozen=True, slots=True)
class Gateway:
    """A gateway's home. `version` is empty if unknown; `synchronizer` says why it is on, or ""."""

    home: str
    product: Product
    version: str
    trees: tuple[TreeSettings, ...]
    synchronizer: str = ""

    @property
    def is_carbon(self) -> bool:
        """Whether Carbon runs it, with its persistence thread and its tenants."""
        return self.product is not Product.SYNAPSE

    @property
    def label(self) -> str:
        """Product and version for people."""
        return f"{self.product} {self.version}".strip()


def discover(home: str) -> Gateway:
    """Look at a gateway's home; raises SettingsError if it is none, or can't be read.

    One that is on a network mount, or has one in it, is looked at by a process of its own:
    SilentHomeError if no answer comes.
    """
    if lies_afar(home):
        return gateway_in(ask_afar(home))
    return look_at_home(home)


def look_at_home(home: str) -> Gateway:
    """Look at a gateway's home here and now; see `discover`."""
    root = Path(home)
    try:
        if not _is_folder(root):
            raise SettingsError(f"there is no folder {home}", hint="is the gateway installed here?")
        gateway = _apache(root) or _carbon(root)
    except OSError as error:
        raise SettingsError(
            f"{error.filename or home} can't be read: {error.strerror}",
            hint="run as the gateway's user; is a mount missing?",
        ) from error
    if gateway is None:
        raise SettingsError(
            f"{home} is no gateway's home: it has neither {_SERVER} nor {_APACHE}",
            hint="name the folder that holds bin and repository, or list the trees in [[tree]]",
        )
    return gateway


def gateway_out(gateway: Gateway) -> dict[str, object]:
    """Return a gateway as JSON."""
    trees = [[tree.name, tree.kind, tree.path] for tree in gateway.trees]
    return {**asdict(gateway), "trees": trees}


def gateway_in(said: Mapping[str, object]) -> Gateway:
    """Return what `gateway_out` took; raises SettingsError."""
    try:
        rows = cast("list[list[str]]", said["trees"])
        return Gateway(
            str(said["home"]),
            Product(str(said["product"])),
            str(said["version"]),
            tuple(TreeSettings(TreeName(name), TreeKind(kind), path) for name, kind, path in rows),
            str(said["synchronizer"]),
        )
    except (KeyError, ValueError, TypeError) as error:
        raise SettingsError(f"what is known of a gateway's home does not fit: {error}") from error


def refuse_synchronizer(gateway: Gateway) -> None:
    """Raise SettingsError if the gateway's own synchronizer is on, with what to switch off."""
    if not gateway.synchronizer:
        return
    always = _numbers(gateway.version) >= _ALWAYS
    raise SettingsError(
        f"{gateway.home}: {gateway.label} brings its artifacts itself: {gateway.synchronizer}. "
        "It ignores or wipes the files that syncagent would keep equal",
        hint=(
            "leave this gateway to its own synchronizer; a mode for it (store) is not in this version"
            if always
            else "take [apim.sync_runtime_artifacts.gateway] and [apim.sync_runtime_artifacts."
            "publisher] out of deployment.toml on every node, restart the gateways, try again"
        ),
    )


def with_new_trees(settings: Settings) -> Settings:
    """Return the settings with trees that appeared since: a tenant's, after its first load.

    A tree that is known stays as it is, also if its folder is gone: absence is not evidence. With a
    share as the source a new tree gets its folder there; one for which none is known is left out,
    and `without_share` names it. Raises SettingsError if the home can't be read.
    """
    new = tuple(tree for tree in _new_trees(settings) if tree.share or not settings.shadow)
    return replace(settings, trees=(*settings.trees, *new)) if new else settings


def without_share(settings: Settings) -> tuple[TreeSettings, ...]:
    """Return the trees that appeared since, and for which no folder on the share is known."""
    if not settings.shadow:
        return ()
    return tuple(tree for tree in _new_trees(settings) if not tree.share)


def _new_trees(settings: Settings) -> Iterator[TreeSettings]:
    if not settings.gateway_home:
        return
    known = set(settings.tree_names)
    try:
        found = discover(settings.gateway_home).trees
    except SilentHomeError:
        return  # those that are known say so themselves
    for tree in found:
        if tree.name not in known:
            share = mark = ""
            if settings.shadow:
                share = share_of(tree.path, settings.gateway_home, settings.shared)
            elif settings.in_place:
                mark = settings.cluster
            yield replace(tree, share=share, mark=mark)


def lies_at_home(tree: TreeSettings, home: str) -> bool:
    """Tell whether this is a tree that `discover` finds at `home` while its folder is there."""
    match = re.fullmatch(r"(?:tenant-([0-9]+)-?)?(synapse|siddhi)?", tree.name)
    if match is None or not home:
        return False
    root = Path(home)
    base = root / _TENANTS / match[1] if match[1] else root / _SERVER
    plans = match[2] == "siddhi"
    places = {base / _PLANS} if plans else {base / _SYNAPSE, root / _APACHE}
    return Path(tree.path) in places


def lies_at_apache(tree: TreeSettings, home: str) -> bool:
    """Tell whether this is the tree of an Apache Synapse at `home`."""
    return Path(tree.path) == Path(home) / _APACHE


def with_known_trees(settings: Settings, before: Settings) -> Settings:
    """Return the settings with the trees that were found at the same home before and are gone now.

    A tree that is known stays: absence is not evidence.
    """
    if settings.gateway_home != before.gateway_home:
        return settings
    listed = set(settings.tree_names)
    gone = tuple(
        tree
        for tree in before.trees
        if tree.name not in listed and lies_at_home(tree, before.gateway_home)
    )
    return replace(settings, trees=(*settings.trees, *gone)) if gone else settings


def _apache(root: Path) -> Gateway | None:
    tree = root / _APACHE
    if not _is_folder(tree) or _is_folder(root / _SERVER):
        return None
    version = ""
    lib = root / "lib"
    for jar in sorted(lib.iterdir()) if _is_folder(lib) else ():
        match = re.fullmatch(r"synapse-core[-_](\d[\w.-]*)\.jar", jar.name)
        version = match[1] if match else version
    name = TreeSettings(TreeName("synapse"), TreeKind.SYNAPSE, str(tree))
    return Gateway(str(root), Product.SYNAPSE, version or _version_in(root.name), (name,))


def _carbon(root: Path) -> Gateway | None:
    if not _is_folder(root / _SERVER):
        return None
    product, version = _product(root)
    trees = tuple(_trees(root))
    return Gateway(str(root), product, version, trees, _synchronizer(root, product, version))


def _trees(root: Path) -> Iterator[TreeSettings]:
    """Yield the super tenant's trees, then each tenant's by its number.

    The super tenant's Synapse tree counts also while its innermost folder is missing, or while
    there is nothing at all in the server's folder: a mount that is late must show as a missing
    tree, not as a node that has none.
    """
    server = root / _SERVER
    late = _is_folder((server / _SYNAPSE).parent) or not any(server.iterdir())
    if late and not _is_folder(server / _SYNAPSE):
        yield TreeSettings(TreeName("synapse"), TreeKind.SYNAPSE, str(server / _SYNAPSE))
    yield from _pair(server, "synapse", "siddhi")
    tenants = root / _TENANTS
    if not _is_folder(tenants):
        return
    numbers = sorted(int(each.name) for each in tenants.iterdir() if each.name.isdecimal())
    for number in numbers:
        yield from _pair(tenants / str(number), f"tenant-{number}", f"tenant-{number}-siddhi")


def _pair(base: Path, synapse: str, siddhi: str) -> Iterator[TreeSettings]:
    if _is_folder(base / _SYNAPSE):
        yield TreeSettings(TreeName(synapse), TreeKind.SYNAPSE, str(base / _SYNAPSE))
    if _is_folder(base / _PLANS):
        yield TreeSettings(TreeName(siddhi), TreeKind.SIDDHI, str(base / _PLANS))


def _product(root: Path) -> tuple[Product, str]:
    """Read product and version from what the distribution says about itself."""
    texts = [_text(root / "bin/version.txt"), *(_server_name(root / conf) for conf in _CONF)]
    texts.append(root.name)
    product, version = Product.CARBON, ""
    for text in texts:
        if product is Product.CARBON:
            product = _product_in(text)
        version = version or _version_in(text)
    return product, version


def _server_name(conf: Path) -> str:
    """Return `NAME VERSION` of a carbon.xml; placeholders of a build are no answer."""
    text = re.sub(r"<!--.*?-->", "", _text(conf / "carbon.xml"), flags=re.DOTALL)
    name = re.search(r"<Name>\s*([^<${]+?)\s*</Name>", text)
    version = re.search(r"<Version>\s*([^<${]+?)\s*</Version>", text)
    return f"{name[1] if name else ''} {version[1] if version else ''}"


def _product_in(text: str) -> Product:
    low = text.lower()
    for mark, product in (
        ("api manager", Product.API_MANAGER),
        ("wso2am", Product.API_MANAGER),
        ("micro integrator", Product.MICRO_INTEGRATOR),
        ("wso2mi", Product.MICRO_INTEGRATOR),
        ("enterprise integrator", Product.INTEGRATOR),
        ("wso2ei", Product.INTEGRATOR),
        ("enterprise service bus", Product.INTEGRATOR),
        ("wso2esb", Product.INTEGRATOR),
    ):
        if mark in low:
            return product
    return Product.CARBON


def _version_in(text: str) -> str:
    match = re.search(r"(?<![\w.])v?(\d+\.\d+(?:\.\d+)*)", text)
    return match[1] if match else ""


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")) if version else ()


def _synchronizer(root: Path, product: Product, version: str) -> str:
    """Tell what says that the inbuilt synchronizer is on; empty if it is off."""
    for conf in _CONF:
        properties = root / conf / "synapse.properties"
        if re.search(
            r"^\s*synapse\.artifacts\.file\.storage\.enabled\s*[=:]\s*false",
            _text(properties),
            re.MULTILINE,
        ):
            return f"{properties} says synapse.artifacts.file.storage.enabled=false"
    if product is not Product.API_MANAGER:
        return ""
    numbers = _numbers(version)
    if numbers >= _ALWAYS:
        return "from 4.0 on its artifact synchronizer is always on"
    if numbers and numbers < _OPT_IN:
        return ""
    deployment = root / "repository/conf/deployment.toml"
    if _opted_in(_text(deployment)):
        return f"{deployment} has [apim.sync_runtime_artifacts.gateway]"
    return ""


def _opted_in(text: str) -> bool:
    """Tell whether a deployment.toml switches the synchronizer on.

    The section alone does; `enable = false` in it takes that back. A file that tomllib refuses
    (the product's own reader takes more) is searched for the section's head.
    """
    try:
        found: object = tomllib.loads(text)
        for part in ("apim", "sync_runtime_artifacts", "gateway"):
            found = found.get(part) if isinstance(found, dict) else None
    except tomllib.TOMLDecodeError:
        found = _section_by_hand(text)
    return isinstance(found, dict) and found.get("enable") not in {False, "false"}


def _section_by_hand(text: str) -> dict[str, str] | None:
    """Return keys and raw values of the synchronizer's section; None if there is none."""
    found: dict[str, str] | None = None
    inside = False
    for line in map(str.strip, text.splitlines()):
        if line.startswith("["):
            inside = _SYNCHRONIZER.match(line) is not None
            found = {} if inside else found
        elif inside and found is not None:
            key, _, value = line.partition("=")
            found[key.strip()] = value.partition("#")[0].strip(" \"'")
    return found


def _is_folder(path: Path) -> bool:
    """Tell whether a folder is there; raises OSError if that can't be told (EIO, ESTALE, EACCES)."""
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return False
    return stat.S_ISDIR(mode)


def _text(path: Path) -> str:
    """Return a file's text, empty if there is none; raises OSError if it can't be read."""
    try:
        with path.open("rb") as file:
            return file.read(_TEXT_BYTES_MAX).decode("utf-8", "replace")
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return ""
