"""One agent, put together from its parts; started and stopped in order."""

from __future__ import annotations

import logging
import random
import threading
import uuid
from dataclasses import replace
from typing import TYPE_CHECKING

from syncagent import __version__
from syncagent.agent import effects as fx
from syncagent.agent import lease_effects as lx
from syncagent.agent import results as rs
from syncagent.agent import share_effects as sx
from syncagent.agent.hands.bulletin import Bulletin
from syncagent.agent.hands.committer import Committer
from syncagent.agent.hands.desk import AgentDesk
from syncagent.agent.hands.eye import Eye
from syncagent.agent.hands.fetching import Fetching
from syncagent.agent.hands.judging import Judging
from syncagent.agent.hands.lanes import Lane, stop_all
from syncagent.agent.hands.memory import Memory
from syncagent.agent.hands.recovery import abandon, finish_interrupted
from syncagent.agent.hands.remembering import Remembering
from syncagent.agent.hands.serving import Serving
from syncagent.agent.hands.share import ShareReading
from syncagent.agent.loop import Loop, Stop
from syncagent.agent.node.node import Node
from syncagent.agent.node.state import State
from syncagent.agent.wiring import heap
from syncagent.agent.wiring.ballot import Ballot
from syncagent.agent.wiring.clock import SystemClock
from syncagent.agent.wiring.mounts import LateMounts
from syncagent.agent.wiring.runtime import dialect_of, make_runtime, remembered
from syncagent.agent.wiring.shadow import Shadow
from syncagent.agent.wiring.share_reader import ShareReader
from syncagent.agent.wiring.share_watch import ShareWatch
from syncagent.agent.wiring.trees import Ground, reach_trees
from syncagent.core.artifact import NodeName
from syncagent.core.digest import digest_of
from syncagent.core.errors import DiskError, RefusedError, SettingsError
from syncagent.core.revision import incarnation_of
from syncagent.core.settings import PeerSettings
from syncagent.fsio import OsFS
from syncagent.history.guard import FileGuard
from syncagent.history.node_history import NodeHistory
from syncagent.ports import Instant, LinkId
from syncagent.runtime.listening import Means
from syncagent.settings.gateway import with_new_trees, without_share
from syncagent.settings.trusted import trust
from syncagent.ssh.keys import KEY_FILE, fingerprint, load_key, make_key, parse_pinned
from syncagent.ssh.links import Identity, SshLinks
from syncagent.validation.aside import ValidatorAside
from syncagent.validation.validator import ArtifactValidator

if TYPE_CHECKING:
    from collections.abc import Callable

    from syncagent.agent.effects import Effect
    from syncagent.core.artifact import TreeName
    from syncagent.core.desk import JSON
    from syncagent.core.guard import GuardState
    from syncagent.core.settings import Settings
    from syncagent.history.home import StateHome
    from syncagent.history.portable import Reign, ShareGuard

LOG = logging.getLogger("syncagent")

LOOK_JOIN_S = 5.0
"""How long the end waits for a look: it may hang for ever, and nothing is lost with it."""


class Assembly:
    """An agent's parts. `home` is open (locked, and this node's own) and stays the caller's.

    `reign` is for the keeper of a share, whose durable state lies there.
    """

    def __init__(self, settings: Settings, home: StateHome, reign: Reign | None = None) -> None:
        self.settings = settings
        self._settings_lock = threading.Lock()
        self.clock = SystemClock()
        fs = OsFS()
        guard_state = self._open_files(fs, home, reign)
        self._recover()
        self.loop: Loop
        self.desk = AgentDesk(self.post)
        key_path = home.file(KEY_FILE)
        key = load_key(fs, key_path) or make_key(fs, key_path)
        # A copy of this node is known by it: another key would have been trusted by a person.
        key_name = digest_of(key.blob).removeprefix("xxh3:")
        self.incarnation = incarnation_of(key_name, home.identity.id, uuid.uuid4().hex)
        identity = Identity(settings.cluster, settings.node, self.incarnation, key, __version__)
        self.links = SshLinks(identity, _others(settings), self.post)
        self.shadow = Shadow(fs, home.path, settings, self.links)
        self.share_watch = ShareWatch(settings, home.path, self.post)
        self._state_dir = home.path
        self.late_mounts = LateMounts(fs, settings, self._mount_came)
        ballot = Ballot(settings, self.incarnation, self.guard, self.clock, self.post)
        self.ballot, self.elector = ballot, ballot.elector
        self._left_out: set[str] = set()
        self._rules = (settings.limits.file_bytes, dialect_of(settings))
        self.memory = Memory(ArtifactValidator(*self._rules), settings.tree_kinds)
        means = Means(fs, self.clock, self.post, settings.trees)
        self.runtime = make_runtime(settings, means)
        outcomes, self._mark = remembered(self.history)
        self.state = State(
            settings=settings,
            incarnation=self.incarnation,
            standing=self.history.standing(),
            guard=guard_state,
            chance=random.Random(),  # noqa: S311 - jitter, no secret
            has_blob=self.history.has,
            read_lately=self.memory.content,
            wall=self.clock.wall,
            auto_failover=ballot.auto_failover,
            believes=ballot.believes,
            outlook=self.elector.outlook,
            runtime_about=self.runtime.about,
            outcomes=outcomes,
        )
        self.node = Node(self.state)
        for tree, why in self.trees.silent.items():
            self.node.observing.silent(tree, why)
        self._fs = fs
        self._make_lanes()
        self.bulletin = Bulletin(self.node, self.elector.current)
        self.loop = Loop(self.node, self.clock, self.carry_out, turned=self._turned)

    def _open_files(self, fs: OsFS, home: StateHome, reign: Reign | None) -> GuardState:
        """Make guard, history and disk; return what was admitted. Raises what they raise."""
        settings, clock = self.settings, self.clock
        self.guard: FileGuard | ShareGuard = FileGuard(fs, home.path, settings.cluster)
        durable, trees_fs = home.path, fs
        if reign is not None:
            self.guard, durable, trees_fs = reign.guard, reign.folder, reign.fs
        limits = settings.limits
        self.history = NodeHistory(fs, durable, wall=clock.wall, limits=limits, records=home.path)
        ground = Ground(trees_fs, durable, home.path)
        self.trees = reach_trees(settings, ground, clock, self.post, apart=reign is None)
        self.disk, self.hints = self.trees.disk, self.trees.hints
        return self.guard.enrol()

    def _recover(self) -> None:
        """Finish what a crash interrupted, before any door opens."""
        self.history.load()
        if self.settings.in_place:
            abandon(self.disk)
            return
        change = finish_interrupted(self.disk, self.history, self.clock.wall())
        if change is not None:
            LOG.warning("recovered an interrupted commit (txid %d)", change.txid)

    def _make_lanes(self) -> None:
        memory, history, disk = self.memory, self.history, self.disk
        kinds = self.settings.tree_kinds
        self.committer = Committer(disk, self.guard, history, memory, self.clock)
        aside = ValidatorAside(*self._rules)
        self.judging = Judging(aside, memory, self.post, self.carry_out)
        self.committer.stager.judging = self.judging
        if self.settings.in_place:
            self.committer.lasts = self.ballot.believes
        eye = Eye(disk, self.hints, memory, self.clock, history.has)
        serving = Serving(history, memory, self._send)
        self.fetching = Fetching(disk, history, self.clock, kinds, self._trust)
        self.remembering = Remembering(history)
        self._share = ShareReading(ShareReader(self.settings).read)
        self.lanes: dict[str, Lane[Effect]] = {
            "commit": Lane("commit", self.committer.do, self.post),
            "serve": Lane("serve", serving.do, self.post),  # type: ignore[arg-type]
            "clerk": Lane("clerk", self._clerk, self.post),
            "discover": Lane("discover", self._discover, self.post, join_s=LOOK_JOIN_S),
            "election": Lane("election", self.ballot.do, self.post),
            "share": Lane("share", self._share.do, self.post, join_s=LOOK_JOIN_S),  # type: ignore[arg-type]
        }
        behind: Lane[int] = Lane("write-back", disk.write_back, self.post, join_s=LOOK_JOIN_S)
        self.committer.stager.write_back = behind.put
        self.lanes["write-back"] = behind  # type: ignore[assignment]  # nothing is routed to it
        self._eyes: dict[TreeName, Lane[Effect]] = {
            tree: Lane(f"eye-{tree}", eye.do, self.post, join_s=LOOK_JOIN_S)  # type: ignore[arg-type]
            for tree in kinds
        }
        self.lanes |= {f"eye-{tree}": lane for tree, lane in self._eyes.items()}
        routes: dict[type, Callable[[Effect], None]] = {
            fx.Dial: self._dial,  # type: ignore[dict-item]  # each takes its own key's type
            fx.Send: self._forward,  # type: ignore[dict-item]
            fx.Hangup: self._hangup,  # type: ignore[dict-item]
            fx.Reply: self.desk.reply,  # type: ignore[dict-item]
            fx.Serve: self.lanes["serve"].put,
            fx.Report: self.lanes["clerk"].put,
            fx.Fetch: self.lanes["clerk"].put,
            fx.Discover: self.lanes["discover"].put,
            fx.SaveCache: self.lanes["clerk"].put,
            fx.Remember: self.lanes["clerk"].put,
            fx.Listen: lambda _effect: self.runtime.start(self._mark),
            fx.TellRuntime: self._tell,  # type: ignore[dict-item]
            fx.Acquire: self.lanes["election"].put,
            fx.Resign: self.lanes["election"].put,
            lx.Campaign: self.lanes["election"].put,
            lx.StandBack: self.lanes["election"].put,
            sx.ReadShare: self.lanes["share"].put,
            lx.Depart: lambda _effect: self.post(Stop()),
            lx.Wake: self._wake,  # type: ignore[dict-item]
        }
        routes.update(dict.fromkeys((fx.Look, fx.Scan, fx.StartWatch), self._look))  # type: ignore[arg-type]
        routes.update(dict.fromkeys(self.committer.kinds, self.lanes["commit"].put))
        routes[fx.StageBlobs] = self._stage  # type: ignore[assignment]
        routes[fx.Shun] = self._shun  # type: ignore[assignment]  # not in a lane, which may hang
        self._routes = routes

    # --- effects ----------------------------------------------------------------------------

    def carry_out(self, effect: Effect) -> None:
        """Hand an effect to who carries it out."""
        self._routes[type(effect)](effect)

    def post(self, event: object) -> None:
        """Take an event into the loop's inbox."""
        self.loop.post(event)

    def _stage(self, effect: fx.StageBlobs) -> None:
        self.judging.offer(effect)
        self.lanes["commit"].put(effect)

    def _shun(self, effect: fx.Shun) -> None:
        self.disk.shun(effect.tree, effect.why)

    def _look(self, effect: fx.Look | fx.Scan | fx.StartWatch) -> None:
        """Have a tree looked at in its own lane: one that hangs delays no other."""
        self._eyes[effect.tree].put(effect)

    def _wake(self, effect: lx.Wake) -> None:
        self.elector.wake(first=effect.first)

    def _save_cache(self) -> None:
        try:
            if self.disk.save_cache() or heap.grown():
                heap.trim()  # trees were read or peers served: there is something to give back
        except DiskError as error:
            LOG.warning("the scan cache was not saved, the next start reads more: %s", error)

    def _clerk(self, effect: Effect) -> object | None:
        if isinstance(effect, fx.Report):
            self.fetching.report(effect)
            return None
        if isinstance(effect, fx.SaveCache):
            self._save_cache()
            return None
        if isinstance(effect, fx.Remember):
            self.remembering.do(effect)
            return None
        assert isinstance(effect, fx.Fetch), "nothing else is routed here"
        return self.fetching.do(effect)

    def _discover(self, _effect: Effect) -> None:
        """Look beside the lanes that others wait for: a tree that is a mount may hang."""
        self.discover()

    def discover(self) -> None:
        """Start again if the gateway has trees that it had not at the start. From any thread."""
        try:
            found = with_new_trees(self.settings)
        except SettingsError as error:
            LOG.warning("no look for new trees: %s", error)
            return
        left_out = {f"{tree.name} ({tree.path})" for tree in without_share(found)}
        for tree_text in sorted(left_out - self._left_out):
            LOG.warning(
                "tree %s has no folder on the share and is left out; "
                "write shared.server or shared.tenants, or share in its [[tree]]",
                tree_text,
            )
        self._left_out = left_out
        new = found.trees[len(self.settings.trees) :]
        if new:
            names = ", ".join(tree.name for tree in new)
            LOG.info("the gateway has new trees, starting again with them: %s", names)
            self.post(Stop(again=True))

    def _mount_came(self) -> None:
        LOG.info("a tree is on a mount now that came late, starting again")
        self.post(Stop(again=True))

    def _tell(self, effect: fx.TellRuntime) -> None:
        (self.runtime.verify if effect.ask else self.runtime.tell)(effect.order)

    def _turned(self, now: Instant) -> None:
        self.shadow.follow(self.state.token)
        self.bulletin.turned(now)

    def _dial(self, effect: fx.Dial) -> None:
        if self.state.peers[effect.peer].share:
            self.shadow.follow(self.state.token)
            self.shadow.dial()
        else:
            self.links.dial(effect.peer)

    def _forward(self, effect: fx.Send) -> None:
        self._send(effect.link, effect.message)

    def _send(self, link: int, message: object) -> None:
        self.links.send(LinkId(link), message)  # type: ignore[arg-type]  # made by the node and serving only

    def _hangup(self, effect: fx.Hangup) -> None:
        self.links.close(LinkId(effect.link), effect.reason)

    def _trust(self, name: str, key: str | None) -> JSON:
        """Pin a key: the given one, or the one that a refused peer of this name showed."""
        if key is None:
            shown = [e for e, _ in self.node.reporting.strangers.values() if e.name == name]
            if len(shown) != 1:
                hint = "syncagent keys trust NAME 'ssh-ed25519 ...'"
                raise RefusedError(
                    f"{len(shown)} refused peers called {name!r} are known", hint=hint
                )
            key = shown[0].key
        trust(self._fs, self.settings.state_dir, name, key)
        self.take_up(lambda settings: _trusting(settings, NodeName(name), key))
        return {"name": name, "fingerprint": fingerprint(parse_pinned(key)[0].asbytes())}

    def take_up(self, change: Callable[[Settings], Settings]) -> None:
        """Work by changed settings (see `settings.reload`: not all can change). From any thread.

        Raises SettingsError, and changes nothing, if a peer's key is not one.
        """
        with self._settings_lock:
            settings = change(self.settings)
            self.links.replace_peers(_others(settings))
            self.disk.take_limits(settings.limits)
            self.history.take_limits(settings.limits)
            self.settings = settings
            self.shadow.take_up(settings)
            self.post(rs.Reloaded(settings))

    # --- life -------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the hands, then open the doors. Raises BusyError if an address is taken."""
        for lane in self.lanes.values():
            lane.start()
        self.elector.start()
        self.late_mounts.start()
        if self.state.standing.revision.number == 0:
            self.judging.expect()
        ArtifactValidator(*self._rules).warm()
        self.links.listen_local(self._fs, self._state_dir)
        self.share_watch.start()
        if self.settings.listen:
            port = self.links.listen(self.settings.listen)
            LOG.info("listening for peers at %s (port %d)", self.settings.listen, port)

    def request_stop(self) -> None:
        """Have the loop end when what is under way is finished; safe in a signal handler."""
        self.post(rs.Leaving())

    def stop(self, *, again: bool = False) -> None:
        """Close the doors, let the hands finish, close the files; `again`: another starts at once."""
        self.desk.close()
        self.late_mounts.stop()
        self.hints.stop()
        self.runtime.stop()
        self.shadow.stop()
        self.share_watch.stop()
        self.links.stop()
        self.judging.stop()
        for name in stop_all(self.lanes):
            if self.lanes[name].join_s == LOOK_JOIN_S:
                LOG.error("%s: a look hangs in its file system; it is left behind", name)
            else:
                LOG.error("%s did not finish; what it did is recovered at the next start", name)
        self.elector.close(keep=again)
        self._save_cache()
        self.trees.mounts.stop()
        self.history.close()


def _others(settings: Settings) -> list[PeerSettings]:
    return [peer for peer in settings.peers if peer.name != settings.node]


def _trusting(settings: Settings, name: NodeName, key: str) -> Settings:
    """Return the settings with `key` for the peer; one that is new has no address, and only calls."""
    address = next((peer.address for peer in settings.peers if peer.name == name), "")
    others = tuple(peer for peer in settings.peers if peer.name != name)
    return replace(settings, peers=(*others, PeerSettings(name, address, key)))
