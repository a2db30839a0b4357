"""How a runtime's deployers take one file in and out: see `runtime_model`, which decides when.

The steps and marks are those of `AbstractSynapseArtifactDeployer`: the names of deployed files, what is
being updated, what the runtime wrote itself ("restored") and what it moved away ("backed up").
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from syncagent.core.runtime import Phase, Saying
from tests.fakes.runtime_judge import Fault, Read, judge, written_back
from tests.fakes.runtime_words import (
    ABSTRACT,
    NEVER_KILLS,
    OBSERVED,
    PAUSES,
    UPDATES_OBSERVED,
    WORDS,
    Dialect,
    Line,
    Refused,
    key_space,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Files = dict[str, tuple[bytes, int]]
"""Path below the root to bytes and mtime (ns)."""
DEFAULTS = {"sequences/main.xml": "main", "sequences/fault.xml": "fault"}
"""Sequences that can't be undeployed ([S] D/SequenceDeployer.undeploySynapseArtifact, [L] lost)."""
NO_BACKUP = "NO_BACKUP_ON_WORKER.INFO"


@dataclass(frozen=True)
class Word:
    """What a line means to who reads the log: `path` is empty where it names no file."""

    saying: Saying
    path: str
    name: str = ""
    reason: str = ""
    folder: str = ""


@dataclass(frozen=True)
class Said:
    """It wrote an entry into its log."""

    line: Line
    word: Word | None = None


@dataclass(frozen=True)
class Wrote:
    """It wrote into the tree, in place; the mtime is the instant's."""

    path: str
    content: bytes


@dataclass(frozen=True)
class Moved:
    """It moved a file of the tree."""

    path: str
    target: str


@dataclass(frozen=True)
class Turned:
    """Its process is in another phase; `console` is what only standard error tells."""

    phase: Phase
    console: str = ""


Deed = Said | Wrote | Moved | Turned


@dataclass(frozen=True)
class Artifact:
    """What the runtime serves: `file` is where it came from."""

    folder: str
    read: Read
    content: bytes
    file: str


class DiesError(Exception):
    """The thread of hot deployment ends here."""


class DroppedError(Exception):
    """The rest of this scan is dropped."""


class AbortedError(Exception):
    """The rest of this scan's undeploys is dropped."""


@dataclass
class Deployer:
    """All deployers of one runtime, and what it serves. `pausing`: the last step keeps it waiting."""

    dialect: Dialect
    root: str
    refuses: Callable[[str, bytes], str]
    faults: list[tuple[str, bytes]]
    artifacts: dict[tuple[str, str], Artifact] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    restored: set[str] = field(default_factory=set)
    pausing: bool = False
    _updating: dict[str, str] = field(default_factory=dict)
    _backed_up: set[str] = field(default_factory=set)

    def load(self, path: str, content: bytes) -> Iterator[Deed]:
        folder, base = folder_of(path), path.rpartition("/")[2]
        read = self._read(path, content)
        title = WORDS[folder].title
        if not read.fault:
            self.add(path, read, content)
            if folder == "api":
                word = Word(Saying.DEPLOYED, "", read.name, folder=folder)
                yield Said(Line("INFO", "API", f"Initializing API: {read.name}", "main"), word)
            return
        if self.dialect.name != "synapse":
            text = (
                f"{title} configuration cannot be built from: {base} - Continue in fail-safe mode"
            )
            word = Word(Saying.REJECTED, path, reason=read.reason)
            yield Said(Line("WARN", "MultiXMLConfigurationBuilder", text), word)
        elif read.fault is Fault.REFUSED:
            # Neither file nor name is said ([L] startup.log).
            text = f"{title} configuration cannot be built - Continue in fail-safe mode"
            yield Said(Line("ERROR", title, read.reason, "main"))
            word = Word(Saying.REJECTED, "", folder=folder, reason=read.reason)
            yield Said(Line("WARN", "SynapseXMLConfigurationFactory", text, "main"), word)
        else:
            text = f"Error while building {title} configuration from file : {base}"
            line = Line(
                "WARN", "MultiXMLConfigurationBuilder", f"{text} - Continue in fail-safe mode"
            )
            yield Said(line, Word(Saying.REJECTED, path, reason=read.reason))

    # --- undeploying ([S] D/AbstractSynapseArtifactDeployer.undeploy) ----------------------------

    def undeploy(self, path: str, files: Files) -> Iterator[Deed]:
        if path in self._backed_up:
            self._backed_up.discard(path)  # it moved the file itself
        elif path not in self.names:
            if self.dialect.strict:
                text = f"Artifact representing the filename {self._full(path)} is not deployed on Synapse"
                self.faults.append((path, files[path][0] if path in files else b""))
                yield Said(Line("ERROR", ABSTRACT, text), Word(Saying.LOST_TRACK, path))
                raise AbortedError
        elif path not in files:
            yield from self._take_away(path)
        elif not (self.dialect.name != "synapse" and path in self.restored):
            # An update: the old version serves until the new one has been built.
            self._updating[path] = self.names.pop(path)

    def observed(self, folder: str, name: str, *, updated: bool) -> Iterator[Deed]:
        """Announce that something is in the configuration ([W] config/AbstractSynapseObserver).

        Of most kinds an update is none; a sequence is taken out first.
        """
        if self.dialect.name == "synapse" or folder not in OBSERVED:
            return
        head, end = f"{OBSERVED[folder]} : {name} was", "the Synapse configuration successfully"
        if updated and folder == "sequences":
            word = Word(Saying.DROPPED, "", name, folder=folder)
            yield Said(Line("INFO", "DependencyTracker", f"{head}  removed from {end}"), word)
        if not updated or folder == "sequences":
            how = "added to"
        elif folder in UPDATES_OBSERVED:
            how = "updated from"
        else:
            return
        word = Word(Saying.SAVED, "", name, folder=folder)
        yield Said(Line("INFO", "DependencyTracker", f"{head} {how} {end}"), word)

    def _take_away(self, path: str) -> Iterator[Deed]:
        folder, name = folder_of(path), self.names[path]
        if folder == "sequences" and name in DEFAULTS.values():
            yield Said(Line("ERROR", "SequenceDeployer", f"Cannot Undeploy the {name} sequence"))
            text = f"Unable to undeploy the artifact from file : {self._full(path)}"
            yield Said(Line("ERROR", ABSTRACT, text), Word(Saying.REJECTED, path, name))
            text = f"Restoring the artifact into the file : {self._full(path)}"
            yield from self._restore(path, name, text)
            return
        del self.names[path]
        self.artifacts.pop((key_space(folder), name), None)
        yield from self._observed_gone(folder, name)
        text = WORDS[folder].is_gone.format(n=name)
        yield Said(
            Line("INFO", WORDS[folder].deployer, text),
            Word(Saying.UNDEPLOYED, "", name, folder=folder),
        )

    def _observed_gone(self, folder: str, name: str) -> Iterator[Deed]:
        if self.dialect.name != "synapse" and folder in OBSERVED:
            space = "  " if folder == "sequences" else " "
            end = f"was{space}removed from the Synapse configuration successfully"
            line = Line("INFO", "DependencyTracker", f"{OBSERVED[folder]} : {name} {end}")
            yield Said(line, Word(Saying.DROPPED, "", name, folder=folder))

    # --- deploying ([S] D/AbstractSynapseArtifactDeployer.deploy) ---------------------------------

    def deploy(self, path: str, files: Files) -> Iterator[Deed]:
        if path in self.restored:
            self.restored.discard(path)  # its own write, or so it thinks: whatever is there now
            return
        row = files.get(path)
        content = row[0] if row is not None else b""
        read = self._read(path, content)
        if row is None or read.fault is Fault.NO_XML:
            yield from self._unreadable(path, files, read.reason)
        elif path in self._updating:
            yield from self._update(path, content, self._updating.pop(path), files)
        elif read.fault:
            yield from self._refuse_new(path, read, files)
        else:
            self.add(path, read, content)
            words = WORDS[folder_of(path)]
            yield from self.observed(folder_of(path), read.name, updated=False)
            text = words.has_been.format(n=read.name, f=self._full(path))
            yield Said(Line("INFO", words.deployer, text), Word(Saying.DEPLOYED, path, read.name))

    def _unreadable(self, path: str, files: Files, reason: str) -> Iterator[Deed]:
        """What fails before the root element: an update is taken back, a new file stays there."""
        doing = "parsing" if path in files else "reading"
        text = f"Deployment of synapse artifact failed. Error {doing} {self._full(path)} : {reason}"
        yield Said(Line("ERROR", ABSTRACT, text), Word(Saying.REJECTED, path, reason=reason))
        if path in self._updating:
            name = self._updating.pop(path)
            if path in files:
                yield from self._back_up(path, files, "")
            yield from self._restore_existing(path, name)

    def _refuse_new(self, path: str, read: Read, files: Files) -> Iterator[Deed]:
        folder, file = folder_of(path), self._full(path)
        words = WORDS[folder]
        rejected = Word(Saying.REJECTED, path, read.name, read.reason)
        if folder == "proxy-services" and self.dialect.name == "synapse":
            text = f"Proxy service hot deployment from file: {file} failed - Continue in fail-safe mode"
            yield Said(Line("WARN", words.deployer, text), rejected)
            return
        cause = f"\norg.apache.synapse.SynapseException: {read.reason}"
        yield Said(Line("ERROR", words.deployer, words.failed.format(f=file) + cause), rejected)
        text = f"Deployment of the Synapse Artifact from file : {file} : Failed!"
        yield Said(Line("ERROR", ABSTRACT, text))
        yield from self._back_up(path, files, "The file has been backed up into : ")

    def _update(self, path: str, content: bytes, old: str, files: Files) -> Iterator[Deed]:
        folder = folder_of(path)
        words, file = WORDS[folder], self._full(path)
        before = self.artifacts.pop((key_space(folder), old), None)
        read = self._read(path, content)
        if before is not None and (read.fault or read.name != old):
            self.artifacts[key_space(folder), old] = before
        if read.fault:
            yield from self._refuse_update(path, replace(read, name=old), files)
            return
        if read.name != old:
            self.artifacts.pop((key_space(folder), old), None)
            gone = f"{words.title}: {old} has been undeployed"
            yield Said(
                Line("INFO", words.deployer, gone), Word(Saying.UNDEPLOYED, "", old, folder=folder)
            )
        self.add(path, read, content)
        if folder in UPDATES_OBSERVED:
            yield from self.observed(folder, read.name, updated=True)
        text = words.updated.format(n=read.name, f=file)
        yield Said(Line("INFO", words.deployer, text), Word(Saying.UPDATED, path, read.name))
        self.pausing = folder in PAUSES

    def _refuse_update(self, path: str, read: Read, files: Files) -> Iterator[Deed]:
        folder, file, reason = folder_of(path), self._full(path), read.reason
        policy = Refused.RESTORES if folder in NEVER_KILLS else self.dialect.refused
        if policy is Refused.DIES and read.fault is Fault.BREAKS:
            # Caught too far out: the old one serves, and no file leads to it ([L] refused: Cut).
            text = f"Deployment of synapse artifact failed. Error parsing {file} : {reason}"
            yield Said(Line("ERROR", ABSTRACT, text), Word(Saying.REJECTED, path, reason=reason))
            return
        if policy is not Refused.RESTORES:
            yield Said(Line("ERROR", WORDS[folder].title, reason))
        if policy is Refused.DIES:
            raise DiesError(f"org.apache.synapse.SynapseException: {reason}")
        if policy is Refused.DROPS:
            text = f"Error while running deployment scheduler.. \norg.apache.synapse.SynapseException: {reason}"
            yield Said(Line("ERROR", "CarbonDeploymentSchedulerTask", text))
            raise DroppedError
        text = f"Update of the Synapse Artifact from file : {file} : Failed!"
        cause = f"\norg.apache.synapse.SynapseException: {reason}"
        word = Word(Saying.REJECTED, path, read.name, reason)
        yield Said(Line("ERROR", ABSTRACT, text + cause), word)
        yield from self._back_up(path, files, "The updated file has been backed up into : ")
        yield from self._restore_existing(path, read.name)

    # --- its own writes ---------------------------------------------------------------------------

    def _back_up(self, path: str, files: Files, text: str) -> Iterator[Deed]:
        """Move a refused file away ([S] backupFile); where that is off it only says so."""
        if not self.dialect.moves_back:
            if text:
                yield Said(Line("INFO", ABSTRACT, text + NO_BACKUP))
            return
        target, number = f"{path}.back", 0
        while target in files:
            number += 1
            target = f"{path}.{number}.back"
        self._backed_up.add(path)
        yield Moved(path, target)
        if text:
            word = Word(Saying.BACKED_UP, path)
            yield Said(Line("INFO", ABSTRACT, text + self._full(target)), word)

    def _restore_existing(self, path: str, name: str) -> Iterator[Deed]:
        self.names[path] = name
        text = f"Restoring the existing artifact into the file : {self._full(path)}"
        yield from self._restore(path, name, text)

    def _restore(self, path: str, name: str, text: str) -> Iterator[Deed]:
        """Write the old version back, in other bytes: the next change of that file is swallowed."""
        words = WORDS[folder_of(path)]
        yield Said(Line("INFO", ABSTRACT, text), Word(Saying.RESTORED, path, name))
        artifact = self.artifacts[key_space(folder_of(path)), name]
        self.restored.add(path)
        yield Wrote(path, written_back(artifact.content))
        yield Said(Line("INFO", words.deployer, f"{words.title} named '{name}' has been restored"))

    # --- what bytes mean here ---------------------------------------------------------------------

    def _read(self, path: str, content: bytes) -> Read:
        read = judge(folder_of(path), content)
        reason = "" if read.fault else self.refuses(path, content) or self._clash(path, read)
        if reason:
            read = replace(read, fault=Fault.REFUSED, reason=reason)
        if read.fault:
            self.faults.append((path, content))
        return read

    def _clash(self, path: str, read: Read) -> str:
        """Say what else has the name, or an API's context; "" if nothing does."""
        folder = folder_of(path)
        if (key_space(folder), read.name) in self.artifacts:
            if folder == "api":
                return f"Duplicate resource definition by the name: {read.name}"
            return f"Duplicate {WORDS[folder].title.lower()} definition for key : {read.name}"
        if folder != "api":
            return ""
        context = read.context.partition(" ")[0]
        for (space, name), other in self.artifacts.items():
            if space == "api" and other.read.context == read.context:
                return f"URL context: {context} is already registered with the API: {name}"
        return ""

    def add(self, path: str, read: Read, content: bytes) -> None:
        folder = folder_of(path)
        self.artifacts[key_space(folder), read.name] = Artifact(folder, read, content, path)
        self.names[path] = read.name

    def _full(self, path: str) -> str:
        return f"{self.root}/{path}"


def folder_of(path: str) -> str:
    """Return the folder that says what kind a file is of; "" at the root."""
    return path.partition("/")[0] if "/" in path else ""
