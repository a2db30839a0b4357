"""Validation of whole paths without a daemon: what `syncagent validate PATH...` does.

A folder is searched for trees: one that holds the folders of Synapse kinds, and one that holds
Siddhi plans. Each tree is checked as the agent would, with what its artifacts say of each other.
A single file is judged alone; its kind is that of the folder it lies in, else of its root element.
Symlinks are never followed, and nothing larger than the limit is read.
"""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING, NamedTuple

from syncagent.core.artifact import FOLDERS, ArtifactPath, Kind, TreeKind, TreeName, path_fault
from syncagent.core.artifact import kind_of as kind_in_tree
from syncagent.core.crosscheck import crosscheck
from syncagent.core.dialect import Dialect
from syncagent.core.verdict import Examined, Facts, Problem, Severity
from syncagent.fsio import O_CONTENT
from syncagent.validation.document import parse
from syncagent.validation.synapse import ROOT_FILES, ROOTS, local_name
from syncagent.validation.validator import SIZE_MAX_BYTES, ArtifactValidator, size_problem

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from syncagent.fsio import OsFS

Found = tuple[str, tuple[Problem, ...]]
"""A file's path, as far as it was given, and what is wrong with it."""

DEPTH_MAX = 40
"""How many folders below a given path are entered."""

_TELLING = frozenset(FOLDERS) - {"templates", "tasks", "imports", "endpoints"}
"""Folders that make their parent a Synapse tree; the other names are common elsewhere too."""


class _Name(NamedTuple):
    """One name in a folder, not followed if it is a link."""

    name: str
    is_folder: bool
    is_file: bool


class PathValidator:
    """Judges files and folders on disk. `fs` is how they are reached."""

    def __init__(
        self, fs: OsFS, size_max_bytes: int = SIZE_MAX_BYTES, dialect: Dialect = Dialect.WSO2
    ) -> None:
        self._fs = fs
        self._size_max_bytes = size_max_bytes
        self._validator = ArtifactValidator(size_max_bytes, dialect)

    def validate(self, paths: Sequence[str]) -> Iterator[Found]:
        """Yield every file at or below `paths` with its problems, also those without any.

        A path that can't be read is yielded with a problem; nothing is raised for what is there.
        """
        for path in paths:
            yield from self._validate_one(path.rstrip("/") or "/")

    def _validate_one(self, path: str) -> Iterator[Found]:
        try:
            mode = self._fs.lstat(path).st_mode
        except (OSError, ValueError) as error:
            yield path, (_unreadable(error),)
            return
        if stat.S_ISDIR(mode):
            yield from self._folder(path, DEPTH_MAX)
        else:
            yield path, self._single(path).problems

    # --- folders ----------------------------------------------------------------------------

    def _folder(self, path: str, depth: int) -> Iterator[Found]:
        """Yield what is in a folder that is a tree, a part of one, or holds trees."""
        try:
            names = self._names(path)
        except OSError as error:
            yield path, (_unreadable(error),)
            return
        kind = _tree_kind(path, names)
        if kind is not None:
            yield from self._tree(path, kind)
            return
        if _last(path) in FOLDERS:
            yield from self._part(path)
            return
        for name in names:
            inside = _join(path, name.name)
            if name.is_folder and depth == 0:
                yield inside, (Problem("too-deep", f"more than {DEPTH_MAX} folders deep"),)
            elif name.is_folder and not name.name.startswith("."):
                yield from self._folder(inside, depth - 1)
            elif not name.is_folder and name.name.endswith(("xml", ".siddhiql")):
                yield inside, self._single(inside).problems

    def _tree(self, root: str, kind: TreeKind) -> Iterator[Found]:
        """Yield a tree's files, each with what the others say of it too."""
        tree = TreeName(root)
        kinds: dict[str, Kind] = {}
        examined: dict[str, Examined] = {}
        for inside in self._files(root, "", DEPTH_MAX):
            kinds[inside] = kind_in_tree(kind, inside)
            examined[inside] = self._examine(_join(root, inside), inside, kinds[inside])
        among = crosscheck(
            {
                ArtifactPath(tree, inside): (kinds[inside], verdict.facts)
                for inside, verdict in examined.items()
                if verdict.valid
            }
        )
        for inside, verdict in examined.items():
            others = among.get(ArtifactPath(tree, inside), ())
            yield _join(root, inside), _errors_first((*verdict.problems, *others))

    def _part(self, path: str) -> Iterator[Found]:
        """Yield the files of one kind's folder; duplicates show, references are not looked for."""
        folder = _last(path)
        kind = FOLDERS[folder]
        verdicts = {
            inside: self._examine(
                _join(path, inside), f"{folder}/{inside}", _kind_by_suffix(inside, kind)
            )
            for inside in self._files(path, "", DEPTH_MAX)
        }
        among = crosscheck(
            {
                ArtifactPath(TreeName(path), inside): (
                    kind,
                    Facts(v.facts.name, v.facts.context, v.facts.version),
                )
                for inside, v in verdicts.items()
                if v.valid
            }
        )
        for inside, verdict in verdicts.items():
            others = among.get(ArtifactPath(TreeName(path), inside), ())
            yield _join(path, inside), _errors_first((*verdict.problems, *others))

    def _files(self, root: str, below: str, depth: int) -> Iterator[str]:
        """Yield the relative paths of all that is no folder below `root`, sorted by folder."""
        try:
            names = self._names(_join(root, below) if below else root)
        except OSError:
            # Yielded as a file, the folder's own error shows when it is read.
            yield below
            return
        for name in names:
            inside = f"{below}/{name.name}" if below else name.name
            if name.is_folder and depth > 0 and name.name != ".syncagent":
                yield from self._files(root, inside, depth - 1)
            elif not name.is_folder or depth == 0:
                # A folder too deep to enter shows as what it is when it is read.
                yield inside

    def _names(self, path: str) -> list[_Name]:
        with self._fs.scandir(path) as entries:
            return sorted(
                _Name(
                    entry.name,
                    entry.is_dir(follow_symlinks=False),
                    entry.is_file(follow_symlinks=False),
                )
                for entry in entries
            )

    # --- files ------------------------------------------------------------------------------

    def _examine(self, path: str, inside: str, kind: Kind) -> Examined:
        """Judge the file at `path` as artifact `inside` of its tree."""
        fault = path_fault(inside)
        if fault is not None:
            return Examined(Facts(), (Problem("name", fault),))
        content = self._content(path)
        if isinstance(content, Problem):
            return Examined(Facts(), (content,))
        return self._validator.examine(kind, inside, content)

    def _single(self, path: str) -> Examined:
        """Judge a file that was named by itself."""
        base = _last(path)
        folder = _last(path.removesuffix(base).rstrip("/"))
        if base.endswith(".siddhiql"):
            return self._examine(path, base, Kind.PLAN)
        if not base.endswith("xml"):
            return self._examine(path, base, Kind.FILE)
        if folder in FOLDERS:
            return self._examine(path, f"{folder}/{base}", FOLDERS[folder])
        if base in ROOT_FILES:
            return self._examine(path, base, Kind.ROOT)
        return self._by_root_element(path, base)

    def _by_root_element(self, path: str, base: str) -> Examined:
        """Judge an XML file whose place says nothing about its kind."""
        content = self._content(path)
        if isinstance(content, Problem):
            return Examined(Facts(), (content,))
        root = parse(content)
        if isinstance(root, Problem):
            return Examined(Facts(), (root,))
        local = local_name(root)
        for kind, wanted in ROOTS.items():
            if wanted == local:
                return self._validator.examine(kind, base, content)
        for name, wanted in ROOT_FILES.items():
            if wanted == local:
                return self._validator.examine(Kind.ROOT, name, content)
        reason = f"<{local}> is the root element of no kind of artifact"
        return Examined(Facts(), (Problem("wrong-root", reason, root.sourceline or 1),))

    def _content(self, path: str) -> bytes | Problem:
        """Return the bytes of a regular file within the limit, or why they are not to be had."""
        try:
            if stat.S_ISLNK(self._fs.lstat(path).st_mode):
                return Problem("symlink", "a symbolic link: it is never followed")
            fd = self._fs.open(path, O_CONTENT)
            try:
                seen = self._fs.fstat(fd)
                if not stat.S_ISREG(seen.st_mode):
                    return Problem("not-regular", "not a regular file")
                too_large = size_problem(seen.st_size, self._size_max_bytes)
                return too_large or self._fs.read_all(fd, self._size_max_bytes)
            finally:
                self._fs.close(fd)
        except OSError as error:
            return _unreadable(error)


def validate_paths(
    paths: Sequence[str],
    fs: OsFS,
    size_max_bytes: int = SIZE_MAX_BYTES,
    dialect: Dialect = Dialect.WSO2,
) -> Iterator[Found]:
    """Yield every file at or below `paths` with its problems; see `PathValidator.validate`."""
    return PathValidator(fs, size_max_bytes, dialect).validate(paths)


def _tree_kind(path: str, names: Iterable[_Name]) -> TreeKind | None:
    """Tell what tree a folder is the root of, by its name and what is in it."""
    folders = {name.name for name in names if name.is_folder}
    files = {name.name for name in names if not name.is_folder}
    if folders & _TELLING or files & ROOT_FILES.keys():
        return TreeKind.SYNAPSE
    if _last(path) == "executionplans" or any(name.endswith(".siddhiql") for name in files):
        return TreeKind.SIDDHI
    return None


def _kind_by_suffix(inside: str, kind: Kind) -> Kind:
    return kind if inside.endswith("xml") else Kind.FILE


def _errors_first(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    return tuple(sorted(problems, key=lambda problem: problem.severity is not Severity.ERROR))


def _unreadable(error: OSError | ValueError) -> Problem:
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return Problem("unreadable", f"can't be read: {reason}")


def _last(path: str) -> str:
    return path.rstrip("/").rpartition("/")[2]


def _join(folder: str, name: str) -> str:
    return f"{folder.rstrip('/')}/{name}"
