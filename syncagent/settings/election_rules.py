"""What must hold between the keys of [election], and the frozen values built from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from syncagent.core.lease import MARGIN_S_MIN
from syncagent.core.secrecy import is_loopback
from syncagent.core.settings import ElectionSettings
from syncagent.core.storeurl import StoreUrl
from syncagent.core.units import format_duration

if TYPE_CHECKING:
    from syncagent.settings.answers import Group
    from syncagent.settings.sheet import Mistakes

RENEWALS_MIN = 3
"""A lease must outlive two renewals that were lost."""
ELIGIBLE_MAX = 5
"""Each candidate keeps a connection to the store; more of them make nothing safer."""
_STORE_KEYS = {
    "url": ("sql",),
    "url_file": ("sql",),
    "endpoints": ("etcd",),
    "hosts": ("zookeeper",),
    "authority": ("etcd", "zookeeper"),
    "certificate": ("etcd", "zookeeper"),
    "certificate_key": ("etcd", "zookeeper"),
    "user": ("etcd", "zookeeper"),
    "password_file": ("etcd", "zookeeper"),
}
"""The backends that each key belongs to."""
_PAIRS = (("certificate", "certificate_key"), ("user", "password_file"))


@dataclass(frozen=True, slots=True)
class Names:
    """The nodes: this one, with its table, and the others."""

    node: Group
    others: tuple[str, ...]

    @property
    def own(self) -> str:
        """This node's name; empty if it has none, which is a mistake already."""
        return self.node.text("name")

    @property
    def all(self) -> list[str]:
        """All names, sorted."""
        return sorted({self.own, *self.others} - {""})


def build_election(
    group: Group, names: Names, mistakes: Mistakes, *, applies: bool
) -> ElectionSettings:
    """Check the section and build its value. `applies`: this node does not only observe."""
    election = ElectionSettings(
        backend=group.text("backend"),
        manager=_manager(group, names, mistakes),
        url=StoreUrl(group.text("url")),
        url_file=group.text("url_file"),
        endpoints=group.texts("endpoints"),
        hosts=group.texts("hosts"),
        authority=group.text("authority"),
        certificate=group.text("certificate"),
        certificate_key=group.text("certificate_key"),
        user=group.text("user"),
        password_file=group.text("password_file"),
        eligible=_eligible(group, names, mistakes),
        nofailover=group.flag("nofailover"),
        priority=group.count("priority"),
        lease_s=group.number("lease"),
        renew_s=group.number("renew"),
        operation_s=group.number("operation"),
        margin_s=group.number("margin"),
    )
    stands = applies and not election.nofailover and names.own in election.eligible
    if group.sound("backend"):
        _check_store(election, group, mistakes, stands=stands)
    if group.sound("lease", "renew", "operation", "margin"):
        _check_lease(election, group, mistakes)
    return election


def _manager(group: Group, names: Names, mistakes: Mistakes) -> str:
    """Return who leads first with `static`; a node without peers leads itself."""
    manager = group.text("manager")
    if not manager and not names.others:
        manager = names.own
    if not (group.sound("manager", "backend") and names.node.sound("name")):
        return manager
    if manager and manager not in names.all:
        what = f"election.manager = {manager!r} is no node; the nodes are {', '.join(names.all)}"
        mistakes.add(group.cell("manager"), what)
    elif not manager and group.text("backend") == "static":
        what = "[election] needs manager: the name of the node that leads first"
        mistakes.add(group.head, f"{what}; the nodes are {', '.join(names.all)}")
    return manager


def _eligible(group: Group, names: Names, mistakes: Mistakes) -> tuple[str, ...]:
    """Return who may be elected: those who were named, else the first by name."""
    given = group.texts("eligible")
    if not given:
        return tuple(names.all[:ELIGIBLE_MAX])
    if group.sound("eligible") and names.node.sound("name"):
        unknown = [name for name in given if name not in names.all]
        if unknown:
            what = f"election.eligible: {', '.join(unknown)} is no node"
            mistakes.add(group.cell("eligible"), f"{what}; the nodes are {', '.join(names.all)}")
        if len(set(given)) > ELIGIBLE_MAX:
            what = f"election.eligible names {len(set(given))} nodes; name {ELIGIBLE_MAX} at most"
            mistakes.add(group.cell("eligible"), what)
    return tuple(dict.fromkeys(given))


def _check_store(
    election: ElectionSettings, group: Group, mistakes: Mistakes, *, stands: bool
) -> None:
    """Say what a candidate needs to reach the store, and what was written for another store."""
    backend = election.backend
    for key, backends in _STORE_KEYS.items():
        if group.answers[key].given and group.sound(key) and backend not in backends:
            needed = " or ".join(f'"{each}"' for each in backends)
            what = f'election.{key} needs backend = {needed}; this is "{backend}"'
            mistakes.add(group.cell(key), what)
    if backend == "sql" and group.sound("url", "url_file"):
        _check_sql(election, group, mistakes, stands=stands)
    wanted = {"etcd": "endpoints", "zookeeper": "hosts"}.get(backend)
    if wanted and stands and group.sound(wanted) and not group.texts(wanted):
        what = f'election.backend = "{backend}" needs {wanted}'
        mistakes.add(group.cell("backend"), f"{what}, or nofailover = true")
    for one, other in _PAIRS:
        if group.sound(one, other) and bool(group.text(one)) != bool(group.text(other)):
            given = one if group.text(one) else other
            what = f"election.{one} and {other} belong together; write both"
            mistakes.add(group.cell(given), what)
    if group.sound("endpoints", "authority", "certificate"):
        _check_encrypted(election, group, mistakes)


def _check_encrypted(election: ElectionSettings, group: Group, mistakes: Mistakes) -> None:
    """Certificates that nobody would look at are a mistake, and a password that anybody could."""
    plain = [each for each in election.endpoints if not each.startswith("https:")]
    heard = [each for each in plain if not is_loopback(each.rpartition("://")[2].rstrip("/"))]
    if heard and group.sound("user") and election.user:
        what = f"election.user: its password would be sent in clear to {heard[0]}; write https://"
        mistakes.add(group.cell("user"), what)
    for key in ("authority", "certificate"):
        if plain and group.text(key):
            what = f"election.{key} is of no use at {plain[0]}; write https://"
            mistakes.add(group.cell(key), what)


def _check_sql(
    election: ElectionSettings, group: Group, mistakes: Mistakes, *, stands: bool
) -> None:
    if election.url and election.url_file:
        what = "election.url_file and url are two ways to say the same; write one of them"
        mistakes.add(group.cell("url_file"), what)
    elif stands and not (election.url or election.url_file):
        what = 'election.backend = "sql" needs url, or url_file'
        mistakes.add(group.cell("backend"), f"{what}; a node that never leads: nofailover = true")


def _check_lease(election: ElectionSettings, group: Group, mistakes: Mistakes) -> None:
    """Say where the rules of `core.lease.Timing` are broken, and by which key."""
    lease = format_duration(election.lease_s)
    need_s = election.renew_s + 2 * election.operation_s + election.margin_s
    if need_s > election.lease_s:
        mistakes.add(
            group.cell("lease"),
            f"election.lease = {lease} is too short: renew + 2 x operation + margin is "
            f"{format_duration(need_s)}; make it at least that",
        )
    if election.renew_s * RENEWALS_MIN > election.lease_s:
        most = format_duration(election.lease_s / RENEWALS_MIN)
        mistakes.add(
            group.cell("renew"),
            f"election.renew is too long: a lease of {lease} has to outlive two lost renewals; "
            f"write at most {most}",
        )
    if election.margin_s < MARGIN_S_MIN:
        least = format_duration(MARGIN_S_MIN)
        mistakes.add(
            group.cell("margin"),
            f"election.margin is too short for a manager to stop in time; write at least {least}",
        )
