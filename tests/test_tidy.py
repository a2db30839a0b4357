"""The code's own shape: sizes, words and leftovers that no linter looks at."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SOURCES = sorted((ROOT / "syncagent").rglob("*.py"))
MODULE_LINES_MAX = 400
FUNCTION_LINES_MAX = 60
LOOP_LINES_MAX = 100
VAGUE = {
    "utils",
    "util",
    "helpers",
    "helper",
    "common",
    "misc",
    "manager",
    "handler",
    "data",
    "info",
}
STANDARD = {
    *(
        "bin",
        "boot",
        "dev",
        "etc",
        "home",
        "lib",
        "lib32",
        "lib64",
        "libx32",
        "lost+found",
        "media",
    ),
    *("mnt", "opt", "proc", "root", "run", "sbin", "srv", "sys", "tmp", "usr", "var"),
}
DOCUMENT = re.compile(r"[\w./-]*\w\.md\b")
LEFTOVER = re.compile(r"\b(TODO|FIXME|XXX|HACK|NotImplementedError)\b")
FILE_CALLS = re.compile(
    r"\bos\.(open|read|write|stat|lstat|fstat|listdir|scandir|replace|rename|unlink|remove|mkdir"
    r"|makedirs|rmdir|fsync|fdatasync|utime|chmod|chown|link|symlink|readlink)\("
)


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def machine_path() -> re.Pattern[str]:
    """Match what only this machine has: homes, this checkout, and root folders of its own."""
    top = {path.name for path in Path("/").iterdir() if path.is_dir() and not path.is_symlink()}
    for path in (ROOT, Path.home(), Path(sys.prefix), Path(sys.base_prefix)):
        top |= set(path.parts[1:2])
    homes = {str(Path.home()), str(ROOT), str(Path(sys.prefix))} - {"/"}
    own = {re.escape(f"/{name}") for name in top - STANDARD} | {re.escape(home) for home in homes}
    return re.compile(rf"({'|'.join(sorted(own))}|/root|/home/[a-z]+)/")


def tracked() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True
    ).stdout.decode()
    paths = [ROOT / item for item in listed.split("\0") if item]
    assert paths, "git lists no files: this test would pass on nothing"
    return [path for path in paths if path.is_file() and not path.is_symlink()]


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_a_module_has_a_docstring_and_a_size_one_can_read(path: Path) -> None:
    text = path.read_text()
    tree = ast.parse(text)
    assert ast.get_docstring(tree), f"{path} has no module docstring"
    lines = len(text.splitlines())
    limit = LOOP_LINES_MAX if name(path) == "syncagent/agent/loop.py" else MODULE_LINES_MAX
    assert lines <= limit, f"{path} has {lines} lines: split it by concept"
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            size = (node.end_lineno or 0) - node.lineno + 1
            assert size <= FUNCTION_LINES_MAX, f"{node.name} in {path} has {size} lines"


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_a_module_has_a_clear_name(path: Path) -> None:
    assert path.stem not in VAGUE, f"{path}: name the concept"


def test_nothing_names_a_machine_or_is_left_open() -> None:
    found = []
    machine = machine_path()
    for path in tracked():
        relative = name(path)
        if relative.startswith("tests/data/") or relative == "tests/test_tidy.py":
            continue
        text = path.read_text(errors="replace")
        for number, line in enumerate(text.splitlines(), 1):
            if machine.search(line):
                found.append(f"{relative}:{number}: a path of one machine")
            if path.suffix in {".py", ""} and LEFTOVER.search(line):
                found.append(f"{relative}:{number}: left open")
    assert not found, "\n".join(found)


def test_a_document_that_is_named_is_in_the_repository() -> None:
    documents = {path for path in tracked() if path.suffix == ".md"}
    names = {document.name for document in documents}
    found = []
    for path in tracked():
        if name(path).startswith("tests/data/") or path.name == "test_tidy.py":
            continue
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
            found += [
                f"{name(path)}:{number}: {word}"
                for word in DOCUMENT.findall(line)
                if word not in names and not (documents & {ROOT / word, path.parent / word})
            ]
    assert not found, "\n".join(found)


def test_only_fsio_makes_file_system_calls_for_trees() -> None:
    allowed = {"syncagent/fsio.py"}
    found = []
    for path in SOURCES:
        if name(path) in allowed:
            continue
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if FILE_CALLS.search(line):
                found.append(f"{name(path)}:{number}: {line.strip()}")
    assert not found, "\n".join(found)


def test_what_starts_agents_or_a_synapse_is_marked_so() -> None:
    found = sorted((ROOT / "tests/e2e").glob("test_*.py"))
    assert found
    for path in found:
        text = path.read_text()
        assert "pytest.mark.e2e" in text, f"{path}: the fast layer would run it"
        if re.search(r"\bsynapse_homes?\(", text):
            assert "pytest.mark.needs_synapse" in text, f"{path}: it needs a Synapse"
