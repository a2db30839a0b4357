"""The code's own shape: sizes, words and leftovers that no linter looks at."""

import ast
import re
import subprocess
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
MACHINE_PATH = re.compile(r"(/root/|/home/[a-z]+/|/work/|/farm/)")
LEFTOVER = re.compile(r"\b(TODO|FIXME|XXX|HACK|NotImplementedError)\b")
FILE_CALLS = re.compile(
    r"\bos\.(open|read|write|stat|lstat|fstat|listdir|scandir|replace|rename|unlink|remove|mkdir"
    r"|makedirs|rmdir|fsync|fdatasync|utime|chmod|chown|link|symlink|readlink)\("
)


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


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
    for path in tracked():
        relative = name(path)
        if relative.startswith("tests/data/") or relative == "tests/test_tidy.py":
            continue
        text = path.read_text(errors="replace")
        for number, line in enumerate(text.splitlines(), 1):
            if MACHINE_PATH.search(line):
                found.append(f"{relative}:{number}: a path of one machine")
            if path.suffix in {".py", ""} and LEFTOVER.search(line):
                found.append(f"{relative}:{number}: left open")
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
